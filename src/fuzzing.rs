//! The parsers of outside text, for the fuzzer: each takes any input, and panics where something does not hold that
//! must hold of every text. Compiled for `cargo fuzz` and for tests only.
//! In: any bytes.  Out: a panic where a parser is wrong.  Owns: the table of targets.

use crate::agent::{Settings, fuzz_limits, fuzz_state};
use crate::config::{
    Invalid, Node, Position, bytes, expand_env, go_duration, lines, parse_yaml, suspicious_references,
};
use crate::custody::fuzz_promtail;
use crate::discovery::docker;
use crate::discovery::files::fuzz_lists;
use crate::metrics::{Own, Registry};
use crate::pipeline::fuzzing as pipeline;
use crate::source;

/// What is done with each input.
enum Check {
    /// What is no UTF-8 is passed over, as the parser's callers see to that.
    Text(fn(&str)),
    Bytes(fn(&[u8])),
}

/// By name, as of the directory of their seeds.
const TARGETS: [(&str, Check); 20] = [
    ("config", Check::Text(config)),
    ("docker_api", Check::Bytes(docker_api)),
    ("docker_record", Check::Bytes(source::docker::fuzz_record)),
    ("encoding", Check::Bytes(source::file::fuzz_encoding)),
    ("env", Check::Text(env)),
    ("file_targets", Check::Text(fuzz_lists)),
    ("gelf", Check::Bytes(source::gelf::fuzz)),
    ("go_time", Check::Text(pipeline::go_time)),
    ("journal", Check::Bytes(source::journal::fuzz)),
    ("json", Check::Text(pipeline::json)),
    ("logfmt", Check::Text(pipeline::logfmt)),
    ("positions", Check::Text(fuzz_promtail)),
    ("push", Check::Bytes(source::push::fuzz)),
    ("re2", Check::Text(pipeline::re2)),
    ("redact", Check::Bytes(pipeline::redact)),
    ("replay", Check::Bytes(replay)),
    ("selector", Check::Text(pipeline::selector)),
    ("syslog", Check::Bytes(source::syslog::fuzz)),
    ("template", Check::Text(pipeline::template)),
    ("unpack", Check::Bytes(source::file::fuzz_unpack)),
];

/// Runs one target on one input.
///
/// # Panics
///
/// Where there is no such target, and where something does not hold.
pub fn run(target: &str, input: &[u8]) {
    let found = TARGETS.iter().find(|(name, _)| *name == target);
    let (_, check) = found.unwrap_or_else(|| panic!("there is no target `{target}`"));
    match (check, std::str::from_utf8(input)) {
        (Check::Bytes(check), _) => check(input),
        (Check::Text(check), Ok(text)) => check(text),
        (Check::Text(_), Err(_)) => {}
    }
}

/// What a Docker daemon answers.
fn docker_api(input: &[u8]) {
    docker::fuzz(input);
    source::docker::fuzz(input);
}

/// How far a replay is, and what a Loki says of itself.
fn replay(input: &[u8]) {
    fuzz_state(input);
    if let Ok(text) = str::from_utf8(input) {
        fuzz_limits(text);
    }
}

/// A configuration file: decoded whole, without opening anything it names.
fn config(text: &str) {
    let registry = Registry::default();
    let own = Own::register(&registry);
    let decoded = parse_yaml(text).and_then(|mut root| {
        if says(&root, "geoip") || (says(&root, "docker_sd_configs") && says(&root, "tls_config")) {
            // Opens its database, reads their certificates.
            return Err(root.invalid("passed over"));
        }
        root.set(&["server", "log_level"], "info");
        Settings::decode(&root, &registry, &own)
    });
    match decoded {
        Ok(settings) => settings.warnings.iter().for_each(|warning| assert_shown(warning, text)),
        Err(invalid) => assert_shown(&invalid, text),
    }
    if let Some(duration) = go_duration(text) {
        assert!(duration.as_nanos() <= u128::from(u64::MAX));
    }
    let _size = bytes(text);
}

