//! Messages out of pieces of any size.

use proptest::prelude::*;

use super::*;

const LIMIT: usize = 8192;

/// All messages of a connection that is read in pieces of so many bytes.
fn read(input: &[u8], piece: usize, limit: usize) -> (Vec<String>, Result<(), FrameError>) {
    let mut found = Vec::new();
    let mut each = |frame: Frame<'_>| {
        let mark = if frame.is_cut { "!" } else { "" };
        found.push(format!("{mark}{}", String::from_utf8_lossy(frame.bytes)));
    };
    let mut framer = Framer::new(limit);
    let mut result = input.chunks(piece).try_for_each(|bytes| framer.push(bytes, &mut each));
    if result.is_ok() {
        result = framer.finish(&mut each);
    }
    (found, result)
}

/// The same whatever the pieces.
#[track_caller]
fn messages(input: &str) -> Vec<String> {
    let (whole, result) = read(input.as_bytes(), usize::MAX, LIMIT);
    assert_eq!(result, Ok(()), "{input:?}");
    for piece in 1..8 {
        assert_eq!(read(input.as_bytes(), piece, LIMIT).0, whole, "{input:?} in pieces of {piece}");
    }
    whole
}

#[test]
fn lines_are_messages() {
    assert_eq!(messages("<1>a\n<2>b\n<3>c"), ["<1>a", "<2>b", "<3>c"]);
    assert_eq!(messages("<1>a\r\n<2>b\r\n"), ["<1>a", "<2>b"]);
    assert_eq!(messages("<1>a\0<2>b\0"), ["<1>a", "<2>b"]);
    assert_eq!(messages("<1>a\n\n\n<2>b\n\n"), ["<1>a", "<2>b"]);
    assert_eq!(messages("<1>a b  \n"), ["<1>a b  "], "spaces are part of the message");
    assert_eq!(messages("<"), ["<"]);
    assert_eq!(messages("<1>a\n<"), ["<1>a", "<"]);
    assert!(messages("").is_empty());
}

#[test]
fn a_line_that_begins_no_message_continues_the_one_before() {
    assert_eq!(messages("<1>a\n  at b\n  at c\n<2>d\n"), ["<1>a\n  at b\n  at c", "<2>d"]);
    assert_eq!(messages("<1>a\n<html>\n<b>\n</html>\n<2>d"), ["<1>a\n<html>\n<b>\n</html>", "<2>d"]);
    assert_eq!(messages("<1>a\n<\n<<2>\n"), ["<1>a\n<\n<<2>"]);
}

#[test]
fn lengths_say_where_messages_end() {
    assert_eq!(messages("4 <1>a5 <2>bc"), ["<1>a", "<2>bc"]);
    assert_eq!(messages("6 <1>a\nb4 <2>c"), ["<1>a\nb", "<2>c"]);
    assert_eq!(messages("5 <1>a\n5 <2>b\0"), ["<1>a", "<2>b"], "what ends a line is no part of it");
    assert_eq!(
        messages("4 <1>a\n4 <2>b\r\n"),
        ["<1>a", "<2>b"],
        "line ends between messages are passed over"
    );
}

#[test]
fn b_sys_4_what_begins_otherwise_is_no_framing() {
    for (input, byte) in [("xxx", b'x'), (" <1>a", b' '), ("\n<1>a", b'\n')] {
        assert_eq!(read(input.as_bytes(), 1, LIMIT), (Vec::new(), Err(FrameError::NoFraming(byte))));
    }
}

#[test]
fn b_sys_8_a_length_above_the_limit_ends_the_connection() {
    let (found, result) = read(b"4 <1>a8193 <1>b", 3, LIMIT);
    assert_eq!((found.len(), result), (1, Err(FrameError::TooLong { length: 8193, limit: LIMIT })));
    let most = format!("8192 <1>{}", "x".repeat(8189));
    assert_eq!(messages(&most)[0].len(), 8192);
    let (_, result) = read(b"99999999999999999999999999999999 x", 1, LIMIT);
    assert_eq!(result, Err(FrameError::TooLong { length: 9999, limit: LIMIT }));
}

