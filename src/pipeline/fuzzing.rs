//! What holds of templates, layouts, selectors, logfmt and expressions, whatever text they are given.
//! In: any text.  Out: a panic where something does not hold.  Owns: nothing.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use crate::pipeline::go_time::{TimeError, TimeFormat, location};
use crate::pipeline::json_path;
use crate::pipeline::re2::{PatternError, Replacement};
use crate::pipeline::selector::{Selector, SelectorError};
use crate::pipeline::stages::logfmt_pairs;
use crate::pipeline::template::{Fields, Template};
use crate::pipeline::{compile_anchored_dotall, re2};

pub(crate) use crate::pipeline::redact::fuzz as redact;

/// What a rendering may write; `template` has the same bound.
const RENDERED_LIMIT: usize = 1 << 20;

/// Beyond these, time is spent in the regex engine, which has its own fuzzers.
const EXPRESSION_LIMIT: usize = 512;
const SUBJECT_LIMIT: usize = 512;

/// A place in the text a message is about: inside, or at its end.
fn assert_place(text: &str, offset: usize) {
    assert!(offset <= text.len() && text.is_char_boundary(offset), "{offset} is no place in {text:?}");
}

/// The part before a NUL and the part after it.
fn parted(text: &str) -> (&str, &str) {
    text.split_once('\0').unwrap_or((text, ""))
}

/// The fields a template is rendered with, and what it looked at.
struct Watched<'t> {
    fields: [(&'t str, &'t str); 7],
    read: RefCell<BTreeSet<String>>,
    walked: Cell<bool>,
}

impl<'t> Watched<'t> {
    fn new(value: &'t str) -> Self {
        let fields = [
            ("Value", value),
            ("Entry", "level=info msg=\"Hello World\" n=42"),
            ("a", "x"),
            ("b", ""),
            ("n", "42"),
            ("json", "{\"a\":[1,{\"b\":null}]}"),
            ("time", "2024-02-29T12:34:56.789Z"),
        ];
        Self { fields, read: RefCell::default(), walked: Cell::new(false) }
    }
}

impl Fields for Watched<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.read.borrow_mut().insert(name.to_owned());
        self.fields.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
    }

    fn for_each(&self, show: &mut dyn FnMut(&str, &str)) {
        self.walked.set(true);
        self.fields.iter().for_each(|(name, text)| show(name, text));
    }
}

/// A template, and after a NUL the value it is rendered with.
pub(crate) fn template(text: &str) {
    let (source, value) = parted(text);
    let template = match Template::parse(source) {
        Ok(template) => template,
        Err(error) => {
            assert!(error.offset <= source.len(), "{error}");
            assert!(error.line <= 1 + source.matches('\n').count(), "{error}");
            return;
        }
    };
    let data = Watched::new(value);
    let mut out = "before".to_owned();
    let rendered = template.render(&data, &mut out);
    assert!(out.starts_with("before") && out.len() <= "before".len() + RENDERED_LIMIT);
    match rendered {
        Ok(()) if !source.contains("{{") => assert_eq!(out["before".len()..], *source),
        Ok(()) => {}
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert_eq!(out, "before");
        }
    }
    if !template.reads_everything() {
        assert!(!data.walked.get(), "walks over fields it does not announce");
        for name in data.read.borrow().iter() {
            assert!(template.fields().contains(name), "reads `{name}` without announcing it");
        }
    }
}

/// A layout, and after a NUL a text. What is read and written again by the layout is read the same.
pub(crate) fn go_time(text: &str) {
    const NOW: i64 = 1_767_323_045_000_000_000;
    let (layout, text) = parted(text);
    for zone in [None, location("Europe/Vienna").ok()] {
        match TimeFormat::compile(layout, zone).parse(text, NOW) {
            Err(TimeError::Mismatch { at, .. } | TimeError::Extra { at }) => assert_place(text, at),
            Err(error) => assert!(!error.to_string().is_empty()),
            Ok(_) => {}
        }
    }
    let plain = TimeFormat::compile(layout, None);
    let Ok(first) = plain.parse(text, NOW) else { return };
    if !shows_plainly(layout) {
        return;
    }
    // What the layout does not show is lost in the first round.
    let Ok(second) = plain.parse(&written(layout, first), NOW) else { return };
    let Ok(third) = plain.parse(&written(layout, second), NOW) else { return };
    assert_eq!(second, third, "{:?}", written(layout, second));
}

/// Whether what the layout writes has one reading: numbers of fixed length, twelve hours with their half of the day,
/// and no day of the year without the year, which would be one of the leap year zero. A name is no layout.
fn shows_plainly(layout: &str) -> bool {
    const FIXED: [&str; 17] = [
        "2006", "06", "01", "02", "03", "04", "05", "15", "002", "07", "0700", "00", "000", "000000", "9",
        "20060102", "150405",
    ];
    let mut runs = layout.split(|c: char| !c.is_ascii_digit()).filter(|run| !run.is_empty());
    let halves = layout.contains("PM") || layout.contains("pm") || !layout.contains("03");
    let years = layout.contains("06") || !layout.contains("002");
    halves && years && runs.clone().next().is_some() && runs.all(|run| FIXED.contains(&run))
}

