//! One line on its way through the stages.
//! In: a line, its time, the target's labels.  Out: labels, line and time to send.  Owns: one buffer that all its
//! texts live in, reused from line to line.

use std::borrow::Cow;
use std::sync::Arc;

use crate::record::{Labels, UnixNanos};

/// A name that some stage of the pipeline speaks of: an index into the pipeline's symbol table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Symbol(pub(crate) u16);

/// A text inside the entry's buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// An extracted value, with the types JSON gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value {
    /// Never extracted.
    Absent,
    /// JSON's null, or a JSON path that found nothing: present, but of no use as a text.
    Null,
    Bool(bool),
    Number(f64),
    Text(Span),
}

/// The state of one line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entry {
    buffer: Vec<u8>,
    /// The line as it is now.
    pub(crate) line: Span,
    /// When it happened.
    pub(crate) timestamp: UnixNanos,
    extracted: Vec<Value>,
    labels: Vec<Option<Span>>,
    /// The target's labels that no stage speaks of have been removed.
    without_fixed: bool,
    /// The number that the lane has for the labels as they are, once somebody asked.
    label_set: Option<usize>,
    /// Structured metadata: name and value, in the order added.
    metadata: Vec<(Name, Span)>,
}

/// What a piece of structured metadata is called.
#[derive(Clone, Copy, Debug)]
enum Name {
    /// By a stage.
    Known(Symbol),
    /// By whoever the line came from.
    Given(Span),
}

/// What every line of a target starts from: the values of its labels, already in the buffer.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Base {
    buffer: Vec<u8>,
    labels: Vec<Option<Span>>,
    extracted: Vec<Value>,
}

impl Base {
    /// What lines start from that start with `labels`, and those of them that have no symbol.
    pub(crate) fn split(names: &[Arc<str>], labels: &Labels) -> (Labels, Base) {
        let mut others = labels.clone();
        let spoken: Vec<Option<String>> = names.iter().map(|name| others.remove(name)).collect();
        let spoken: Vec<Option<&str>> = spoken.iter().map(Option::as_deref).collect();
        (others, Base::new(&spoken))
    }

    /// `labels[symbol]` is the target's value for that name, if it has one.
    pub(crate) fn new(labels: &[Option<&str>]) -> Base {
        let mut base = Base::default();
        for value in labels {
            let span = value.map(|value| store(&mut base.buffer, value.as_bytes()));
            base.labels.push(span);
            base.extracted.push(span.map_or(Value::Absent, Value::Text));
        }
        base
    }

    /// A label's value.
    pub(crate) fn label(&self, name: Symbol) -> Option<&[u8]> {
        self.labels[name.0 as usize].map(|span| &self.buffer[span.start as usize..span.end as usize])
    }
}

impl Entry {
    /// Takes over a target's base; lines can be begun after it.
    pub(crate) fn load(&mut self, base: &Base) {
        self.buffer.clear();
        self.buffer.extend_from_slice(&base.buffer);
    }

    /// Starts a line. `base` is the one last loaded.
    pub(crate) fn begin(&mut self, base: &Base, line: &[u8], timestamp: UnixNanos) {
        self.buffer.truncate(base.buffer.len());
        self.extracted.clear();
        self.extracted.extend_from_slice(&base.extracted);
        self.labels.clear();
        self.labels.extend_from_slice(&base.labels);
        self.without_fixed = false;
        self.label_set = None;
        self.metadata.clear();
        self.line = self.store(line);
        self.timestamp = timestamp;
    }

    /// Gives back the memory that one huge line made necessary.
    pub(crate) fn shrink(&mut self, limit: usize) {
        self.buffer.shrink_to(limit);
    }

    /// Puts a text into the buffer.
    pub(crate) fn store(&mut self, text: &[u8]) -> Span {
        store(&mut self.buffer, text)
    }

    /// The bytes of a text.
    pub(crate) fn bytes(&self, span: Span) -> &[u8] {
        &self.buffer[span.start as usize..span.end as usize]
    }

    /// The same text for a search: Go's regular expressions read a byte that is not UTF-8 as U+FFFD, the engine here
    /// would not match it at all.
    pub(crate) fn searchable(&mut self, span: Span) -> Span {
        let lossy = match String::from_utf8_lossy(self.bytes(span)) {
            Cow::Borrowed(_) => return span,
            Cow::Owned(lossy) => lossy,
        };
        self.store(lossy.as_bytes())
    }

    /// The line's bytes.
    pub(crate) fn line_bytes(&self) -> &[u8] {
        self.bytes(self.line)
    }

    /// What is extracted under a name.
    pub(crate) fn extracted(&self, name: Symbol) -> Value {
        self.extracted[name.0 as usize]
    }

    /// Extracts a value.
    pub(crate) fn extract(&mut self, name: Symbol, value: Value) {
        self.extracted[name.0 as usize] = value;
    }

