//! What files of each format unpack to, whole, in pieces and damaged.

use std::io::Write as _;
use std::process::{Command, Stdio};

use bzip2::write::BzEncoder;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use proptest::prelude::*;

use super::*;

/// `zstd` and `xz` come from their tools, or from recorded files where those are not installed.
fn pack(format: Format, text: &[u8]) -> Option<Vec<u8>> {
    Some(match format {
        Format::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        Format::Zlib => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        Format::Bzip2 => {
            let mut encoder = BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        Format::Zstd => ruzstd::encoding::compress_to_vec(text, ruzstd::encoding::CompressionLevel::Fastest),
        Format::Xz => return with_tool("xz", text),
    })
}

fn with_tool(tool: &str, text: &[u8]) -> Option<Vec<u8>> {
    let mut child = Command::new(tool).arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
    let mut stdin = child.stdin.take().unwrap();
    let text = text.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&text)));
    let output = child.wait_with_output().unwrap().stdout;
    writer.join().unwrap();
    Some(output)
}

const FORMATS: [Format; 5] = [Format::Gzip, Format::Zlib, Format::Bzip2, Format::Zstd, Format::Xz];

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    file
}

/// What the file holds, and what is wrong with it.
fn unpack(bytes: &[u8], format: Format) -> (Vec<u8>, Option<io::Error>, Unpacker) {
    let mut unpacker = Unpacker::new(file(bytes), format);
    let (mut text, mut block) = (Vec::new(), vec![0; 1000]);
    let error = loop {
        match unpacker.read_at(&mut block, text.len() as u64) {
            Ok(0) => break None,
            Ok(count) => text.extend_from_slice(&block[..count]),
            Err(error) => break Some(error),
        }
        assert!(text.len() < 64 << 20, "nothing here is as long");
    };
    (text, error, unpacker)
}

fn text() -> Vec<u8> {
    (0..3000).flat_map(|number| format!("line {number} of a log\n").into_bytes()).collect()
}

#[test]
fn every_format_unpacks_and_so_do_files_one_behind_the_other() {
    for format in FORMATS {
        let Some(packed) = pack(format, &text()) else { continue };
        assert_eq!(Format::of(&file(&packed)).unwrap(), Some(format));
        let (unpacked, error, _) = unpack(&packed, format);
        assert!(error.is_none() && unpacked == text(), "{format:?}: {error:?}");
        let (unpacked, error, _) = unpack(&[&packed[..], &packed[..]].concat(), format);
        assert!(error.is_none() && unpacked == text().repeat(2), "{format:?}: {error:?}");
    }
}

#[test]
fn a_frame_of_zstd_that_is_to_be_skipped_is_skipped() {
    let packed = pack(Format::Zstd, b"text\n").unwrap();
    let skipped = [&[0x51, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3][..], &packed].concat();
    assert_eq!(Format::of(&file(&skipped)).unwrap(), Some(Format::Zstd));
    let (unpacked, error, _) = unpack(&skipped, Format::Zstd);
    assert!(error.is_none() && unpacked == b"text\n", "{error:?}");
}

#[test]
fn a_file_that_ends_too_early_gives_what_it_has_and_says_so() {
    for format in FORMATS {
        let Some(packed) = pack(format, &text()) else { continue };
        let (unpacked, error, unpacker) = unpack(&packed[..packed.len() - 3], format);
        assert!(error.is_some() && unpacker.file_ended(), "{format:?}: {error:?}");
        assert!(text().starts_with(&unpacked), "{format:?}");
    }
}

#[test]
fn reading_goes_on_at_any_place() {
    for format in FORMATS {
        let Some(packed) = pack(format, &text()) else { continue };
        let mut unpacker = Unpacker::new(file(&packed), format);
        assert_eq!(unpacker.skip_lines(10).unwrap(), 0);
        assert_eq!(unpacker.place(), 10 * b"line 0 of a log\n".len() as u64);
        assert!(unpacker.skip_to(20_000).unwrap());
        let mut block = [0; 100];
        let count = unpacker.read_at(&mut block, 20_000 - 4).unwrap();
        assert!(count > 0 && text()[20_000 - 4..].starts_with(&block[..count]), "{format:?}");
        assert!(unpacker.read_at(&mut block, 5).is_err(), "{format:?}: not in order");
    }
}

#[test]
fn a_file_that_wants_more_memory_than_it_may_have_is_refused() {
    // A frame with a window of 2 GiB.
    let (unpacked, error, _) = unpack(&[0x28, 0xB5, 0x2F, 0xFD, 0x00, 0xA8, 1, 0, 0], Format::Zstd);
    assert!(unpacked.is_empty() && error.is_some());
}

proptest! {
    /// In release builds a panic ends the process, and would again at each start.
    #[test]
    fn no_damage_makes_a_decoder_panic(
        number in 0..FORMATS.len(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let format = FORMATS[number];
        let Some(mut packed) = pack(format, &text()[..4000]) else { return Ok(()) };
        for (at, byte) in damage {
            let at = at.index(packed.len());
            packed[at] = byte;
        }
        packed.truncate(packed.len() / 2 + cut.index(packed.len() / 2 + 1));
        unpack(&packed, format);
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(
        number in 0..FORMATS.len(),
        mut bytes in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        let magic: [&[u8]; 5] =
            [&[0x1F, 0x8B, 8, 0], &[0x78, 0x9C], b"BZh9", &[0x28, 0xB5, 0x2F, 0xFD], &[0xFD, b'7', b'z', b'X', b'Z', 0]];
        bytes.splice(0..0, magic[number].iter().copied());
        unpack(&bytes, FORMATS[number]);
    }
}
