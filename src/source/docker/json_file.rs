//! A container's log as the json-file driver writes it, and the files it was rotated into.
//! In: the path that Docker gives.  Out: messages, as the log stream would give them.  Owns: the open files, oldest first,
//! and what was read of the first of them.
//!
//! The driver rotates by renaming: `.1` to `.2` and so on from the highest down, then the file itself to `.1`; then it opens
//! a new one and may compress `.1` into `.1.gz`, which it removes. With one file only it truncates that. A file is never
//! written to once it is renamed.

mod files;
mod log_file;
mod record;

pub(super) use files::JsonFile;
#[cfg(any(fuzzing, test))]
pub(crate) use record::fuzz;

#[cfg(test)]
mod tests;
