//! The last hop: parcels to Loki, or to the terminal where there is no Loki.
//! In: parcels.  Out: settled tickets.  Owns: one worker per client; clients never wait for each other.

mod client;
mod printer;
mod verdict;

pub(crate) use client::{Client, ClientError, Leftover, Settings, Stop, forsake, run};
pub(crate) use printer::run as print;
