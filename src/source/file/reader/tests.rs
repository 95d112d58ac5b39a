//! How lines come out of files.

use std::fs;
use std::io::Write as _;

use proptest::prelude::*;

use super::*;

fn lines(chunk: &Chunk) -> Vec<Vec<u8>> {
    chunk.lines().map(|(line, _)| line.to_vec()).collect()
}

fn read_all(reader: &mut Reader) -> Vec<Vec<u8>> {
    let mut chunk = Chunk::default();
    let mut all = Vec::new();
    loop {
        let end = reader.fill(&mut chunk, || UnixNanos(0)).unwrap();
        all.extend(lines(&chunk));
        chunk.clear();
        if end {
            return all;
        }
    }
}

proptest! {
    /// However the writer's bytes are cut into writes, the lines come out whole and the offset is at a line's end.
    #[test]
    fn lines_come_out_whole_however_they_were_written(
        pieces in proptest::collection::vec(proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..50), 0..20),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log");
        let mut writer = File::create(&path).unwrap();
        let mut reader = Reader::new(File::open(&path).unwrap(), None, 0);
        let mut read = Vec::new();
        for piece in &pieces {
            writer.write_all(piece).unwrap();
            read.extend(read_all(&mut reader));
        }
        let written = pieces.concat();
        let mut expected: Vec<Vec<u8>> = written.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        let tail = expected.pop().unwrap();
        prop_assert_eq!(read, expected);
        prop_assert_eq!(reader.offset(), (written.len() - tail.len()) as u64);
        let mut chunk = Chunk::default();
        reader.flush(&mut chunk, UnixNanos(0));
        prop_assert_eq!(lines(&chunk), if tail.is_empty() { Vec::new() } else { vec![tail] });
        prop_assert_eq!(reader.offset(), written.len() as u64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A file read again up to where chunks ended before gives the same lines, whatever was written to it since.
    #[test]
    fn what_is_read_again_is_cut_where_it_was_cut_before(
        pieces in proptest::collection::vec(
            (proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..50), any::<bool>(), any::<bool>()),
            1..20,
        ),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log");
        let mut writer = File::create(&path).unwrap();
        let mut reader = Reader::new(File::open(&path).unwrap(), None, 0);
        let mut chunks = Vec::new();
        for (piece, is_long, is_quiet) in &pieces {
            writer.write_all(&piece.repeat(if *is_long { 5000 } else { 1 })).unwrap();
            let mut end = false;
            while !end {
                let mut chunk = Chunk::default();
                end = reader.fill(&mut chunk, || UnixNanos(0)).unwrap();
                chunks.push((lines(&chunk), reader.offset()));
            }
            if *is_quiet {
                let mut chunk = Chunk::default();
                reader.flush(&mut chunk, UnixNanos(0));
                chunks.push((lines(&chunk), reader.offset()));
            }
        }
        let mut again = Reader::new(File::open(&path).unwrap(), None, 0);
        for (before, end) in chunks.into_iter().filter(|(lines, _)| !lines.is_empty()) {
            let mut chunk = Chunk::default();
            prop_assert!(!again.fill_to(end, &mut chunk, || UnixNanos(0)).unwrap());
            prop_assert_eq!(again.offset(), end);
            prop_assert!(lines(&chunk) == before);
        }
        let mut chunk = Chunk::default();
        let size = reader.content().metadata().unwrap().len();
        prop_assert!(again.fill_to(size + 1, &mut chunk, || UnixNanos(0)).unwrap(), "the file ends before");
    }
}

#[test]
fn an_endless_line_is_cut_and_the_next_one_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.log");
    let long = vec![b'x'; 3 * LONGEST_LINE + 5];
    let content = [b"first\n".as_slice(), &long, b"\nlast\n"].concat();
    fs::write(&path, &content).unwrap();
    let mut reader = Reader::new(File::open(&path).unwrap(), None, 0);
    let read = read_all(&mut reader);
    assert_eq!((read.len(), reader.take_cut()), (3, 1));
    assert_eq!(read[1].len(), LONGEST_LINE);
    assert_eq!(read[2], b"last");
    assert_eq!(reader.offset(), content.len() as u64);
}

/// Any text, any encoding that can write it, however it was written: the same lines come out.
mod encodings {
    use super::*;

