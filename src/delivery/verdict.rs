//! What Loki's answer to a push means for its lines. One pure function, so that a table can test it.
//! In: status and body.  Out: a [`Verdict`].  Owns: nothing.

use std::time::Duration;

use crate::delivery::refusal::number_after;

/// What to do with a parcel after an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// Loki has every line.
    Delivered,
    /// Some entries were refused for good, the others are stored: never send it again. The body says which.
    PartlyRefused {
        /// Metric label.
        reason: &'static str,
    },
    /// Nothing was stored and nothing ever will be; what is wrong is not in any single entry.
    Refused {
        /// Metric label.
        reason: &'static str,
    },
    /// Send the same bytes again later.
    Retry {
        /// Metric label.
        reason: &'static str,
        /// What `Retry-After` asked for.
        after: Option<Duration>,
    },
    /// Send the same bytes again, and everything more slowly.
    Slower {
        /// What `Retry-After` asked for.
        after: Option<Duration>,
        /// The tenant's limit in bytes a second, where the body says.
        limit: Option<u64>,
    },
    /// Streams that Loki does not know yet are above its limit; what was pushed for others is stored. Waiting helps only
    /// when streams age out or somebody raises the limit.
    StreamLimit,
    /// Nothing was stored and never will be at this size or in this company: halve it. A parcel of one entry is
    /// refused.
    Split {
        /// Metric label.
        reason: &'static str,
    },
}

/// Judges an answer. `body` may be cut; Loki puts what matters first.
pub(crate) fn judge(status: u16, retry_after: Option<&str>, body: &str) -> Verdict {
    let after = retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    match status {
        200..=204 => Verdict::Delivered,
        // Loki's answer while ingestion is blocked for the tenant: not stored, and not to be sent again.
        260 => Verdict::Refused { reason: "ingestion_blocked" },
        400 => bad_request(body),
        413 => Verdict::Split { reason: "too_large" },
        422 => Verdict::Split { reason: "unprocessable" },
        429 if body.contains("stream limit exceeded") => Verdict::StreamLimit,
        // More than a second's worth may be above the burst, and then no waiting helps.
        429 if exceeds_rate(body) => Verdict::Split { reason: "above_burst" },
        429 => Verdict::Slower { after, limit: tenant_limit(body) },
        // gRPC between Loki's parts has a message limit that the HTTP front does not check.
        500..=599 if body.contains("received message larger than max") => {
            Verdict::Split { reason: "too_large" }
        }
        500..=599 => Verdict::Retry { reason: "server_error", after },
        401 | 403 => Verdict::Retry { reason: "unauthorized", after },
        // 404, 405, redirects that lead nowhere: a proxy or the URL is wrong. Somebody is going to mend it, and the
        // lines are still wanted then.
        _ => Verdict::Retry { reason: "unexpected_status", after },
    }
}

fn bad_request(body: &str) -> Verdict {
    // One label string that does not parse makes Loki refuse every stream of the push.
    if body.contains("couldn't parse labels") {
        return Verdict::Split { reason: "labels_invalid" };
    }
    let reason = match () {
        () if body.contains("timestamp too old") => "too_old",
        () if body.contains("timestamp too new") => "too_new",
        () if body.contains("too far behind") => "too_far_behind",
        () if body.contains("max entry size") => "line_too_long",
        () if body.contains("label names; limit") => "too_many_labels",
        () if body.contains("has label value too long") || body.contains("label value length") => {
            "label_too_long"
        }
        () if body.contains("duplicate label name") => "duplicate_label",
        () if body.contains("includes structured metadata") => "structured_metadata_disallowed",
        () if body.contains("stream") || body.contains("entry") => "other",
        // A body that Loki cannot read, or a 400 that is not Loki's.
        () => return Verdict::Refused { reason: "bad_request" },
    };
    Verdict::PartlyRefused { reason }
}

/// What Loki allows the tenant, in bytes a second. That of a single stream (`limit: 3MB/sec`) says nothing of the others.
fn tenant_limit(body: &str) -> Option<u64> {
    number_after(body, "limit: ").filter(|limit| body.contains(&format!("limit: {limit} bytes/sec")))
}

