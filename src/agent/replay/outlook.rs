//! What a replay would send, before it sends anything.
//! In: a question, Loki's limits.  Out: counts.  Owns: the streams it has seen, up to a bound.

use std::collections::HashSet;
use std::sync::Arc;

use crate::agent::replay::feed::labelled;
use crate::agent::replay::walk::{Place, Question, Walk};
use crate::batch;
use crate::record::UnixNanos;

/// Streams that are told apart.
pub(crate) const MOST_STREAMS: usize = 100_000;

/// What there is to send.
#[derive(Debug)]
pub(crate) struct Outlook {
    pub(crate) entries: u64,
    /// Of lines and structured metadata.
    pub(crate) bytes: u64,
    /// Up to [`MOST_STREAMS`].
    pub(crate) streams: usize,
    /// Labels of the stream with the most.
    pub(crate) most_labels: usize,
    /// Of the first entry and the last.
    pub(crate) span: Option<(UnixNanos, UnixNanos)>,
    /// Entries older than Loki takes.
    pub(crate) too_old: u64,
    /// The rest is left out by the caps.
    pub(crate) is_capped: bool,
    /// What of the archive cannot be read.
    pub(crate) problems: Vec<String>,
}

impl Outlook {
    /// Counts. `oldest` is what Loki takes at most.
    pub(super) fn of(
        question: &Question,
        place: Place,
        batch: &batch::Settings,
        oldest: Option<UnixNanos>,
        tell: &mut dyn FnMut(usize, usize),
    ) -> Result<Outlook, String> {
        let mut walk = Walk::begin(question, place)?;
        let before = walk.place.clone();
        let (mut seen, mut streams) = (HashSet::new(), HashSet::new());
        let (mut span, mut too_old, mut most_labels, mut problems) = (None, 0, 0, Vec::new());
        while let Some(next) = walk.next(tell) {
            let entry = match next {
                Ok(entry) => entry,
                Err(problem) => {
                    problems.push(problem);
                    continue;
                }
            };
            span = span.map_or(Some((entry.time, entry.time)), |(first, _)| Some((first, entry.time)));
            too_old += u64::from(oldest.is_some_and(|oldest| entry.time < oldest));
            if seen.len() < MOST_STREAMS && seen.insert(Arc::clone(&entry.stream)) {
                let stream = labelled(&entry.stream, &question.labels, batch);
                most_labels = most_labels.max(stream.labels.iter().count());
                streams.insert((stream.tenant, stream.text));
            }
        }
        Ok(Outlook {
            entries: walk.place.entries - before.entries,
            bytes: walk.place.bytes - before.bytes,
            streams: streams.len(),
            most_labels,
            span,
            too_old,
            is_capped: walk.is_capped,
            problems,
        })
    }
}
