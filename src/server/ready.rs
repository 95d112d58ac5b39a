//! Whether the agent does its work, and if not, why.
//! In: troubles, targets, the ledger.  Out: a status and reasons.  Owns: nothing.

use axum::extract::State;
use axum::http::StatusCode;

use crate::server::{Readiness, View};
use crate::targets::{self, Reading};

/// Reasons that are shown; of a thousand files that cannot be read, the first tell enough.
const SHOWN: usize = 20;

/// 200 and `ready`, with what somebody should look at; or 503 and the reasons.
pub(super) async fn ready(State(view): State<View>) -> (StatusCode, String) {
    let unavailable = |word: &str| (StatusCode::SERVICE_UNAVAILABLE, format!("{word}\n"));
    match *view.readiness.borrow() {
        Readiness::Starting => return unavailable("starting"),
        Readiness::Stopping => return unavailable("stopping"),
        Readiness::Ready => {}
    }
    let mut listed = view.troubles.list();
    let readings = view.targets.readings();
    listed.grave.extend(readings.iter().flat_map(unreadable));
    listed.grave.extend(stalled(&view, &readings));
    if view.own.config_last_reload_successful.value() == 0.0 {
        listed.slight.push("configuration: the one that was read last is not in force".to_owned());
    }
    if listed.grave.is_empty() {
        return (StatusCode::OK, body("ready", "warning: ", &listed.slight));
    }
    let text = body("in trouble", "", &listed.grave) + &body("", "warning: ", &listed.slight);
    (StatusCode::SERVICE_UNAVAILABLE, text)
}

fn unreadable(reading: &Reading) -> impl Iterator<Item = String> {
    reading.shown.iter().filter_map(|shown| match &shown.state {
        targets::State::Unreadable(why) => {
            let Reading { job, kind, name, .. } = reading;
            Some(format!("{kind} {name} of job {job}: it cannot be read: {why}"))
        }
        _ => None,
    })
}

/// Nothing at all is settled while something waits for it.
fn stalled(view: &View, readings: &[Reading]) -> Option<String> {
    let (still, behind) = (view.ledger.still_for(), readings.iter().max_by_key(|reading| reading.behind)?);
    if still.min(behind.behind) < view.stalled_after {
        return None;
    }
    let bytes: u64 = readings.iter().map(Reading::bytes_behind).sum();
    let Reading { job, name, .. } = behind;
    Some(format!(
        "lines: {bytes} bytes are behind, of {name} of job {job} for {} s, and nothing was settled for {} s",
        behind.behind.as_secs(),
        still.as_secs()
    ))
}

fn body(head: &str, before: &str, reasons: &[String]) -> String {
    let mut text = if head.is_empty() { String::new() } else { format!("{head}\n") };
    for reason in reasons.iter().take(SHOWN) {
        text.push_str(before);
        text.push_str(reason);
        text.push('\n');
    }
    if reasons.len() > SHOWN {
        text.push_str(&format!("and {} more\n", reasons.len() - SHOWN));
    }
    text
}