    fn utf_16(text: &str, big: bool) -> Vec<u8> {
        text.encode_utf16()
            .flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() })
            .collect()
    }

    fn read(path: &std::path::Path, name: &str, pieces: &[&[u8]]) -> (Vec<String>, Vec<u64>) {
        let mut writer = File::create(path).unwrap();
        let encoding = Some(Encoding::named(name).unwrap());
        let mut reader = Reader::new(File::open(path).unwrap(), encoding, 0);
        let (mut read, mut offsets) = (Vec::new(), vec![0]);
        for piece in pieces {
            writer.write_all(piece).unwrap();
            read.extend(read_all(&mut reader));
            offsets.push(reader.offset());
        }
        let mut chunk = Chunk::default();
        reader.flush(&mut chunk, UnixNanos(0));
        read.extend(lines(&chunk));
        (read.into_iter().map(|line| String::from_utf8(line).unwrap()).collect(), offsets)
    }

    proptest! {
        #[test]
        fn utf_16_comes_out_whole_however_it_was_written(
            text in "[a\u{0A00}\u{000A}\u{010A}\u{1F600}\u{D7FF}\u{E000}]{0,60}",
            big in any::<bool>(),
            marked in any::<bool>(),
            at in 0..200_usize,
        ) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("a.log");
            let marked_text = if marked { format!("\u{FEFF}{text}") } else { text.clone() };
            let bytes = utf_16(&marked_text, big);
            let name = match (marked, big) {
                (true, _) => "utf-16",
                (false, true) => "utf-16be",
                (false, false) => "utf-16le",
            };
            let (first, second) = bytes.split_at(at.min(bytes.len()));
            let (read, offsets) = read(&path, name, &[first, second]);
            let mut expected: Vec<&str> = text.split('\n').collect();
            if expected.last() == Some(&"") {
                expected.pop();
            }
            // A file of nothing but a mark has a line without text.
            let of_mark = text.is_empty() && marked;
            prop_assert_eq!(read, if of_mark { vec![""] } else { expected.clone() });
            // Whoever goes on at an offset reads the rest.
            for offset in offsets {
                let encoding = Some(Encoding::named(name).unwrap());
                let mut reader = Reader::new(File::open(&path).unwrap(), encoding, offset);
                let mut rest = read_all(&mut reader);
                let mut chunk = Chunk::default();
                reader.flush(&mut chunk, UnixNanos(0));
                rest.extend(lines(&chunk));
                let rest: Vec<String> = rest.into_iter().map(|line| String::from_utf8(line).unwrap()).collect();
                if !of_mark {
                    prop_assert_eq!(&rest[..], &expected[expected.len() - rest.len()..]);
                }
            }
        }

        /// No bytes can make a reader panic, or come out as anything but text.
        #[test]
        fn any_bytes_become_text(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(0), Just(0x1B), any::<u8>()], 0..300),
            name in prop_oneof![Just("utf-16"), Just("utf-16le"), Just("utf-8"), Just("iso-2022-jp"), Just("shift_jis"), Just("gb18030")],
        ) {
            let directory = tempfile::tempdir().unwrap();
            read(&directory.path().join("a.log"), name, &[&bytes]);
        }
    }

    #[test]
    fn lines_of_other_encodings_are_decoded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log");
        let (read_lines, _) = read(&path, "windows-1252", &[b"gr\xFCn\n\x80 5\n"]);
        assert_eq!(read_lines, ["grün", "€ 5"]);
        // Escapes lead back to ASCII before a line ends.
        let (read_lines, _) = read(&path, "iso-2022-jp", &[b"\x1B$B$\"\x1B(B\n\x1B$B$$\x1B(B\n"]);
        assert_eq!(read_lines, ["あ", "い"]);
    }

    #[test]
    fn an_endless_line_in_utf_16_is_cut_and_marked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log");
        let text = format!("{}\nlast\n", "x".repeat(2 * LONGEST_LINE));
        let (read_lines, offsets) = read(&path, "utf-16le", &[&utf_16(&text, false)]);
        assert_eq!(read_lines.len(), 2);
        assert_eq!(read_lines[0].len(), LONGEST_LINE);
        assert!(read_lines[0].ends_with("x [cut by tailwater]"));
        assert_eq!(read_lines[1], "last");
        assert_eq!(offsets[1], 2 * text.len() as u64);
    }

    #[test]
    fn a_place_from_before_the_encoding_was_configured_is_moved_to_a_character() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log");
        fs::write(&path, utf_16("a\nb\n", false)).unwrap();
        // Behind the byte 0x0A, and before the 0x00 that belongs to it.
        let encoding = Some(Encoding::named("utf-16le").unwrap());
        let mut reader = Reader::new(File::open(&path).unwrap(), encoding, 3);
        assert_eq!(read_all(&mut reader), [b"b"]);
    }
}

#[test]
fn a_hole_is_a_line_that_is_cut_and_takes_no_reading() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.log");
    let mut writer = File::create(&path).unwrap();
    writer.write_all(b"first\n").unwrap();
    // As a truncated file is left by a writer that goes on at its own offset.
    let size = 1 << 40;
    writer.set_len(size).unwrap();
    let mut reader = Reader::new(File::open(&path).unwrap(), None, 0);
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"\nlast\n").unwrap();
    let read = read_all(&mut reader);
    assert_eq!((read.len(), reader.take_cut()), (3, 1));
    assert!(read[1].starts_with(&[0; 1000]) && read[1].ends_with(CUT_MARK));
    assert_eq!(read[2], b"last");
    assert_eq!(reader.offset(), size + 6);
}