    /// An extracted value as a text; `None` where it is absent or null.
    pub(crate) fn text(&mut self, name: Symbol) -> Option<Span> {
        match self.extracted(name) {
            Value::Absent | Value::Null => None,
            Value::Text(span) => Some(span),
            Value::Bool(true) => Some(self.store(b"true")),
            Value::Bool(false) => Some(self.store(b"false")),
            // Plain decimal with the shortest digits that read back the same, as Promtail prints numbers.
            Value::Number(number) => Some(self.store(number.to_string().as_bytes())),
        }
    }

    /// What a stage reads: the text extracted under `source`, or the line where no source is configured.
    pub(crate) fn input(&mut self, source: Option<Symbol>) -> Option<Span> {
        match source {
            None => Some(self.line),
            Some(source) => self.text(source),
        }
    }

    /// A label's value.
    pub(crate) fn label(&self, name: Symbol) -> Option<Span> {
        self.labels[name.0 as usize]
    }

    /// Sets a label, or removes it.
    pub(crate) fn set_label(&mut self, name: Symbol, value: Option<Span>) {
        self.labels[name.0 as usize] = value;
        self.label_set = None;
    }

    /// The number of the label set, where it is known.
    pub(crate) fn label_set(&self) -> Option<usize> {
        self.label_set
    }

    /// The labels, as they are, have this number.
    pub(crate) fn set_label_set(&mut self, number: usize) {
        self.label_set = Some(number);
    }

    /// The number of the label set may have changed meanwhile.
    pub(crate) fn forget_label_set(&mut self) {
        self.label_set = None;
    }

    /// Labels that are set, by symbol.
    pub(crate) fn labels(&self) -> impl Iterator<Item = (Symbol, &[u8])> {
        let set = self.labels.iter().enumerate().filter_map(|(name, span)| span.map(|span| (name, span)));
        // A pipeline has fewer than 2^16 names: the compiler checks.
        set.map(|(name, span)| (Symbol(name as u16), self.bytes(span)))
    }

    /// Removes the labels that no stage speaks of.
    pub(crate) fn remove_fixed(&mut self) {
        self.without_fixed = true;
        self.label_set = None;
    }

    /// True after [`remove_fixed`](Self::remove_fixed).
    pub(crate) fn without_fixed(&self) -> bool {
        self.without_fixed
    }

    /// Adds structured metadata.
    pub(crate) fn add_metadata(&mut self, name: Symbol, value: Span) {
        self.metadata.push((Name::Known(name), value));
    }

    /// Takes over structured metadata that the line came with.
    pub(crate) fn give_metadata(&mut self, name: &str, value: &str) {
        let pair = (Name::Given(self.store(name.as_bytes())), self.store(value.as_bytes()));
        self.metadata.push(pair);
    }

    /// Whether there is structured metadata of that name.
    pub(crate) fn has_metadata(&self, name: &str, names: &[Arc<str>]) -> bool {
        self.metadata(names).any(|(known, _)| known == name)
    }

    /// Structured metadata, in the order added; `names` are those of the pipeline's symbols.
    pub(crate) fn metadata<'e>(
        &'e self,
        names: &'e [Arc<str>],
    ) -> impl Iterator<Item = (&'e str, &'e [u8])> + Clone {
        let name = move |name| match name {
            Name::Known(symbol) => &*names[usize::from(symbol.0)],
            // It was stored as text.
            Name::Given(span) => str::from_utf8(self.bytes(span)).unwrap_or_default(),
        };
        self.metadata.iter().map(move |pair| (name(pair.0), self.bytes(pair.1)))
    }

    /// Makes every label readable under its own name, as entering a (nested) pipeline does.
    pub(crate) fn extract_labels(&mut self) {
        for (value, label) in self.extracted.iter_mut().zip(&self.labels) {
            if let Some(span) = label {
                *value = Value::Text(*span);
            }
        }
    }

    /// Writes a key that is equal for equal label sets and different for different ones.
    pub(crate) fn label_key(&self, key: &mut Vec<u8>) {
        key.clear();
        key.push(u8::from(self.without_fixed));
        for (name, value) in self.labels() {
            key.extend_from_slice(&name.0.to_le_bytes());
            key.extend_from_slice(&(value.len() as u32).to_le_bytes());
            key.extend_from_slice(value);
        }
    }
}

fn store(buffer: &mut Vec<u8>, text: &[u8]) -> Span {
    let start = buffer.len() as u32;
    buffer.extend_from_slice(text);
    // Sources cap a line at 256 KiB and stages at most copy parts of it, so 4 GiB is out of reach.
    Span { start, end: buffer.len() as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_texts_as_promtail_prints_them() {
        let base = Base::new(&[None]);
        let mut entry = Entry::default();
        entry.load(&base);
        let mut printed = |number: f64| {
            entry.begin(&base, b"", UnixNanos(0));
            entry.extract(Symbol(0), Value::Number(number));
            let span = entry.text(Symbol(0)).unwrap();
            String::from_utf8(entry.bytes(span).to_vec()).unwrap()
        };
        assert_eq!(printed(1.0), "1");
        assert_eq!(printed(2.02), "2.02");
        assert_eq!(printed(1_562_723_913_000.0), "1562723913000");
        assert_eq!(printed(1e21), "1000000000000000000000");
        assert_eq!(printed(12_345_678_901_234_567_890.0), "12345678901234567000");
    }
}
