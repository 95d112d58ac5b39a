//! The functions a template can call, found by name when it is parsed.
//! In: a name.  Out: its row, or why there is none.  Owns: the table.

mod builtins;
mod compare;
pub(super) mod dates;
mod defaults;
mod dicts;
mod encoding;
mod equality;
mod json;
mod lists;
mod numbers;
mod paths;
mod promtail;
mod random;
mod regexes;
pub(super) mod semver;
mod splits;
mod strings;
mod urls;
mod words;

use super::call::Row;

/// The first table that has a name wins: Promtail's stand before Sprig's, Sprig's before Go's.
const TABLES: &[&[Row]] = &[
    promtail::ROWS,
    strings::ROWS,
    words::ROWS,
    splits::ROWS,
    dates::ROWS,
    numbers::ROWS,
    defaults::ROWS,
    json::ROWS,
    equality::ROWS,
    lists::ROWS,
    dicts::ROWS,
    paths::ROWS,
    encoding::ROWS,
    regexes::ROWS,
    urls::ROWS,
    semver::ROWS,
    random::ROWS,
    compare::ROWS,
    builtins::ROWS,
];

const READS_ENVIRONMENT: &str = "it reads the environment of the agent";
const NEEDS_NETWORK: &str = "it asks the network for every line";
const MAKES_KEYS: &str = "it makes or uses key material, which has no place in log lines";
const IS_SLOW: &str = "it is slow by design and would hold up every line";

/// Sprig's functions that are not offered.
const REFUSED: [(&str, &str); 16] = [
    ("env", READS_ENVIRONMENT),
    ("expandenv", READS_ENVIRONMENT),
    ("getHostByName", NEEDS_NETWORK),
    ("genPrivateKey", MAKES_KEYS),
    ("derivePassword", MAKES_KEYS),
    ("buildCustomCert", MAKES_KEYS),
    ("genCA", MAKES_KEYS),
    ("genCAWithKey", MAKES_KEYS),
    ("genSelfSignedCert", MAKES_KEYS),
    ("genSelfSignedCertWithKey", MAKES_KEYS),
    ("genSignedCert", MAKES_KEYS),
    ("genSignedCertWithKey", MAKES_KEYS),
    ("encryptAES", MAKES_KEYS),
    ("decryptAES", MAKES_KEYS),
    ("bcrypt", IS_SLOW),
    ("htpasswd", IS_SLOW),
];

pub(super) fn all() -> impl Iterator<Item = &'static Row> {
    TABLES.iter().flat_map(|rows| rows.iter())
}

/// The function of this name; the error is a sentence.
pub(super) fn find(name: &str) -> Result<&'static Row, String> {
    if let Some(row) = all().find(|row| row.name == name) {
        return Ok(row);
    }
    if let Some((_, reason)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
        return Err(format!("function {name:?} is not offered: {reason}"));
    }
    match nearest(name) {
        Some(known) => Err(format!("function {name:?} is unknown; the nearest is {known:?}")),
        None => Err(format!("function {name:?} is unknown")),
    }
}

/// A known name few letters away, case aside.
fn nearest(name: &str) -> Option<&'static str> {
    let most = (name.len() / 3).max(1);
    let wanted: Vec<char> = name.chars().map(|next| next.to_ascii_lowercase()).collect();
    if wanted.len() > 40 {
        return None;
    }
    let distances = all().map(|row| (distance(&wanted, row.name), row.name));
    distances
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= most)
        .map(|(_, name)| name)
}

/// Letters to add, drop or change.
fn distance(wanted: &[char], name: &str) -> usize {
    let mut row: Vec<usize> = (0..=wanted.len()).collect();
    for (line, letter) in name.chars().map(|next| next.to_ascii_lowercase()).enumerate() {
        let mut diagonal = line;
        row[0] = line + 1;
        for (column, other) in wanted.iter().enumerate() {
            let changed = diagonal + usize::from(*other != letter);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}
