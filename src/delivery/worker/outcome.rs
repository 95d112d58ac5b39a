//! What a worker does with an answer.
//! In: the answer to the first piece of what is being sent.  Out: settled tickets, counts, the next attempt.  Owns: nothing.

use std::time::Duration;

use tokio::task::block_in_place;
use tracing::{error, info, warn};

use crate::batch::{EntryMessage, Parcel, Undecodable};
use crate::clock::Instant;
use crate::custody::Outcome;
use crate::delivery::attempt::{Origin, Piece, Sending};
use crate::delivery::client::Answer;
use crate::delivery::dead_letter::Reason;
use crate::delivery::keep::RecordId;
use crate::delivery::refusal;
use crate::delivery::stream_limit::TRY_AGAIN;
use crate::delivery::verdict::Verdict;
use crate::delivery::worker::{Failing, Worker};

/// A server may ask for a pause, not for ever.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(600);

impl Worker {
    /// Acts on the answer to the piece under way, and goes on with what is left of the same parcel.
    pub(super) async fn judge(&mut self, index: usize, answer: Answer) {
        let mut sending = self.sending.remove(index);
        let Some(mut piece) = sending.pieces.pop_front() else { return };
        match answer.verdict {
            Verdict::Retry { reason, after } => {
                let pause = sending.pause().max(after.unwrap_or_default());
                return self.fail((index, sending), piece, reason, pause, &answer).await;
            }
            Verdict::Slower { after, limit } => {
                let now = Instant::now();
                self.pace.limited(piece.parcel.content.size, limit, now);
                let pause = after.unwrap_or_else(|| self.pace.delay(now));
                let pause = pause.max(self.client.settings.backoff.min);
                return self.fail((index, sending), piece, "rate_limited", pause, &answer).await;
            }
            Verdict::StreamLimit if !self.is_singled_out(&piece.parcel) => {
                self.stream_limit.met(Instant::now());
                let parts = self.single_out(piece.parcel);
                self.replace(piece.ends_record, parts, &mut sending).await;
            }
            Verdict::StreamLimit => {
                let worth_trying = self.stream_limit.met(Instant::now());
                self.remember_refused(&piece.parcel);
                match sending.origin {
                    _ if !worth_trying => self.refuse_all(piece, "stream_limit", &answer).await,
                    Origin::Live => {
                        self.client.metrics.retried("stream_limit");
                        // Others need not wait for it.
                        drop(piece.parcel.take_token());
                        self.parked.push_back((Instant::now() + TRY_AGAIN, piece.parcel));
                    }
                    // The spool has no place for it but its own.
                    Origin::Spool => {
                        return self.fail((index, sending), piece, "stream_limit", TRY_AGAIN, &answer).await;
                    }
                }
            }
            Verdict::Split { .. } if piece.parcel.entries() > 1 => {
                self.client.metrics.splits.add(1.0);
                self.replace(piece.ends_record, piece.parcel.halve(), &mut sending).await;
            }
            Verdict::Split { reason } | Verdict::Refused { reason } => {
                self.refuse_all(piece, reason, &answer).await;
            }
            Verdict::PartlyRefused { reason } => self.refuse_some(piece, reason, &answer).await,
            Verdict::Delivered => self.delivered(piece).await,
        }
        self.proceed(index, sending, answer.took);
    }

    /// Loki has settled something; on to the next piece.
    fn proceed(&mut self, index: usize, sending: Sending, took: Duration) {
        self.progress = Instant::now();
        self.window.answered(took);
        if let Some(Failing { attempts, .. }) = self.failing.take() {
            info!(client = %self.client.settings.name, attempts, "pushes are answered again");
            self.around.troubles.clear(&self.client.settings.name);
        }
        self.go_on(index, sending);
    }

    fn go_on(&mut self, index: usize, mut sending: Sending) {
        if !sending.pieces.is_empty() {
            sending.turn_over(&self.client);
            self.sending.insert(index, sending);
        } else if self.queue.is_empty() && self.keep.is_empty() {
            self.keep.relieve();
        }
    }

    /// The piece was not answered, or with a no that may pass.
    async fn fail(
        &mut self,
        (index, mut sending): (usize, Sending),
        piece: Piece,
        reason: &'static str,
        pause: Duration,
        answer: &Answer,
    ) {
        let pause = pause.min(LONGEST_RETRY_AFTER);
        let name = &self.client.settings.name;
        self.client.metrics.retried(reason);
        self.window.failed();
        sending.failures += 1;
        let now = Instant::now();
        let failing = self.failing.get_or_insert(Failing { since: now, attempts: 0 });
        failing.attempts += 1;
        if now - failing.since >= self.around.stalled_after {
            self.around.troubles.set(name, format!("nothing gets through: {reason}"));
        } else {
            self.around.troubles.warn(name, format!("pushes fail and are tried again: {reason}"));
        }
        if self.client.settings.give_up_after.is_some_and(|most| sending.failures >= most) {
            let reason = if reason == "rate_limited" { reason } else { "ingester_error" };
            let entries = piece.parcel.entries();
            warn!(client = %name, reason, entries, attempts = sending.failures, "gave up, the lines are dropped");
            self.client.metrics.dropped(reason, entries);
            self.finish(piece, Outcome::DroppedByRule).await;
            return self.go_on(index, sending);
        }
        warn!(client = %name, reason, status = %answer.status, answer = answer.detail(), ?pause,
            "push failed, its lines are kept and tried again");
        sending.pieces.push_front(piece);
        sending.try_again(now, pause);
        self.sending.insert(index, sending);
    }

