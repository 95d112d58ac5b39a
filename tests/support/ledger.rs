//! The ledger of truth: which lines were written, against which lines Loki holds.
//! In: (source, sequence number) of every line written; the stored entries.  Out: a [`Report`] that names the differences.
//! Owns: the numbers.
//!
//! The order is checked twice for every (tenant, stream, source): as the lines arrived, and as a query would give them
//! back, which is by timestamp, and by arrival among equal ones.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::LazyLock;

use axum::body::Bytes;
use regex::bytes::Regex;

use super::fake_loki::StoredEntry;

/// A line's name in the ledger.
pub type Key = (String, u64);

/// What was written, and for lines whose bytes are known, those.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    sources: BTreeMap<String, BTreeMap<u64, Option<Bytes>>>,
}

impl Expected {
    pub fn new() -> Self {
        Self::default()
    }

    /// Panics when the line is there already: a ledger with a line twice proves nothing.
    pub fn line(&mut self, source: &str, seq: u64) {
        self.enter(source, seq, None);
    }

    pub fn lines(&mut self, source: &str, seqs: Range<u64>) {
        for seq in seqs {
            self.line(source, seq);
        }
    }

    /// Adds a line that must arrive byte for byte.
    pub fn exact(&mut self, source: &str, seq: u64, line: impl Into<Bytes>) {
        self.enter(source, seq, Some(line.into()));
    }

    /// Adds what a container's own log says it printed (`docker logs`, stdout and stderr each by itself): the lines that
    /// carry a key, byte for byte. What a SIGKILL left of a last line counts only if it still carries its key.
    pub fn printed(&mut self, log: &[u8]) {
        for line in log.split(|&byte| byte == b'\n').flat_map(unglued) {
            if let Some((source, seq)) = seq_key(line) {
                self.exact(&source, seq, Bytes::copy_from_slice(line));
            }
        }
    }

    /// Adds what another ledger holds, of other sources.
    pub fn join(&mut self, other: Self) {
        for (source, lines) in other.sources {
            let before = self.sources.insert(source.clone(), lines);
            assert!(before.is_none(), "{source} is in two ledgers");
        }
    }

    pub fn len(&self) -> usize {
        self.sources.values().map(BTreeMap::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn sources(&self) -> impl Iterator<Item = &str> {
        self.sources.keys().map(String::as_str)
    }

    /// The first number of each gap in a source. A ledger taken from `docker logs` of `loggen` has none, except that
    /// stdout and stderr may end apart when a kill falls between them.
    pub fn gaps(&self) -> Vec<Key> {
        let gap = |(seq, next): (&u64, &u64)| (next - seq > 1).then_some(seq + 1);
        let of_source = |(source, seqs): (&String, &BTreeMap<u64, _>)| {
            let gaps: Vec<_> = seqs.keys().zip(seqs.keys().skip(1)).filter_map(gap).collect();
            gaps.into_iter().map(|seq| (source.clone(), seq)).collect::<Vec<_>>()
        };
        self.sources.iter().flat_map(of_source).collect()
    }

    fn enter(&mut self, source: &str, seq: u64, line: Option<Bytes>) {
        let before = self.sources.entry(source.to_owned()).or_default().insert(seq, line);
        assert!(before.is_none(), "{source} #{seq} was written into the ledger twice");
    }

    fn get(&self, (source, seq): &Key) -> Option<&Option<Bytes>> {
        self.sources.get(source)?.get(seq)
    }
}

/// The key of a line that `loggen` printed: (`NAME/BOOT`, seq). Of JSON and of plain lines.
pub fn seq_key(line: &[u8]) -> Option<Key> {
    let text = String::from_utf8_lossy(line);
    if text.starts_with('{') {
        // Parsed whole, so that a cut line, or two lines glued into one, has no key.
        let object: serde_json::Value = serde_json::from_str(&text).ok()?;
        let (source, context) = (object["service"].as_str()?, &object["context"]);
        return Some((format!("{source}/{}", context["boot"].as_u64()?), context["seq"].as_u64()?));
    }
    let (before, rest) = text.split_once(" seq=")?;
    // The word after the number closes it: a line cut inside its number must not pass for another line.
    let (seq, _) = rest.split_once(' ')?;
    Some((before.rsplit(' ').next()?.to_owned(), seq.parse().ok()?))
}

/// [`seq_key`] of an entry's line.
pub fn entry_key(entry: &StoredEntry) -> Option<Key> {
    seq_key(&entry.line)
}

/// `docker logs` puts the last line of one start of a container, if it has no newline, and the first line of the next
/// start on one line. Every `loggen` line begins with its time, and no message holds one: there they come apart again.
fn unglued(line: &[u8]) -> Vec<&[u8]> {
    static START: LazyLock<Regex> = LazyLock::new(|| {
        let start = r#"(?-u)(\{"timestamp":")?[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\."#;
        Regex::new(start).expect("a fixed pattern")
    });
    let starts: Vec<_> = START.find_iter(line).map(|found| found.start()).filter(|&at| at > 0).collect();
    let ends = starts.iter().copied().chain([line.len()]);
    [0].into_iter().chain(starts.iter().copied()).zip(ends).map(|(start, end)| &line[start..end]).collect()
}

/// The differences; see [`verify`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub expected: usize,
    pub stored: usize,
    pub missing: Vec<Key>,
    pub extra: Vec<Key>,
    /// Stored more than once (so with a difference that kept Loki from seeing the repetition).
    pub duplicated: Vec<(Key, usize)>,
    /// Stored with other bytes than were written, where those are known.
    pub altered: Vec<Key>,
    /// Arrived before a line that was written earlier.
    pub out_of_order_per_stream: Vec<Disorder>,
    /// Read back before a line that was written earlier.
    pub out_of_time_per_stream: Vec<Disorder>,
    /// Entries without a key, at most [`SHOWN`] of them; `unrecognised_count` counts all.
    pub unrecognised: Vec<String>,
    pub unrecognised_count: usize,
}

/// `later` came before `earlier`, both of `source`, in the stream `labels`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disorder {
    pub labels: String,
    pub source: String,
    pub later: u64,
    pub earlier: u64,
}

