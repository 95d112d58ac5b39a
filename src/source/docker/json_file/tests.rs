//! Behaviour of reading a log's files, with a writer that rotates as dockerd does.

mod dockerd;

use std::fs;

use proptest::prelude::*;

use super::*;
use crate::custody::{Cursor, LogPlace};
use crate::record::{Chunk, Origin, Output};
use crate::source::docker::messages::Messages;
use crate::source::docker::resume::Place;
use crate::source::docker::stream::Decoder;

use dockerd::{Message, Writer};

fn output(origin: Origin) -> Output {
    if origin == Output::Stderr.into() { Output::Stderr } else { Output::Stdout }
}

fn message(number: i64) -> Message {
    Message { stderr: false, time: 1_763_461_800_000_000_000 + number, text: format!("<{number}>\n") }
}

fn texts(numbers: std::ops::Range<i64>) -> Vec<String> {
    numbers.map(|number| format!("<{number}>")).collect()
}

/// A reader and what it has read.
struct Reader {
    log: JsonFile,
    messages: Messages,
    lines: Vec<(Output, String)>,
}

impl Reader {
    fn open(writer: &Writer, place: Place, hint: Option<LogPlace>) -> Reader {
        let log = JsonFile::open(&writer.path, hint).unwrap();
        Reader { log, messages: Messages::from(place, false), lines: Vec::new() }
    }

    fn read(&mut self) {
        self.log.look().unwrap();
        let mut chunk = Chunk::default();
        loop {
            let end = self.log.fill(&mut self.messages, &mut chunk).unwrap();
            self.take(&mut chunk);
            if end {
                return;
            }
        }
    }

    fn finish(&mut self) {
        self.read();
        let mut chunk = Chunk::default();
        self.messages.finish(&mut chunk);
        self.take(&mut chunk);
    }

    fn take(&mut self, chunk: &mut Chunk) {
        let text = |line: &[u8]| String::from_utf8(line.to_vec()).unwrap();
        self.lines.extend(chunk.lines().map(|(line, meta)| (output(meta.origin), text(line))));
        chunk.clear();
    }

    fn texts(&self) -> Vec<String> {
        self.lines.iter().map(|(_, text)| text.clone()).collect()
    }

    fn cursor(&mut self) -> (Place, Option<LogPlace>) {
        let cursor = self.messages.place().cursor(self.log.place(self.messages.earliest()));
        let Cursor::Docker { file, .. } = cursor else { panic!("{cursor:?}") };
        (Place::from_cursor(cursor).unwrap(), file)
    }
}

#[test]
fn rotations_between_two_looks_lose_and_double_nothing_while_the_files_are_there() {
    for (max_files, compress) in [(3, false), (10, false), (3, true), (10, true)] {
        let directory = tempfile::tempdir().unwrap();
        let writer = Writer::new(directory.path(), max_files, compress);
        let mut reader = Reader::open(&writer, Place::START, None);
        let mut number = 0;
        for round in 0..40 {
            for _ in 0..round % (max_files - 1) {
                writer.write(&message(number));
                writer.rotate();
                number += 1;
            }
            writer.write(&message(number));
            number += 1;
            if round % 3 > 0 {
                reader.read();
            } else {
                // A look opens what there is, and it may be read later.
                reader.log.look().unwrap();
            }
        }
        reader.read();
        assert_eq!(reader.texts(), texts(0..number), "{max_files} files, compressed: {compress}");
        assert_eq!(reader.log.take_seen().gaps, 0);
    }
}

#[test]
fn what_was_rotated_away_before_it_could_be_opened_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let writer = Writer::new(directory.path(), 2, false);
    writer.write(&message(0));
    let mut reader = Reader::open(&writer, Place::START, None);
    for number in 1..5 {
        writer.rotate();
        writer.write(&message(number));
    }
    reader.read();
    assert_eq!(reader.texts(), ["<0>", "<3>", "<4>"]);
    let seen = reader.log.take_seen();
    assert_eq!((seen.gaps, seen.unrepeatable), (1, true));
}

