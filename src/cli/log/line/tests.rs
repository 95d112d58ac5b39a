//! Lines of the log, as other programs will read them.

use std::sync::{Arc, Mutex};

use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

use super::*;

/// 2026-11-23T14:44:44.893Z.
const TIME: UnixNanos = UnixNanos(1_795_445_084_893_192_189);

fn line(message: &str, fields: Vec<(&'static str, Value)>) -> Line {
    Line { time: TIME, level: Level::INFO, message: message.to_owned(), fields }
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

#[test]
fn a_line_of_logfmt_is_time_level_message_and_fields() {
    let fields = vec![("version", text("0.1.0")), ("after", Value::Bare("1.5".to_owned()))];
    assert_eq!(
        line("tailwater starts", fields).logfmt(),
        "ts=2026-11-23T14:44:44.893Z level=info msg=\"tailwater starts\" version=0.1.0 after=1.5\n"
    );
}

#[test]
fn a_line_of_json_is_the_same_as_an_object() {
    let fields = vec![("path", text("a \"b\"\n")), ("entries", Value::Bare("3".to_owned()))];
    assert_eq!(
        line("ready", fields).json(),
        "{\"ts\":\"2026-11-23T14:44:44.893Z\",\"level\":\"info\",\"msg\":\"ready\",\
         \"path\":\"a \\\"b\\\"\\n\",\"entries\":3}\n"
    );
}

#[test]
fn values_are_quoted_where_go_quotes_them() {
    let cases = [
        ("", ""),
        ("plain", "plain"),
        ("a\\b", "a\\b"),
        ("übel", "übel"),
        ("null", "\"null\""),
        ("two words", "\"two words\""),
        ("a=b", "\"a=b\""),
        ("say \"x\"", "\"say \\\"x\\\"\""),
        ("a b\\c", "\"a b\\\\c\""),
        ("a\tb\r\n", "\"a\\tb\\r\\n\""),
        ("\u{1b}[31m", "\"\\u001b[31m\""),
        ("\u{9b}31m", "\"\\u009b31m\""),
        ("\u{2028}", "\"\\u2028\""),
        ("\u{fffd}", "\"\u{fffd}\""),
    ];
    for (value, written) in cases {
        let mut text = String::new();
        logfmt_value(value, &mut text);
        assert_eq!(text, written, "{value:?}");
    }
}

#[test]
fn fields_keep_their_kind() {
    struct Seen(Arc<Mutex<Vec<String>>>);
    impl<S: Subscriber> Layer<S> for Seen {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let line = Line::of(event, TIME);
            self.0.lock().unwrap().extend([line.json(), line.logfmt()]);
        }
    }
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let subscriber = tracing_subscriber::registry().with(Seen(seen.clone()));
    tracing::subscriber::with_default(subscriber, || {
        let (nothing, error) = (f64::NAN, std::fmt::Error);
        tracing::info!(r#type = "a", n = -1, many = 2_u64, ok = true, share = 0.5, nothing, %error, after = ?"x", "it {} ", 1);
    });
    let seen = seen.lock().unwrap();
    let rest = "\"msg\":\"it 1 \",\"type\":\"a\",\"n\":-1,\"many\":2,\"ok\":true,\"share\":0.5,\"nothing\":\"NaN\",\
                \"error\":\"an error occurred when formatting an argument\",\"after\":\"\\\"x\\\"\"}\n";
    assert!(seen[0].ends_with(rest), "{}", seen[0]);
    assert!(serde_json::from_str::<serde_json::Value>(&seen[0]).is_ok());
    let rest = " msg=\"it 1 \" type=a n=-1 many=2 ok=true share=0.5 nothing=NaN \
                error=\"an error occurred when formatting an argument\" after=\"\\\"x\\\"\"\n";
    assert!(seen[1].ends_with(rest), "{}", seen[1]);
}

proptest! {
    #[test]
    fn whatever_a_message_says_it_stays_on_its_line_and_can_be_read_back(message in any::<String>(), field in any::<String>()) {
        let line = line(&message, vec![("field", text(&field))]);
        for written in [line.logfmt(), line.json()] {
            let body = written.strip_suffix('\n').unwrap();
            prop_assert!(!body.contains(|c: char| c.is_control() || c == '\u{2028}' || c == '\u{2029}'), "{body:?}");
        }
        let read: serde_json::Value = serde_json::from_str(&line.json()).unwrap();
        prop_assert_eq!((read["msg"].as_str(), read["field"].as_str()), (Some(&*message), Some(&*field)));
        let logfmt = line.logfmt();
        let last = logfmt.rsplit_once(" field=").unwrap().1.trim_end_matches('\n');
        if !field.contains(" field=") {
            let read = if last.starts_with('"') { serde_json::from_str(last).unwrap() } else { last.to_owned() };
            prop_assert_eq!(read, field);
        }
    }
}
