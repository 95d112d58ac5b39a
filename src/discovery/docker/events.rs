//! Events of a daemon: hints that a list has changed.
//! In: Docker's event stream.  Out: what the hint is about.  Owns: the stream.

use std::collections::{BTreeMap, HashMap};

use bollard::Docker;
use bollard::models::EventMessageTypeEnum;
use bollard::query_parameters::EventsOptions;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;

use crate::discovery::docker::arrivals::Arrival;
use crate::record::UnixNanos;

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
    /// A container was renamed.
    Changed,
    /// A network was created, removed, joined or left.
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

/// Events that are left when the stream ends are none.
pub(super) type Events = BoxStream<'static, Event>;

/// Events from `since` on, so that none falls between a list and the subscription.
pub(super) fn subscribe(docker: &Docker, since: UnixNanos) -> Events {
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
    let events = docker.events(Some(options)).take_while(|event| std::future::ready(event.is_ok()));
    let events = events.filter_map(|event| async {
        let event = event.ok()?;
        let actor = event.actor.unwrap_or_default();
        Some(match (event.typ, event.action.as_deref()) {
            (Some(EventMessageTypeEnum::NETWORK), _) => Event::Network,
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

/// Cancel-safe: an event not yet given is still in the stream.
pub(super) async fn next(events: &mut Option<Events>) -> Option<Event> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}
