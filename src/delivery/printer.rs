//! Shows on the terminal what would be pushed: the stand-in for Loki where no client is configured.
//! In: parcels.  Out: lines `time <tab> labels <tab> line` on stdout.  Owns: nothing.

use std::io::{self, IsTerminal as _, Write as _};

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::block_in_place;
use tracing::error;

use crate::batch::{EntryMessage, Parcel};
use crate::custody::Outcome;

const BLUE: &str = "\u{1b}[34m";
const YELLOW: &str = "\u{1b}[33m";
const PLAIN: &str = "\u{1b}[0m";

/// Prints parcels until there are no more, or nobody reads the terminal any longer.
pub(crate) async fn run(mut parcels: mpsc::Receiver<Parcel>) {
    let coloured = io::stdout().is_terminal();
    while let Some(parcel) = parcels.recv().await {
        let Ok(request) = parcel.request() else {
            error!("a parcel does not decode");
            continue;
        };
        let mut entries: Vec<(&str, &EntryMessage)> = Vec::new();
        for stream in &request.streams {
            entries.extend(stream.entries.iter().map(|entry| (stream.labels.as_str(), entry)));
        }
        // Streams are grouped in a parcel; people read by time.
        entries.sort_by_key(|(_, entry)| entry.timestamp.map_or((0, 0), |time| (time.seconds, time.nanos)));
        let text: String = entries.iter().map(|(labels, entry)| render(labels, entry, coloured)).collect();
        // A pipe whose reader pauses blocks; the other tasks go on.
        let written = block_in_place(|| {
            let mut stdout = io::stdout().lock();
            stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
        });
        if written.is_err() {
            // The reader is gone (`| head`): its lines were not shown, so they are not settled.
            return;
        }
        parcel.settle(Outcome::Delivered);
    }
}

fn render(labels: &str, entry: &EntryMessage, coloured: bool) -> String {
    let time =
        entry.timestamp.and_then(|time| Timestamp::new(time.seconds, time.nanos).ok()).unwrap_or_default();
    let line = String::from_utf8_lossy(&entry.line);
    if coloured {
        // A log line must not be able to steer the terminal it is shown on.
        let line: String =
            line.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect();
        format!("{BLUE}{time}{PLAIN}\t{YELLOW}{labels}{PLAIN}\t{line}\n")
    } else {
        format!("{time}\t{labels}\t{line}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::TimestampMessage;

    #[test]
    fn an_entry_is_shown_as_time_labels_and_line() {
        let timestamp = Some(TimestampMessage { seconds: 1_763_461_800, nanos: 123_000_000 });
        let entry = EntryMessage { timestamp, line: b"hi\x1b[2J".to_vec(), structured_metadata: Vec::new() };
        assert_eq!(render("{a=\"b\"}", &entry, false), "2025-11-18T10:30:00.123Z\t{a=\"b\"}\thi\x1b[2J\n");
        assert!(
            !render("{}", &entry, true).contains("\u{1b}[2J"),
            "control characters do not reach a terminal"
        );
    }
}
