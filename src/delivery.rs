//! The last hop: parcels to Loki, or to the terminal where there is no Loki.
//! In: parcels.  Out: settled tickets.  Owns: one worker per client; clients never wait for each other.
//!
//! ```text
//! batcher ─parcels─▶ queue ─────────────▶ attempt ─▶ verdict: settled, split, tried again
//!                      └──▶ spool (disk) ───▲
//! ```

mod attempt;
mod client;
mod dead_letter;
mod keep;
mod pace;
mod printer;
mod refusal;
mod stream_limit;
mod verdict;
mod window;
mod worker;

pub(crate) use client::{Client, ClientError, Settings};
pub(crate) use dead_letter::{DeadLetters, Settings as DeadLetterSettings};
pub(crate) use printer::run as print;
pub(crate) use worker::{Around, Leftover, Stop, run};