#[test]
fn a_truncated_log_is_read_from_its_beginning() {
    let directory = tempfile::tempdir().unwrap();
    let writer = Writer::new(directory.path(), 1, false);
    let mut reader = Reader::open(&writer, Place::START, None);
    writer.write(&message(0));
    writer.write(&message(1));
    reader.read();
    writer.rotate();
    writer.write(&message(2));
    reader.read();
    writer.rotate();
    for number in 3..9 {
        // Longer than what was read before.
        writer.write(&message(number));
    }
    reader.read();
    assert_eq!(reader.texts(), texts(0..9));
    assert!(reader.log.take_seen().truncated);
    let (place, hint) = reader.cursor();
    let mut again = Reader::open(&writer, place, hint);
    writer.write(&message(9));
    again.read();
    assert_eq!(again.texts(), texts(9..10));
}

#[test]
fn damage_is_passed_over_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let writer = Writer::new(directory.path(), 3, false);
    let mut reader = Reader::open(&writer, Place::START, None);
    writer.write(&message(0));
    writer.write_bytes(b"no record\n{\"log\":\"torn");
    writer.write(&message(1));
    writer.write_bytes(&vec![0; 3 * 1024 * 1024]);
    writer.write(&message(2));
    writer.write_bytes(&vec![b'x'; 3 * 1024 * 1024]);
    writer.write_bytes(b"\n");
    writer.write(&message(3));
    reader.read();
    assert_eq!(reader.texts(), texts(0..4));
    assert!(reader.messages.take_counts().malformed >= 4);
}

#[test]
fn a_line_in_pieces_is_joined_over_a_rotation_and_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let writer = Writer::new(directory.path(), 3, false);
    let mut reader = Reader::open(&writer, Place::START, None);
    let piece = |text: &str| Message { text: text.to_owned(), ..message(0) };
    writer.write(&piece("one "));
    writer.rotate();
    writer.write(&piece("two "));
    writer.write(&Message { stderr: true, ..message(1) });
    reader.read();
    assert_eq!(reader.texts(), ["<1>"]);
    let (place, hint) = reader.cursor();
    writer.write(&piece("three\r\n"));
    let mut again = Reader::open(&writer, place, hint);
    again.read();
    assert_eq!(again.texts(), ["one two three"]);
    reader.read();
    assert_eq!(reader.texts(), ["<1>", "one two three"]);
}

#[test]
fn a_place_that_is_not_there_any_more_is_found_by_time() {
    let directory = tempfile::tempdir().unwrap();
    let writer = Writer::new(directory.path(), 5, true);
    let mut reader = Reader::open(&writer, Place::START, None);
    for number in 0..5 {
        writer.write(&message(number));
    }
    reader.read();
    let (place, hint) = reader.cursor();
    let before: usize = (0..4).map(|number| message(number).record().len()).sum();
    assert_eq!(hint.unwrap().offset, before as u64, "the last message");
    writer.write(&message(5));
    writer.rotate();
    writer.write(&message(6));
    for hint in [hint, None] {
        let mut again = Reader::open(&writer, place, hint);
        again.read();
        assert_eq!(again.texts(), texts(5..7));
    }
}

