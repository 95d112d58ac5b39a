//! Follows containers' logs, from the json-file driver's files or through the Docker API.
//! In: a container id.  Out: chunks of whole lines with Docker's times.  Owns: one log stream or file per container.
//!
//! bollard negotiates the version and gives events. The log stream is read here, because bollard guesses from the first
//! byte whether a container has a TTY and sends whole seconds as `since`; lists and containers are, because bollard takes
//! no word that is not in Docker's own specification.

mod api;
mod follow;
mod follow_file;
#[cfg(feature = "hops")]
mod hops;
mod host;
mod inspect;
mod json_file;
mod lines;
mod messages;
mod resume;
mod stall;
mod stamp;
mod stream;

#[cfg(any(fuzzing, test))]
pub(crate) use inspect::fuzz;

pub(crate) use api::{ANSWER_TIMEOUT, CallError, Endpoint};
pub(crate) use follow::{Ended, Follow, OutputLabels};
pub(crate) use follow_file::{Found as FoundStarted, Logs, Wanted as WantedLogs};
#[cfg(feature = "hops")]
pub(crate) use hops::{decode, read_log};
pub(crate) use host::{Found, Host};
pub(crate) use inspect::{Inspected, or_default};
#[cfg(any(fuzzing, test))]
pub(crate) use json_file::fuzz as fuzz_record;
pub(crate) use stall::Questions;
