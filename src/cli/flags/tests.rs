//! How arguments are read, and that all that is made of the table is complete.
//! In: nothing.  Out: nothing.  Owns: the table of spellings.

use std::ffi::OsString;
use std::process::Command;

use proptest::prelude::*;

use super::{
    Effect, FLAGS, Given, Group, Kind, Parsed, Shell, Verb, completions, external_labels, help_text,
    man_page, parse, topic, value,
};

fn read(arguments: &[&str]) -> Result<Parsed, String> {
    let arguments = ["tailwater"].iter().chain(arguments).map(OsString::from);
    parse(arguments).map_err(|error| error.to_string())
}

fn given(arguments: &[&str]) -> Given {
    match read(arguments) {
        Ok(Parsed::Given(given)) => given,
        other => panic!("{arguments:?}: {other:?}"),
    }
}

/// `verb name=value ... | positional ...`, `help of verb`, or the error.
fn said(arguments: &[&str]) -> String {
    match read(arguments) {
        Ok(Parsed::Given(given)) => {
            let values =
                given.iter().map(|(flag, value)| format!(" {}={value}", flag.name)).collect::<String>();
            let behind = given.positional.iter().map(|word| format!(" {word}")).collect::<String>();
            format!("{}{values}{}{behind}", given.verb.name(), if behind.is_empty() { "" } else { " |" })
        }
        Ok(Parsed::Help(verb)) => format!("help of {}", verb.name()),
        Err(error) => error,
    }
}

