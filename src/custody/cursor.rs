//! How far a target has been read, exactly.
//! In: what a source counts.  Out: a value that survives a restart.  Owns: nothing.

use serde::{Deserialize, Serialize};

use crate::record::UnixNanos;

/// A place between two lines of one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Cursor {
    /// In a container's log. dockerd can start at a time, not at an offset, and several frames may share a nanosecond
    /// or even go back in time (stdout and stderr are stamped before they are ordered). So: the latest time seen, and
    /// how many frames were read since the first one that carried it.
    Docker {
        /// The largest frame time read so far.
        since: UnixNanos,
        /// Frames read from the first frame at `since` on, that one included.
        frames: u64,
    },
    /// In a file.
    File {
        /// Bytes read, up to a line's end.
        offset: u64,
        /// What the file began with, so that a reused inode is not taken for the same file.
        head: Head,
    },
}

/// A file's first bytes, as a checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Head {
    /// How many bytes the checksum covers; 0 for a file that was empty.
    pub(crate) length: u32,
    /// CRC-32 of them.
    pub(crate) crc: u32,
}
