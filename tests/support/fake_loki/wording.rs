//! Loki's words, where they take more than one line to say. In: what was refused.  Out: text.  Owns: nothing.

use jiff::Timestamp;

use super::judge::Reply;

pub(super) fn rate_limited(user: &str, limit: usize, lines: usize, bytes: usize) -> Reply {
    Reply::refusal(
        429,
        format!(
            "ingestion rate limit exceeded for user {user} (limit: {limit} bytes/sec) while attempting to ingest '{lines}' lines totaling '{bytes}' bytes, reduce log volume or contact your Loki administrator to see if the limit can be increased"
        ),
    )
}

/// Loki names the first ten entries and counts the rest.
pub(super) fn too_far_behind(behind: &[(i64, i64)], user: &str, total: usize, stream: &str) -> String {
    let mut body = String::new();
    for &(at, oldest) in behind.iter().take(10) {
        body += &format!(
            "entry with timestamp {} ignored, reason: 'entry too far behind, entry timestamp is: {}, oldest acceptable timestamp is: {}',\n",
            go_time(at),
            rfc3339(at),
            rfc3339(oldest)
        );
    }
    body + &format!("user '{user}', total ignored: {} out of {total} for stream: {stream}", behind.len())
}

/// Loki's `GroupedErrors`; its order is that of a Go map, ours is that of first appearance.
pub(super) fn grouped(complaints: &[String]) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for complaint in complaints {
        match counts.iter_mut().find(|(known, _)| known == complaint) {
            Some((_, count)) => *count += 1,
            None => counts.push((complaint, 1)),
        }
    }
    if let [(complaint, 1)] = counts[..] {
        return complaint.to_owned();
    }
    let lines: Vec<_> = counts.iter().map(|(text, count)| format!("{count} errors like: {text}")).collect();
    lines.join("; ")
}

/// Whole seconds, as Go's `time.RFC3339` prints.
pub(super) fn rfc3339(at_ns: i64) -> String {
    Timestamp::from_second(at_ns.div_euclid(1_000_000_000)).expect("an i64 of nanoseconds fits").to_string()
}

/// As Go's `Time.String()` prints.
fn go_time(at_ns: i64) -> String {
    let text = Timestamp::from_nanosecond(at_ns.into()).expect("an i64 of nanoseconds fits").to_string();
    text.replace('T', " ").replace('Z', " +0000 UTC")
}