    async fn delivered(&mut self, piece: Piece) {
        let (metrics, parcel) = (&self.client.metrics, &piece.parcel);
        metrics.path.acknowledged();
        metrics.sent_entries.add(parcel.entries() as f64);
        metrics.sent_bytes.add(parcel.body.len() as f64);
        self.pace.accepted(parcel.content.size, Instant::now());
        if self.stream_limit.has_refused_any()
            && let Ok(request) = parcel.request()
        {
            request.streams.iter().for_each(|stream| self.stream_limit.forget(&stream.labels));
        }
        self.finish(piece, Outcome::Delivered).await;
    }

    /// Loki has refused the entries that its answer speaks of, and has the others.
    async fn refuse_some(&mut self, piece: Piece, reason: &'static str, answer: &Answer) {
        let entries = piece.parcel.entries();
        let mut refused = 1;
        if let Ok(request) = piece.parcel.request() {
            let refusal = refusal::read(&request, &answer.body);
            refused = refusal.count.clamp(1, entries.max(1));
            self.bury(&piece.parcel, reason, answer, &refusal.entries);
        }
        let stored = entries.saturating_sub(refused);
        if stored > 0 {
            self.client.metrics.path.acknowledged();
        }
        self.client.metrics.sent_entries.add(stored as f64);
        self.refuse(piece, reason, refused, answer).await;
    }

    async fn refuse_all(&mut self, piece: Piece, reason: &'static str, answer: &Answer) {
        if self.around.dead_letters.is_some()
            && let Ok(request) = piece.parcel.request()
        {
            let streams = request.streams.iter();
            let entries: Vec<_> = streams
                .flat_map(|stream| stream.entries.iter().map(|entry| (stream.labels.as_str(), entry)))
                .collect();
            self.bury(&piece.parcel, reason, answer, &entries);
        }
        let entries = piece.parcel.entries();
        self.refuse(piece, reason, entries, answer).await;
    }

    async fn refuse(&mut self, piece: Piece, reason: &'static str, entries: u64, answer: &Answer) {
        self.client.metrics.refused(reason, entries);
        warn!(client = %self.client.settings.name, reason, entries, answer = answer.detail(),
            "Loki refused entries for good");
        self.finish(piece, Outcome::Refused).await;
    }

    fn bury(&self, parcel: &Parcel, reason: &str, answer: &Answer, entries: &[(&str, &EntryMessage)]) {
        let Some(letters) = &self.around.dead_letters else { return };
        let (client, tenant) = (&self.client.settings.name, parcel.content.tenant.as_deref());
        let reason = Reason { client, tenant, reason, answer: answer.detail() };
        // Disks may hang, and the runtime must not.
        block_in_place(|| letters.keep(reason, entries));
    }

    async fn finish(&mut self, piece: Piece, outcome: Outcome) {
        piece.parcel.settle(outcome);
        self.acknowledge(piece.ends_record).await;
    }

    async fn acknowledge(&mut self, record: Option<RecordId>) {
        if let Some(record) = record {
            self.keep.acknowledge(record).await;
        }
    }

    /// Puts two parts in the place of a piece.
    async fn replace(
        &mut self,
        ends_record: Option<RecordId>,
        parts: Result<(Parcel, Parcel), Undecodable>,
        sending: &mut Sending,
    ) {
        match parts {
            Ok((first, second)) => {
                sending.pieces.push_front(Piece { parcel: second, ends_record });
                sending.pieces.push_front(Piece { parcel: first, ends_record: None });
            }
            // The tickets are dropped with the parcel: its lines stay before the position.
            Err(error) => {
                error!(client = %self.client.settings.name, %error, "parcel cannot be split");
                self.acknowledge(ends_record).await;
            }
        }
    }

    /// True where all that is left in a parcel is above the stream limit: one stream, or several that were refused by
    /// themselves before. Trying each of those again with every push would cost more than it could save.
    fn is_singled_out(&self, parcel: &Parcel) -> bool {
        let Ok(request) = parcel.request() else { return true };
        request.streams.len() <= 1
            || request.streams.iter().all(|stream| self.stream_limit.has_refused(&stream.labels))
    }

    /// Parts streams that were refused before from the others, or halves those nobody knows.
    fn single_out(&self, parcel: Parcel) -> Result<(Parcel, Parcel), Undecodable> {
        let request = parcel.request()?;
        match request.streams.iter().any(|stream| self.stream_limit.has_refused(&stream.labels)) {
            true => parcel.part_streams(|labels| !self.stream_limit.has_refused(labels)),
            false => parcel.halve_streams(),
        }
    }

    fn remember_refused(&mut self, parcel: &Parcel) {
        let Ok(request) = parcel.request() else { return };
        request.streams.iter().for_each(|stream| self.stream_limit.refuse(&stream.labels));
    }
}
