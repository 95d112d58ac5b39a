//! Follows containers' logs through the Docker API.
//! In: a container id.  Out: chunks of whole lines with Docker's times.  Owns: one log stream per container.
//!
//! bollard serves list, inspect and events. The log stream is read here over a plain HTTP/1 connection, because
//! bollard guesses from the first byte whether a container has a TTY and sends whole seconds as `since`.

mod api;
mod follow;
mod host;
mod lines;
mod resume;
mod stall;
mod stamp;
mod stream;

pub(crate) use api::{ANSWER_TIMEOUT, CallError, Endpoint};
pub(crate) use follow::{Ended, Follow, OutputLabels};
pub(crate) use host::{Found, Host};
pub(crate) use stall::Questions;
pub(crate) use stamp::parse as parse_time;
