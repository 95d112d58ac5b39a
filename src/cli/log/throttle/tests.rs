//! What of many events is written.

use std::sync::{Arc, Mutex};

use proptest::prelude::{prop_assert_eq, proptest};
use tracing::{Subscriber, debug, error, info, warn};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

use super::*;
use crate::clock;

/// Events go through a throttle at times of our own.
struct Room {
    throttle: Mutex<Throttle>,
    now: Mutex<Moment>,
    written: Mutex<Vec<String>>,
    left_out: Mutex<u64>,
}

#[derive(Clone)]
struct Door(Arc<Room>);

impl<S: Subscriber> Layer<S> for Door {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let now = *self.0.now.lock().unwrap();
        match self.0.throttle.lock().unwrap().decide(event, now) {
            Decision::LeaveOut => *self.0.left_out.lock().unwrap() += 1,
            Decision::Write { repeated } => {
                let mut line = Line::of(event, now.wall);
                line.fields.push(("repeated", Value::Bare(repeated.to_string())));
                self.0.written.lock().unwrap().push(shown(&line));
            }
        }
    }
}

fn shown(line: &Line) -> String {
    line.logfmt().split_once("level=").unwrap().1.trim_end().replace(" repeated=0", "")
}

impl Door {
    fn listen(run: impl FnOnce(&Door)) {
        let room = Room {
            throttle: Mutex::default(),
            now: Mutex::new(clock::moment()),
            written: Mutex::default(),
            left_out: Mutex::default(),
        };
        let door = Door(Arc::new(room));
        let subscriber = tracing_subscriber::registry().with(door.clone());
        tracing::subscriber::with_default(subscriber, || run(&door));
    }

    fn pass(&self, seconds: u64) {
        let mut now = self.0.now.lock().unwrap();
        let wall = UnixNanos(now.wall.0 + seconds as i64 * 1_000_000_000);
        *now = Moment { wall, instant: now.instant + Duration::from_secs(seconds) };
    }

    fn written(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.written.lock().unwrap())
    }

    fn catch_up(&self, at_end: bool) -> Vec<String> {
        let now = *self.0.now.lock().unwrap();
        self.0.throttle.lock().unwrap().catch_up(now, at_end).iter().map(shown).collect()
    }

    fn kept(&self) -> usize {
        self.0.throttle.lock().unwrap().warnings.len()
    }
}

fn refused(client: &str, reason: &str, entries: u64) {
    warn!(client, reason, entries, "refused");
}

/// How many events these lines stand for: one each, where they are no summary, and what they say was left out.
fn events(lines: &[String]) -> u64 {
    let of_line = |line: &String| {
        let own = u64::from(!line.contains(" last="));
        let repeated = line.split(" repeated=").nth(1).map_or("0", |rest| rest.split(' ').next().unwrap());
        own + repeated.parse::<u64>().unwrap()
    };
    lines.iter().map(of_line).sum()
}

#[test]
fn a_warning_that_repeats_is_written_once_a_minute_with_how_often_it_did() {
    Door::listen(|door| {
        for second in 0..125 {
            refused("a", "rate_limited", second);
            door.pass(1);
            assert_eq!(door.catch_up(false), [""; 0], "the next one says it");
        }
        assert_eq!(
            door.written(),
            [
                "warn msg=refused client=a reason=rate_limited entries=0",
                "warn msg=refused client=a reason=rate_limited entries=60 repeated=59",
                "warn msg=refused client=a reason=rate_limited entries=120 repeated=59",
            ]
        );
    });
}

#[test]
fn warnings_about_other_things_are_other_warnings() {
    Door::listen(|door| {
        refused("a", "rate_limited", 1);
        refused("b", "rate_limited", 2);
        refused("a", "too_large", 3);
        warn!(client = "a", reason = "rate_limited", "refused elsewhere");
        warn!(client = "a", reason = "rate_limited", "refused elsewhere");
        refused("a", "rate_limited", 4);
        assert_eq!(door.written().len(), 5, "each place in the code speaks for itself");
    });
}

#[test]
fn when_it_ends_what_was_never_told_is_told_with_the_first_of_it() {
    Door::listen(|door| {
        refused("a", "rate_limited", 1);
        door.pass(10);
        refused("a", "rate_limited", 2);
        door.pass(10);
        refused("a", "rate_limited", 3);
        let last = line::time(door.0.now.lock().unwrap().wall);
        door.pass(49);
        assert_eq!(door.catch_up(false), [""; 0]);
        door.pass(1);
        let summary =
            format!("warn msg=refused client=a reason=rate_limited entries=2 repeated=2 last={last}");
        assert_eq!(door.catch_up(false), [summary]);
        refused("a", "rate_limited", 4);
        assert_eq!(door.written().len(), 1, "a summary is a line, too");
        assert_eq!(door.catch_up(true).len(), 1, "at the end everything is told");
        door.pass(60);
        assert_eq!(door.catch_up(false), [""; 0]);
        assert_eq!(door.kept(), 0, "what is over is forgotten");
    });
}

#[test]
fn lines_that_are_no_warnings_are_bounded_by_their_place_in_the_code_only() {
    Door::listen(|door| {
        for container in 0..10_000 {
            info!(container, "following container");
            debug!(container, "looking at a container");
        }
        error!("the end");
        let written = door.written();
        assert_eq!(written.iter().filter(|line| line.starts_with("info")).count() as u64, MOST_OF_SITE);
        assert_eq!(written.iter().filter(|line| line.starts_with("debug")).count(), 10_000);
        assert_eq!(written.last().unwrap(), "error msg=\"the end\"");
        door.pass(60);
        let summary = door.catch_up(false);
        assert!(
            summary[0].starts_with("info msg=\"following container\" repeated=9900 last=")
                && summary.len() == 1,
            "{summary:?}"
        );
    });
}

#[test]
fn warnings_about_more_things_than_can_be_told_apart_are_bounded_all_the_same() {
    Door::listen(|door| {
        for minute in 0..20 {
            for thing in 0..1000 {
                let path = format!("{minute}/{thing}");
                (0..2).for_each(|_| warn!(path, "cannot be read"));
            }
            door.pass(30);
            assert!(door.catch_up(false).len() as u64 <= MOST_OF_SITE + 1);
            assert!(door.kept() <= MOST_KEYS);
            assert!(door.written().len() as u64 <= MOST_OF_SITE);
            door.pass(30);
        }
        warn!("something else");
        assert_eq!(door.written(), ["warn msg=\"something else\""], "every place in the code is heard");
    });
}

#[test]
fn what_others_have_said_is_kept_in_part_until_it_is_told() {
    Door::listen(|door| {
        let answer = "ü".repeat(100_000);
        (0..2).for_each(|_| warn!(answer, "refused"));
        let kept = door.catch_up(true);
        assert!(kept[0].len() < LONGEST_KEPT + 100, "{}", kept[0].len());
    });
}

proptest! {
    #[test]
    fn every_event_is_written_or_counted(
        events_at in proptest::collection::vec((0..40_u64, 0..3_usize, 1..60_u64), 0..100)
    ) {
        let mut outcome = (0, 0);
        Door::listen(|door| {
            let mut lines = Vec::new();
            for (pause, client, times) in events_at {
                door.pass(pause);
                lines.extend(door.catch_up(false));
                for _ in 0..times {
                    refused(["a", "b", "c"][client], "x", 1);
                    info!(client, "again");
                }
                outcome.0 += 2 * times;
            }
            lines.extend(door.catch_up(true));
            lines.extend(door.written());
            outcome.1 = events(&lines);
        });
        prop_assert_eq!(outcome.0, outcome.1);
    }
}
