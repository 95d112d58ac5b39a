//! Which entries of a push a 400 speaks of. Loki stores the others.
//! In: the push, the answer's body.  Out: how many entries were refused, and which, as far as the body tells.  Owns: nothing.

use jiff::Timestamp;

use crate::batch::{EntryMessage, PushRequest};

/// What Loki refused.
#[derive(Debug)]
pub(super) struct Refusal<'r> {
    /// At least one.
    pub(super) count: u64,
    /// Those that can be told from the others.
    pub(super) entries: Vec<(&'r str, &'r EntryMessage)>,
}

/// What a complaint is about.
enum Fault<'b> {
    LongerThan(usize),
    /// In whole seconds, as Loki prints times.
    UpTo(i64),
    From(i64),
    Stream(&'b str),
    /// In a stream, before this second.
    Behind(&'b str, i64),
}

/// Reads the complaints of a body: `3 errors like: …; 1 errors like: …`, or one alone.
pub(super) fn read<'r>(request: &'r PushRequest, body: &str) -> Refusal<'r> {
    let mut count = 0u64;
    let mut faults = Vec::new();
    for complaint in body.split("; ") {
        let (times, text) = match complaint.split_once(" errors like: ") {
            Some((times, text)) => (times.trim().parse().unwrap_or(1), text),
            None => (1, complaint),
        };
        let fault = Fault::read(text);
        count = count.saturating_add(match &fault {
            // A stream's complaint stands for all of its entries.
            Some(fault @ Fault::Stream(_)) => entries(request, std::slice::from_ref(fault)).len() as u64,
            Some(Fault::Behind(..)) => number_after(text, "total ignored: ").unwrap_or(times),
            Some(_) => times,
            None => 0,
        });
        faults.extend(fault);
    }
    Refusal { count: count.max(1), entries: entries(request, &faults) }
}

/// The entries that have one of these faults.
fn entries<'r>(request: &'r PushRequest, faults: &[Fault<'_>]) -> Vec<(&'r str, &'r EntryMessage)> {
    let all = request
        .streams
        .iter()
        .flat_map(|stream| stream.entries.iter().map(|entry| (stream.labels.as_str(), entry)));
    all.filter(|(labels, entry)| faults.iter().any(|fault| fault.has(labels, entry))).collect()
}

impl<'b> Fault<'b> {
    fn read(text: &'b str) -> Option<Fault<'b>> {
        if let Some(limit) = number_after(text, "max entry size '") {
            return Some(Fault::LongerThan(usize::try_from(limit).unwrap_or(usize::MAX)));
        }
        let oldest = time_after(text, "oldest acceptable timestamp is: ");
        if text.contains("too far behind") {
            let (_, stream) = text.rsplit_once("for stream: ")?;
            return Some(Fault::Behind(stream.trim_end(), oldest?));
        }
        if let Some(named) = time_after(text, "timestamp too old: ") {
            // Of the oldest acceptable second itself some may pass: those up to the one that is named do not.
            return Some(Fault::UpTo(oldest.map_or(named, |oldest| named.max(oldest - 1))));
        }
        if let Some(named) = time_after(text, "timestamp too new: ") {
            return Some(Fault::From(named));
        }
        let (_, stream) = text.split_once("stream '")?;
        let end = stream.rfind("}'")?;
        Some(Fault::Stream(&stream[..=end]))
    }

    fn has(&self, labels: &str, entry: &EntryMessage) -> bool {
        let second = entry.timestamp.map_or(0, |time| time.seconds);
        match self {
            Fault::LongerThan(limit) => entry.line.len() > *limit,
            Fault::UpTo(last) => second <= *last,
            Fault::From(first) => second >= *first,
            Fault::Stream(stream) => labels == *stream,
            Fault::Behind(stream, before) => labels == *stream && second < *before,
        }
    }
}

/// The number behind `mark`.
pub(super) fn number_after(text: &str, mark: &str) -> Option<u64> {
    let rest = &text[text.find(mark)? + mark.len()..];
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// The time behind `mark`, in whole seconds.
fn time_after(text: &str, mark: &str) -> Option<i64> {
    let rest = &text[text.find(mark)? + mark.len()..];
    let end = rest.find('Z')?;
    rest[..=end].parse::<Timestamp>().ok().map(Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::batch::{StreamMessage, TimestampMessage};

    fn entry(seconds: i64, line: &str) -> EntryMessage {
        let timestamp = Some(TimestampMessage { seconds, nanos: 5 });
        EntryMessage { timestamp, line: line.to_owned().into(), structured_metadata: Vec::new() }
    }

    /// Two streams; times are seconds of 1970.
    fn request() -> PushRequest {
        let stream = |labels: &str, entries| StreamMessage { labels: labels.to_owned(), entries };
        PushRequest {
            streams: vec![
                stream("{a=\"x\"}", vec![entry(10, "old"), entry(20, "a long line"), entry(30, "new")]),
                stream("{b=\"y\"}", vec![entry(20, "one"), entry(21, "two")]),
            ],
        }
    }

    fn told(body: &str) -> (u64, Vec<String>) {
        let request = request();
        let refusal = read(&request, body);
        let lines =
            refusal.entries.iter().map(|(_, entry)| String::from_utf8_lossy(&entry.line).into_owned());
        (refusal.count, lines.collect())
    }

    #[test]
    fn the_entries_a_body_speaks_of_are_told_from_those_that_are_stored() {
        let table = [
            (
                "max entry size '8' bytes exceeded for stream '{a=\"x\"}' while adding an entry with length '11' bytes",
                1,
                vec!["a long line"],
            ),
            (
                "entry for stream '{a=\"x\"}' has timestamp too old: 1970-01-01T00:00:10Z, oldest acceptable timestamp is: 1970-01-01T00:00:15Z",
                1,
                vec!["old"],
            ),
            ("entry for stream '{a=\"x\"}' has timestamp too new: 1970-01-01T00:00:30Z", 1, vec!["new"]),
            ("entry for stream '{b=\"y\"}' has 16 label names; limit 15", 2, vec!["one", "two"]),
            ("stream '{b=\"y\"}' has duplicate label name: 'b'", 2, vec!["one", "two"]),
            (
                "2 errors like: max entry size '2' bytes exceeded for stream '{b=\"y\"}' while adding; 1 errors like: \
                 entry for stream '{a=\"x\"}' has timestamp too new: 1970-01-01T00:00:30Z",
                3,
                vec!["old", "a long line", "new", "one", "two"],
            ),
            (
                "entry with timestamp 1970-01-01 00:00:20.5 +0000 UTC ignored, reason: 'entry too far behind, entry timestamp is: \
                 1970-01-01T00:00:20Z, oldest acceptable timestamp is: 1970-01-01T00:00:25Z',\nuser 'fake', total ignored: 2 out of 3 \
                 for stream: {a=\"x\"}",
                2,
                vec!["old", "a long line"],
            ),
            ("something new", 1, vec![]),
        ];
        for (body, count, lines) in table {
            let lines = lines.into_iter().map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(told(body), (count, lines), "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_body_is_too_odd_to_be_read(body in "([a-z ';:{}=\"0-9]|errors like: |too old: |stream '|max entry size '){0,30}") {
            let (count, _) = told(&body);
            prop_assert!(count >= 1);
        }
    }
}
