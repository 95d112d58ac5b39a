//! What the configuration does to each line: extract, label, measure, drop.
//! In: chunks from a source.  Out: entries grouped by stream, encoded.  Owns: compiled stages, shared by all targets
//! of a job; a [`lane`] per target and label set keeps what one target needs to remember.
//!
//! A pipeline runs on its source's own task, to completion, so lines keep their order also through `match`. Names
//! that stages speak of become symbols at compile time; values live in one buffer per line, so the common stages
//! allocate nothing per line.

mod compile;
#[cfg(test)]
mod conformance;
mod counting;
mod derived;
mod entry;
#[cfg(any(fuzzing, test))]
pub(crate) mod fuzzing;
mod go_json;
mod go_time;
mod guard;
mod held;
mod inspect;
mod intake;
mod json_path;
mod lane;
mod limits;
mod observe;
mod origins;
mod outlet;
mod re2;
mod redact;
pub(crate) mod relabel;
mod selector;
mod stages;
mod template;

pub(crate) use compile::Pipeline;
pub(crate) use go_json::{bytes as go_json_bytes, string as go_json_text};
pub(crate) use guard::{Above, Guard, GuardSettings, SavedGuard};
pub(crate) use inspect::{Inspector, Trace, show_json, show_text};
pub(crate) use intake::{Intake, IntakeClosed};
pub(crate) use lane::{Incoming, Lane, Output, Scratch};
pub(crate) use limits::{Limits, LineLimit, RateLimit};
pub(crate) use outlet::{Inlet, Outlet};
pub(crate) use re2::{Replacement, compile_anchored_dotall};
pub(crate) use selector::{Selector, label_set};
pub(crate) use stages::{Options as StageOptions, STAGES, StageKind};
