//! Events of a daemon: hints that a list has changed.
//! In: Docker's event stream.  Out: what the hint is about.  Owns: the stream.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::EventMessageTypeEnum;
use bollard::query_parameters::EventsOptions;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;

use crate::clock::Instant;
use crate::discovery::docker::arrivals::{Arrival, Arrivals};
use crate::flow::{Backoff, BackoffSettings};
use crate::record::UnixNanos;

/// A stream that ends sooner has not worked.
const WORKED: Duration = Duration::from_secs(5);

/// Waits before a stream that ended is asked for again.
const RETRY: BackoffSettings =
    BackoffSettings { min: Duration::from_millis(200), max: Duration::from_secs(5) };

/// What changes which containers there are, or their labels. `died` and `remove` are Podman's words, which others pass
/// over.
const ACTIONS: [&str; 9] =
    ["create", "start", "die", "died", "destroy", "remove", "rename", "connect", "disconnect"];

/// One event.
#[derive(Debug)]
pub(super) enum Event {
    /// A container runs now.
    Started(Started),
    /// A container that was started just now was looked at.
    Arrived(Box<Arrival>),
    /// A container has ended or is gone; its id, where it is said.
    Ended(Option<String>),
    /// A container was created, and is about to be started as a rule; its id, where it is said.
    Created(Option<String>),
    /// A container was renamed, or has joined or left a network.
    Changed,
    /// A network was created or removed.
    Network,
}

/// What an event says of a container.
#[derive(Clone, Debug, Default)]
pub(super) struct Started {
    /// Where it is said.
    pub(super) id: Option<String>,
    /// Its name and image, and its labels among them.
    pub(super) attributes: BTreeMap<String, String>,
}

/// Events, and how their stream ended.
pub(super) type Events = BoxStream<'static, Result<Event, Error>>;

/// What comes out of a subscription.
#[derive(Debug)]
pub(super) enum Heard {
    Event(Event),
    /// It is over, and is asked for again after a pause. It `worked` where it lasted for a while.
    Ended {
        worked: bool,
    },
    /// A socket proxy refuses it, or the like.
    Refused,
}

/// The event stream of one daemon, asked for again when it ends.
pub(super) struct Subscription {
    stream: Option<Events>,
    /// Lists before this were made while nobody listened.
    since: Option<UnixNanos>,
    began: Instant,
    next_try: Instant,
    retry: Backoff,
    /// How long a refusal holds.
    patience: Duration,
}

impl Subscription {
    /// None yet. One that is refused is asked for again after `patience`.
    pub(super) fn new(patience: Duration) -> Subscription {
        let (now, patience) = (Instant::now(), patience.max(WORKED));
        let retry = Backoff::new(RETRY);
        Subscription { stream: None, since: None, began: now, next_try: now, retry, patience }
    }

    /// Asks for events if there are none, from the list on that was `asked` for last; how long not to.
    pub(super) fn renew(
        &mut self,
        docker: &Docker,
        asked: UnixNanos,
        arrivals: impl FnOnce() -> Arrivals,
    ) -> Option<Duration> {
        if self.stream.is_some() {
            return None;
        }
        let now = Instant::now();
        if now < self.next_try {
            return Some(self.next_try - now);
        }
        // So that none falls between the list and the subscription.
        let since = *self.since.get_or_insert(asked);
        (self.stream, self.began) = (Some(arrivals().attend(subscribe(docker, since))), now);
        None
    }

    /// Cancel-safe: an event not yet given is still in the stream.
    pub(super) async fn next(&mut self) -> Heard {
        let Some(stream) = &mut self.stream else { return std::future::pending().await };
        let ended = match stream.next().await {
            Some(Ok(event)) => return Heard::Event(event),
            ended => ended,
        };
        self.stream = None;
        let now = Instant::now();
        if matches!(ended, Some(Err(Error::DockerResponseServerError { status_code: 400..500, .. }))) {
            self.next_try = now + self.patience;
            return Heard::Refused;
        }
        let worked = now - self.began >= WORKED;
        if worked {
            (self.since, self.retry) = (None, Backoff::new(RETRY));
        }
        self.next_try = now + self.retry.next();
        Heard::Ended { worked }
    }
}

fn subscribe(docker: &Docker, since: UnixNanos) -> Events {
    let filters = HashMap::from([
        ("type".to_owned(), ["container", "network"].map(str::to_owned).to_vec()),
        ("event".to_owned(), ACTIONS.map(str::to_owned).to_vec()),
    ]);
    let options = EventsOptions {
        filters: Some(filters),
        since: Some(since.seconds().to_string()),
        ..EventsOptions::default()
    };
    // The stream borrows its client, so it owns a clone of it.
    let docker = docker.clone();
    let events = docker.events(Some(options)).map(|event| {
        let event = event?;
        let actor = event.actor.unwrap_or_default();
        Ok(match (event.typ, event.action.as_deref()) {
            (Some(EventMessageTypeEnum::NETWORK), Some("create" | "destroy" | "remove")) => Event::Network,
            (Some(EventMessageTypeEnum::NETWORK), _) => Event::Changed,
            (_, Some("start")) => {
                let attributes = actor.attributes.unwrap_or_default().into_iter().collect();
                Event::Started(Started { id: actor.id, attributes })
            }
            (_, Some("create")) => Event::Created(actor.id),
            (_, Some("die" | "died" | "destroy" | "remove")) => Event::Ended(actor.id),
            _ => Event::Changed,
        })
    });
    Box::pin(events)
}
