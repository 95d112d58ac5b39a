//! tailwater: the agent that carries a Docker host's logs to Loki and loses none.
//!
//! ```text
//! discovery ─targets─▶ source ─chunks─▶ pipeline ─entries─▶ batch ─parcels─▶ delivery ─▶ Loki
//!                         ▲                                                      │
//!                         └──── custody: a chunk's ticket settles, its position moves
//! ```
//!
//! Modules stand in the order a line travels; what serves all of them comes after.

mod discovery;
mod source;

mod pipeline;

mod batch;

mod delivery;
mod retention;

mod custody;

mod agent;
mod clock;
mod config;
mod flow;
mod http;
mod metrics;
mod record;
mod server;
mod targets;

pub mod cli;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
#[cfg(feature = "hops")]
#[doc(hidden)]
pub mod hops;
