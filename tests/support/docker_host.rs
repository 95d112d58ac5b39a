//! A Docker daemon of many containers that come, print, change and go as a test says.
//! In: a script.  Out: Docker's API on a Unix socket or a port, and what was asked of it.  Owns: the socket.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

/// Of the first message there is: 2026-11-18T10:30:00Z.
const BEGINNING: i64 = 1_795_001_400_000_000_000;

/// Events that a subscriber may still ask for.
const EVENTS_KEPT: usize = 10_000;

/// What the daemon does otherwise than a plain dockerd.
#[derive(Clone, Debug, Default)]
pub struct Manners {
    /// Stands behind a proxy that lets nothing through but GET of what an agent has to know.
    pub proxied: bool,
    /// Refuses to tell about networks.
    pub without_networks: bool,
    /// Log streams end after what there is.
    pub hangs_up: bool,
    /// Log streams fall silent after what there is.
    pub falls_silent: bool,
    /// Answers as Podman does.
    pub podman: bool,
    /// It does not answer, and whatever it was answering ends.
    pub down: bool,
    /// The version it speaks.
    pub version: Option<&'static str>,
}

/// A container, as the list shows it.
#[derive(Clone, Debug)]
pub struct Container {
    pub name: String,
    pub state: &'static str,
    pub tty: bool,
    /// Its log driver is `none`.
    pub unreadable: bool,
    pub labels: Value,
    pub network_mode: String,
    pub networks: Value,
    pub ports: Value,
    pub log_driver: &'static str,
    pub log_path: String,
}

/// A running daemon; dropping it ends it.
pub struct DockerHost {
    host: String,
    world: Arc<World>,
    server: JoinHandle<()>,
}

struct World {
    inner: Mutex<Inner>,
    events: broadcast::Sender<(&'static str, &'static str, String)>,
    down: watch::Sender<bool>,
}

#[derive(Default)]
struct Inner {
    manners: Manners,
    containers: BTreeMap<String, Kept>,
    networks: Value,
    past: VecDeque<(&'static str, &'static str, String)>,
    requests: Vec<(String, HeaderMap)>,
    opened: HashMap<String, usize>,
    messages: i64,
}

struct Kept {
    shown: Container,
    messages: Vec<Message>,
    changed: watch::Sender<()>,
}

#[derive(Clone)]
struct Message {
    time: i64,
    output: u8,
    text: String,
}

impl Default for Container {
    fn default() -> Container {
        let networks = json!({"bridge": {"NetworkID": "n0", "IPAddress": "172.17.0.2"}});
        Container {
            name: "app".to_owned(),
            state: "running",
            tty: false,
            unreadable: false,
            labels: json!({}),
            network_mode: "bridge".to_owned(),
            networks,
            ports: json!([]),
            log_driver: "",
            log_path: String::new(),
        }
    }
}

/// A container's id, as long as they are.
pub fn id(number: usize) -> String {
    format!("{number:064x}")
}

