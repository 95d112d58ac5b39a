//! One of the files of a json-file log.
//! In: a path and the number of a rotation.  Out: bytes, and whether it is the same file as another.  Owns: the file.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::custody::{Head, LogPlace};
use crate::source::file::identity::{begins_with, read_head};

/// Bytes of a file's beginning that tell whether a compressed file is what became of another. A record has its time behind
/// its text, so this is more than some records.
const COMPARED: u64 = 128 * 1024;

#[derive(Debug)]
pub(super) struct LogFile {
    content: Content,
    device: u64,
    inode: u64,
    read_to: u64,
    /// What it began with when it was last read.
    head: Head,
}

#[derive(Debug)]
enum Content {
    Plain(File),
    Compressed(Box<MultiGzDecoder<File>>),
}

/// Reads a file without moving where others read it.
struct FromStart<'f> {
    file: &'f File,
    offset: u64,
}

impl io::Read for FromStart<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}

impl LogFile {
    /// The file that is the log (0) or that it was rotated into so many times ago. Plain goes before compressed: it is
    /// being compressed.
    pub(super) fn open(path: &Path, number: usize) -> io::Result<Option<LogFile>> {
        let numbered = match number {
            0 => path.to_owned(),
            number => with_suffix(path, &format!(".{number}")),
        };
        let there = |opened: io::Result<File>| match opened {
            Ok(file) => Ok(Some(file)),
            Err(error) if number > 0 && error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        if let Some(file) = there(File::open(&numbered))? {
            return LogFile::of(file, Content::Plain).map(Some);
        }
        let compressed = with_suffix(&numbered, ".gz");
        let Some(file) = there(File::open(&compressed))? else { return Ok(None) };
        LogFile::of(file, |file| Content::Compressed(Box::new(MultiGzDecoder::new(file)))).map(Some)
    }

    fn of(file: File, content: impl FnOnce(File) -> Content) -> io::Result<LogFile> {
        let metadata = file.metadata()?;
        let (device, inode) = (metadata.dev(), metadata.ino());
        let content = content(file);
        Ok(LogFile { content, device, inode, read_to: 0, head: Head::default() })
    }

    /// Goes to a place in this file. False where it is a place in another, or one that this has not.
    pub(super) fn go_to(&mut self, place: &LogPlace) -> io::Result<bool> {
        let Content::Plain(file) = &self.content else { return Ok(false) };
        if (self.device, self.inode) != (place.device, place.inode) {
            return Ok(false);
        }
        let is_there = file.metadata()?.len() >= place.offset && begins_with(file, place.head)?;
        if is_there {
            self.read_to = place.offset;
            self.head = place.head;
        }
        Ok(is_there)
    }

    /// True for the same file, or what it was compressed into or from.
    pub(super) fn is(&self, other: &LogFile) -> io::Result<bool> {
        if (self.device, self.inode) == (other.device, other.inode) {
            return Ok(true);
        }
        match (&self.content, &other.content) {
            (Content::Compressed(_), Content::Plain(plain)) => self.was(plain),
            (Content::Plain(plain), Content::Compressed(_)) => other.was(plain),
            _ => Ok(false),
        }
    }

    /// True for what `plain` was compressed into.
    fn was(&self, plain: &File) -> io::Result<bool> {
        let Content::Compressed(decoder) = &self.content else { return Ok(false) };
        let from_start = FromStart { file: decoder.get_ref(), offset: 0 };
        let (mut ours, mut theirs) = (Vec::new(), vec![0; COMPARED as usize]);
        if MultiGzDecoder::new(from_start).take(COMPARED).read_to_end(&mut ours).is_err() {
            return Ok(false);
        }
        let length = read_up_to(plain, &mut theirs)?;
        // All empty files are alike, and none of them is rotated.
        Ok(!ours.is_empty() && ours == theirs[..length])
    }

    /// Bytes that were not read, as far as anybody can tell.
    pub(super) fn unread(&self) -> u64 {
        let length = |file: &File| file.metadata().map_or(0, |metadata| metadata.len());
        match &self.content {
            Content::Plain(file) => length(file).saturating_sub(self.read_to),
            Content::Compressed(decoder) if self.read_to == 0 => length(decoder.get_ref()),
            Content::Compressed(_) => 0,
        }
    }

    pub(super) fn is_compressed(&self) -> bool {
        matches!(self.content, Content::Compressed(_))
    }

    /// True where it is at `path`.
    pub(super) fn is_at(&self, path: &Path) -> io::Result<bool> {
        let metadata = std::fs::metadata(path)?;
        Ok((metadata.dev(), metadata.ino()) == (self.device, self.inode))
    }

    /// True where it has no name any more, and cannot be read again.
    pub(super) fn is_deleted(&self) -> bool {
        let file = match &self.content {
            Content::Plain(file) => file,
            Content::Compressed(decoder) => decoder.get_ref(),
        };
        file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
    }

    /// Reads on; 0 at the end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.content {
            Content::Plain(file) => file.read_at(buffer, self.read_to),
            Content::Compressed(decoder) => decoder.read(buffer),
        }?;
        self.read_to += count as u64;
        Ok(count)
    }

    /// Goes back to the beginning of a file that was truncated, and perhaps filled again beyond where it was read to. True
    /// where it was.
    pub(super) fn rewind_truncated(&mut self) -> io::Result<bool> {
        let Content::Plain(file) = &self.content else { return Ok(false) };
        let length = file.metadata()?.len();
        if length == self.read_to {
            return Ok(false);
        }
        let truncated = length < self.read_to || !begins_with(file, self.head)?;
        if truncated {
            self.read_to = 0;
        }
        self.head = read_head(file)?;
        Ok(truncated)
    }

    /// The end of what was read; `None` where it is compressed.
    pub(super) fn place(&self) -> Option<LogPlace> {
        let is_plain = matches!(self.content, Content::Plain(_));
        is_plain.then_some(LogPlace {
            device: self.device,
            inode: self.inode,
            offset: self.read_to,
            head: self.head,
        })
    }
}

/// The highest number of a rotated file beside `path`.
pub(super) fn highest_number(path: &Path) -> io::Result<usize> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str()))
    else {
        return Ok(0);
    };
    let mut highest = 0;
    for entry in std::fs::read_dir(directory)? {
        let other = entry?.file_name();
        let suffix = other.to_str().and_then(|other| other.strip_prefix(name)?.strip_prefix('.'));
        let number = suffix.map(|suffix| suffix.strip_suffix(".gz").unwrap_or(suffix));
        highest = highest.max(number.and_then(|number| number.parse().ok()).unwrap_or(0));
    }
    Ok(highest)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn read_up_to(file: &File, bytes: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}