/// How many of each difference a report prints.
const SHOWN: usize = 8;

/// Compares what is stored with what was written. `key` gives a line's name, or `None` when it is not of the ledger.
pub fn verify(
    expected: &Expected,
    stored: &[StoredEntry],
    key: impl Fn(&StoredEntry) -> Option<Key>,
) -> Report {
    let mut report = Report { expected: expected.len(), stored: stored.len(), ..Report::default() };
    let mut counts: BTreeMap<Key, usize> = BTreeMap::new();
    let mut known = Vec::with_capacity(stored.len());
    for entry in stored {
        if let Some(key) = key(entry) {
            *counts.entry(key.clone()).or_default() += 1;
            if expected.get(&key).is_some_and(|line| line.as_ref().is_some_and(|line| *line != entry.line)) {
                report.altered.push(key.clone());
            }
            known.push((entry, key));
        } else {
            report.unrecognised_count += 1;
            if report.unrecognised.len() < SHOWN {
                report.unrecognised.push(entry.text().chars().take(160).collect());
            }
        }
    }
    for (source, seqs) in &expected.sources {
        let all = seqs.keys().map(|&seq| (source.clone(), seq));
        report.missing.extend(all.filter(|key| !counts.contains_key(key)));
    }
    report.extra = counts.keys().filter(|key| expected.get(key).is_none()).cloned().collect();
    report.out_of_order_per_stream = disorders(&known);
    known.sort_by_key(|(entry, _)| entry.timestamp_ns);
    report.out_of_time_per_stream = disorders(&known);
    report.duplicated = counts.into_iter().filter(|&(_, count)| count > 1).collect();
    report
}

fn disorders(entries: &[(&StoredEntry, Key)]) -> Vec<Disorder> {
    let mut highest: BTreeMap<_, u64> = BTreeMap::new();
    let mut found = Vec::new();
    for (entry, (source, seq)) in entries {
        let stream = (&entry.tenant, &entry.labels, source);
        let high = highest.entry(stream).or_insert(*seq);
        if seq < high {
            let labels = entry.label_text.to_string();
            found.push(Disorder { labels, source: source.clone(), later: *high, earlier: *seq });
        }
        *high = (*high).max(*seq);
    }
    found
}

impl Report {
    pub fn is_whole_once_in_order(&self) -> bool {
        self.missing.is_empty()
            && self.extra.is_empty()
            && self.duplicated.is_empty()
            && self.altered.is_empty()
            && self.out_of_order_per_stream.is_empty()
            && self.out_of_time_per_stream.is_empty()
    }

    #[track_caller]
    pub fn assert_whole_once_in_order(&self) {
        assert!(self.is_whole_once_in_order(), "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} lines written, {} stored", self.expected, self.stored)?;
        let name = |(source, seq): &Key| format!("{source} #{seq}");
        let times = |(key, count): &(Key, usize)| format!("{} x{count}", name(key));
        list(f, "missing", &self.missing, name)?;
        list(f, "extra", &self.extra, name)?;
        list(f, "duplicated", &self.duplicated, times)?;
        list(f, "altered", &self.altered, name)?;
        list(f, "out of order as arrived", &self.out_of_order_per_stream, Disorder::to_string)?;
        list(f, "out of order as read back", &self.out_of_time_per_stream, Disorder::to_string)?;
        if self.unrecognised_count > 0 {
            writeln!(f, "without a key: {}, such as {:?}", self.unrecognised_count, self.unrecognised)?;
        }
        Ok(())
    }
}

