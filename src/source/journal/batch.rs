//! Entries on their way from the thread that reads to the pipeline.
//! In: fields of entries.  Out: lines and the labels they start with.  Owns: buffers of a bounded size.

use std::ops::Range;

use crate::custody::JournalPoint;
use crate::pipeline::go_json_bytes;
use crate::pipeline::relabel::Reads;
use crate::record::{LONGEST_LINE, UnixNanos};
use crate::source::journal::matches::Matches;
use crate::source::{CUT_MARK, cut};

/// What labels begin with.
const PREFIX: &str = "__journal_";
const KEYWORD: &str = "__journal_priority_keyword";
const KEYWORDS: [&str; 8] = ["emerg", "alert", "crit", "error", "warning", "notice", "info", "debug"];

/// Bytes of lines and labels after which a batch ends; an entry is at most four times as large.
const FULL: usize = 256 << 10;

/// Entries looked at after which a batch ends, wanted or not, so that the position moves.
const MOST_LOOKED_AT: usize = 10_000;

/// What becomes of an entry.
#[derive(Clone, Debug)]
pub(super) struct Wants {
    /// Lines are all fields as JSON.
    pub(super) json: bool,
    pub(super) matches: Matches,
    /// Labels that anybody looks at.
    pub(super) reads: Reads,
}

/// Entries read together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    entries: Vec<Ready>,
    labels: Vec<(Range<u32>, Range<u32>)>,
    texts: String,
    lines: Vec<u8>,
    /// Entries read, wanted or not.
    pub(super) looked_at: usize,
    /// The last of them.
    pub(super) last: Option<JournalPoint>,
}

#[derive(Debug)]
struct Ready {
    labels: Range<u32>,
    /// `None` where there is no message.
    line: Option<Range<u32>>,
    time: UnixNanos,
    cut: bool,
}

/// An entry that is wanted.
#[derive(Debug)]
pub(super) struct Wanted<'b> {
    batch: &'b Batch,
    ready: &'b Ready,
}

/// Makes lines and labels of entries, one after the other.
#[derive(Debug)]
pub(super) struct Render {
    wants: Wants,
    /// Payloads of the entry at hand.
    pub(super) bytes: Vec<u8>,
    fields: Vec<Field>,
    seen: Vec<bool>,
    name: String,
    line: Vec<u8>,
}

#[derive(Debug)]
struct Field {
    name: Range<usize>,
    value: Range<usize>,
    cut: bool,
}

impl Batch {
    pub(super) fn is_full(&self) -> bool {
        self.texts.len() + self.lines.len() >= FULL || self.looked_at >= MOST_LOOKED_AT
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Wanted<'_>> {
        self.entries.iter().map(|ready| Wanted { batch: self, ready })
    }
}

impl<'b> Wanted<'b> {
    /// Names and values; of a name that is there twice, the last value counts.
    pub(super) fn labels(&self) -> impl Iterator<Item = (&'b str, &'b str)> + Clone + use<'b> {
        let batch = self.batch;
        let text = |range: &Range<u32>| &batch.texts[range.start as usize..range.end as usize];
        let range = self.ready.labels.start as usize..self.ready.labels.end as usize;
        batch.labels[range].iter().map(move |(name, value)| (text(name), text(value)))
    }

    pub(super) fn line(&self) -> Option<&'b [u8]> {
        let range = self.ready.line.as_ref()?;
        Some(&self.batch.lines[range.start as usize..range.end as usize])
    }

    pub(super) fn time(&self) -> UnixNanos {
        self.ready.time
    }

    pub(super) fn is_cut(&self) -> bool {
        self.ready.cut
    }
}

impl Render {
    pub(super) fn new(wants: Wants) -> Render {
        let (bytes, fields, seen) = (Vec::new(), Vec::new(), Vec::new());
        Render { wants, bytes, fields, seen, name: String::new(), line: Vec::new() }
    }

    /// Begins with an entry.
    pub(super) fn begin(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(4 * FULL);
        self.fields.clear();
        self.wants.matches.begin(&mut self.seen);
    }

    /// Takes the payload that `bytes` ends with, from `start` on; false where it is no field.
    pub(super) fn field(&mut self, start: usize, cut: bool) -> bool {
        let payload = &self.bytes[start..];
        let Some(length) = memchr::memchr(b'=', payload) else {
            self.bytes.truncate(start);
            return false;
        };
        self.wants.matches.see(payload, &mut self.seen);
        let name = start..start + length;
        self.fields.push(Field { value: name.end + 1..self.bytes.len(), name, cut });
        true
    }

    /// Ends an entry: adds it to the batch if it is wanted.
    pub(super) fn end(&mut self, point: &JournalPoint, batch: &mut Batch) {
        batch.looked_at += 1;
        batch.last = Some(*point);
        if !self.seen.iter().all(|seen| *seen) {
            return;
        }
        let first = batch.labels.len() as u32;
        for index in 0..self.fields.len() {
            self.label(index, batch);
        }
        let (has_line, mut is_cut) = self.line();
        is_cut |= cut(&mut self.line);
        let line = has_line.then(|| {
            let start = batch.lines.len() as u32;
            batch.lines.extend_from_slice(&self.line);
            start..batch.lines.len() as u32
        });
        self.line.shrink_to(FULL);
        let micros = i64::try_from(point.realtime).unwrap_or(i64::MAX);
        batch.entries.push(Ready {
            labels: first..batch.labels.len() as u32,
            cut: is_cut && line.is_some(),
            line,
            time: UnixNanos(micros.saturating_mul(1000)),
        });
    }