/// True where a rate-limit answer says that the push alone is larger than what a second allows.
fn exceeds_rate(body: &str) -> bool {
    match (tenant_limit(body), number_after(body, "totaling '")) {
        (Some(limit), Some(total)) => total > limit,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partly(reason: &'static str) -> Verdict {
        Verdict::PartlyRefused { reason }
    }

    fn retry(reason: &'static str) -> Verdict {
        Verdict::Retry { reason, after: None }
    }

    /// Statuses and bodies as a real Loki 3.6 gave them.
    #[test]
    fn every_answer_of_loki_has_its_verdict() {
        let split = |reason| Verdict::Split { reason };
        let table = [
            (204, "", Verdict::Delivered),
            (260, "", Verdict::Refused { reason: "ingestion_blocked" }),
            (400, "error at least one label pair is required per stream", partly("other")),
            (400, "couldn't parse labels: 1:4: parse error: unexpected character", split("labels_invalid")),
            (400, "stream '{a=\"x\"}' has duplicate label name: 'a'", partly("duplicate_label")),
            (400, "entry for stream '{}' has 16 label names; limit 15", partly("too_many_labels")),
            (
                400,
                "stream '{a=\"x\"}' includes structured metadata, but this feature is disallowed.",
                partly("structured_metadata_disallowed"),
            ),
            (400, "entry for stream '{}' has timestamp too old: 2026", partly("too_old")),
            (400, "entry for stream '{}' has timestamp too new: 2026", partly("too_new")),
            (
                400,
                "entry with timestamp 2026 ignored, reason: 'entry too far behind, oldest acceptable timestamp is: 2026', \
                 user 'fake', total ignored: 3 out of 20 for stream: {}",
                partly("too_far_behind"),
            ),
            (400, "max entry size '262144' bytes exceeded for stream", partly("line_too_long")),
            (
                400,
                "2 errors like: max entry size '262144' bytes exceeded; 1 errors like: entry has timestamp too new: 2026",
                partly("too_new"),
            ),
            (400, "snappy: corrupt input", Verdict::Refused { reason: "bad_request" }),
            (422, "error at least one valid stream is required for ingestion", split("unprocessable")),
            (413, "", split("too_large")),
            (
                500,
                "rpc error: code = ResourceExhausted desc = grpc: received message larger than max (5230049 vs. 4194304)",
                split("too_large"),
            ),
            (
                429,
                "ingestion rate limit exceeded for user fake (limit: 4194304 bytes/sec) while attempting to ingest \
                 '7001' lines totaling '7000008' bytes, reduce log volume",
                split("above_burst"),
            ),
            (
                429,
                "ingestion rate limit exceeded for user fake (limit: 4194304 bytes/sec) while attempting to ingest \
                 '10' lines totaling '1000' bytes, reduce log volume",
                Verdict::Slower { after: None, limit: Some(4_194_304) },
            ),
            (
                429,
                "entry with timestamp 2026-11-18 10:30:00 +0000 UTC ignored, reason: 'Per stream rate limit exceeded (limit: 3MB/sec) \
                 while attempting to ingest for stream '{a=\"x\"}' totaling 8238B, consider splitting a stream'",
                Verdict::Slower { after: None, limit: None },
            ),
            (429, "maximum active stream limit exceeded when trying to create stream", Verdict::StreamLimit),
            (429, "", Verdict::Slower { after: None, limit: None }),
            (500, "internal error", retry("server_error")),
            (503, "", retry("server_error")),
            (401, "no org id", retry("unauthorized")),
            (403, "", retry("unauthorized")),
            (404, "404 page not found", retry("unexpected_status")),
            (302, "", retry("unexpected_status")),
        ];
        for (status, body, expected) in table {
            assert_eq!(judge(status, None, body), expected, "{status} {body}");
        }
    }

    #[test]
    fn retry_after_is_read_in_seconds_and_ignored_when_it_is_a_date() {
        let after = |value| match judge(429, Some(value), "") {
            Verdict::Slower { after, .. } => after,
            other => panic!("{other:?}"),
        };
        assert_eq!(after(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(after("Wed, 21 Oct 2026 07:28:00 GMT"), None);
    }
}
