//! Unpacks a compressed file, one piece after the other.
//! In: a file.  Out: what it holds.  Owns: the decoder, whose memory is bounded whatever the file says.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use lzma_rust2::XzReader;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use crate::source::file::identity::read_up_to;
use crate::source::file::reader::Content;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Gzip,
    Zlib,
    Bzip2,
    Zstd,
    Xz,
}

/// What a format may need: the windows of `zstd --ultra -22` and of `xz -9` fit.
const MOST_MEMORY: u64 = 128 << 20;

/// Bytes passed over before others get their turn.
const SKIP_AT_ONCE: u64 = 1 << 20;

/// Bytes that can be read once more: the first two tell an encoding, and a character may be torn.
const RECENT: usize = 4;

impl Format {
    /// The format of a name in the configuration.
    pub(crate) fn named(name: &str) -> Option<Format> {
        Some(match name {
            "gz" => Format::Gzip,
            "z" => Format::Zlib,
            "bz2" => Format::Bzip2,
            "zst" => Format::Zstd,
            "xz" => Format::Xz,
            _ => return None,
        })
    }

    /// The format that the file's first bytes tell of.
    pub(super) fn of(file: &File) -> io::Result<Option<Format>> {
        let mut magic = [0; 5];
        let length = read_up_to(file, &mut magic)?;
        Ok(match &magic[..length] {
            [0x1F, 0x8B, ..] => Some(Format::Gzip),
            [b'B', b'Z', b'h', ..] => Some(Format::Bzip2),
            [0x28, 0xB5, 0x2F, 0xFD, ..] => Some(Format::Zstd),
            // A frame that is to be skipped, which tools put first.
            [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..] => Some(Format::Zstd),
            [0xFD, b'7', b'z', b'X', b'Z'] => Some(Format::Xz),
            [0x78, 0x01 | 0x5E | 0x9C | 0xDA, ..] => Some(Format::Zlib),
            _ => None,
        })
    }
}

/// How far the decoder has come with the file itself.
#[derive(Debug, Default)]
struct Progress {
    /// All of it was read.
    ended: AtomicBool,
    /// It could not be read.
    failed: AtomicBool,
}

struct Raw {
    file: Box<dyn Read + Send>,
    progress: Arc<Progress>,
}

type Input = BufReader<Raw>;

/// The unpacked bytes of a file, in order.
pub(super) struct Unpacker {
    decoder: Box<dyn Read + Send>,
    progress: Arc<Progress>,
    /// How much was unpacked.
    place: u64,
    /// The last bytes of that.
    recent: Vec<u8>,
}

impl Unpacker {
    /// Of a file that is read from its beginning.
    pub(super) fn new(file: impl Read + Send + 'static, format: Format) -> Unpacker {
        let progress = Arc::new(Progress::default());
        let input = BufReader::new(Raw { file: Box::new(file), progress: progress.clone() });
        let decoder: Box<dyn Read + Send> = match format {
            Format::Gzip => Box::new(MultiGzDecoder::new(input)),
            Format::Bzip2 => Box::new(MultiBzDecoder::new(input)),
            Format::Xz => Box::new(XzReader::new_mem_limit(input, true, (MOST_MEMORY >> 10) as u32)),
            Format::Zlib => Box::new(Members::<ZlibDecoder<Input>>::Between(input)),
            Format::Zstd => Box::new(Members::<Frame>::Between(input)),
        };
        Unpacker { decoder, progress, place: 0, recent: Vec::new() }
    }

    /// True when all of the file was given to the decoder: if that wants more, the file ends too early.
    pub(super) fn file_ended(&self) -> bool {
        self.progress.ended.load(Ordering::Relaxed)
    }

    /// True when the file itself could not be read.
    pub(super) fn file_failed(&self) -> bool {
        self.progress.failed.load(Ordering::Relaxed)
    }

    /// Goes on to `place`, or to the end, a step at a time. True when it is there.
    pub(super) fn skip_to(&mut self, place: u64) -> io::Result<bool> {
        let mut block = vec![0; 64 << 10];
        let stop = place.min(self.place + SKIP_AT_ONCE);
        while self.place < stop {
            let size = (stop - self.place).min(block.len() as u64) as usize;
            if self.unpack(&mut block[..size])? == 0 {
                return Ok(true);
            }
        }
        Ok(self.place >= place)
    }

    /// Goes on over `lines` line ends, or to the end, a step at a time; what is left of `lines`. The place is behind the
    /// last one.
    pub(super) fn skip_lines(&mut self, mut lines: u64) -> io::Result<u64> {
        // One byte at a time is slow, and exact: this is done once for a file, after a move from Promtail.
        let mut byte = [0];
        for _ in 0..SKIP_AT_ONCE {
            if lines == 0 || self.unpack(&mut byte)? == 0 {
                return Ok(0);
            }
            lines -= u64::from(byte[0] == b'\n');
        }
        Ok(lines)
    }

