//! Listens, reads pushes, applies the script of faults, answers. In: connections.  Out: answers, resets or silence.
//! Owns: the listener or, while stopped, the bare port; one task for each connection.

use std::convert::Infallible;
use std::fmt;
use std::future::{pending, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Bytes;
use axum::http::header::{self, AsHeaderName};
use axum::http::{HeaderMap, Method, Request as HttpRequest, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use super::faults::{Fault, FaultKind};
use super::judge::{Judge, Reply};
use super::store::{Request, Store};
use super::under_way::Push;
use super::wire::{self, Decoded};
use super::{PUSH_PATH, Shared, lock, wording};

/// The state names say what a client would see.
pub(super) enum Server {
    Answering {
        address: SocketAddr,
        stop: oneshot::Sender<Infallible>,
        task: JoinHandle<()>,
    },
    /// The port stays bound without listening: connecting is refused, and nobody else can take the port meanwhile.
    Refusing {
        address: SocketAddr,
        port: TcpSocket,
    },
    /// Only while changing from one to the other.
    Changing,
}

impl Server {
    pub(super) fn start(shared: Arc<Shared>) -> (Self, SocketAddr) {
        let port = bind(SocketAddr::from(([127, 0, 0, 1], 0)));
        let address = port.local_addr().expect("a bound socket has an address");
        (Self::answer_on(port, address, shared), address)
    }

    fn answer_on(port: TcpSocket, address: SocketAddr, shared: Arc<Shared>) -> Self {
        let listener = port.listen(1024).expect("a bound port listens");
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(accept(listener, shared, stopped));
        Self::Answering { address, stop, task }
    }

    pub(super) async fn stop(&mut self) {
        match std::mem::replace(self, Self::Changing) {
            Self::Answering { address, stop, task } => {
                drop(stop);
                task.await.expect("the accepting task ends by itself");
                *self = Self::Refusing { address, port: bind(address) };
            }
            other => *self = other,
        }
    }

    pub(super) fn restart(&mut self, shared: Arc<Shared>) {
        *self = match std::mem::replace(self, Self::Changing) {
            Self::Refusing { address, port } => Self::answer_on(port, address, shared),
            other => other,
        };
    }
}

/// `SO_REUSEADDR`, because connections of the last run of the server may still linger on the port.
fn bind(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("sockets can be made");
    socket.set_reuseaddr(true).expect("a fresh socket takes options");
    socket.bind(address).expect("the port is ours");
    socket
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, mut stopped: oneshot::Receiver<Infallible>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            accepted = listener.accept() => {
                let (stream, _) = accepted.expect("accepting on loopback works");
                connections.spawn(serve(stream, Arc::clone(&shared)));
            }
            Some(ended) = connections.join_next() => ended.expect("a connection does not panic"),
        }
    }
    drop(listener);
    connections.shutdown().await;
}

/// Serves one connection; a fault that wants a reset ends it with RST in place of FIN.
async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(move |request| -> Pin<Box<dyn Future<Output = _> + Send>> {
        Box::pin(answer(Arc::clone(&shared), request))
    });
    // Half-closed, because Loki goes on storing a push whose client gave up waiting; without it hyper would cancel us.
    let mut connection =
        http1::Builder::new().half_close(true).serve_connection(TokioIo::new(stream), service);
    let ended = poll_fn(|context| connection.poll_without_shutdown(context)).await;
    let stream = connection.into_parts().io.into_inner();
    if ended.is_err() {
        // Fails only when the client has closed first, and then there is nobody to reset.
        drop(stream.set_zero_linger());
    }
}

/// Makes hyper drop the connection without an answer.
#[derive(Debug)]
struct ResetNow;

impl fmt::Display for ResetNow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the script says reset")
    }
}

impl std::error::Error for ResetNow {}

async fn answer(
    shared: Arc<Shared>,
    request: HttpRequest<Incoming>,
) -> Result<Response<Full<Bytes>>, ResetNow> {
    let reply = match (request.method(), request.uri().path()) {
        (&Method::GET, "/ready") => Reply::refusal(200, "ready"),
        (&Method::GET, "/config") => match lock(&shared.configuration).clone() {
            Some(yaml) => Reply::refusal(200, yaml),
            None => Reply::refusal(404, "404 page not found"),
        },
        (&Method::POST, PUSH_PATH) => return Exchange::take(shared, request).await,
        (method, path) => {
            let (status, body) =
                if path == PUSH_PATH { (405, "Method Not Allowed") } else { (404, "404 page not found") };
            lock(&shared.store).violations.push(format!("{method} {path}"));
            shared.changed.send_replace(());
            Reply::refusal(status, body)
        }
    };
    Ok(http_response(&reply))
}

/// One push between its arrival and its answer.
struct Exchange {
    shared: Arc<Shared>,
    headers: HeaderMap,
    fault: Option<FaultKind>,
    at: tokio::time::Instant,
    body: Bytes,
    decoded: Result<Decoded, Reply>,
    _under_way: Push,
}

