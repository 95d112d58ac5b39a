//! The command line.
//! In: arguments in Go's spelling.  Out: an exit code.  Owns: the log, the runtime.

mod archive;
mod checks;
mod flags;
mod log;
mod retention;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use tracing::{error, info, warn};

use crate::agent::{self, Loaded, LogFormat, Parts, Request};
use crate::cli::flags::{Effect, Given, Parsed, VERSION, Verb};
use crate::cli::log::Log;
use crate::metrics::{Own, Registry};

/// Steps of tasks from one look at the network to the next, while there is always one to run. A chunk is a step and takes half a
/// millisecond: with tokio's 61, answers of Loki are seen late, and all that waits for them is in memory.
const EVENT_INTERVAL: u32 = 7;

/// The command line is wrong, as in Go.
const WRONG_ARGUMENTS: u8 = 2;

/// Runs the program with these arguments, the program's name first.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let given = match flags::parse(arguments) {
        Ok(Parsed::Given(given)) => given,
        Ok(Parsed::Help(verb)) => return print(&flags::help_text(verb)),
        Err(error) => return wrong(&error),
    };
    match given.verb {
        Verb::Version => print(VERSION_LINE),
        Verb::Help => match flags::topic(given.positional.first().map(String::as_str)) {
            Some(text) => print(&text),
            None => wrong(&"there is no help of that name; see `tailwater help`"),
        },
        Verb::Run if given.is_true("version") => print(VERSION_LINE),
        Verb::Check => checks::check(&given),
        Verb::Inspect => checks::inspect(&given),
        Verb::Archive => archive::run(&given),
        Verb::Retention => retention::run(&given),
        Verb::Run if given.is_true("check-syntax") => checks::check(&given),
        Verb::Run => run(&given),
    }
}

const VERSION_LINE: &str = concat!("tailwater ", env!("CARGO_PKG_VERSION"), "\n");

/// Prints to stdout. Nobody to print to is no error.
fn print(text: &str) -> ExitCode {
    use std::io::Write as _;
    drop(io::stdout().write_all(text.as_bytes()));
    ExitCode::SUCCESS
}

fn wrong(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("{error}");
    ExitCode::from(WRONG_ARGUMENTS)
}

/// What the flags say about the configuration.
fn request(given: &Given) -> Result<Request, String> {
    let overlay = given.iter().filter(|(flag, _)| flag.effect == Effect::Supported);
    let overlay = overlay.filter_map(|(flag, value)| flag.yaml.map(|path| (path, value.to_owned())));
    let external_labels = given.text("client.external-labels").map(flags::external_labels).transpose()?;
    Ok(Request {
        files: given.text("config.file").map(str::to_owned),
        expand_env: given.is_true("config.expand-env"),
        overlay: overlay.collect(),
        external_labels: external_labels.unwrap_or_default(),
    })
}

fn run(given: &Given) -> ExitCode {
    let registry = Arc::new(Registry::default());
    let own = Own::register(&registry);
    let log = Log::start(early_format(given), own.log_lines.clone());
    let request = match request(given) {
        Ok(request) => request,
        Err(error) => return wrong(&error),
    };
    let mut loaded = match agent::load(&request, &registry, &own) {
        Ok(loaded) => loaded,
        Err(error) => return refused(&error),
    };
    log.set(loaded.settings.log_level, loaded.settings.log_format);
    info!(version = VERSION, config = loaded.name, "tailwater starts");
    loaded.log_warnings();
    show_configuration(given, &loaded);
    let ignored: Vec<&str> = given.ignored().map(|flag| flag.name).collect();
    if !ignored.is_empty() {
        warn!(flags = ignored.join(" "), "flags of Promtail that change nothing here");
    }
    loaded.settings.inspect = given.is_true("inspect");
    if given.is_true("dry-run") {
        // Without clients lines are printed and positions left alone.
        loaded.settings.clients.clear();
        loaded.settings.retention = None;
    } else {
        loaded.settings.archive_by_default();
    }
    use_ring();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = match runtime.enable_all().event_interval(EVENT_INTERVAL).build() {
        Ok(runtime) => runtime,
        Err(error) => {
            error!(%error, "cannot start the runtime");
            return ExitCode::FAILURE;
        }
    };
    let log = Arc::new(log);
    let (to_set, to_throttle) = (log.clone(), log.clone());
    let set_log = Box::new(move |level, format| to_set.set(level, format));
    let ended = runtime.block_on(async {
        tokio::select! {
            biased;
            never = to_throttle.throttle() => match never {},
            ended = agent::run(Parts { loaded, request, registry, own, set_log, log }) => ended,
        }
    });
    // Does not wait for tasks that hang.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refused(&error),
    }
}

/// reqwest takes whichever TLS provider the process has, and panics at the first request without one.
fn use_ring() {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        error!("a TLS provider was installed before ours");
    }
}

fn refused(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("{error}");
    ExitCode::FAILURE
}

/// Shows the configuration in effect to whom it was asked for.
fn show_configuration(given: &Given, loaded: &Loaded) {
    let effective = loaded.effective();
    if given.is_true("print-config-stderr") {
        eprintln!("---\n# tailwater {VERSION}\n# {}, in effect, without secrets\n{effective}", loaded.name);
    }
    if given.is_true("log-config-reverse-order") {
        effective.lines().rev().for_each(|line| info!("{line}"));
    }
    if given.is_true("dry-run") {
        println!("Clients configured:");
        for client in loaded.clients() {
            println!("{}\n{client}", "-".repeat(22));
        }
    }
}

/// How to log until the configuration is read.
fn early_format(given: &Given) -> LogFormat {
    if given.text("log.format") == Some("json") { LogFormat::Json } else { LogFormat::Logfmt }
}
