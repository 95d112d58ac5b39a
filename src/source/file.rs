//! Tails files: the path names the target, device and inode say which file it is.
//! In: a path and an intake.  Out: chunks.  Owns: the open files of the path, oldest first.

pub(super) mod identity;
mod reader;
mod replay;
mod rotation;
mod tail;
mod takeover;

pub(crate) use tail::{Tail, Wake};
