//! A Docker daemon of one container that does what a real one cannot be made to do.
//! In: its log, and what happens when it ends.  Out: Docker's API on a Unix socket.  Owns: the socket.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

/// The container's id.
pub const ID: &str = "4f1c4f1c4f1c4f1c4f1c4f1c4f1c4f1c4f1c4f1c4f1c4f1c4f1c4f1c4f1c4f1c";

/// What the daemon serves.
pub struct Script {
    /// The bytes of the container's log stream, which ends after them.
    pub log: Vec<u8>,
    /// The container is gone once its stream has ended.
    pub removed: bool,
    /// `/events` is refused, as by a socket proxy.
    pub without_events: bool,
}

/// A running daemon; dropping it ends it.
pub struct FakeDocker {
    socket: PathBuf,
    served: Arc<Served>,
    server: JoinHandle<()>,
}

struct Served {
    script: Script,
    /// What the container has printed.
    log: Mutex<Vec<u8>>,
    streams: AtomicUsize,
    lists: AtomicUsize,
    event_requests: AtomicUsize,
    log_queries: Mutex<Vec<String>>,
}

impl FakeDocker {
    pub fn start(directory: &Path, script: Script) -> FakeDocker {
        let socket = directory.join("docker.sock");
        let counts = || AtomicUsize::new(0);
        let log = Mutex::new(script.log.clone());
        let served = Served {
            log,
            script,
            streams: counts(),
            lists: counts(),
            event_requests: counts(),
            log_queries: Mutex::default(),
        };
        let served = Arc::new(served);
        let api = Router::new().fallback(answer).with_state(served.clone());
        let listener = UnixListener::bind(&socket).unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, api).await.unwrap() });
        FakeDocker { socket, served, server }
    }

    pub fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// The container prints something more.
    pub fn print(&self, frame: &[u8]) {
        self.served.log.lock().unwrap().extend_from_slice(frame);
    }

    /// How often the container's log was opened.
    pub fn streams(&self) -> usize {
        self.served.streams.load(Ordering::SeqCst)
    }

    pub fn lists(&self) -> usize {
        self.served.lists.load(Ordering::SeqCst)
    }

    /// What was asked for each time the container's log was opened.
    pub fn log_queries(&self) -> Vec<String> {
        self.served.log_queries.lock().unwrap().clone()
    }

    pub fn event_requests(&self) -> usize {
        self.served.event_requests.load(Ordering::SeqCst)
    }
}

impl Drop for FakeDocker {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A frame of a multiplexed log stream.
pub fn frame(output: u8, text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    [&[output, 0, 0, 0], &length[..], text.as_bytes()].concat()
}

fn gone(served: &Served) -> bool {
    served.script.removed && served.streams.load(Ordering::SeqCst) > 0
}

/// Paths may come with a version in front or without.
async fn answer(State(served): State<Arc<Served>>, request: Request) -> Response {
    match request.uri().path() {
        path if path.ends_with("/containers/json") => list(&served).into_response(),
        path if path.ends_with("/json") => inspect(&served),
        path if path.ends_with("/logs") => {
            served.log_queries.lock().unwrap().push(request.uri().query().unwrap_or_default().to_owned());
            logs(&served).into_response()
        }
        path if path.ends_with("/events") => events(&served),
        _ => r#"{"ApiVersion":"1.41","Version":"20.10","Os":"linux","Arch":"amd64"}"#.into_response(),
    }
}

fn list(served: &Served) -> String {
    served.lists.fetch_add(1, Ordering::SeqCst);
    if gone(served) {
        return "[]".to_owned();
    }
    format!(r#"[{{"Id":"{ID}","Names":["/scripted"],"State":"running"}}]"#)
}

fn inspect(served: &Served) -> Response {
    if gone(served) {
        return (StatusCode::NOT_FOUND, r#"{"message":"No such container"}"#).into_response();
    }
    format!(r#"{{"Id":"{ID}","State":{{"Running":true}},"Config":{{"Tty":false}}}}"#).into_response()
}

fn logs(served: &Served) -> Vec<u8> {
    served.streams.fetch_add(1, Ordering::SeqCst);
    served.log.lock().unwrap().clone()
}

fn events(served: &Served) -> Response {
    served.event_requests.fetch_add(1, Ordering::SeqCst);
    if served.script.without_events {
        return (StatusCode::FORBIDDEN, "no events here").into_response();
    }
    Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>()).into_response()
}
