//! The dead-letter file: entries that Loki refused for good, for a person to look at.
//! In: entries, why they were refused.  Out: a JSON object a line.  Owns: the file and one that was full before it, each
//! at most half of the limit.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde_json::json;
use tracing::warn;

use crate::batch::EntryMessage;
use crate::clock::{self, Instant};
use crate::flow::TokenBucket;
use crate::metrics::{Family, Own};
use crate::record::ByteCount;

/// Entries a second that are kept, and at once: a Loki that refuses everything must not wear out a disk.
const RATE: f64 = 200.0;
const BURST: u64 = 20_000;

/// The `dead_letter` block.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) file: PathBuf,
    pub(crate) limit: ByteCount,
}

/// Shared by all clients.
#[derive(Debug)]
pub(crate) struct DeadLetters {
    settings: Settings,
    results: Arc<Family>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: Option<(File, u64)>,
    allowed: TokenBucket,
    failing: bool,
}

/// What an entry was refused with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reason<'r> {
    pub(super) client: &'r str,
    pub(super) tenant: Option<&'r str>,
    pub(super) reason: &'r str,
    pub(super) answer: &'r str,
}

impl DeadLetters {
    /// Opens nothing before there is something to write.
    pub(crate) fn new(settings: Settings, own: &Own) -> DeadLetters {
        let state = State { file: None, allowed: TokenBucket::new(RATE, BURST), failing: false };
        DeadLetters { settings, results: own.dead_letters.clone(), state: Mutex::new(state) }
    }

    /// Keeps entries, each with the labels of its stream; what cannot be kept is counted.
    pub(super) fn keep(&self, reason: Reason<'_>, entries: &[(&str, &EntryMessage)]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let allowed = entries.iter().take_while(|_| state.allowed.allow(now)).count();
        let text: String =
            entries[..allowed].iter().map(|(labels, entry)| render(reason, labels, entry)).collect();
        let written = match self.write(&mut state, text.as_bytes()) {
            Ok(()) => allowed,
            Err(error) => {
                // Opened anew the next time.
                state.file = None;
                if !std::mem::replace(&mut state.failing, true) {
                    warn!(path = %self.settings.file.display(), %error, "refused entries cannot be kept");
                }
                0
            }
        };
        state.failing &= written == 0;
        self.results.with("result", "kept").add(written as f64);
        self.results.with("result", "left_out").add((entries.len() - written) as f64);
    }

    fn write(&self, state: &mut State, text: &[u8]) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let half = self.settings.limit.0 / 2;
        if text.len() as u64 > half {
            return Err(io::Error::other("more than half of the limit at once"));
        }
        let (mut file, length) = match state.file.take() {
            Some(open) => open,
            None => {
                let file =
                    OpenOptions::new().create(true).append(true).mode(0o600).open(&self.settings.file)?;
                let length = file.metadata()?.len();
                (file, length)
            }
        };
        let mut length = length;
        if length + text.len() as u64 > half {
            let mut before = self.settings.file.clone().into_os_string();
            before.push(".1");
            fs::rename(&self.settings.file, before)?;
            file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.settings.file)?;
            length = 0;
        }
        file.write_all(text)?;
        state.file = Some((file, length + text.len() as u64));
        Ok(())
    }
}

fn render(reason: Reason<'_>, labels: &str, entry: &EntryMessage) -> String {
    let nanos = entry.timestamp.and_then(|time| Timestamp::new(time.seconds, time.nanos).ok());
    let refused = Timestamp::from_nanosecond(clock::now().0.into()).unwrap_or_default();
    let object = json!({
        "refused_at": refused.to_string(),
        "client": reason.client,
        "tenant": reason.tenant,
        "reason": reason.reason,
        "answer": reason.answer,
        "labels": labels,
        "timestamp": nanos.map(|time| time.to_string()),
        "line": String::from_utf8_lossy(&entry.line),
    });
    format!("{object}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Registry;

    #[test]
    fn refused_entries_are_kept_within_the_limit_and_the_newest_stay() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("dead.jsonl");
        let own = Own::register(&Registry::default());
        let settings = Settings { file: file.clone(), limit: ByteCount(4000) };
        let letters = DeadLetters::new(settings, &own);
        let reason = Reason { client: "c", tenant: None, reason: "too_old", answer: "no" };
        for number in 0..100 {
            let line = format!("line {number}").into();
            let entry = EntryMessage { timestamp: None, line, structured_metadata: Vec::new() };
            letters.keep(reason, &[("{a=\"b\"}", &entry)]);
        }
        let text = fs::read_to_string(&file).unwrap();
        let sizes =
            [&file, &directory.path().join("dead.jsonl.1")].map(|file| fs::metadata(file).unwrap().len());
        assert!(sizes.iter().all(|size| *size <= 2000), "{sizes:?}");
        let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!((last["line"].as_str(), last["reason"].as_str()), (Some("line 99"), Some("too_old")));
        assert_eq!(own.dead_letters.with("result", "kept").value(), 100.0);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_counted_and_nothing_more() {
        let own = Own::register(&Registry::default());
        let settings = Settings { file: "/proc/none/dead.jsonl".into(), limit: ByteCount(4000) };
        let entry = EntryMessage::default();
        let reason = Reason { client: "c", tenant: None, reason: "r", answer: "" };
        DeadLetters::new(settings, &own).keep(reason, &[("{}", &entry)]);
        assert_eq!(own.dead_letters.with("result", "left_out").value(), 1.0);
    }
}