impl DockerHost {
    pub fn start(directory: &Path, manners: Manners) -> DockerHost {
        let socket = directory.join("docker.sock");
        let world = World::new(manners);
        let api = Router::new().fallback(answer).with_state(world.clone());
        let listener = UnixListener::bind(&socket).unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, api).await.unwrap() });
        DockerHost { host: format!("unix://{}", socket.display()), world, server }
    }

    /// On a port; gives it too.
    pub async fn start_on_port(manners: Manners) -> (DockerHost, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let world = World::new(manners);
        let api = Router::new().fallback(answer).with_state(world.clone());
        let server = tokio::spawn(async move { axum::serve(listener, api).await.unwrap() });
        (DockerHost { host: format!("tcp://{address}"), world, server }, address)
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    /// Behaves like this from now on.
    pub fn behave(&self, manners: Manners) {
        self.world.down.send_replace(manners.down);
        let mut inner = self.world.lock();
        inner.manners = manners;
        inner.containers.values().for_each(|kept| kept.changed.send_replace(()));
    }

    /// A container appears, with its start event where it runs.
    pub fn add(&self, id: &str, shown: Container) {
        let running = shown.state == "running";
        let kept = Kept { shown, messages: Vec::new(), changed: watch::channel(()).0 };
        self.world.lock().containers.insert(id.to_owned(), kept);
        self.world.tell("container", if running { "start" } else { "create" }, id);
    }

    /// Prints a line to an output (1 or 2).
    pub fn print(&self, id: &str, output: u8, line: &str) {
        let mut inner = self.world.lock();
        inner.messages += 1;
        let time = BEGINNING + inner.messages * 1_000_000;
        let kept = inner.containers.get_mut(id).unwrap();
        kept.messages.push(Message { time, output, text: format!("{line}\n") });
        kept.changed.send_replace(());
    }

    /// Changes what the list shows of a container, and tells so with this event.
    pub fn change(
        &self,
        id: &str,
        (kind, action): (&'static str, &'static str),
        how: impl FnOnce(&mut Container),
    ) {
        let mut inner = self.world.lock();
        let kept = inner.containers.get_mut(id).unwrap();
        how(&mut kept.shown);
        kept.changed.send_replace(());
        drop(inner);
        self.world.tell(kind, action, id);
    }

    pub fn stop(&self, id: &str) {
        let stopped = if self.world.lock().manners.podman { "stopped" } else { "exited" };
        self.change(id, ("container", "die"), |shown| shown.state = stopped);
    }

    pub fn remove(&self, id: &str) {
        let kept = self.world.lock().containers.remove(id).unwrap();
        kept.changed.send_replace(());
        let podman = self.world.lock().manners.podman;
        self.world.tell("container", if podman { "remove" } else { "destroy" }, id);
    }

    /// What `/networks` tells.
    pub fn set_networks(&self, networks: Value) {
        self.world.lock().networks = networks;
        self.world.tell("network", "create", "n");
    }

    /// Methods and paths, without version, ids and queries, each once.
    pub fn asked_for(&self) -> Vec<String> {
        let inner = self.world.lock();
        let mut asked: Vec<String> = inner.requests.iter().map(|(asked, _)| asked.clone()).collect();
        asked.sort();
        asked.dedup();
        asked
    }

    /// How often containers were listed.
    pub fn lists(&self) -> usize {
        let inner = self.world.lock();
        inner.requests.iter().filter(|(asked, _)| asked == "GET /containers/json").count()
    }

    /// The headers of the last request.
    pub fn headers(&self) -> HeaderMap {
        self.world.lock().requests.last().map(|(_, headers)| headers.clone()).unwrap_or_default()
    }

    /// How often a container's log was opened to be followed.
    pub fn opened(&self, id: &str) -> usize {
        self.world.lock().opened.get(id).copied().unwrap_or(0)
    }
}