impl Exchange {
    async fn take(
        shared: Arc<Shared>,
        request: HttpRequest<Incoming>,
    ) -> Result<Response<Full<Bytes>>, ResetNow> {
        let fault = lock(&shared.script).take();
        let at = tokio::time::Instant::now();
        let (head, incoming) = request.into_parts();
        let body = match fault {
            Some(Fault::ResetBeforeReading) => Bytes::new(),
            // A client that goes away half-way has not pushed anything.
            _ => incoming.collect().await.map_err(|_| ResetNow)?.to_bytes(),
        };
        let decoded = wire::decode(&text(&head.headers, header::CONTENT_TYPE), &body);
        let kind = fault.as_ref().map(Fault::kind);
        let tenant = tenant(&head.headers);
        let streams = decoded.iter().flat_map(|decoded| &decoded.push.streams);
        let streams =
            streams.map(|stream| (tenant.clone(), String::from_utf8_lossy(&stream.labels).into_owned()));
        let under_way = Push::begin(&shared.under_way, streams);
        let exchange =
            Self { shared, headers: head.headers, fault: kind, at, body, decoded, _under_way: under_way };
        exchange.act(fault).await
    }

    async fn act(self, fault: Option<Fault>) -> Result<Response<Full<Bytes>>, ResetNow> {
        if let Some(kind) = self.fault {
            lock(&self.shared.store).meet(kind);
            self.shared.changed.send_replace(());
        }
        if let Some(Fault::Delay(delay)) = fault {
            tokio::time::sleep(delay).await;
        }
        match self.judge_and_record(&fault) {
            Some(reply) => Ok(http_response(&reply)),
            None if matches!(fault, Some(Fault::Hang)) => pending().await,
            None => Err(ResetNow),
        }
    }

    /// Judges the push and writes it down in one step: who sees its entries sees the request. None where the script gives no
    /// answer.
    fn judge_and_record(&self, fault: &Option<Fault>) -> Option<Reply> {
        let mut store = lock(&self.shared.store);
        let reply = match fault {
            None | Some(Fault::Delay(_)) => Some(self.judge(&mut store)),
            Some(Fault::Status(status, body)) => Some(Reply::refusal(*status, body.clone())),
            Some(Fault::RateLimit429 { retry_after }) => Some(self.rate_limit(*retry_after)),
            Some(Fault::StoreThenStatus(status)) => {
                self.judge(&mut store);
                Some(Reply::refusal(*status, "the script says so, after storing"))
            }
            Some(Fault::StoreThenReset) => {
                self.judge(&mut store);
                None
            }
            Some(Fault::Reset | Fault::ResetBeforeReading | Fault::Hang) => None,
        };
        self.record(&mut store, reply.as_ref());
        drop(store);
        self.shared.changed.send_replace(());
        reply
    }

    fn judge(&self, store: &mut Store) -> Reply {
        let content_type = text(&self.headers, header::CONTENT_TYPE);
        if content_type != "application/x-protobuf" {
            store.violations.push(format!("content type {content_type:?}"));
        }
        if self.headers.contains_key(header::CONTENT_ENCODING) {
            store.violations.push("a Content-Encoding header".to_owned());
        }
        match &self.decoded {
            Ok(decoded) => {
                let limits = lock(&self.shared.limits).clone();
                let now_ns = (self.shared.now)();
                Judge { store, limits: &limits, now_ns, tenant: self.tenant() }.judge(decoded.push.clone())
            }
            Err(reply) => {
                store.violations.push(format!("body: {}", reply.body));
                reply.clone()
            }
        }
    }

    fn rate_limit(&self, retry_after: Option<u32>) -> Reply {
        let user = self.tenant().unwrap_or_else(|| "fake".into());
        let rate = lock(&self.shared.limits).ingestion_rate_bytes;
        let (lines, bytes) =
            self.decoded.as_ref().map_or((0, 0), |push| (push.entries(), push.uncompressed_bytes));
        Reply { retry_after, ..wording::rate_limited(&user, rate, lines, bytes) }
    }

    fn record(&self, store: &mut Store, reply: Option<&Reply>) {
        let decoded = self.decoded.as_ref().ok();
        store.requests.push(Request {
            at: self.at,
            headers: self.headers.clone(),
            body: self.body.clone(),
            uncompressed_bytes: decoded.map_or(0, |push| push.uncompressed_bytes),
            streams: decoded.map_or(0, |push| push.push.streams.len()),
            entries: decoded.map_or(0, Decoded::entries),
            status: reply.map(|reply| reply.status),
            answer: reply.map_or(String::new(), |reply| reply.body.chars().take(512).collect()),
            fault: self.fault,
        });
    }

    fn tenant(&self) -> Option<Arc<str>> {
        tenant(&self.headers)
    }
}

fn tenant(headers: &HeaderMap) -> Option<Arc<str>> {
    Some(text(headers, "x-scope-orgid")).filter(|tenant| !tenant.is_empty()).map(Arc::from)
}

/// A header's value, or "".
fn text(headers: &HeaderMap, name: impl AsHeaderName) -> String {
    headers.get(name).map_or(String::new(), |value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn http_response(reply: &Reply) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(reply.status);
    if let Some(seconds) = reply.retry_after {
        response = response.header(header::RETRY_AFTER, seconds);
    }
    if reply.status == 204 {
        return response.body(Full::default()).expect("a status and no body");
    }
    // Go's http.Error ends every body with a newline.
    let body = Full::from(Bytes::from(format!("{}\n", reply.body)));
    response
        .header(header::CONTENT_TYPE, "text/plain; charset=utf-8")
        .header("x-content-type-options", "nosniff")
        .body(body)
        .expect("a status and a body")
}
