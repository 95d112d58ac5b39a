//! The configuration's language: YAML with places, typed reading, messages with a caret.
//! In: the text of a file.  Out: nodes and values, or what is wrong and where.  Owns: nothing.
//!
//! What the values mean is said where they are used: each stage and rule reads its own block, `agent::settings` the
//! rest.

mod brief;
mod decode;
mod diagnostic;
mod dump;
mod env;
mod lenient;
mod loose;
mod table;
mod units;
mod yaml;

pub(crate) use decode::Block;
#[cfg(any(fuzzing, test))]
pub(crate) use diagnostic::lines;
pub(crate) use diagnostic::{Invalid, Position, nearest};
pub(crate) use dump::dump;
pub(crate) use env::{expand as expand_env, suspicious as suspicious_references};
pub(crate) use table::{Effect, Kind, Row, Table, row};
pub(crate) use units::{bytes, go_duration, prometheus_duration};
pub(crate) use yaml::parse as parse_yaml;
pub(crate) use yaml::{NOTHING, Node};
