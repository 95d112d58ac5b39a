//! How far a target has been read, exactly.
//! In: what a source counts.  Out: a value that survives a restart.  Owns: nothing.

use serde::{Deserialize, Serialize};

use crate::custody::JournalPoint;
use crate::record::UnixNanos;

/// A place between two lines of one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Cursor {
    /// In a container's log; `source::docker` says how it is counted.
    Docker {
        /// After all messages read.
        all: DockerPoint,
        /// Before an unfinished line of stdout.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stdout: Option<DockerPoint>,
        /// The same for stderr.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stderr: Option<DockerPoint>,
        /// Where the log's file was read: a short cut to what the points say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<LogPlace>,
    },
    /// In a file.
    File {
        /// Bytes read, up to a line's end.
        offset: u64,
        /// What the file began with, so that a reused inode is not taken for the same file.
        head: Head,
    },
    /// In the systemd journal.
    Journal {
        /// The entry read last.
        entry: JournalPoint,
    },
    /// In what a compressed file holds.
    Packed {
        /// Bytes unpacked, up to a line's end.
        offset: u64,
        /// Lines before that, as Promtail counts.
        lines: u64,
        /// What the compressed file began with.
        head: Head,
        /// How long the compressed file was that was read to its end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        whole: Option<u64>,
    },
    /// What Promtail's positions file says of a path or a container, until it is known which file that is.
    Promtail {
        /// Bytes of a file, seconds of a container's log.
        value: u64,
        /// When Promtail wrote it.
        as_of: UnixNanos,
        /// The file that it was about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        taken: Option<Taken>,
    },
}

impl Cursor {
    /// The place in a file, and what the file begins with.
    pub(crate) fn in_file(self) -> Option<(u64, Head)> {
        match self {
            Cursor::File { offset, head } | Cursor::Packed { offset, head, .. } => Some((offset, head)),
            Cursor::Docker { .. } | Cursor::Journal { .. } | Cursor::Promtail { .. } => None,
        }
    }
}

/// The file that Promtail's position of a path was about, once that is known. The position is not forgotten then: a
/// second job may come to read the same file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Taken {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) head: Head,
}

/// A point among a container's log messages. dockerd can start at a time, not at an offset, and several messages may
/// share a nanosecond or go back in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DockerPoint {
    /// The largest message time so far.
    pub(crate) since: UnixNanos,
    /// Messages from the first one at `since` on, that one included.
    pub(crate) frames: u64,
}

/// A place in one of the files of a container's log, at or before the first message that has to be seen again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogPlace {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) offset: u64,
    pub(crate) head: Head,
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
