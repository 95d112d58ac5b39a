//! What is a message of RFC 5424 and what is not.

use super::*;

/// The parts of a message, `-` for those it has not.
fn parts(message: &Message<'_>) -> String {
    let parts = [message.hostname, message.app_name, message.proc_id, message.msg_id];
    parts.map(|part| part.unwrap_or("-")).join(" ")
}

fn data(text: &str) -> Vec<String> {
    let message = parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
    let mut all = Vec::new();
    parameters(message.structured_data, |id, name, value| {
        all.push(format!("{id}.{name}={}", String::from_utf8_lossy(&value)));
    });
    all
}

#[test]
fn the_parts_of_a_message_are_found() {
    let table: [(&str, u8, &str, &str); 9] = [
        (
            "<34>1 2003-10-11T22:14:15.003Z mymachine su 12 ID47 - 'su root' failed",
            34,
            "mymachine su 12 ID47",
            "'su root' failed",
        ),
        (
            "<165>4 2003-10-11T22:14:15.003Z m e - 1 [ex@32473 iut=\"3\"] An entry...",
            165,
            "m e - 1",
            "An entry...",
        ),
        ("<0>999 - - - - - -", 0, "- - - -", ""),
        ("<1>1 - - - - - - ", 1, "- - - -", ""),
        ("<1>1 - - - - - -  two spaces", 1, "- - - -", " two spaces"),
        ("<191>1 - - - - - [id] x", 191, "- - - -", "x"),
        ("<1>1 - - - - - - x\ny", 1, "- - - -", "x\ny"),
        ("<1>1 - - - - - - \u{feff}κόσμε", 1, "- - - -", "\u{feff}κόσμε"),
        ("<1>1 2016-02-29T00:00:00.123456789+05:30 -- -- -- -- - -", 1, "-- -- -- --", "-"),
    ];
    for (text, priority, expected, said) in table {
        let message = parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(message.priority, Some(priority), "{text}");
        assert_eq!(parts(&message), expected, "{text}");
        assert_eq!(message.text, said.as_bytes(), "{text}");
    }
}

#[test]
fn bytes_that_are_no_utf8_stay_in_the_text() {
    let message = parse(b"<1>1 - - - - - - \xf8\xf7\xe3\xe4").unwrap();
    assert_eq!(message.text, b"\xf8\xf7\xe3\xe4");
}

#[test]
fn a_time_is_read_to_the_nanosecond_wherever_it_was_taken() {
    let nanos = |time: &str| parse(format!("<1>1 {time} - - - - -").as_bytes()).unwrap().timestamp;
    assert_eq!(nanos("2018-10-11T22:14:15.003Z"), Some(UnixNanos(1_539_296_055_003_000_000)));
    assert_eq!(nanos("2018-10-11T23:44:15.003+01:30"), nanos("2018-10-11T22:14:15.003Z"));
    assert_eq!(nanos("1970-01-01T00:00:00.000000001Z"), Some(UnixNanos(1)));
    assert_eq!(nanos("-"), None);
    assert_eq!(nanos("9999-01-01T00:00:00Z"), None, "no time that Loki could have");
}

#[test]
fn parameters_are_read_without_their_escapes() {
    assert_eq!(data("<1>1 - - - - - [a@1 x=\"1\" y=\"\"][b x=\"2\"] text"), ["a@1.x=1", "a@1.y=", "b.x=2"]);
    assert_eq!(data(r#"<1>1 - - - - - [a x="\"\\\]" y="a\nb" z="é"]"#), [r#"a.x="\]"#, r"a.y=a\nb", "a.z=é"]);
    assert!(data("<1>1 - - - - - [only]").is_empty());
    assert!(data("<1>1 - - - - - -").is_empty());
}

#[test]
fn what_is_no_message_is_refused_with_the_place() {
    let long = |count| "x".repeat(count);
    let table: [(String, usize); 34] = [
        (String::new(), 0),
        ("text".to_owned(), 0),
        ("<>1 - - - - - -".to_owned(), 0),
        ("<192>1 - - - - - -".to_owned(), 0),
        ("<01>1 - - - - - -".to_owned(), 0),
        ("<1111>1 - - - - - -".to_owned(), 0),
        ("<-1>1 - - - - - -".to_owned(), 0),
        ("<1".to_owned(), 0),
        ("<1>".to_owned(), 3),
        ("<1>0 - - - - - -".to_owned(), 3),
        ("<1>Oct 11 22:14:15 host su: x".to_owned(), 3),
        ("<1>1000 - - - - - -".to_owned(), 6),
        ("<1>1".to_owned(), 4),
        ("<1>1 -- - - - - -".to_owned(), 5),
        ("<1>1 2003-10-11 - - - - -".to_owned(), 5),
        ("<1>1 2003-10-11t22:14:15Z - - - - -".to_owned(), 5),
        ("<1>1 2003-09-31T22:14:15Z - - - - -".to_owned(), 5),
        ("<1>1 2003-10-11T22:14:15 - - - - -".to_owned(), 5),
        ("<1>1 2003-10-11T22:14:15.Z - - - - -".to_owned(), 5),
        ("<1>1 2003-10-11T22:14:15.0123456789Z - - - - -".to_owned(), 5),
        ("<1>1 - ".to_owned(), 7),
        (format!("<1>1 - {} - - - -", long(256)), 7),
        ("<1>1 - é - - - -".to_owned(), 7),
        (format!("<1>1 - - {} - - -", long(49)), 9),
        (format!("<1>1 - - - {} - -", long(129)), 11),
        (format!("<1>1 - - - - {} -", long(33)), 13),
        ("<1>1 - - - - -".to_owned(), 14),
        ("<1>1 - - - - - text".to_owned(), 15),
        ("<1>1 - - - - - [] x".to_owned(), 16),
        ("<1>1 - - - - - [a x] y".to_owned(), 19),
        ("<1>1 - - - - - [a x=1] y".to_owned(), 20),
        ("<1>1 - - - - - [a x=\"]\"] y".to_owned(), 21),
        ("<1>1 - - - - - [a x=\"1\"".to_owned(), 23),
        ("<1>1 - - - - - -x".to_owned(), 16),
    ];
    for (text, at) in table {
        match parse(text.as_bytes()) {
            Ok(message) => panic!("{text}: {message:?}"),
            Err(malformed) => assert_eq!(malformed.at, at, "{text}: {malformed}"),
        }
    }
}
