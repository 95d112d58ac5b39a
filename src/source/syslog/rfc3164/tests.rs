//! What devices and programs send, and what of it is found.

use proptest::prelude::*;

use super::*;

fn here() -> Here {
    Here { now: "2024-03-15T12:00:00Z".parse().unwrap(), zone: TimeZone::UTC }
}

/// `priority time host app proc | text`, `-` for what is absent.
fn parts(bytes: &[u8]) -> String {
    let message = parse(bytes, &here());
    let time =
        message.timestamp.map(|time| Timestamp::from_nanosecond(i128::from(time.0)).unwrap().to_string());
    let priority = message.priority.map(|priority| priority.to_string());
    let or = |part: Option<&str>| part.unwrap_or("-").to_owned();
    format!(
        "{} {} {} {} {} | {}",
        or(priority.as_deref()),
        or(time.as_deref()),
        or(message.hostname),
        or(message.app_name),
        or(message.proc_id),
        String::from_utf8_lossy(message.text)
    )
}

#[test]
fn the_forms_of_the_field_are_understood() {
    let table = [
        // As the RFC has it, and as Promtail takes it.
        (
            "<34>Oct 11 22:14:15 mymachine su: 'su root' failed on /dev/pts/8",
            "34 2023-10-11T22:14:15Z mymachine su - | 'su root' failed on /dev/pts/8",
        ),
        (
            "<13>Feb  5 17:32:18 10.0.0.99 Use the BFG!",
            "13 2024-02-05T17:32:18Z 10.0.0.99 - - | Use the BFG!",
        ),
        (
            "<85>Jan 24 15:50:41 ip-172-31-30-110 sudo[6040]: ec2-user : TTY=pts/0",
            "85 2024-01-24T15:50:41Z ip-172-31-30-110 sudo 6040 | ec2-user : TTY=pts/0",
        ),
        (
            "<0>Sep 17 04:05:37 host.tld monit[2340:0]: subsvc[12345]: [x]",
            "0 2023-09-17T04:05:37Z host.tld monit 2340:0 | subsvc[12345]: [x]",
        ),
        (
            "<132> Apr  4 19:32:33 ix2105  IP6[015]: Beyond",
            "132 2024-04-04T19:32:33Z ix2105 IP6 015 | Beyond",
        ),
        // Without a host.
        ("<46>Apr 27 23:06:01 syslogd[68529]: start", "46 2024-04-27T23:06:01Z - syslogd 68529 | start"),
        ("<13>Apr 27 23:06:09 catap: some test", "13 2024-04-27T23:06:09Z - catap - | some test"),
        // A word alone is the message.
        ("<13>Apr 27 23:06:09 hello", "13 2024-04-27T23:06:09Z - - - | hello"),
        ("<13>Apr 27 23:06:09 host  indented", "13 2024-04-27T23:06:09Z host - - | indented"),
        (
            "<30>Apr 29 11:44:07 cabinet b4fbe48b48ad,UAP-nanoHD-6.6.55+15189: stahtd: x",
            "30 2024-04-29T11:44:07Z cabinet b4fbe48b48ad,UAP-nanoHD-6.6.55+15189 - | stahtd: x",
        ),
        // Cisco.
        (
            "<189>643: *Jan  8 19:46:03.295: %LINEPROTO-5-UPDOWN: Line protocol",
            "189 2024-01-08T19:46:03.295Z - %LINEPROTO-5-UPDOWN - | Line protocol",
        ),
        (
            "<189>105: 000104: Mar 12 07:12:10: %SYS-5-CONFIG_I: Configured",
            "189 2024-03-12T07:12:10Z - %SYS-5-CONFIG_I - | Configured",
        ),
        ("<189>: Mar 12 07:10:10: %SYS-5-CONFIG_I: x", "189 2024-03-12T07:10:10Z - %SYS-5-CONFIG_I - | x"),
        (
            "<189>269614: router-1: Apr 11 10:02:08.123 UTC: %LINEPROTO-5-UPDOWN: x",
            "189 2024-04-11T10:02:08.123Z router-1 %LINEPROTO-5-UPDOWN - | x",
        ),
        (
            "<189>45: Apr 11 2024 10:02:08.123 +01:00: %SYS-5-X: x",
            "189 2024-04-11T09:02:08.123Z - %SYS-5-X - | x",
        ),
        ("<189>45: .Apr 11 10:02:08 CET: %SYS-5-X: x", "189 2024-04-11T10:02:08Z - %SYS-5-X - | x"),
        ("<189>45: text without a time", "189 - - - - | 45: text without a time"),
        (
            "<166>Jul  6 2023 20:33:28 ABC-1 : %ASA-6-302013: Built",
            "166 2023-07-06T20:33:28Z ABC-1 %ASA-6-302013 - | Built",
        ),
        (
            "<166>Jul 06 2023 20:33:28: %ASA-6-302013: Built",
            "166 2023-07-06T20:33:28Z - %ASA-6-302013 - | Built",
        ),
        // A year behind the clock.
        ("<13>Jul  6 20:33:28 2022 host app: x", "13 2022-07-06T20:33:28Z host app - | x"),
        // ISO times, as rsyslog's forwarding format has them.
        (
            "<13>2024-03-01T10:00:00.123456+02:00 host app[1]: x",
            "13 2024-03-01T08:00:00.123456Z host app 1 | x",
        ),
        ("<13>2024-03-01 10:00:00,5 host app: x", "13 2024-03-01T10:00:00.5Z host app - | x"),
        ("<13>2024-03-01T10:00:00 host app: x", "13 2024-03-01T10:00:00Z host app - | x"),
        // RFC 5424.
        (
            "<165>1 2003-10-11T22:14:15.003Z m e 7 1 [a b=\"c\"] entry",
            "165 2003-10-11T22:14:15.003Z m e 7 | entry",
        ),
        // Nothing but a priority, or not even that.
        ("<13>hello world", "13 - - - - | hello world"),
        ("<13>app: hello", "13 - - app - | hello"),
        ("<13>app[1]:", "13 - - app 1 | "),
        ("<13>", "13 - - - - | "),
        ("hello world", "- - - - - | hello world"),
        ("<192>hello", "- - - - - | <192>hello"),
        ("<13>http://host/path", "13 - - - - | http://host/path"),
        ("<13>[1] x: y", "13 - - - - | [1] x: y"),
        ("<13>1 not RFC 5424", "13 - - - - | 1 not RFC 5424"),
        ("<13>Oct 11 hello", "13 - - - - | Oct 11 hello"),
        ("<13>Oct 11 22:14:15x host", "13 - - - - | Oct 11 22:14:15x host"),
        ("<13>Feb 30 22:14:15 host app: no such day", "13 - host app - | no such day"),
        ("<13>Oct 11 22:14:15 hôte app: x", "13 2023-10-11T22:14:15Z - - - | hôte app: x"),
    ];
    for (text, expected) in table {
        assert_eq!(parts(text.as_bytes()), expected, "{text}");
    }
    assert_eq!(parts(b"<13>app: \xff\xfe"), "13 - - app - | \u{fffd}\u{fffd}");
}

