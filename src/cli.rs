//! The command line.
//! In: arguments in Go's spelling.  Out: an exit code.  Owns: logging, the runtime.

mod args;

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::sync::Arc;

use tracing::level_filters::LevelFilter;
use tracing::{error, info};
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry as LogRegistry, layer::SubscriberExt as _};

use crate::agent::{self, Parts};
use crate::cli::args::Args;
use crate::metrics::{Own, Registry};

/// Runs the program with these arguments, the program's name first.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match Args::parse(arguments) {
        Ok(args) => args,
        Err(error) => {
            // Help and version come this way too, with exit code 0. Nobody to print to is no error.
            drop(error.print());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let set_level = start_logging();
    let registry = Arc::new(Registry::default());
    let own = Own::register(&registry);
    let (file, settings) = match agent::load(args.config_file.as_deref(), &registry, &own) {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    set_level(settings.log_level);
    info!(version = env!("CARGO_PKG_VERSION"), config = file, "tailwater starts");
    // reqwest takes whichever provider the process has, and panics at the first request without one.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        error!("a TLS provider was installed before ours");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            error!(%error, "cannot start the runtime");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(agent::run(Parts { settings, registry, own }));
    // Does not wait for tasks that hang.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Logs to stderr at `info`; gives a function that changes the level.
fn start_logging() -> impl Fn(LevelFilter) {
    let (filter, handle) = reload::Layer::<_, LogRegistry>::new(LevelFilter::INFO);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false);
    // Fails only when logging was started before, as in tests that run the program in-process.
    drop(tracing_subscriber::registry().with(filter).with(lines).try_init());
    move |level| drop(handle.modify(|filter| *filter = level))
}