#[test]
fn arguments_are_read_as_go_reads_them() {
    let rows: &[(&[&str], &str)] = &[
        (&[], "run"),
        (&["-config.file=a.yaml"], "run config.file=a.yaml"),
        (&["--config.file=a.yaml"], "run config.file=a.yaml"),
        (&["-config.file", "a.yaml"], "run config.file=a.yaml"),
        (&["--config.file", "a.yaml"], "run config.file=a.yaml"),
        (&["-config.file=a,b"], "run config.file=a,b"),
        (&["-config.file="], "run config.file="),
        (&["-config.file", ""], "run config.file="),
        (&["-config.file=a=b"], "run config.file=a=b"),
        (&["-config.file", "-dry-run"], "run config.file=-dry-run"),
        (&["-config.file", "--"], "run config.file=--"),
        (&["-dry-run"], "run dry-run=true"),
        (&["--dry-run"], "run dry-run=true"),
        (&["-dry-run=true"], "run dry-run=true"),
        (&["-dry-run=false"], "run dry-run=false"),
        (&["-dry-run=1"], "run dry-run=true"),
        (&["-dry-run=0"], "run dry-run=false"),
        (&["-dry-run=t"], "run dry-run=true"),
        (&["-dry-run=F"], "run dry-run=false"),
        (&["-dry-run=TRUE"], "run dry-run=true"),
        (&["-dry-run=False"], "run dry-run=false"),
        (&["-dry-run", "false"], "run dry-run=true | false"),
        (&["-dry-run", "false", "-stdin"], "run dry-run=true | false -stdin"),
        (&["-dry-run=yes"], "invalid boolean value \"yes\" for -dry-run: expected true or false"),
        (&["-dry-run="], "invalid boolean value \"\" for -dry-run: expected true or false"),
        (&["-dry-run=tRUE"], "invalid boolean value \"tRUE\" for -dry-run: expected true or false"),
        (&["-stdin", "-", "-dry-run"], "run stdin=true | - -dry-run"),
        (&["-stdin", "--", "-dry-run", "x"], "run stdin=true | -dry-run x"),
        (&["--"], "run"),
        (&["-"], "run | -"),
        (&["", "-stdin"], "run |  -stdin"),
        (&["-stdin", "x", "-dry-run"], "run stdin=true | x -dry-run"),
        (&["-log.level=debug", "-log.level=warn"], "run log.level=warn"),
        (&["-stdin", "-stdin=false"], "run stdin=false"),
        (
            &["-log.level=INFO"],
            "invalid value \"INFO\" for flag -log.level: expected one of debug, info, warn, error",
        ),
        (&["-bogus"], "flag provided but not defined: -bogus"),
        (&["-log.levl=info"], "flag provided but not defined: -log.levl\n  = help: did you mean -log.level?"),
        (
            &["--config-file=x"],
            "flag provided but not defined: -config-file\n  = help: did you mean -config.file?",
        ),
        (
            &["-client.url"],
            "flag needs an argument: -client.url\n  = help: Push endpoint of one more client, such as http://loki:3100/loki/api/v1/push",
        ),
        (&["---stdin"], "bad flag syntax: ---stdin"),
        (&["-=x"], "bad flag syntax: -=x"),
        (&["--=x"], "bad flag syntax: --=x"),
        (&["-h"], "help of run"),
        (&["--help"], "help of run"),
        (&["-help=x"], "help of run"),
        (&["-stdin", "-h", "-bogus"], "help of run"),
        (&["-bogus", "-h"], "flag provided but not defined: -bogus"),
        (
            &["x", "-h"],
            "there is no command `x`\n  = help: commands are run, check, inspect, archive, retention, version, help; flags begin with a dash",
        ),
        (&["-client.timeout=1h30m"], "run client.timeout=1h30m"),
        (&["-client.timeout=.5s"], "run client.timeout=.5s"),
        (&["-client.timeout=0"], "run client.timeout=0s"),
        (
            &["-client.timeout=10"],
            "invalid value \"10\" for flag -client.timeout: expected a unit, such as 10s",
        ),
        (
            &["-client.timeout=1d"],
            "invalid value \"1d\" for flag -client.timeout: expected a duration such as 300ms, 10s or 1h30m",
        ),
        (
            &["-client.timeout=-1s"],
            "invalid value \"-1s\" for flag -client.timeout: expected a duration that is not negative",
        ),
        (&["-server.http-listen-port", "9080"], "run server.http-listen-port=9080"),
        (&["-server.http-listen-port=0x50"], "run server.http-listen-port=80"),
        (&["-server.http-listen-port=1_000"], "run server.http-listen-port=1000"),
        (
            &["-server.http-listen-port=80.5"],
            "invalid value \"80.5\" for flag -server.http-listen-port: expected a whole number",
        ),
        (&["-limit.readline-rate=1e4"], "run limit.readline-rate=1e4"),
        (
            &["-limit.readline-rate=NaN"],
            "invalid value \"NaN\" for flag -limit.readline-rate: expected a number",
        ),
        (&["-max-line-size=256KB"], "run max-line-size=256KB"),
        (
            &["-max-line-size=1.5MB"],
            "invalid value \"1.5MB\" for flag -max-line-size: expected a size such as 4096, 256kb or 1mb",
        ),
        (&["-server.tls-min-version="], "run server.tls-min-version="),
        (&["-client.external-labels=a=1,b=2"], "run client.external-labels=a=1,b=2"),
        (&["-file-watch.min_poll_frequency=1s"], "run file-watch.min_poll_frequency=1s"),
    ];
    for (arguments, expected) in rows {
        assert_eq!(said(arguments), *expected, "{arguments:?}");
    }
}

#[test]
fn a_verb_comes_first() {
    let rows: &[(&[&str], &str)] = &[
        (&["run", "-stdin"], "run stdin=true"),
        (&["check", "-config.file=a"], "check config.file=a"),
        (&["version"], "version"),
        (&["help", "man"], "help | man"),
        (&["check", "-h"], "help of check"),
        (&["-stdin", "check"], "run stdin=true | check"),
        (&["chekc"], "there is no command `chekc`\n  = help: did you mean `tailwater check`?"),
    ];
    for (arguments, expected) in rows {
        assert_eq!(said(arguments), *expected, "{arguments:?}");
    }
}

#[test]
fn only_what_was_given_is_set() {
    let given =
        given(&["-stdin=false", "-log.level=debug", "-server.grpc-listen-port=0", "-tracing.enabled"]);
    assert!(given.text("stdin").is_some() && !given.is_true("stdin"));
    assert_eq!(given.text("log.level"), Some("debug"));
    assert_eq!(given.text("log.format"), None);
    assert!(given.text("limit.readline-rate-drop").is_none());
    let ignored: Vec<_> = given.ignored().map(|flag| flag.name).collect();
    assert_eq!(ignored, ["server.grpc-listen-port", "tracing.enabled"]);
}

