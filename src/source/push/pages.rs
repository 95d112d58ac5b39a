//! The pages of the push API.
//! In: requests.  Out: arrivals; an answer when their lines are settled.  Owns: the bodies under way, within a budget.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, post};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::flow::Budget;
use crate::http::{self, Limits, ServerTls};
use crate::metrics::Own;
use crate::record::ByteCount;
use crate::source::push::body::{BodyError, decode, inflate};
use crate::source::push::{Arrival, Content, KIND};

/// Compressed bytes of all pushes that are being read.
const BODIES: ByteCount = ByteCount::mib(64);

/// Pushes that are taken apart at a time.
const DECODING: usize = 4;

/// A sender that does not get its message across within this is gone.
const BODY_WITHIN: Duration = Duration::from_secs(30);

/// What all pages share.
#[derive(Clone)]
pub(super) struct Pages {
    arrivals: mpsc::Sender<Arrival>,
    largest: usize,
    bodies: Budget,
    decoding: Arc<Semaphore>,
    own: Arc<Own>,
    stop: CancellationToken,
}

/// A status and, where it is no success, why.
type Answer = (StatusCode, String);

impl Pages {
    pub(super) fn new(
        arrivals: mpsc::Sender<Arrival>,
        largest: usize,
        own: Arc<Own>,
        stop: CancellationToken,
    ) -> Pages {
        let (bodies, decoding) = (Budget::new(BODIES), Arc::new(Semaphore::new(DECODING)));
        Pages { arrivals, largest, bodies, decoding, own, stop }
    }

    /// Takes a push, and answers when it is settled.
    async fn take(
        self,
        headers: &HeaderMap,
        body: Body,
        parse: impl FnOnce(&str, &str, &[u8], usize) -> Result<Content, BodyError> + Send + 'static,
    ) -> Answer {
        let text = |name| {
            let value = headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let (content_type, encoding) = (text(header::CONTENT_TYPE), text(header::CONTENT_ENCODING));
        let length = text(header::CONTENT_LENGTH).parse().unwrap_or(self.largest);
        if length > self.largest {
            return refusal(&BodyError::TooLarge(self.largest));
        }
        let share = self.bodies.take(length).await;
        let body = match timeout(BODY_WITHIN, to_bytes(body, self.largest)).await {
            Ok(Ok(body)) => body,
            Ok(Err(error)) => {
                return (StatusCode::BAD_REQUEST, format!("cannot read the message: {error}\n"));
            }
            Err(_) => return (StatusCode::REQUEST_TIMEOUT, "the message took too long\n".to_owned()),
        };
        // The semaphore is never closed.
        let permit = self.decoding.clone().acquire_owned().await;
        let largest = self.largest;
        let parsed = spawn_blocking(move || parse(&content_type, &encoding, &body, largest));
        let content = match parsed.await {
            Ok(Ok(content)) => content,
            Ok(Err(error)) => return refusal(&error),
            // In release builds a panic has ended the process before.
            Err(error) => return (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        };
        drop(share);
        let (admitted, track) = oneshot::channel();
        let arrived = self.arrivals.send(Arrival { content, admitted }).await;
        // Without it the pipeline is closed.
        let track = if arrived.is_ok() { track.await.ok() } else { None };
        drop(permit);
        match track {
            Some(track) if track.settled().await => (StatusCode::NO_CONTENT, String::new()),
            Some(_) => (StatusCode::INTERNAL_SERVER_ERROR, "lines were lost, push them again\n".to_owned()),
            None => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned()),
        }
    }

    fn answered(&self, answer: Answer) -> Answer {
        self.own.push_answers.with("status", answer.0.as_str()).add(1.0);
        answer
    }
}

fn refusal(error: &BodyError) -> Answer {
    let status = match error {
        BodyError::Malformed(_) => StatusCode::BAD_REQUEST,
        BodyError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        BodyError::Encoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
    };
    (status, format!("{error}\n"))
}

/// Serves until it is told to stop and all that is under way is answered.
pub(super) async fn serve(
    socket: TcpListener,
    tls: Option<Arc<ServerTls>>,
    prefix: &str,
    limits: Limits,
    pages: Pages,
) -> io::Result<()> {
    let (stop, network) = (pages.stop.clone(), pages.own.network.clone());
    let mut router = Router::new()
        .route("/loki/api/v1/push", post(push))
        .route("/promtail/api/v1/raw", post(raw))
        .route("/ready", get(async || "ready\n"))
        .layer(DefaultBodyLimit::disable());
    if !prefix.is_empty() {
        router = Router::new().nest(prefix, router);
    }
    let router = router.with_state(pages);
    http::serve(socket, tls, router, limits, |ended| network.connection(KIND, ended), stop).await
}

async fn push(State(pages): State<Pages>, headers: HeaderMap, body: Body) -> Answer {
    let parse = |content_type: &str, encoding: &str, body: &[u8], largest| {
        decode(content_type, encoding, body, largest).map(Content::Streams)
    };
    let answer = pages.clone().take(&headers, body, parse).await;
    pages.answered(answer)
}

async fn raw(State(pages): State<Pages>, headers: HeaderMap, body: Body) -> Answer {
    let parse = |_: &str, encoding: &str, body: &[u8], largest| {
        inflate(encoding, body, largest).map(|text| Content::Text(text.into_owned()))
    };
    let answer = pages.clone().take(&headers, body, parse).await;
    pages.answered(answer)
}
