//! A parcel being sent, in as many pieces as Loki wants it.
//! In: a parcel of the queue or of the spool.  Out: one answer after another.  Owns: the pieces and the request under way.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::sleep;

use crate::batch::Parcel;
use crate::delivery::client::{Answer, Client};
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
    /// It is the last of its record of the spool.
    pub(super) ends_record: bool,
}

/// What is being sent.
pub(super) struct Sending {
    pub(super) origin: Origin,
    /// The first one is under way.
    pub(super) pieces: VecDeque<Piece>,
    pub(super) backoff: Backoff,
    /// Failed attempts at the first piece.
    pub(super) failures: u64,
    answer: Option<Pin<Box<dyn Future<Output = Answer> + Send>>>,
    /// The pause before the request is over.
    under_way: Arc<AtomicBool>,
}

impl Sending {
    pub(super) fn new(origin: Origin, parcel: Parcel, client: &Client) -> Sending {
        Sending {
            origin,
            pieces: VecDeque::from([Piece { parcel, ends_record: origin == Origin::Spool }]),
            backoff: Backoff::new(client.settings.backoff),
            failures: 0,
            answer: None,
            under_way: Arc::default(),
        }
    }

    /// Pushes the first piece, after a pause.
    pub(super) fn push(&mut self, client: &Arc<Client>, pause: Duration) {
        let Some(Piece { parcel, .. }) = self.pieces.front() else { return };
        let (client, tenant, body) = (client.clone(), parcel.content.tenant.clone(), parcel.body.clone());
        self.under_way = Arc::default();
        let under_way = self.under_way.clone();
        self.answer = Some(Box::pin(async move {
            sleep(pause).await;
            under_way.store(true, Ordering::Relaxed);
            client.send(tenant.as_deref(), body).await
        }));
    }

    /// True while Loki may be storing the first piece: who gives up now sends it twice.
    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.load(Ordering::Relaxed)
    }

    /// The answer to the first piece. Cancel-safe: the request goes on.
    pub(super) async fn answer(&mut self) -> Answer {
        match &mut self.answer {
            Some(answer) => {
                let answer = answer.await;
                self.answer = None;
                self.under_way.store(false, Ordering::Relaxed);
                answer
            }
            None => std::future::pending().await,
        }
    }
}