#[cfg(unix)]
#[test]
fn an_argument_that_is_no_text_is_refused() {
    use std::os::unix::ffi::OsStringExt as _;
    let error = parse([OsString::from("tailwater"), OsString::from_vec(vec![b'-', 0xff])]).unwrap_err();
    assert!(error.to_string().contains("not valid UTF-8"), "{error}");
}

#[test]
fn whole_numbers_are_those_of_go() {
    let flag = FLAGS.iter().find(|flag| flag.kind == Kind::Number).unwrap();
    for (text, expected) in [
        ("0", "0"),
        ("-1", "-1"),
        ("+7", "7"),
        ("010", "8"),
        ("0o10", "8"),
        ("0B101", "5"),
        ("0x_ff", "255"),
        ("0_7", "7"),
        ("9223372036854775807", "9223372036854775807"),
        ("-9223372036854775808", "-9223372036854775808"),
    ] {
        assert_eq!(value::check(flag, text).as_deref(), Ok(expected), "{text}");
    }
    for bad in [
        "",
        "-",
        "+-1",
        "--1",
        "0x",
        "0x+1",
        "08",
        "1_",
        "_1",
        "1__0",
        "9223372036854775808",
        "1 ",
        "é",
        "0é",
    ] {
        assert!(value::check(flag, bad).is_err(), "{bad}");
    }
}

#[test]
fn labels_are_pairs_and_commas_may_be_quoted() {
    let read = |text| {
        external_labels(text).map(|pairs| pairs.iter().map(|(k, v)| format!("{k}:{v}")).collect::<Vec<_>>())
    };
    assert_eq!(read(""), Ok(vec![]));
    assert_eq!(read("a=1,b=2"), Ok(vec!["a:1".to_owned(), "b:2".to_owned()]));
    assert_eq!(read("a=1,2"), Ok(vec!["a:1,2".to_owned()]));
    assert_eq!(read("\"a=1\""), Ok(vec!["a:1".to_owned()]));
    assert_eq!(read("\"a=1,2\",b=x=y"), Ok(vec!["a:1,2".to_owned(), "b:x=y".to_owned()]));
    assert_eq!(read("\"a=\"\"q\"\"\",b="), Ok(vec!["a:\"q\"".to_owned(), "b:".to_owned()]));
    for bad in ["a", "=1", "a=1,b=2,c", "a=1,\"b=2", "\"a=1\"x,b=2", "a=1\",b=2"] {
        assert!(read(bad).is_err(), "{bad}");
    }
}

#[test]
fn the_rows_agree_with_themselves() {
    for (index, flag) in FLAGS.iter().enumerate() {
        let name = flag.name;
        assert!(FLAGS[..index].iter().all(|other| other.name != name), "{name} is there twice");
        assert!(
            FLAGS[..index].iter().all(|other| flag.yaml.is_none() || other.yaml != flag.yaml),
            "{name}: same key"
        );
        assert!(
            value::check(flag, flag.default).is_ok() || flag.default.is_empty(),
            "{name}: {}",
            flag.default
        );
        assert_eq!(flag.effect == Effect::Accepted, flag.group == Group::Ignored, "{name}");
        assert!(!flag.help.is_empty() && !flag.help.ends_with('.') && !flag.help.contains('\n'), "{name}");
        assert!(
            !name.starts_with('-') && !name.contains(['=', ' ']) && !["h", "help"].contains(&name),
            "{name}"
        );
    }
}

#[test]
fn every_flag_is_documented_everywhere() {
    let (man, bash) = (man_page(), completions(Shell::Bash));
    let (zsh, fish) = (completions(Shell::Zsh), completions(Shell::Fish));
    for verb in Verb::ALL.into_iter().filter(|verb| verb.takes_flags()) {
        let help = help_text(verb);
        for flag in FLAGS.iter().filter(|flag| flag.is_for(verb)) {
            assert!(
                help.lines()
                    .any(|line| line.trim_start().split(' ').next() == Some(&format!("-{}", flag.name)))
            );
        }
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    }
    for flag in &FLAGS {
        let name = flag.name;
        assert!(man.contains(&format!("\\fB\\-{}\\fR", name.replace('-', "\\-"))), "{name}");
        assert!(bash.contains(&format!("{name} ")) || bash.contains(&format!(" {name}\"")), "{name}");
        assert!(zsh.contains(&format!("{{-,--}}'{name}=")), "{name}");
        assert!(fish.contains(&format!("-o {name} -l {name} ")), "{name}");
    }
}