impl Drop for DockerHost {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl World {
    fn new(manners: Manners) -> Arc<World> {
        let networks = json!([{"Id": "n0", "Name": "bridge", "Scope": "local"}]);
        let inner = Inner { manners, networks, ..Inner::default() };
        let (events, down) = (broadcast::channel(EVENTS_KEPT).0, watch::Sender::new(false));
        Arc::new(World { inner: Mutex::new(inner), events, down })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    fn tell(&self, kind: &'static str, action: &'static str, id: &str) {
        let mut inner = self.lock();
        let line = if inner.manners.podman {
            json!({"status": action, "id": id, "from": "i", "Type": kind, "Action": action, "scope": "local",
                "Actor": {"ID": id, "Attributes": {"containerExitCode": "0"}}, "time": 1, "timeNano": 1})
        } else {
            json!({"Type": kind, "Action": action, "Actor": {"ID": id}, "time": 1})
        };
        let event = (kind, action, format!("{line}\n"));
        if inner.past.len() == EVENTS_KEPT {
            inner.past.pop_front();
        }
        inner.past.push_back(event.clone());
        // Nobody may listen.
        drop(self.events.send(event));
    }
}

/// Paths may come with a version in front or without.
async fn answer(State(world): State<Arc<World>>, request: Request) -> Response {
    let query: HashMap<String, String> = pairs(request.uri().query().unwrap_or_default());
    let path = request.uri().path();
    let path = match path.strip_prefix("/v").and_then(|rest| rest.split_once('/')) {
        Some((version, rest)) if version.starts_with(|c: char| c.is_ascii_digit()) => format!("/{rest}"),
        _ => path.to_owned(),
    };
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let shown = match parts[..] {
        ["containers", _, what] => format!("{} /containers/ID/{what}", request.method()),
        _ => format!("{} {path}", request.method()),
    };
    let manners = {
        let mut inner = world.lock();
        inner.requests.push((shown.clone(), request.headers().clone()));
        inner.manners.clone()
    };
    let let_through = ["/_ping", "/version", "/events", "/networks"].contains(&path.as_str())
        || matches!(parts[..], ["containers", "json"] | ["containers", _, "json" | "logs"]);
    if manners.proxied && !(request.method() == Method::GET && let_through) {
        return (StatusCode::FORBIDDEN, "<html>403 Forbidden</html>").into_response();
    }
    if manners.down {
        return (StatusCode::SERVICE_UNAVAILABLE, "not now").into_response();
    }
    match parts[..] {
        ["_ping"] => "OK".into_response(),
        ["version"] => {
            let version = manners.version.unwrap_or("1.41");
            json!({"ApiVersion": version, "MinAPIVersion": "1.24", "Version": "20.10"})
                .to_string()
                .into_response()
        }
        ["networks"] if manners.without_networks => {
            (StatusCode::FORBIDDEN, "no networks here").into_response()
        }
        ["networks"] => world.lock().networks.to_string().into_response(),
        ["events"] => events(&world, &query).into_response(),
        ["containers", "json"] => list(&world).into_response(),
        ["containers", id, "json"] => inspect(&world, id),
        ["containers", id, "logs"] => logs(&world, id, &query),
        _ => (StatusCode::NOT_FOUND, r#"{"message":"page not found"}"#).into_response(),
    }
}

fn pairs(query: &str) -> HashMap<String, String> {
    let url = reqwest::Url::parse(&format!("query:/?{query}")).unwrap();
    url.query_pairs().into_owned().collect()
}

fn list(world: &World) -> String {
    let inner = world.lock();
    let podman = inner.manners.podman;
    let entry = |(id, kept): (&String, &Kept)| {
        let Container { name, state, labels, network_mode, networks, ports, .. } = &kept.shown;
        let mut entry = json!({"Id": id, "Names": [format!("/{name}")], "Image": "app:1", "State": state,
            "Labels": labels, "Ports": ports, "Status": "Up", "NetworkSettings": {"Networks": networks}});
        if podman {
            entry["Ports"] = Value::Null;
            entry["Mounts"] = json!([{"Type": "bind"}]);
        } else {
            entry["HostConfig"] = json!({"NetworkMode": network_mode});
        }
        entry
    };
    Value::Array(inner.containers.iter().map(entry).collect()).to_string()
}

fn inspect(world: &World, id: &str) -> Response {
    let inner = world.lock();
    let Some(kept) = inner.containers.get(id) else { return no_container() };
    let running = kept.shown.state == "running";
    // What never printed was dead before.
    let finished = match running || kept.messages.is_empty() {
        true => "0001-01-01T00:00:00Z".to_owned(),
        false => jiff::Timestamp::now().to_string(),
    };
    json!({"Id": id, "State": {"Running": running, "FinishedAt": finished},
        "HostConfig": {"LogConfig": {"Type": kept.shown.log_driver}}, "LogPath": kept.shown.log_path,
        "Config": {"Tty": kept.shown.tty}})
    .to_string()
    .into_response()
}

fn no_container() -> Response {
    (StatusCode::NOT_FOUND, r#"{"message":"No such container"}"#).into_response()
}

/// Events of the kinds that are asked for, the past ones first.
fn events(world: &World, query: &HashMap<String, String>) -> Body {
    let filters: Value = query.get("filters").map_or(json!({}), |text| serde_json::from_str(text).unwrap());
    let wanted = move |(kind, action, line): (&'static str, &'static str, String)| {
        let lets = |name: &str, value: &str| {
            filters[name].as_array().is_none_or(|values| values.iter().any(|one| one == value))
        };
        (lets("type", kind) && lets("event", action)).then_some(line)
    };
    let receiver = world.events.subscribe();
    let past: Vec<_> = world.lock().past.iter().cloned().collect();
    let live = futures_util::stream::unfold(receiver, |mut receiver| async {
        Some((receiver.recv().await.ok()?, receiver))
    });
    let all = futures_util::stream::iter(past).chain(live);
    let mut down = world.down.subscribe();
    let all = all.take_until(async move { drop(down.wait_for(|down| *down).await) });
    let lines = all.filter_map(move |event| std::future::ready(wanted(event)));
    Body::from_stream(lines.map(Ok::<_, std::io::Error>))
}

/// One answer to `/logs`.
struct Following {
    world: Arc<World>,
    id: String,
    /// Number of the next message.
    next: usize,
    changed: watch::Receiver<()>,
    follow: bool,
    silent: bool,
    done: bool,
}

fn logs(world: &Arc<World>, id: &str, query: &HashMap<String, String>) -> Response {
    let follow = query.get("follow").is_some_and(|follow| follow == "1");
    let since = query.get("since").and_then(|since| since.split_once('.')).unwrap();
    assert_eq!(since.1.len(), 9, "exact to the nanosecond");
    let since = since.0.parse::<i64>().unwrap() * 1_000_000_000 + since.1.parse::<i64>().unwrap();
    let mut inner = world.lock();
    if follow {
        *inner.opened.entry(id.to_owned()).or_default() += 1;
    }
    let Some(kept) = inner.containers.get(id) else { return no_container() };
    if kept.shown.unreadable {
        let why = r#"{"message":"configured logging driver does not support reading"}"#;
        return (StatusCode::NOT_IMPLEMENTED, why).into_response();
    }
    // As dockerd does: begins at the first message that is not before `since`, and shows all after it.
    let first = kept.messages.iter().position(|message| message.time >= since);
    let mut next = first.unwrap_or(kept.messages.len());
    if query.get("tail").is_some_and(|tail| tail == "1") {
        next = next.max(kept.messages.len().saturating_sub(1));
    }
    let (changed, silent) = (kept.changed.subscribe(), follow && inner.manners.falls_silent);
    let (world, id) = (world.clone(), id.to_owned());
    let following = Following { world, id, next, changed, follow, silent, done: false };
    Body::from_stream(futures_util::stream::unfold(following, more)).into_response()
}

async fn more(mut following: Following) -> Option<(Result<Vec<u8>, std::io::Error>, Following)> {
    while !following.done {
        following.changed.mark_unchanged();
        let bytes = following.read();
        if !bytes.is_empty() {
            return Some((Ok(bytes), following));
        }
        if following.silent {
            std::future::pending::<()>().await;
        }
        if !following.done && following.changed.changed().await.is_err() {
            break;
        }
    }
    None
}

impl Following {
    fn read(&mut self) -> Vec<u8> {
        let inner = self.world.lock();
        let Some(kept) = inner.containers.get(&self.id) else {
            self.done = true;
            return Vec::new();
        };
        let new = &kept.messages[self.next..];
        let bytes: Vec<u8> =
            new.iter().flat_map(|message| message.render(kept.shown.tty, inner.manners.podman)).collect();
        self.next = kept.messages.len();
        let hangs_up = inner.manners.hangs_up || inner.manners.down;
        self.done = !self.follow || kept.shown.state != "running" || hangs_up;
        bytes
    }
}

impl Message {
    fn render(&self, tty: bool, podman: bool) -> Vec<u8> {
        let time = |ahead: i64| jiff::Timestamp::from_nanosecond(i128::from(self.time + ahead)).unwrap();
        // Podman's times are those of the host's zone, and up to 5.7 whole seconds.
        let stamp = if podman {
            format!("{:.0}", time(7_200_000_000_000)).replace('Z', "+02:00")
        } else {
            format!("{:.9}", time(0))
        };
        let text = format!("{stamp} {}", self.text);
        if tty {
            return text.into_bytes();
        }
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        [&[self.output, 0, 0, 0], &length[..], text.as_bytes()].concat()
    }
}