impl fmt::Display for Disorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} #{} before #{} in {}", self.source, self.later, self.earlier, self.labels)
    }
}

fn list<T>(f: &mut fmt::Formatter<'_>, what: &str, all: &[T], name: impl Fn(&T) -> String) -> fmt::Result {
    if all.is_empty() {
        return Ok(());
    }
    let shown: Vec<_> = all.iter().take(SHOWN).map(name).collect();
    let rest = if all.len() > SHOWN { ", ..." } else { "" };
    writeln!(f, "{what}: {}: {}{rest}", all.len(), shown.join(", "))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn stored(at: i64, line: &str) -> StoredEntry {
        StoredEntry {
            tenant: None,
            labels: Arc::default(),
            label_text: "{}".into(),
            timestamp_ns: at,
            line: line.to_owned().into(),
            metadata: Vec::new(),
        }
    }

    fn plain(seq: u64) -> String {
        format!("INFO app/0 seq={seq} hello")
    }

    fn written(seqs: Range<u64>) -> Expected {
        let mut expected = Expected::new();
        expected.printed(seqs.map(|seq| plain(seq) + "\n").collect::<String>().as_bytes());
        expected
    }

    #[test]
    fn whole_once_and_in_order_passes() {
        let entries: Vec<_> = (0..4).map(|seq| stored(7, &plain(seq))).collect();
        verify(&written(0..4), &entries, entry_key).assert_whole_once_in_order();
    }

    #[test]
    fn each_difference_is_named() {
        let altered = plain(1) + "!";
        let lines = [(1, plain(0)), (9, altered), (3, plain(3)), (4, plain(2)), (5, plain(3)), (6, plain(9))];
        let entries: Vec<_> =
            lines.iter().map(|(at, line)| stored(*at, line)).chain([stored(7, "noise")]).collect();
        let report = verify(&written(0..5), &entries, entry_key);
        let key = |seq| ("app/0".to_owned(), seq);
        assert_eq!(report.missing, [key(4)]);
        assert_eq!(report.extra, [key(9)]);
        assert_eq!(report.duplicated, [(key(3), 2)]);
        assert_eq!(report.altered, [key(1)]);
        assert_eq!(report.out_of_order_per_stream.len(), 1, "2 after 3");
        assert_eq!(report.out_of_time_per_stream.len(), 2, "2 after 3, and 1 after 9");
        assert_eq!(report.unrecognised, ["noise"]);
        let text = report.to_string();
        assert!(text.contains("missing: 1: app/0 #4") && text.contains("app/0 #3 before #2 in {}"), "{text}");
    }

    #[test]
    fn lines_glued_by_a_restart_come_apart() {
        let time = "2026-11-24T06:53:32.409154778Z";
        let json = |seq: u64| {
            format!(
                r#"{{"timestamp":"{time}","service":"app","message":"x","context":{{"seq":{seq},"boot":1}}}}"#
            )
        };
        let log = format!(
            "{}{}\n{}{}\n{time} INFO app/2 seq=5 x{time} INFO app/3 seq=0 x",
            json(0),
            json(1),
            &json(2)[..60],
            json(3)
        );
        let mut expected = Expected::new();
        expected.printed(log.as_bytes());
        let names = [("app/1", 0), ("app/1", 1), ("app/1", 3), ("app/2", 5), ("app/3", 0)];
        assert_eq!(expected.len(), names.len());
        for (source, seq) in names {
            assert!(expected.get(&(source.to_owned(), seq)).is_some(), "{source} #{seq}");
        }
    }

    #[test]
    fn a_cut_line_has_no_key() {
        let json = r#"{"service":"app","message":"x","context":{"seq":12,"boot":3}}"#;
        assert_eq!(seq_key(json.as_bytes()), Some(("app/3".to_owned(), 12)));
        assert_eq!(seq_key(&json.as_bytes()[..json.len() - 1]), None);
        assert_eq!(seq_key(b"INFO app/0 seq=12"), None);
        assert_eq!(
            seq_key("\u{1b}[32mINFO\u{1b}[0m app/0 seq=12 x\r".as_bytes()),
            Some(("app/0".to_owned(), 12))
        );
    }
}
