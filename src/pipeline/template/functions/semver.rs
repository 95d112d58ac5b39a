//! Semantic versions: `semver` and `semverCompare`.
//! In: versions and constraints.  Out: versions and verdicts.  Owns: nothing.

mod constraint;

use std::cmp::Ordering;
use std::fmt;
use std::rc::Rc;

use super::super::call::{Call, Outcome, Row, row};
use super::super::error::Problem;
use super::super::value::{Integer, Value};

pub(super) const ROWS: &[Row] = &[
    row("semver", "s", |call| match Version::parse(call.text(0)) {
        Some(version) => Ok(Value::Version(Rc::new(version))),
        None => call.fail(format!("{:?} is not a semantic version", call.text(0))),
    }),
    row("semverCompare", "ss", compare),
];

/// A version; minor and patch may have been left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Version {
    major: u64,
    minor: u64,
    patch: u64,
    pre: String,
    metadata: String,
    original: String,
}

impl Version {
    pub(super) fn parse(written: &str) -> Option<Version> {
        let body = written.strip_prefix('v').unwrap_or(written);
        let (body, metadata) = split(body, '+');
        let (body, pre) = split(body, '-');
        let mut numbers = body.split('.');
        let mut number = || match numbers.next() {
            None => Some(0),
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok(),
            Some(_) => None,
        };
        let (major, minor, patch) = (number()?, number()?, number()?);
        if numbers.next().is_some() || !is_identifiers(pre) || !is_identifiers(metadata) {
            return None;
        }
        Some(Version {
            major,
            minor,
            patch,
            pre: pre.unwrap_or("").to_owned(),
            metadata: metadata.unwrap_or("").to_owned(),
            original: written.to_owned(),
        })
    }

    /// Build metadata does not count.
    pub(super) fn precedence(&self, other: &Version) -> Ordering {
        let numbers = |version: &Version| (version.major, version.minor, version.patch);
        numbers(self).cmp(&numbers(other)).then_with(|| match (self.pre.as_str(), other.pre.as_str()) {
            (one, other) if one == other => Ordering::Equal,
            ("", _) => Ordering::Greater,
            (_, "") => Ordering::Less,
            (one, other) => identifiers(one, other),
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}.{}", self.major, self.minor, self.patch)?;
        if !self.pre.is_empty() {
            write!(out, "-{}", self.pre)?;
        }
        if !self.metadata.is_empty() {
            write!(out, "+{}", self.metadata)?;
        }
        Ok(())
    }
}

fn split(text: &str, separator: char) -> (&str, Option<&str>) {
    match text.split_once(separator) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

/// Dotted, none of them empty.
fn is_identifiers(text: Option<&str>) -> bool {
    text.is_none_or(|text| {
        text.split('.').all(|piece| {
            !piece.is_empty() && piece.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
    })
}

/// Numbers by value and below words, words by bytes, and the longer one wins.
fn identifiers(one: &str, other: &str) -> Ordering {
    let mut others = other.split('.');
    for piece in one.split('.') {
        let Some(against) = others.next() else { return Ordering::Greater };
        let order = match (piece.parse::<u64>(), against.parse::<u64>()) {
            (Ok(piece), Ok(against)) => piece.cmp(&against),
            (Ok(_), Err(_)) => Ordering::Less,
            (Err(_), Ok(_)) => Ordering::Greater,
            (Err(_), Err(_)) => piece.cmp(against),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    if others.next().is_some() { Ordering::Less } else { Ordering::Equal }
}

/// The methods of a version.
pub(in super::super) fn field<'a>(version: &Version, name: &str) -> Outcome<'a> {
    let number = |number: u64| Ok(Value::Int(i64::try_from(number).unwrap_or(i64::MAX), Integer::Uint64));
    match name {
        "Major" => number(version.major),
        "Minor" => number(version.minor),
        "Patch" => number(version.patch),
        "Prerelease" => Ok(Value::text(version.pre.clone())),
        "Metadata" => Ok(Value::text(version.metadata.clone())),
        "Original" => Ok(Value::text(version.original.clone())),
        "String" => Ok(Value::text(version.to_string())),
        _ => Err(Problem::NoField { field: name.into(), found: "*semver.Version" }),
    }
}

fn compare<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let Some(allowed) = constraint::parse(call.text(0)) else {
        return call.fail(format!("{:?} is not a constraint on versions", call.text(0)));
    };
    let Some(version) = Version::parse(call.text(1)) else {
        return call.fail(format!("{:?} is not a semantic version", call.text(1)));
    };
    Ok(Value::Bool(allowed.iter().any(|all| all.iter().all(|one| one.admits(&version)))))
}
