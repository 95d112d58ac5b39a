//! The HTTP server: `/metrics`, `/ready`, `/targets`, `/config` and others, over TLS if so configured.
//! In: requests.  Out: numbers, readiness, requests to reload.  Owns: a thread and a runtime of its own, so that it answers while the
//! data path is saturated.

mod accept;
mod controls;
mod html;
mod numbers;
mod ready;
mod stages;
mod targets;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::response::Redirect;
use axum::routing::get;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::custody::Ledger;
use crate::flow::{Budget, Troubles};
use crate::http::{self, Limits, ServerTls};
use crate::metrics::{Namespace, Own, Registry, StageBoard};
use crate::targets::Targets;

pub(crate) use controls::{Controls, LogLevel, Reload};

/// The `server` block.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    /// What comes before every path.
    pub(crate) prefix: String,
    /// What names of metrics begin with.
    pub(crate) namespace: Namespace,
    /// Whether there is a page of metrics.
    pub(crate) metrics: bool,
    /// Serves HTTPS, and nothing else.
    pub(crate) tls: Option<Arc<ServerTls>>,
    pub(crate) limits: Limits,
}

/// The kind of server, as metrics call it.
const KIND: &str = "server";

/// Large pages that are made at a time; others wait.
const MAKING_PAGES: usize = 2;

/// Bytes of a request behind its head: a level of the log.
const LARGEST_BODY: usize = 1024;

/// Whether the agent does its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    Starting,
    Ready,
    Stopping,
}

/// What the pages show.
#[derive(Clone)]
pub(crate) struct View {
    pub(crate) registry: Arc<Registry>,
    pub(crate) own: Arc<Own>,
    pub(crate) namespace: Namespace,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) budget: Budget,
    pub(crate) readiness: watch::Receiver<Readiness>,
    pub(crate) troubles: Troubles,
    pub(crate) targets: Targets,
    pub(crate) stages: StageBoard,
    /// Lines that are behind for so long, while none are settled, make the agent not ready.
    pub(crate) stalled_after: Duration,
    pub(crate) controls: Controls,
}

/// The port cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {listen}: {source}\n  = help: set another `http_listen_port` under `server`")]
pub(crate) struct BindError {
    listen: SocketAddr,
    source: io::Error,
}

/// Takes the port, before anything else runs.
pub(crate) fn bind(settings: &Settings) -> Result<TcpListener, BindError> {
    let listen = settings.listen;
    let bound =
        TcpListener::bind(listen).and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    bound.map_err(|source| BindError { listen, source })
}

/// Serves until the process ends.
pub(crate) fn start(listener: TcpListener, settings: &Settings, view: View) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(MAKING_PAGES)
        .build()?;
    let address = listener.local_addr()?;
    let first = Redirect::to(&format!("{}/targets", settings.prefix));
    let first = get(async move || first);
    let mut pages = Router::new()
        .route("/", first.clone())
        .route("/ready", get(ready::ready))
        .route("/targets", get(targets::targets))
        .route("/service-discovery", get(targets::service_discovery))
        .route("/config", get(controls::config))
        .route("/debug/pipeline", get(stages::page))
        .route("/log_level", get(controls::log_level).post(controls::set_log_level));
    if settings.metrics {
        pages = pages.route("/metrics", get(numbers::numbers));
    }
    if view.controls.reload.is_some() {
        pages = pages.route("/reload", get(controls::reload).post(controls::reload));
    }
    if !settings.prefix.is_empty() {
        let page = format!("{}/", settings.prefix);
        pages = Router::new().nest(&settings.prefix, pages).route(&page, first);
    }
    let network = view.own.network.clone();
    let pages = pages.layer(DefaultBodyLimit::max(LARGEST_BODY)).with_state(view);
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    let (tls, limits) = (settings.tls.clone(), settings.limits);
    let serve = async move {
        let count = |ended: Option<&'static str>| network.connection(KIND, ended);
        http::serve(listener, tls, pages, limits, count, CancellationToken::new()).await
    };
    thread::Builder::new().name("http".to_owned()).spawn(move || {
        if let Err(error) = runtime.block_on(serve) {
            error!(%error, "the HTTP server ended");
        }
    })?;
    info!(%address, scheme, "serving /metrics and /ready");
    Ok(())
}