    fn label(&mut self, index: usize, batch: &mut Batch) {
        let Field { name, value, .. } = &self.fields[index];
        self.name.clear();
        self.name.push_str(PREFIX);
        let name = &self.bytes[name.clone()];
        name.utf8_chunks().for_each(|chunk| self.name.push_str(chunk.valid()));
        self.name.make_ascii_lowercase();
        let value = String::from_utf8_lossy(&self.bytes[value.clone()]);
        if self.wants.reads.contain(&self.name) {
            batch.label(&self.name, &value);
        }
        if name == b"PRIORITY" && self.wants.reads.contain(KEYWORD) {
            let number = value.parse::<usize>().ok().filter(|_| value.len() == 1);
            let keyword = number.and_then(|number| KEYWORDS.get(number).copied());
            batch.label(KEYWORD, keyword.unwrap_or(&value));
        }
    }

    /// Makes the entry's line: whether it has one, and whether a part of it is missing.
    fn line(&mut self) -> (bool, bool) {
        self.line.clear();
        if self.wants.json {
            return (true, self.json());
        }
        let message = self.fields.iter().rfind(|field| &self.bytes[field.name.clone()] == b"MESSAGE");
        let Some(message) = message else { return (false, false) };
        self.line.extend_from_slice(&self.bytes[message.value.clone()]);
        if message.cut && self.line.len() <= LONGEST_LINE - CUT_MARK.len() {
            self.line.extend_from_slice(CUT_MARK);
        }
        (true, message.cut)
    }

    /// All fields, sorted by name; of a field that is there twice, the last value.
    fn json(&mut self) -> bool {
        let name = |field: &Field| &self.bytes[field.name.clone()];
        // Stable, so that the last of equal ones stays last.
        self.fields.sort_by(|one, other| name(one).cmp(name(other)));
        let mut text = String::from("{");
        for (index, field) in self.fields.iter().enumerate() {
            if self.fields.get(index + 1).is_some_and(|next| name(next) == name(field)) {
                continue;
            }
            if text.len() > 1 {
                text.push(',');
            }
            go_json_bytes(name(field), &mut text);
            text.push(':');
            go_json_bytes(&self.bytes[field.value.clone()], &mut text);
        }
        text.push('}');
        self.line.extend_from_slice(text.as_bytes());
        self.fields.iter().any(|field| field.cut)
    }
}

impl Batch {
    fn label(&mut self, name: &str, value: &str) {
        let mut add = |text: &str| {
            let start = self.texts.len() as u32;
            self.texts.push_str(text);
            start..self.texts.len() as u32
        };
        let (name, value) = (add(name), add(value));
        self.labels.push((name, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(json: bool, payloads: &[&[u8]]) -> (Vec<(String, String)>, Option<String>) {
        let wants = Wants { json, matches: Matches::default(), reads: Reads::All };
        let (mut render, mut batch) = (Render::new(wants), Batch::default());
        render.begin();
        for payload in payloads {
            let start = render.bytes.len();
            render.bytes.extend_from_slice(payload);
            assert!(render.field(start, false));
        }
        render.end(&JournalPoint::default(), &mut batch);
        let wanted = batch.iter().next().unwrap();
        let labels = wanted.labels().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        (labels, wanted.line().map(|line| String::from_utf8(line.to_vec()).unwrap()))
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn b_jour_6_fields_become_labels_and_the_priority_a_word() {
        let fields: [&[u8]; 4] = [b"CODE_FILE=a.c", b"OTHER_FIELD=x=y", b"PRIORITY=6", b"_SYSTEMD_UNIT=\xff"];
        let (labels, line) = rendered(false, &fields);
        let expected = [
            pair("__journal_code_file", "a.c"),
            pair("__journal_other_field", "x=y"),
            pair("__journal_priority", "6"),
            pair("__journal_priority_keyword", "info"),
            pair("__journal__systemd_unit", "\u{fffd}"),
        ];
        assert_eq!(labels, expected);
        assert_eq!(line, None, "there is no message");
        for (priority, keyword) in [("0", "emerg"), ("7", "debug"), ("8", "8"), ("07", "07"), ("", "")] {
            let (labels, _) = rendered(false, &[format!("PRIORITY={priority}").as_bytes()]);
            assert_eq!(labels[1], pair("__journal_priority_keyword", keyword));
        }
    }

    #[test]
    fn b_jour_3_a_line_is_all_fields_sorted() {
        let fields: [&[u8]; 4] = [b"MESSAGE=<a>", b"B=1", b"A=\xff\"", b"B=2"];
        let json = r#"{"A":"\ufffd\"","B":"2","MESSAGE":"\u003ca\u003e"}"#;
        assert_eq!(rendered(true, &fields).1.as_deref(), Some(json));
        assert_eq!(rendered(true, &[]).1.as_deref(), Some("{}"));
    }

    #[test]
    fn the_last_message_of_an_entry_is_its_line() {
        assert_eq!(rendered(false, &[b"MESSAGE=one", b"MESSAGE="]).1.as_deref(), Some(""));
    }
}