#[test]
fn help_has_its_topics() {
    for word in ["run", "check", "inspect", "version", "help", "config", "man", "bash", "zsh", "fish"] {
        assert!(topic(Some(word)).is_some_and(|text| text.ends_with('\n')), "{word}");
    }
    assert_eq!(topic(None), topic(Some("run")));
    assert_eq!(topic(Some("tcsh")), None);
}

#[test]
fn the_manual_page_starts_no_line_by_accident_with_a_request() {
    const REQUESTS: [&str; 8] = [".TH", ".SH", ".SS", ".TP", ".PP", ".br", ".B", "\\&"];
    for line in man_page().lines().filter(|line| line.starts_with(['.', '\''])) {
        assert!(REQUESTS.iter().any(|request| line.split(' ').next() == Some(*request)), "{line}");
    }
}

/// What the sourced script answers to these words; the last one is being typed.
fn completed(words: &str) -> String {
    let ask = format!(
        "COMP_WORDS=({words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 )); _tailwater; echo ${{COMPREPLY[*]}}"
    );
    let output =
        Command::new("bash").arg("-c").arg(format!("{}\n{ask}", completions(Shell::Bash))).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{words}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn bash_completes() {
    for (words, expected) in [
        ("tailwater ''", "run check inspect archive retention version help"),
        ("tailwater che", "check"),
        ("tailwater -config.", "-config.file -config.expand-env"),
        ("tailwater check --config.", "--config.file --config.expand-env"),
        ("tailwater -log.level ''", "debug info warn error"),
        ("tailwater -log.level = d", "debug"),
        ("tailwater --log.level =", "debug info warn error"),
        ("tailwater -dry-run = t", "true"),
        ("tailwater -dry-run -log.f", "-log.format"),
        ("tailwater -client.url -", ""),
        ("tailwater -config.file /etc/passw", "/etc/passwd"),
        ("tailwater help z", "zsh"),
    ] {
        let found = completed(words);
        // Some systems have a /etc/passwd- beside it.
        assert!(
            found == expected || expected.starts_with('/') && found.contains(expected),
            "{words}: {found}"
        );
    }
}

fn argument() -> impl Strategy<Value = String> {
    let name = proptest::sample::select(FLAGS.iter().map(|flag| flag.name).collect::<Vec<_>>());
    prop_oneof![
        ".*",
        "-{0,3}[a-z.=-]{0,8}",
        (name, "-{1,2}", "(=.{0,6})?").prop_map(|(name, dashes, value)| format!("{dashes}{name}{value}")),
        "[-+]?0?[xob]?[0-9_]{0,20}(ms|s|h|kb)?",
    ]
}

proptest! {
    #[test]
    fn reading_never_panics(arguments in proptest::collection::vec(argument(), 0..6)) {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        said(&arguments);
    }

    #[test]
    fn all_spellings_of_a_flag_mean_the_same(index in 0..FLAGS.len()) {
        let flag = &FLAGS[index];
        let value = value::check(flag, flag.default).unwrap_or_else(|_| flag.default.to_owned());
        let name = flag.name;
        let with_equals = [vec![format!("-{name}={value}")], vec![format!("--{name}={value}")]];
        let apart = [vec![format!("-{name}"), value.clone()], vec![format!("--{name}"), value.clone()]];
        let spellings = with_equals.into_iter().chain(apart.into_iter().filter(|_| flag.kind != Kind::Bool));
        for spelling in spellings {
            let verb = Verb::ALL.into_iter().find(|verb| verb.takes_flags() && flag.is_for(*verb)).unwrap();
            let words: Vec<&str> = [verb.name()].into_iter().chain(spelling.iter().map(String::as_str)).collect();
            let given = given(&words);
            prop_assert_eq!(given.text(name), Some(value.as_str()));
        }
    }
}
