//! What the YAML may say, and what it means.
//! In: a configuration file in Promtail's language.  Out: settings, checked and compiled, or one message with the
//! place and the fix.  Owns: nothing.

mod decode;
mod diagnostic;
mod load;
mod settings;
mod units;
mod yaml;

pub(crate) use decode::Block;
pub(crate) use diagnostic::{Invalid, Position, nearest};
pub(crate) use load::load;
pub(crate) use settings::Settings;
pub(crate) use units::go_duration;
#[cfg(test)]
pub(crate) use yaml::parse as parse_yaml;
pub(crate) use yaml::{NOTHING, Node};
