//! Finds what to read and decides its labels.
//! In: the Docker API, globs, relabelling rules.  Out: running sources.  Owns: the set of active targets.

pub(crate) mod docker;
pub(crate) mod files;
