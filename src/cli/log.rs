//! The agent's own log on standard error.
//! In: events.  Out: one line each, in logfmt or JSON, and fewer where they repeat.  Owns: level and format; both change
//! once the configuration is read.

mod line;
mod throttle;

use std::convert::Infallible;
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::agent::{LogFormat, LogLevel};
use crate::cli::log::line::{Line, Value};
use crate::cli::log::throttle::{Decision, Throttle};
use crate::clock;
use crate::metrics::LogLines;

/// How often it is looked for what was left out and is to be said now.
const CATCH_UP_EVERY: Duration = Duration::from_secs(10);

/// A storage's client, which tells of each attempt. Whoever asked it says what failed in the end.
const STORAGE: &str = "object_store";

/// What is logged, and how.
pub(super) struct Log {
    level: reload::Handle<LevelFilter, tracing_subscriber::Registry>,
    lines: Arc<Lines>,
}

impl Log {
    /// Logs from now on, at `info`, and leaves nothing out.
    pub(super) fn start(format: LogFormat, counts: LogLines) -> Log {
        let (filter, level) = reload::Layer::new(LevelFilter::INFO);
        let lines = Arc::new(Lines {
            json: AtomicBool::new(format == LogFormat::Json),
            throttle: Mutex::default(),
            counts,
        });
        // Fails only when logging was started before, as in tests that run the program in-process.
        drop(tracing_subscriber::registry().with(filter).with(Writing(lines.clone())).try_init());
        Log { level, lines }
    }

    /// Does as the configuration says.
    pub(super) fn set(&self, level: LevelFilter, format: LogFormat) {
        self.lines.json.store(format == LogFormat::Json, Ordering::Relaxed);
        self.set_level(level);
    }

    /// From now on what repeats is left out, and now and then it is said how often it did. Cancel-safe.
    pub(super) async fn throttle(&self) -> Infallible {
        *self.lines.throttle() = Some(Throttle::default());
        loop {
            tokio::time::sleep(CATCH_UP_EVERY).await;
            self.lines.catch_up(false);
        }
    }
}

impl LogLevel for Log {
    fn level(&self) -> LevelFilter {
        // It is gone only when logging is.
        self.level.with_current(|level| *level).unwrap_or(LevelFilter::OFF)
    }

    fn set_level(&self, level: LevelFilter) {
        drop(self.level.modify(|filter| *filter = level));
    }

    fn catch_up(&self) {
        self.lines.catch_up(true);
    }
}

/// Writes lines.
struct Lines {
    json: AtomicBool,
    /// `None` until the agent runs: what is said at its start is said once, and whole.
    throttle: Mutex<Option<Throttle>>,
    counts: LogLines,
}

/// Hands events to it.
struct Writing(Arc<Lines>);

impl<S: Subscriber> Layer<S> for Writing {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() <= Level::WARN || !metadata.target().starts_with(STORAGE)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let now = clock::moment();
        let decision = self.0.throttle().as_mut().map(|throttle| throttle.decide(event, now));
        match decision {
            Some(Decision::LeaveOut) => self.0.counts.suppressed.add(1.0),
            None | Some(Decision::Write { repeated: 0 }) => self.0.write(&Line::of(event, now.wall)),
            Some(Decision::Write { repeated }) => {
                let mut line = Line::of(event, now.wall);
                line.fields.push(("repeated", Value::Bare(repeated.to_string())));
                self.0.write(&line);
            }
        }
    }
}

impl Lines {
    fn throttle(&self) -> MutexGuard<'_, Option<Throttle>> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn catch_up(&self, at_end: bool) {
        let now = clock::moment();
        let lines = self.throttle().as_mut().map(|throttle| throttle.catch_up(now, at_end));
        lines.iter().flatten().for_each(|line| self.write(line));
    }

    fn write(&self, line: &Line) {
        let text = if self.json.load(Ordering::Relaxed) { line.json() } else { line.logfmt() };
        self.counts.written(line::name_of(line.level));
        // Where nobody reads the log, there is nobody to tell.
        drop(io::stderr().lock().write_all(text.as_bytes()));
    }
}