/// A moment by a layout.
pub(super) fn written(layout: &str, nanos: i64) -> String {
    let moment = jiff::Timestamp::from_nanosecond(i128::from(nanos)).map(|moment| moment.to_string());
    let shown = "{{ (mustToDate \"2006-01-02T15:04:05.999999999Z07:00\" .moment).UTC.Format .layout }}";
    let fields = Written { layout, moment: moment.unwrap_or_default() };
    let mut out = String::new();
    let rendered = Template::parse(shown).map(|template| template.render(&fields, &mut out));
    assert!(matches!(rendered, Ok(Ok(()))), "{rendered:?}");
    out
}

struct Written<'t> {
    layout: &'t str,
    moment: String,
}

impl Fields for Written<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        match name {
            "layout" => Some(self.layout),
            "moment" => Some(&self.moment),
            _ => None,
        }
    }

    fn for_each(&self, _: &mut dyn FnMut(&str, &str)) {}
}

/// A selector, and after a NUL a line. Blanks around it change nothing.
pub(crate) fn selector(text: &str) {
    let (source, line) = parted(text);
    let spaced = Selector::parse(&[" \t", source, "\n"].concat());
    match Selector::parse(source) {
        Err(error) => {
            assert!(!error.to_string().is_empty() && spaced.is_err(), "{spaced:?}");
            let (SelectorError::Syntax { offset, .. } | SelectorError::Pattern { offset, .. }) = error;
            assert_place(source, offset);
        }
        Ok(selector) => {
            let spaced = spaced.unwrap_or_else(|error| panic!("blanks make it wrong: {error}"));
            assert!(!selector.matchers.is_empty());
            for (one, other) in selector.matchers.iter().zip(&spaced.matchers) {
                assert!(source.contains(one.name()));
                assert_eq!(one.matches(line.as_bytes()), other.matches(line.as_bytes()));
            }
            for (one, other) in selector.filters.iter().zip(&spaced.filters) {
                assert_eq!(one.keeps(line.as_bytes()), other.keeps(line.as_bytes()));
            }
        }
    }
}

/// A line of JSON: what is found fast is what serde_json finds.
pub(crate) fn json(text: &str) {
    json_path::compare(text);
}

/// A line of logfmt. Its pairs, written again, are the same pairs.
pub(crate) fn logfmt(text: &str) {
    let pairs = |text: &str| {
        let mut found = Vec::new();
        let whole = logfmt_pairs(text, |key, value| found.push((key.to_owned(), value.to_owned())));
        (found, whole)
    };
    let (found, _) = pairs(text);
    let size: usize = found.iter().map(|(key, value)| key.len() + value.len()).sum();
    assert!(size <= text.len(), "{found:?} is more than there was");
    let mut again = String::new();
    for (key, value) in &found {
        assert!(!key.is_empty() && !key.contains(|c| c <= ' ' || c == '=' || c == '"'), "{key:?}");
        let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
        again.push_str(&format!("{key}=\"{quoted}\"\n"));
    }
    assert_eq!(pairs(&again), (found, true), "{again:?}");
}

/// An expression, after a NUL a text to search, after another a template of a replacement.
pub(crate) fn re2(text: &str) {
    let (expression, rest) = parted(text);
    let (subject, template) = parted(rest);
    if expression.len() > EXPRESSION_LIMIT || subject.len() > SUBJECT_LIMIT {
        return;
    }
    let between = [compile_anchored_dotall(expression), re2::compile_anchored(expression)];
    let alone = re2::compile(expression);
    for compiled in between.iter().chain([&alone]) {
        match compiled {
            Err(PatternError::Syntax { offset, .. }) => assert_place(expression, *offset),
            Err(PatternError::Engine { reason }) => panic!("the translation is wrong: {reason}"),
            Ok(_) | Err(PatternError::TooLarge { .. }) => {}
        }
    }
    let Ok(regex) = alone else { return };
    let found = regex.captures(subject.as_bytes());
    let replacement = Replacement::parse(template);
    if let Some(captures) = &found {
        let mut out = Vec::new();
        replacement.expand(captures, &mut out);
        // Each reference takes two bytes of the template at least.
        assert!(out.len() <= template.len() + template.len() / 2 * subject.len());
        for group in captures.iter().flatten() {
            assert!(group.start() <= group.end() && group.end() <= subject.len());
        }
    }
    // A group around it must not change what it finds: flags, repetitions and alternatives end with it.
    if expression.contains("\\Q") {
        return;
    }
    if let Ok(grouped) = re2::compile(&format!("(?:{expression})()")) {
        let whole = |captures: Option<regex::bytes::Captures<'_>>| {
            captures.and_then(|captures| captures.get(0).map(|all| all.range()))
        };
        assert_eq!(whole(found), whole(grouped.captures(subject.as_bytes())));
    }
}
