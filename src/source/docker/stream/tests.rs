//! Behaviour of the log stream decoder, framed and with a TTY.

use proptest::prelude::*;

use super::*;
use crate::record::Origin;

const T1: &str = "2025-11-18T10:30:00.000000001Z";
const T2: &str = "2025-11-18T10:30:00.000000002Z";
const T3: &str = "2025-11-18T10:30:00.000000003Z";

fn frame(output: u8, text: &str) -> Vec<u8> {
    let mut bytes = vec![output, 0, 0, 0];
    bytes.extend_from_slice(&(text.len() as u32).to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

fn output(origin: Origin) -> Output {
    if origin == Output::Stderr.into() { Output::Stderr } else { Output::Stdout }
}

fn lines(chunk: &Chunk) -> Vec<(Output, String)> {
    chunk
        .lines()
        .map(|(line, meta)| (output(meta.origin), String::from_utf8(line.to_vec()).unwrap()))
        .collect()
}

/// Decodes a whole stream given in one piece.
fn decode(tty: bool, place: Place, bytes: &[u8]) -> (Vec<(Output, String)>, Decoder) {
    let mut decoder = Decoder::new(tty, place);
    let mut chunk = Chunk::default();
    decoder.feed(bytes, &mut chunk).unwrap();
    decoder.finish(&mut chunk);
    (lines(&chunk), decoder)
}

fn out(text: &str) -> (Output, String) {
    (Output::Stdout, text.to_owned())
}

fn err(text: &str) -> (Output, String) {
    (Output::Stderr, text.to_owned())
}

#[test]
fn stdout_and_stderr_are_told_apart_and_each_joins_its_own_pieces() {
    let piece = "x".repeat(PIECE_LENGTH);
    let stream = [
        frame(1, &format!("{T1} {piece}")),
        frame(2, &format!("{T2} oops\n")),
        frame(1, &format!("{T1} end\n")),
        frame(1, &format!("{T2} \n")),
    ]
    .concat();
    let (lines, mut decoder) = decode(false, Place::START, &stream);
    assert_eq!(lines, [err("oops"), out(&format!("{piece}end")), out("")]);
    assert_eq!(decoder.take_counts().malformed, 0);
}

#[test]
fn the_place_stays_before_an_unfinished_line_and_moves_on_for_the_other_output() {
    let stream = [
        frame(1, &format!("{T1} first\n")),
        frame(1, &format!("{T2} begun")),
        frame(2, &format!("{T3} oops\n")),
        frame(2, &format!("{T3} again\n")),
    ]
    .concat();
    let mut decoder = Decoder::new(false, Place::START);
    decoder.feed(&stream, &mut Chunk::default()).unwrap();
    let place = decoder.place();
    let rest = [stream, frame(1, &format!("{T2} and ended\n"))].concat();
    assert_eq!(decode(false, place, &rest).0, [out("begunand ended")], "what stderr wrote is not repeated");
}

#[test]
fn a_last_line_without_a_newline_is_a_line() {
    assert_eq!(decode(false, Place::START, &frame(2, &format!("{T1} panic"))).0, [err("panic")]);
    assert_eq!(decode(true, Place::START, format!("{T1} a\r\n{T1} b").as_bytes()).0, [out("a"), out("b")]);
}

#[test]
fn a_message_without_a_time_is_kept_and_counted() {
    let stream = [frame(1, &format!("{T1} good\n")), frame(1, "no time here\n"), frame(1, "")].concat();
    let (lines, mut decoder) = decode(false, Place::START, &stream);
    assert_eq!(lines[..2], [out("good"), out("no time here")]);
    assert_eq!(decoder.take_counts().malformed, 2);
}

#[test]
fn a_daemon_error_and_a_foreign_byte_end_the_stream() {
    let feed = |bytes: &[u8]| {
        Decoder::new(false, Place::START).feed(bytes, &mut Chunk::default()).unwrap_err().to_string()
    };
    assert_eq!(feed(&frame(3, "disk on fire\n")), "the daemon reports: disk on fire");
    assert_eq!(feed(b"2025-11-18T10"), "frame of unknown kind 50");
}

#[test]
fn a_tty_line_over_several_pieces_loses_the_times_between_them() {
    let (a, b) = ("a".repeat(PIECE_LENGTH), "b".repeat(PIECE_LENGTH));
    let stream = format!("{T1} {a}{T1} {b}{T1} c\r\n{T2} plain\r\n");
    assert_eq!(decode(true, Place::START, stream.as_bytes()).0, [out(&format!("{a}{b}c")), out("plain")]);
}

#[test]
fn what_a_tty_container_stopped_in_is_not_glued_to_its_next_start() {
    let prompt = format!("{T1} prompt# ");
    let (lines, decoder) = decode(true, Place::START, prompt.as_bytes());
    assert_eq!(lines, [out("prompt# ")]);
    let restarted = format!("{prompt}{T2} first line\r\n{T3} at 2025-11-18T10:29:59.000000000Z it began\r\n");
    let rest = [out("first line"), out("at 2025-11-18T10:29:59.000000000Z it began")];
    assert_eq!(decode(true, decoder.place(), restarted.as_bytes()).0, rest, "and the prompt is not repeated");
}

#[test]
fn a_tty_line_that_looks_like_frames_stays_text() {
    let stream = [T1.as_bytes(), b" \x01\x00\x00\x00\x00\x00\x00\x05hello\n"].concat();
    assert_eq!(decode(true, Place::START, &stream).0, [out("\x01\0\0\0\0\0\0\x05hello")]);
}

#[test]
fn lines_of_the_same_whole_second_have_times_of_their_own_that_stay_the_same() {
    let second = 1_763_461_800_000_000_000;
    let messages: Vec<Vec<u8>> =
        [1, 2, 1, 1].map(|output| frame(output, "2025-11-18T11:30:00+01:00 tick\n")).to_vec();
    let times = |place: Place, bytes: &[u8]| {
        let (mut decoder, mut chunk) = (Decoder::new(false, place), Chunk::default());
        decoder.feed(bytes, &mut chunk).unwrap();
        let times: Vec<i64> = chunk.lines().map(|(_, line)| line.timestamp.0 - second).collect();
        (times, decoder.place())
    };
    let (all, _) = times(Place::START, &messages.concat());
    assert_eq!(all, [0, 1, 2, 3]);
    let (_, place) = times(Place::START, &messages[..2].concat());
    assert_eq!(times(place, &messages.concat()).0, [2, 3]);
    let mut tty = Chunk::default();
    Decoder::new(true, Place::START)
        .feed(b"2025-11-18T10:30:00Z a\n2025-11-18T10:30:00Z a\n", &mut tty)
        .unwrap();
    assert_eq!(tty.lines().map(|(_, line)| line.timestamp.0 - second).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn a_resumed_stream_gives_only_what_was_not_read() {
    let stream: Vec<u8> =
        [T1, T1, T2].iter().flat_map(|time| frame(1, &format!("{time} {time}\n"))).collect();
    let (_, decoder) = decode(false, Place::START, &stream[..2 * frame(1, &format!("{T1} {T1}\n")).len()]);
    assert_eq!(decode(false, decoder.place(), &stream).0, [out(T2)]);
}

/// One message of a container: output, time in seconds, text, whether it ends its line.
type Message = (u8, i64, String, bool);

/// How a daemon understands `since`.
#[derive(Clone, Copy, Debug)]
enum Daemon {
    /// From the first message that is not before it, everything.
    Starts,
    /// The same, but it knows only whole multiples of ten seconds.
    Rounds,
    /// Each message that is not before it (20.10).
    Filters,
}

/// What a daemon sends from `place` on.
fn served(log: &[Message], place: Place, daemon: Daemon) -> Vec<u8> {
    let since: f64 = place.since().parse().unwrap();
    let since = match daemon {
        Daemon::Rounds => (since / 10.0).floor() * 10.0,
        Daemon::Starts | Daemon::Filters => since,
    };
    let mut passed = false;
    let mut bytes = Vec::new();
    for (output, second, text, ends) in log {
        passed |= *second as f64 >= since;
        if passed && (*second as f64 >= since || !matches!(daemon, Daemon::Filters)) {
            let time = jiff::Timestamp::from_second(*second).unwrap();
            bytes.extend(frame(*output, &format!("{time:.9} {text}{}", if *ends { "\n" } else { "" })));
        }
    }
    bytes
}

proptest! {
    /// Wherever streams break, and also when times go backwards, lines are cut into pieces, outputs interleave or the
    /// daemon rounds `since` down: each line comes once, whole, in order.
    #[test]
    fn streams_broken_anywhere_go_on_without_loss_or_repetition(
        steps in proptest::collection::vec((1u8..3, 0i64..60, any::<bool>(), 0u8..4), 1..60),
        breaks in proptest::collection::vec(1usize..400, 0..20),
        daemon in prop_oneof![Just(Daemon::Starts), Just(Daemon::Rounds), Just(Daemon::Filters)],
    ) {
        // Times wander: mostly up, sometimes back by a few seconds, often equal between the outputs. Pieces of one line
        // carry one time, and no other line of the output has it: that is how Docker stamps, and how lines are told
        // apart.
        let (mut now, mut latest) = (1_000, 1_000);
        let mut begun: [Option<i64>; 2] = [None, None];
        let mut used = std::collections::HashSet::new();
        let mut log: Vec<Message> = Vec::new();
        for (number, (output, advance, back, pieces)) in steps.iter().enumerate() {
            now = (now + advance / 10 - 3 * i64::from(*back)).max(latest - 8);
            let open = &mut begun[usize::from(*output) - 1];
            // A piece later than `LATE_BY` would be miscounted where its daemon filters and a nanosecond is shared.
            *open = open.filter(|time| *time >= latest - 8);
            let mut time = open.unwrap_or(now);
            while open.is_none() && !used.insert((*output, time)) {
                time += 1;
            }
            latest = latest.max(time);
            let ends = *pieces == 0 || open.is_some();
            *open = if ends { None } else { Some(time) };
            log.push((*output, time, format!("<{number}>"), ends));
        }
        let whole = decode(false, Place::START, &served(&log, Place::START, Daemon::Starts)).0;
        let (mut place, mut read) = (Place::START, Vec::new());
        for length in breaks {
            let stream = served(&log, place, daemon);
            let mut decoder = Decoder::new(false, place);
            let mut chunk = Chunk::default();
            decoder.feed(&stream[..length.min(stream.len())], &mut chunk).unwrap();
            read.extend(lines(&chunk));
            place = decoder.place();
            // What is stored is what comes back.
            prop_assert_eq!(Place::from_cursor(place.cursor(None)), Some(place));
        }
        read.extend(decode(false, place, &served(&log, place, daemon)).0);
        for output in [Output::Stdout, Output::Stderr] {
            let of = |lines: &[(Output, String)]| -> Vec<String> {
                lines.iter().filter(|(from, _)| *from == output).map(|(_, line)| line.clone()).collect()
            };
            prop_assert_eq!(of(&read), of(&whole), "{:?}", output);
        }
    }

    /// The network may cut the stream anywhere; the lines are the same.
    #[test]
    fn cuts_in_the_stream_do_not_show(
        messages in proptest::collection::vec((1u8..3, 0u8..3, "[ -~]{0,60}", any::<bool>()), 0..30),
        cuts in proptest::collection::vec(1usize..40, 1..50),
        tty: bool,
    ) {
        let mut stream = Vec::new();
        for (output, tick, text, newline) in &messages {
            let message = format!("2025-11-18T10:30:00.00000000{tick}Z {text}{}", if *newline || tty { "\n" } else { "" });
            stream.extend(if tty { message.into_bytes() } else { frame(*output, &message) });
        }
        let whole = decode(tty, Place::START, &stream).0;
        let mut decoder = Decoder::new(tty, Place::START);
        let mut chunk = Chunk::default();
        let mut rest = stream.as_slice();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() { break; }
            let (part, after) = rest.split_at((*cut).min(rest.len()));
            decoder.feed(part, &mut chunk).unwrap();
            rest = after;
        }
        decoder.finish(&mut chunk);
        prop_assert_eq!(lines(&chunk), whole);
    }

    #[test]
    fn no_bytes_can_panic_the_decoder(bytes in proptest::collection::vec(any::<u8>(), 0..2000), tty: bool) {
        let mut decoder = Decoder::new(tty, Place::START);
        let mut chunk = Chunk::default();
        let _ = decoder.feed(&bytes, &mut chunk);
        decoder.finish(&mut chunk);
    }
}