    /// How much was unpacked.
    pub(super) fn place(&self) -> u64 {
        self.place
    }

    fn unpack(&mut self, block: &mut [u8]) -> io::Result<usize> {
        let count = self.decoder.read(block)?;
        self.place += count as u64;
        self.recent.extend_from_slice(&block[count.saturating_sub(RECENT)..count]);
        self.recent.drain(..self.recent.len().saturating_sub(RECENT));
        Ok(count)
    }
}

impl Content for Unpacker {
    fn read_at(&mut self, block: &mut [u8], place: u64) -> io::Result<usize> {
        let again = self.place.checked_sub(place).and_then(|back| usize::try_from(back).ok());
        let Some(again) = again.filter(|back| *back <= self.recent.len()) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "compressed files are read in order"));
        };
        let recent = self.recent[self.recent.len() - again..].to_vec();
        let known = recent.len().min(block.len());
        block[..known].copy_from_slice(&recent[..known]);
        if known < again {
            return Ok(known);
        }
        Ok(known + self.unpack(&mut block[known..])?)
    }
}

impl Read for Raw {
    fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(block);
        match &read {
            Ok(0) => self.progress.ended.store(true, Ordering::Relaxed),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.progress.failed.store(true, Ordering::Relaxed),
        }
        read
    }
}

/// One member of a file of which several may stand one behind the other.
trait Member: Sized {
    fn begin(input: Input) -> io::Result<Self>;
    fn read(&mut self, block: &mut [u8]) -> io::Result<usize>;
    fn end(self) -> Input;
}

/// All members of a file.
enum Members<M> {
    Between(Input),
    Within(M),
    Broken,
}

impl<M: Member> Members<M> {
    fn next(&mut self, block: &mut [u8]) -> io::Result<usize> {
        loop {
            match std::mem::replace(self, Members::Broken) {
                Members::Between(mut input) => {
                    if input.fill_buf()?.is_empty() {
                        *self = Members::Between(input);
                        return Ok(0);
                    }
                    *self = Members::Within(M::begin(input)?);
                }
                Members::Within(mut member) => match member.read(block)? {
                    0 => *self = Members::Between(member.end()),
                    count => {
                        *self = Members::Within(member);
                        return Ok(count);
                    }
                },
                Members::Broken => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }
}

impl<M: Member> Read for Members<M> {
    fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        if block.is_empty() { Ok(0) } else { self.next(block) }
    }
}

impl Member for ZlibDecoder<Input> {
    fn begin(input: Input) -> io::Result<Self> {
        Ok(ZlibDecoder::new(input))
    }

    fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        Read::read(self, block)
    }

    fn end(self) -> Input {
        self.into_inner()
    }
}

/// A frame of zstd: one of data, or one that is to be skipped.
struct Frame {
    decoder: Option<Box<FrameDecoder>>,
    input: Input,
}

impl Member for Frame {
    fn begin(mut input: Input) -> io::Result<Self> {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(MOST_MEMORY);
        let decoder = match decoder.init(&mut input) {
            Ok(()) => Some(Box::new(decoder)),
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length, ..
            })) => {
                io::copy(&mut (&mut input).take(length.into()), &mut io::sink())?;
                None
            }
            Err(error) => return Err(io::Error::other(error)),
        };
        Ok(Frame { decoder, input })
    }

    fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        let Some(decoder) = &mut self.decoder else { return Ok(0) };
        while decoder.can_collect() == 0 && !decoder.is_finished() {
            decoder
                .decode_blocks(&mut self.input, BlockDecodingStrategy::UptoBlocks(1))
                .map_err(io::Error::other)?;
        }
        decoder.read(block)
    }

    fn end(self) -> Input {
        self.input
    }
}

/// Whatever the first byte chooses to unpack the others as, no decoder panics, and none gives more than it says.
#[cfg(any(fuzzing, test))]
pub(crate) fn fuzz(input: &[u8]) {
    let Some((choice, packed)) = input.split_first() else { return };
    let formats = [Format::Gzip, Format::Zlib, Format::Bzip2, Format::Zstd, Format::Xz];
    let format = formats[usize::from(*choice) % formats.len()];
    let mut unpacker = Unpacker::new(io::Cursor::new(packed.to_vec()), format);
    let mut block = [0; 4096];
    while unpacker.place < 1 << 20
        && let Ok(count @ 1..) = unpacker.read_at(&mut block, unpacker.place)
    {
        assert!(count <= block.len());
    }
}

#[cfg(test)]
mod tests;
