//! Serves pages to whoever connects, and keeps nobody for longer than is good for the others.
//! In: connections, with or without TLS.  Out: requests to a router.  Owns: a task for each connection, a bounded number.
//!
//! Somebody who connects and then says nothing takes a descriptor, and the place of somebody else. So each step has its
//! time; and where there are as many connections as may be, the one that has waited longest for its next request makes
//! room.

mod activity;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::clock::Instant;
use crate::http::ServerTls;
use crate::http::serving::activity::{Activity, Step, Watched};

/// How often it is looked for those who take too long.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How connections are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Limits {
    /// Connections at a time; of these places one is kept free for whoever comes.
    pub(crate) most: usize,
    /// For a handshake and the head of a request, from its first byte; from connecting for the first.
    pub(crate) head: Duration,
    /// From the end of a request's head until the last byte of its answer is taken; `None` where it is somebody else
    /// who takes their time.
    pub(crate) answer: Option<Duration>,
    /// Between an answer and the next request.
    pub(crate) idle: Duration,
    /// Bytes of a head.
    pub(crate) longest_head: usize,
}

/// Serves until `stop`, and then until all that is under way is answered. Cancelled, it closes all connections. `told` hears
/// of each connection twice: when it begins, and why it has ended.
pub(crate) async fn serve(
    socket: std::net::TcpListener,
    tls: Option<Arc<ServerTls>>,
    pages: Router,
    limits: Limits,
    told: impl Fn(Option<&'static str>),
    stop: CancellationToken,
) -> io::Result<()> {
    let mut listener = TcpListener::from_std(socket)?;
    let mut all = Connections { limits, told, tasks: JoinSet::new(), open: HashMap::new() };
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = all.tasks.join_next_with_id() => all.ended(ended),
            _ = look.tick(), if !all.open.is_empty() => all.close_the_slow(),
            // Waits where there are no more descriptors.
            (socket, peer) = Listener::accept(&mut listener), if all.make_room() => {
                let visitor = Visitor { peer, pages: pages.clone(), longest_head: limits.longest_head, stop: stop.clone() };
                let acceptor = tls.as_ref().map(|tls| TlsAcceptor::from(tls.current()));
                let activity = Arc::new(Activity::new());
                all.add(visitor.serve(socket, acceptor, activity.clone()), activity);
            }
        }
    }
    // Whoever comes next finds the port free at once.
    drop(listener);
    while !all.open.is_empty() {
        tokio::select! {
            Some(ended) = all.tasks.join_next_with_id() => all.ended(ended),
            _ = look.tick() => all.close_the_slow(),
        }
    }
    Ok(())
}

/// All connections of a listener.
struct Connections<T: Fn(Option<&'static str>)> {
    limits: Limits,
    told: T,
    tasks: JoinSet<&'static str>,
    open: HashMap<Id, Open>,
}

struct Open {
    activity: Arc<Activity>,
    task: AbortHandle,
    /// Why it was closed by us.
    closed: Option<&'static str>,
}

impl<T: Fn(Option<&'static str>)> Connections<T> {
    fn add(&mut self, task: impl Future<Output = &'static str> + Send + 'static, activity: Arc<Activity>) {
        let task = self.tasks.spawn(task);
        self.open.insert(task.id(), Open { activity, task, closed: None });
        (self.told)(None);
    }

    fn ended(&mut self, ended: Result<(Id, &'static str), tokio::task::JoinError>) {
        let (id, reason) = match ended {
            Ok(ended) => ended,
            Err(error) => (error.id(), "error"),
        };
        let closed = self.open.remove(&id).and_then(|open| open.closed);
        (self.told)(Some(closed.unwrap_or(reason)));
    }

    /// True where there is room for one more; otherwise somebody is sent away, who is gone when their task is.
    fn make_room(&mut self) -> bool {
        if self.open.len() < self.limits.most {
            return true;
        }
        if self.open.values().any(|open| open.closed.is_some()) {
            return false;
        }
        let waiting = self.open.values_mut().filter_map(|open| Some((open.activity.waits_since()?, open)));
        if let Some((_, open)) = waiting.min_by_key(|(since, _)| *since) {
            open.close("limit");
        }
        false
    }

    fn close_the_slow(&mut self) {
        let now = Instant::now();
        for open in self.open.values_mut().filter(|open| open.closed.is_none()) {
            let (step, since) = open.activity.now();
            let (within, reason) = match step {
                Step::Head => (Some(self.limits.head), "slow"),
                Step::Answer => (self.limits.answer, "slow"),
                Step::Idle => (Some(self.limits.idle), "idle"),
            };
            if within.is_some_and(|within| now >= since + within) {
                open.close(reason);
            }
        }
    }
}

impl Open {
    fn close(&mut self, reason: &'static str) {
        self.closed = Some(reason);
        self.task.abort();
    }
}

/// Somebody who has connected.
struct Visitor {
    peer: SocketAddr,
    pages: Router,
    longest_head: usize,
    stop: CancellationToken,
}

impl Visitor {
    /// Answers requests until the connection ends; says why it did.
    async fn serve(
        self,
        socket: TcpStream,
        acceptor: Option<TlsAcceptor>,
        activity: Arc<Activity>,
    ) -> &'static str {
        // It is about the time of small answers only.
        drop(socket.set_nodelay(true));
        let Some(acceptor) = acceptor else { return self.converse(socket, activity).await };
        match acceptor.accept(socket).await {
            Ok(stream) => self.converse(stream, activity).await,
            Err(error) => {
                debug!(sender = %self.peer, %error, "TLS handshake failed");
                "tls"
            }
        }
    }

    async fn converse<S>(self, stream: S, activity: Arc<Activity>) -> &'static str
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (pages, asked) = (TowerToHyperService::new(self.pages), activity.clone());
        let service = service_fn(move |request: Request<hyper::body::Incoming>| {
            asked.asked();
            let (answer, activity) = (pages.call(request.map(Body::new)), asked.clone());
            async move {
                let answer = answer.await;
                activity.answered();
                answer
            }
        });
        let mut builder = http1::Builder::new();
        builder.max_buf_size(self.longest_head);
        let connection = builder.serve_connection(TokioIo::new(Watched::new(stream, activity)), service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        match ended {
            Ok(()) => "closed",
            Err(error) => {
                debug!(sender = %self.peer, %error, "connection ended");
                "error"
            }
        }
    }
}
