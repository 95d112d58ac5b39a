//! Looks at a container the moment it starts, whatever else is going on: a short-lived one is gone soon. dockerd may not
//! answer before it is, so the file of its log is waited for from the container's creation on.
//! In: events.  Out: the same events, and what was found of containers that started.  Owns: the tasks that ask.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bollard::errors::Error;
use futures_util::StreamExt as _;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use crate::clock::Instant;
use crate::discovery::docker::events::{Event, Events, Started};
use crate::discovery::docker::listed::Container;
use crate::source::docker::{Endpoint, FoundStarted, Inspected, WantedLogs};

/// Containers that are looked at together; each takes two requests.
const ASKED_AT_ONCE: usize = 32;

/// Created containers whose log is waited for; a start that comes later than that is learned from its event.
const AWAITED_AT_ONCE: usize = 256;
const AWAITED_FOR: Duration = Duration::from_secs(10);

/// Between two looks for such a file, which is there before the container's process is.
const AWAITED_LOOK: Duration = Duration::from_millis(5);

/// Events that wait while containers are listed and compared. After that Docker waits.
const EVENTS_WAITING: usize = 1024;

/// What an event says beside a container's labels.
const NO_LABELS: [&str; 2] = ["image", "name"];

/// A container that was started.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) id: String,
    /// As the list has it, or as far as the event tells; `None` where it is not among those wanted, or nobody knows.
    pub(super) container: Option<Container>,
    /// `None` where it was gone already.
    pub(super) found: Option<FoundStarted>,
}

/// What the daemon says of itself.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Info {
    docker_root_dir: PathBuf,
}

/// Looks at containers.
#[derive(Debug)]
pub(super) struct Arrivals {
    pub(super) endpoint: Endpoint,
    pub(super) version: String,
    pub(super) filters: HashMap<String, Vec<String>>,
    pub(super) logs: WantedLogs,
    /// Where each container has a directory, once that is known.
    pub(super) directory: OnceLock<PathBuf>,
}

