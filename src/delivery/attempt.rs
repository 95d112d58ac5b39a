//! A parcel being sent, in as many pieces as Loki wants it.
//! In: a parcel of the queue or of the spool.  Out: one answer after another.  Owns: the pieces and their request under way.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::sleep;

use crate::batch::{Parcel, Shards};
use crate::clock::Instant;
use crate::delivery::client::{Answer, Client};
use crate::delivery::keep::RecordId;
use crate::flow::Backoff;

/// Where the pieces came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Memory: their tickets are open.
    Live,
    /// The spool has them until they are acknowledged.
    Spool,
}

/// A part of what is being sent.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) parcel: Parcel,
    /// It is the last of this record of the spool.
    pub(super) ends_record: Option<RecordId>,
}

/// What is being sent.
pub(super) struct Sending {
    pub(super) origin: Origin,
    /// The first one is under way, or waits for its turn.
    pub(super) pieces: VecDeque<Piece>,
    /// Of all that was begun.
    pub(super) shards: Shards,
    backoff: Backoff,
    /// Failed attempts at the first piece.
    pub(super) failures: u64,
    /// When it may be tried again.
    again: Instant,
    answer: Option<Pin<Box<dyn Future<Output = Answer> + Send>>>,
    /// The pause before the request is over.
    under_way: Arc<AtomicBool>,
}

impl Sending {
    /// Of a record, or of a parcel in memory.
    pub(super) fn new(record: Option<RecordId>, parcel: Parcel, client: &Client) -> Sending {
        Sending {
            origin: if record.is_some() { Origin::Spool } else { Origin::Live },
            shards: parcel.shards,
            pieces: VecDeque::from([Piece { parcel, ends_record: record }]),
            backoff: Backoff::new(client.settings.backoff),
            failures: 0,
            again: Instant::now(),
            answer: None,
            under_way: Arc::default(),
        }
    }

    /// The next piece is a new matter.
    pub(super) fn turn_over(&mut self, client: &Client) {
        self.failures = 0;
        self.backoff = Backoff::new(client.settings.backoff);
    }

    /// How long to wait before the next attempt.
    pub(super) fn pause(&mut self) -> Duration {
        self.backoff.next()
    }

    /// The first piece failed.
    pub(super) fn try_again(&mut self, now: Instant, pause: Duration) {
        self.again = now + pause;
    }

    /// Pushes the first piece, after the pause that it or `pause` asks for.
    pub(super) fn push(&mut self, client: &Arc<Client>, now: Instant, pause: Duration) {
        let Some(Piece { parcel, .. }) = self.pieces.front() else { return };
        let (client, tenant, body) = (client.clone(), parcel.content.tenant.clone(), parcel.body.clone());
        let pause = pause.max(self.again.saturating_duration_since(now));
        self.under_way = Arc::default();
        let under_way = self.under_way.clone();
        self.answer = Some(Box::pin(async move {
            sleep(pause).await;
            under_way.store(true, Ordering::Relaxed);
            client.send(tenant.as_deref(), body).await
        }));
    }

    /// True while an answer is to come, the pause before included.
    pub(super) fn is_requested(&self) -> bool {
        self.answer.is_some()
    }

    /// True while Loki may be storing the first piece: who gives up now sends it twice.
    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.load(Ordering::Relaxed)
    }

    /// The answer to the first piece.
    pub(super) fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<Answer> {
        let Some(request) = &mut self.answer else { return Poll::Pending };
        let answer = request.as_mut().poll(context);
        if answer.is_ready() {
            self.answer = None;
            self.under_way.store(false, Ordering::Relaxed);
        }
        answer
    }
}