#[test]
fn a_year_that_is_left_out_is_the_nearest() {
    let time = |now: &str, text: &str| {
        let here = Here { now: now.parse().unwrap(), zone: TimeZone::UTC };
        let time = parse(format!("<13>{text} host app: x").as_bytes(), &here).timestamp.unwrap();
        Timestamp::from_nanosecond(i128::from(time.0)).unwrap().to_string()
    };
    assert_eq!(time("2026-01-01T00:00:05Z", "Dec 31 23:59:59"), "2025-12-31T23:59:59Z");
    assert_eq!(time("2025-12-31T23:59:59Z", "Jan  1 00:00:05"), "2026-01-01T00:00:05Z");
    assert_eq!(time("2026-07-01T00:00:00Z", "Jun  1 00:00:00"), "2026-06-01T00:00:00Z");
    assert_eq!(time("2025-06-01T00:00:00Z", "Feb 29 00:00:00"), "2024-02-29T00:00:00Z");
}

#[test]
fn a_zone_that_is_left_out_is_the_agents() {
    let zone = TimeZone::fixed(jiff::tz::offset(2));
    let here = Here { zone, ..here() };
    let time = |text: &[u8]| parse(text, &here).timestamp.unwrap().0 / 1_000_000_000;
    let utc = "2024-03-01T10:00:00Z".parse::<Timestamp>().unwrap().as_second();
    assert_eq!(time(b"<13>Mar  1 12:00:00 host app: x"), utc);
    assert_eq!(time(b"<13>2024-03-01T10:00:00Z host app: x"), utc);
    assert_eq!(time(b"<189>1: Mar  1 10:00:00 UTC: %A-1-B: x"), utc);
}

proptest! {
    #[test]
    fn the_text_is_the_end_of_the_message_whatever_it_is(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        prop_assert!(bytes.ends_with(parse(&bytes, &here()).text));
    }

    #[test]
    fn nothing_that_looks_like_a_header_takes_the_text_away(
        head in "(<[0-9]{1,3}>)?([0-9]{1,3}: )?(\\*?Jan +[0-9]{1,2} [0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{3})?:? )?([a-z]{1,4}:? )?([a-z]{1,4}(\\[[0-9]\\])?: )?",
    ) {
        let text = format!("{head}MARK");
        let message = parse(text.as_bytes(), &here());
        prop_assert!(message.text.ends_with(b"MARK"), "{}: {:?}", text, message);
    }
}