/// Ends a task when the stream of its events is let go.
struct Running(AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Arrivals {
    /// `events`, with what was found in the place of each start.
    pub(super) fn attend(self, events: Events) -> Events {
        let (sender, receiver) = mpsc::channel(EVENTS_WAITING);
        let running = Running(tokio::spawn(Arc::new(self).run(events, sender)).abort_handle());
        Box::pin(futures_util::stream::unfold((receiver, running), |(mut receiver, running)| async {
            let event = receiver.recv().await?;
            Some((event, (receiver, running)))
        }))
    }

    async fn run(self: Arc<Self>, mut events: Events, sender: mpsc::Sender<Result<Event, Error>>) {
        self.find_directory().await;
        let (mut asked, mut awaited) = (JoinSet::new(), JoinSet::new());
        let mut early: HashMap<String, FoundStarted> = HashMap::new();
        loop {
            let event = tokio::select! {
                event = events.next(), if asked.len() < ASKED_AT_ONCE => match event {
                    None => break,
                    Some(Err(error)) => {
                        drop(sender.send(Err(error)).await);
                        break;
                    }
                    Some(Ok(Event::Started(Started { id: Some(id), attributes }))) => {
                        asked.spawn(self.clone().look(id, attributes));
                        continue;
                    }
                    Some(Ok(Event::Created(Some(id)))) if awaited.len() + early.len() < AWAITED_AT_ONCE => {
                        awaited.spawn(self.clone().await_log(id));
                        continue;
                    }
                    Some(Ok(event)) => event,
                },
                Some(opened) = awaited.join_next(), if !awaited.is_empty() => {
                    early.extend(opened.ok().flatten());
                    continue;
                }
                Some(arrived) = asked.join_next(), if !asked.is_empty() => match arrived {
                    Ok(mut arrival) => {
                        while let Some(opened) = awaited.try_join_next() {
                            early.extend(opened.ok().flatten());
                        }
                        let opened = early.remove(&arrival.id);
                        if !arrival.found.as_ref().is_some_and(FoundStarted::is_open) && opened.is_some() {
                            arrival.found = opened;
                        }
                        Event::Arrived(Box::new(arrival))
                    }
                    // In release builds a panic has ended the process before.
                    Err(_) => Event::Changed,
                },
            };
            if sender.send(Ok(event)).await.is_err() {
                return;
            }
        }
        while let Some(Ok(arrival)) = asked.join_next().await {
            if sender.send(Ok(Event::Arrived(Box::new(arrival)))).await.is_err() {
                return;
            }
        }
    }

    /// A socket proxy may not tell; then the first log that is opened does.
    async fn find_directory(&self) {
        if self.logs != WantedLogs::Api
            && let Ok(Info { docker_root_dir }) = self.endpoint.get(&format!("/v{}/info", self.version)).await
        {
            drop(self.directory.set(docker_root_dir.join("containers")));
        }
    }

    /// Opens the log of a container that is about to be started, as soon as there is one.
    async fn await_log(self: Arc<Self>, id: String) -> Option<(String, FoundStarted)> {
        let directory = self.directory.get()?;
        let inspected = Inspected::of(&self.endpoint, &self.version, &id).await.ok()?;
        let inspected = inspected.once_started(directory, &id)?;
        let path = inspected.log_file()?.to_owned();
        let deadline = Instant::now() + AWAITED_FOR;
        while !path.exists() {
            if Instant::now() >= deadline {
                return None;
            }
            sleep(AWAITED_LOOK).await;
        }
        Some((id, FoundStarted::now(inspected, self.logs)))
    }

    async fn look(self: Arc<Self>, id: String, attributes: BTreeMap<String, String>) -> Arrival {
        let looked = async {
            let inspected = Inspected::of(&self.endpoint, &self.version, &id).await.ok()?;
            let directory = inspected.log_file().and_then(|path| path.parent()?.parent());
            if let (Some(directory), None) = (directory, self.directory.get()) {
                drop(self.directory.set(directory.to_owned()));
            }
            Some(FoundStarted::now(inspected, self.logs))
        };
        let mut filters = self.filters.clone();
        filters.insert("id".to_owned(), vec![id.clone()]);
        let listed = self.endpoint.containers::<Vec<Container>>(&self.version, &filters);
        let (found, listed) = tokio::join!(looked, listed);
        let listed = listed.unwrap_or_default().into_iter().find(|container| container.id == id);
        let container = listed.or_else(|| self.told(&id, attributes));
        Arrival { id, container, found }
    }

    /// A container that is gone, as the event has it. Filters other than for labels are Docker's to apply.
    fn told(&self, id: &str, mut attributes: BTreeMap<String, String>) -> Option<Container> {
        let [image, name] = NO_LABELS.map(|attribute| attributes.remove(attribute).unwrap_or_default());
        let has_label = |wanted: &String| match wanted.split_once('=') {
            Some((label, value)) => attributes.get(label).is_some_and(|found| found == value),
            None => attributes.contains_key(wanted),
        };
        let is_wanted =
            self.filters.iter().all(|(name, values)| name == "label" && values.iter().all(has_label));
        is_wanted.then(|| Container {
            id: id.to_owned(),
            names: vec![format!("/{name}")],
            image,
            labels: attributes,
            ..Container::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Settings;
    use crate::source::docker::Host;

    #[test]
    fn a_container_that_is_gone_is_known_from_its_event() {
        let told = |filters: &[(&str, &str)]| {
            let settings = Settings::plain(Duration::from_secs(1));
            let arrivals = Arrivals {
                endpoint: Endpoint::new(&Host::Unix("/x".into()), &settings).unwrap(),
                version: "1.41".to_owned(),
                filters: filters
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()]))
                    .collect(),
                logs: WantedLogs::Auto,
                directory: OnceLock::new(),
            };
            let attributes = [("image", "i"), ("name", "job"), ("team", "a")];
            arrivals.told("x", attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
        };
        let container = told(&[("label", "team=a")]).unwrap();
        assert_eq!((container.names[0].as_str(), container.image.as_str()), ("/job", "i"));
        assert_eq!(container.labels.len(), 1);
        assert!(told(&[]).is_some() && told(&[("label", "team")]).is_some());
        assert!(told(&[("label", "team=b")]).is_none() && told(&[("name", "job")]).is_none());
    }
}
