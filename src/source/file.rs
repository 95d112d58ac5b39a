//! Tails files: the path names the target, device and inode say which file it is.
//! In: a path and an intake.  Out: chunks.  Owns: the open files of the path, oldest first.

mod descriptors;
mod encoding;
#[cfg(feature = "hops")]
mod hops;
pub(super) mod identity;
mod listing;
mod lookout;
mod packed;
mod reader;
mod replay;
mod rotation;
mod tail;
mod takeover;

pub(crate) use descriptors::Descriptors;
pub(crate) use encoding::Encoding;
#[cfg(any(fuzzing, test))]
pub(crate) use encoding::fuzz as fuzz_encoding;
#[cfg(feature = "hops")]
pub(crate) use hops::read;
pub(crate) use listing::Listings;
pub(crate) use lookout::Place;
#[cfg(any(fuzzing, test))]
pub(crate) use packed::fuzz_unpack;
pub(crate) use packed::{Decompression, Format, Packed};
pub(crate) use tail::{Tail, Wake};