#[test]
fn a_length_that_is_none_ends_the_connection() {
    assert_eq!(read(b"4 <1>a<2>b", 2, LIMIT).1, Err(FrameError::NoLength(b'<')));
    assert_eq!(read(b"4x", 1, LIMIT).1, Err(FrameError::NoLength(b'x')));
    assert_eq!(read(b"0 ", 1, LIMIT).1, Err(FrameError::NoLength(b'0')));
    assert_eq!(read(b"9 <1>a", 1, LIMIT), (Vec::new(), Err(FrameError::Incomplete { missing: 5 })));
}

#[test]
fn a_line_above_the_limit_is_cut_and_the_next_is_whole() {
    let input = format!("<1>{}\n<2>b\n", "x".repeat(100));
    for piece in [1, 7, 1000] {
        let (found, result) = read(input.as_bytes(), piece, 40);
        assert_eq!(result, Ok(()));
        assert_eq!(found, [format!("!<1>{} [cut by tailwater]", "x".repeat(18)), "<2>b".to_owned()]);
    }
    // As long as allowed, line ends not counted.
    let input = format!("<1>{}\r\n\n<2>b\n", "x".repeat(37));
    assert_eq!(read(input.as_bytes(), 3, 40).0, [format!("<1>{}", "x".repeat(37)), "<2>b".to_owned()]);
    // No room for the mark.
    assert_eq!(read(b"<1>abcdef\n<2>c", 2, 5).0, ["!<1>ab", "<2>c"]);
}

#[test]
fn a_message_whose_line_has_ended_can_be_had_at_once() {
    let mut found = Vec::new();
    let mut each = |frame: Frame<'_>| found.push(String::from_utf8_lossy(frame.bytes).into_owned());
    let mut framer = Framer::new(LIMIT);
    framer.push(b"<1>a", &mut each).unwrap();
    assert!(!framer.is_waiting(), "the line has not ended");
    framer.push(b"\n", &mut each).unwrap();
    assert!(framer.is_waiting());
    framer.release(&mut each);
    assert!(!framer.is_waiting());
    framer.push(b"late\n<", &mut each).unwrap();
    assert!(framer.is_waiting());
    framer.release(&mut each);
    framer.push(b"2>b\n", &mut each).unwrap();
    framer.finish(&mut each).unwrap();
    assert_eq!(found, ["<1>a", "late", "<2>b"]);
}

#[test]
fn a_datagram_is_whole_whatever_it_says() {
    let messages = |input: &[u8]| {
        let mut found = Vec::new();
        datagram(input, 64, &mut |frame: Frame<'_>| {
            found.push(String::from_utf8_lossy(frame.bytes).into_owned());
        });
        found
    };
    assert_eq!(messages(b"<1>a"), ["<1>a"]);
    assert_eq!(messages(b"<1>a\nb\n<2>c\0"), ["<1>a\nb", "<2>c"]);
    assert_eq!(messages(b"4 <1>a"), ["<1>a"]);
    assert_eq!(messages(b"4 <1>a4 <2>b\n"), ["<1>a", "<2>b"]);
    assert_eq!(messages(b"99 <1>a"), ["99 <1>a"]);
    assert_eq!(messages(b"4 text"), ["4 text"]);
    assert_eq!(messages(b"text\n"), ["text"]);
    assert!(messages(b"").is_empty() && messages(b"\0\n").is_empty());
    let found = messages(format!("<1>{}", "x".repeat(100)).as_bytes());
    assert!(found[0].len() == 64 && found[0].ends_with("[cut by tailwater]"), "{found:?}");
}

proptest! {
    #[test]
    fn pieces_make_no_difference(
        parts in prop::collection::vec("[<>0-9 a\n\r\0]{0,6}", 0..12),
        piece in 1usize..9,
        limit in 1usize..40,
    ) {
        let input = parts.concat();
        prop_assert_eq!(read(input.as_bytes(), piece, limit), read(input.as_bytes(), usize::MAX, limit));
    }

    #[test]
    fn what_is_framed_by_length_comes_back(messages in prop::collection::vec("[ -~]{1,50}[!-~]", 0..8), piece in 1usize..9) {
        let framed: String = messages.iter().map(|message| format!("{} {message}", message.len())).collect();
        prop_assert_eq!(read(framed.as_bytes(), piece, LIMIT), (messages, Ok(())));
    }
}
