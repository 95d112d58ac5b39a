//! What can be asked of an archive, by anybody who can read its files, whether its agent runs or not.
//! In: stores, what is wanted.  Out: entries by time, what there is, what is damaged.  Owns: nothing; only files are read.

mod answer;
mod check;
mod listing;
mod merge;

pub(crate) use answer::{Answer, unsealed_entries};
pub(crate) use check::check;
pub(super) use listing::decoded;
pub(crate) use listing::{Place, Stocks, stock};
pub(super) use merge::{Merge, Next};
