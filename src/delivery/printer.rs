//! Shows on the terminal what would be pushed: the stand-in for Loki where no client is configured.
//! In: parcels.  Out: lines `time <tab> labels <tab> line` on stdout.  Owns: nothing.

use std::io::{self, IsTerminal as _, Write as _};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::sync::mpsc;
use tokio::task::block_in_place;
use tracing::error;

use crate::batch::{EntryMessage, Parcel, Sealed};
use crate::custody::Outcome;
use crate::metrics::ClientMetrics;

const BLUE: &str = "\u{1b}[34m";
const YELLOW: &str = "\u{1b}[33m";
const PLAIN: &str = "\u{1b}[0m";

/// Prints parcels until there are no more, or nobody reads the terminal any longer.
pub(crate) async fn run(mut parcels: mpsc::Receiver<Sealed>, metrics: ClientMetrics) {
    let coloured = io::stdout().is_terminal();
    let zone = TimeZone::system();
    while let Some(sealed) = parcels.recv().await {
        let Sealed::Parcel(parcel) = sealed else { continue };
        let Ok(request) = parcel.request() else {
            error!("a parcel does not decode");
            continue;
        };
        let mut entries: Vec<(&str, &EntryMessage)> = Vec::new();
        let labels: Vec<String> =
            request.streams.iter().map(|stream| with_tenant(&stream.labels, &parcel)).collect();
        for (stream, labels) in request.streams.iter().zip(&labels) {
            entries.extend(stream.entries.iter().map(|entry| (labels.as_str(), entry)));
        }
        // Streams are grouped in a parcel; people read by time.
        entries.sort_by_key(|(_, entry)| entry.timestamp.map_or((0, 0), |time| (time.seconds, time.nanos)));
        let text: String =
            entries.iter().map(|(labels, entry)| render(labels, entry, &zone, coloured)).collect();
        // A pipe whose reader pauses blocks; the other tasks go on.
        let written = block_in_place(|| {
            let mut stdout = io::stdout().lock();
            stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
        });
        if written.is_err() {
            // The reader is gone (`| head`): its lines were not shown, so they are not settled.
            return;
        }
        metrics.sent_entries.add(parcel.entries() as f64);
        parcel.settle(Outcome::Delivered);
    }
}

/// A stream's labels with the tenant that a stage chose, which is no label any more when it travels.
fn with_tenant(labels: &str, parcel: &Parcel) -> String {
    match &parcel.content.tenant {
        None => labels.to_owned(),
        Some(tenant) => {
            let rest = labels.strip_prefix('{').filter(|rest| *rest != "}").map(|rest| format!(", {rest}"));
            format!("{{__tenant_id__={tenant:?}{}", rest.unwrap_or_else(|| "}".to_owned()))
        }
    }
}

fn render(labels: &str, entry: &EntryMessage, zone: &TimeZone, coloured: bool) -> String {
    let time =
        entry.timestamp.and_then(|time| Timestamp::new(time.seconds, time.nanos).ok()).unwrap_or_default();
    // As Promtail's -dry-run: local time, as many digits as there are, an offset without a colon.
    let time = time.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%.f%z");
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
        let entry = EntryMessage { timestamp, line: "hi\x1b[2J".into(), structured_metadata: Vec::new() };
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        assert_eq!(
            render("{a=\"b\"}", &entry, &zone, false),
            "2025-11-18T11:30:00.123+0100\t{a=\"b\"}\thi\x1b[2J\n"
        );
        assert!(
            !render("{}", &entry, &zone, true).contains("\u{1b}[2J"),
            "control characters do not reach a terminal"
        );
    }
}