/// What happens between the messages of a log.
#[derive(Clone, Debug)]
enum Step {
    Write {
        stderr: bool,
        advance: i64,
        pieces: u8,
    },
    Rotate,
    /// Reads what there is.
    Read,
    /// Another session begins, with the place in the file or without, or at the stream, which breaks somewhere.
    Reopen {
        hint: bool,
    },
    Stream {
        length: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (any::<bool>(), 0i64..3, 0u8..4)
            .prop_map(|(stderr, advance, pieces)| Step::Write { stderr, advance, pieces }),
        1 => Just(Step::Rotate),
        2 => Just(Step::Read),
        1 => any::<bool>().prop_map(|hint| Step::Reopen { hint }),
        1 => (0usize..600).prop_map(|length| Step::Stream { length }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// However a log is read, from its files and from its stream by turns, through rotations and restarts: each line comes
    /// once, whole, in the order of its output.
    #[test]
    fn sessions_of_both_kinds_give_each_line_once(
        steps in proptest::collection::vec(step(), 1..120),
        compress: bool,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let writer = Writer::new(directory.path(), 200, compress);
        let mut reader = Reader::open(&writer, Place::START, None);
        let (mut written, mut lines, mut now) = (Vec::<Message>::new(), Vec::new(), 1_763_461_800_000_000_000);
        let mut read = Vec::new();
        let mut used = std::collections::HashSet::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Write { stderr, advance, pieces } => {
                    now += advance;
                    // No two lines of an output share a nanosecond: that is how pieces are told from lines.
                    while !used.insert((stderr, now)) {
                        now += 1;
                    }
                    let text = format!("<{number}>");
                    lines.push((if stderr { Output::Stderr } else { Output::Stdout }, text.repeat(usize::from(pieces) + 1)));
                    for piece in 0..=pieces {
                        let end = if piece == pieces { "\n" } else { "" };
                        let message = Message { stderr, time: now, text: format!("{text}{end}") };
                        writer.write(&message);
                        written.push(message);
                    }
                }
                // dockerd rotates a file that a record has no room in: never an empty one.
                Step::Rotate if fs::metadata(&writer.path).unwrap().len() == 0 => {}
                Step::Rotate => writer.rotate(),
                Step::Read => reader.read(),
                Step::Reopen { hint } => {
                    let (place, there) = reader.cursor();
                    read.append(&mut reader.lines);
                    reader = Reader::open(&writer, place, there.filter(|_| hint));
                }
                Step::Stream { length } => {
                    let (place, _) = reader.cursor();
                    read.append(&mut reader.lines);
                    let bytes: Vec<u8> = written.iter().flat_map(Message::frame).collect();
                    let mut decoder = Decoder::new(false, place);
                    let mut chunk = Chunk::default();
                    decoder.feed(&bytes[..length.min(bytes.len())], &mut chunk).unwrap();
                    reader = Reader::open(&writer, decoder.place(), None);
                    reader.take(&mut chunk);
                }
            }
        }
        reader.finish();
        read.append(&mut reader.lines);
        for output in [Output::Stdout, Output::Stderr] {
            let of = |lines: &[(Output, String)]| -> Vec<String> {
                lines.iter().filter(|(from, _)| *from == output).map(|(_, line)| line.clone()).collect()
            };
            prop_assert_eq!(of(&read), of(&lines), "{:?}", output);
        }
    }
}

#[test]
fn a_tty_counts_the_same_in_its_stream_and_in_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let writer = Writer::new(directory.path(), 3, false);
    let long = "x".repeat(16 * 1024);
    let mut written = vec![message(0)];
    written.extend([&long, &long, "end\r\n"].map(|text| Message { text: text.to_owned(), ..message(1) }));
    written.push(message(2));
    written.iter().for_each(|message| writer.write(message));
    let stream: Vec<u8> = written.iter().flat_map(|message| message.of_tty()).collect();
    let mut decoder = Decoder::new(true, Place::START);
    let mut chunk = Chunk::default();
    decoder.feed(&stream, &mut chunk).unwrap();
    let mut log = JsonFile::open(&writer.path, None).unwrap();
    let mut messages = Messages::from(Place::START, true);
    let mut from_file = Chunk::default();
    assert!(log.fill(&mut messages, &mut from_file).unwrap());
    let lines = |chunk: &Chunk| chunk.lines().map(|(line, _)| line.to_vec()).collect::<Vec<_>>();
    assert_eq!(lines(&chunk), lines(&from_file));
    assert_eq!(decoder.place(), messages.place());
}