/// Whether a scalar anywhere in the tree is `word`.
fn says(node: &Node, word: &str) -> bool {
    let within = |list: &[Node]| list.iter().any(|item| says(item, word));
    let entries = node.entries().unwrap_or_default();
    node.scalar() == Some(word)
        || node.list().is_ok_and(within)
        || entries.iter().any(|(key, value)| says(key, word) || says(value, word))
}

/// References to the environment.
fn env(text: &str) {
    const LIMIT: usize = 16 << 20;
    let lookup = |name: &str| match name {
        "EMPTY" => Some(String::new()),
        "A" => Some("a/b.c/Dé".to_owned()),
        "LONG" => Some("x".repeat(4096)),
        "REF" => Some("${A}".to_owned()),
        _ => None,
    };
    for (at, reference) in suspicious_references(text) {
        assert!(text[at..].starts_with(&reference), "{reference} is not at {at}");
    }
    match expand_env(text, &lookup) {
        Ok(expanded) => {
            assert!(expanded.len() <= LIMIT);
            if !text.contains(['$', '\\']) {
                assert_eq!(expanded, text);
            }
            if !expanded.contains(['$', '\\']) {
                assert_eq!(expand_env(&expanded, &lookup), Ok(expanded));
            }
        }
        Err(error) => {
            assert!(text.is_char_boundary(error.at), "{error:?}");
            assert_shown(&Invalid::new(Position::of(text, error.at), error.to_string()), text);
        }
    }
}

/// The place of an error lies within the text, and the message can be written.
fn assert_shown(invalid: &Invalid, text: &str) {
    let message = invalid.render("file.yaml", text);
    if invalid.at != Position::COMMAND_LINE {
        let Position { line, column } = invalid.at;
        let found = lines(text).nth(line.wrapping_sub(1));
        let width = found
            .unwrap_or_else(|| panic!("line {line} of {}: {message}", lines(text).count()))
            .chars()
            .count();
        assert!(column >= 1 && column <= width + 1, "{:?}: {message}", invalid.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    #[test]
    fn what_fuzzing_found_worth_keeping_still_holds() {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
        for (target, _) in TARGETS {
            let directory = seeds.join(target);
            let files = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{directory:?}: {error}"));
            let mut count = 0;
            for file in files {
                run(target, &fs::read(file.unwrap().path()).unwrap());
                count += 1;
            }
            assert!(count > 0, "{directory:?} is empty");
        }
    }

    /// Not as thorough as the fuzzer, but on every run and without it; `TAILWATER_MUTATIONS` makes more of each seed.
    #[test]
    fn seeds_that_are_cut_and_glued_together_hold_too() {
        let each = std::env::var("TAILWATER_MUTATIONS").ok().and_then(|each| each.parse().ok()).unwrap_or(4);
        let mut state = 0u64;
        // SplitMix64.
        let mut below = |bound: usize| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) % bound.max(1) as u64) as usize
        };
        for (target, check) in TARGETS {
            let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
            let mut files: Vec<_> =
                fs::read_dir(directory).unwrap().map(|file| file.unwrap().path()).collect();
            files.sort();
            let seeds: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
            for seed in &seeds {
                for _ in 0..each {
                    let mut input = seed.clone();
                    for _ in 0..=below(3) {
                        let from = below(input.len() + 1);
                        let to = (from + below(8)).min(input.len());
                        let other = &seeds[below(seeds.len())];
                        let start = below(other.len() + 1);
                        let end = (start + below(20)).min(other.len());
                        input.splice(from..to, other[start..end].iter().copied());
                    }
                    let text = String::from_utf8_lossy(&input);
                    // What fails is printed whole by the panic's test output.
                    println!("{target}: {text:?} {input:?}");
                    match check {
                        Check::Text(check) => check(&text),
                        Check::Bytes(check) => check(&input),
                    }
                }
            }
        }
    }
}
