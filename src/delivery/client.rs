//! One push to one Loki.
//! In: a body.  Out: what the answer means.  Owns: an HTTP client.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};

use crate::batch::Parcel;
use crate::clock::Instant;
use crate::custody::{Outcome, SpoolSettings};
use crate::delivery::keep::Keep;
use crate::delivery::verdict::{Verdict, judge};
use crate::delivery::worker::Leftover;
use crate::flow::{BackoffSettings, Troubles};
use crate::http::{self, BuildError, IdentityError, SendError};
use crate::metrics::{ClientMetrics, Destination, Tally};

/// How much of an answer is read. A 400 speaks of each refused entry, with all of its labels.
const BODY_LIMIT: usize = 256 * 1024;

/// How much of it is logged: Loki repeats whole label values in its refusals.
const LOGGED_LIMIT: usize = 512;

const TENANT: HeaderName = HeaderName::from_static("x-scope-orgid");

/// One entry of `clients`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    /// For logs and metrics: host and port, unless it is given.
    pub(crate) name: String,
    /// Without user and password, so that it can be printed.
    pub(crate) url: Url,
    pub(crate) http: http::Settings,
    /// A batch that Loki takes too fast for is dropped and counted, where it would be tried again.
    pub(crate) drop_rate_limited: bool,
    pub(crate) backoff: BackoffSettings,
    /// Attempts after which a push is dropped and counted; `None` keeps it.
    pub(crate) give_up_after: Option<u64>,
    pub(crate) spool: Option<SpoolSettings>,
    pub(crate) batch: crate::batch::Settings,
}

impl Settings {
    /// Where it pushes, as Promtail's metrics say it: with a port where the URL has one.
    fn destination(&self) -> Destination {
        let host = self.url.host_str().unwrap_or_default();
        let host = self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        Destination { host, tenant: self.batch.tenant.as_deref().unwrap_or_default().to_owned() }
    }
}

/// The HTTP client could not be built.
#[derive(Debug, thiserror::Error)]
#[error("client {name} cannot start: {}", http::chain(.cause))]
pub(crate) struct ClientError {
    name: String,
    cause: BuildError,
}

/// A connection to one Loki.
#[derive(Debug)]
pub(crate) struct Client {
    pub(super) settings: Settings,
    http: http::Client,
    pub(super) metrics: ClientMetrics,
}

/// What came back from one attempt.
pub(super) struct Answer {
    pub(super) verdict: Verdict,
    /// The body, or the transport error.
    pub(super) body: String,
    pub(super) status: String,
    /// How long it took to come.
    pub(super) took: Duration,
}

impl Answer {
    /// As much of the body as is shown.
    pub(super) fn detail(&self) -> &str {
        &self.body[..self.body.floor_char_boundary(LOGGED_LIMIT)]
    }
}

impl Client {
    /// Builds the client; nothing is connected yet.
    pub(crate) fn new(settings: Settings, metrics: ClientMetrics) -> Result<Client, ClientError> {
        metrics.pushes_to(settings.destination());
        metrics.path.spool_limit.set(settings.spool.as_ref().map_or(0, |spool| spool.max_size.0) as f64);
        match http::Client::new(settings.http.clone()) {
            Ok(http) => Ok(Client { settings, http, metrics }),
            Err(cause) => Err(ClientError { name: settings.name, cause }),
        }
    }

    /// What logs and metrics call it.
    pub(crate) fn name(&self) -> &str {
        &self.settings.name
    }

    /// How it wants its batches.
    pub(crate) fn batch(&self) -> &crate::batch::Settings {
        &self.settings.batch
    }

    /// What it counts with.
    pub(crate) fn metrics(&self) -> &ClientMetrics {
        &self.metrics
    }

    /// Puts on disk what a worker has left in memory, as far as that is possible.
    pub(crate) async fn put_away(&self, left: Leftover) -> Leftover {
        let mut keep = Keep::new(left.spool, self.metrics.clone(), &self.settings.name, Troubles::default());
        let mut parcels = Vec::new();
        for mut parcel in left.parcels {
            match keep.append(vec![parcel.record()]).await {
                true => self.spooled(&mut parcel),
                false => parcels.push(parcel),
            }
        }
        Leftover { parcels, spool: keep.close().await }
    }

    /// A parcel's lines are on disk.
    pub(super) fn spooled(&self, parcel: &mut Parcel) {
        self.metrics.spooled_entries.add(parcel.entries() as f64);
        parcel.settle_now(Outcome::Spooled);
        parcel.content.entries.give_up();
    }

    /// Sends one push; cancelled, nobody knows whether Loki has it.
    pub(super) async fn send(&self, tenant: Option<&str>, body: Bytes) -> Answer {
        let started = Instant::now();
        let failed =
            |verdict, body| Answer { verdict, body, status: "error".to_owned(), took: started.elapsed() };
        let mut headers =
            HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"))]);
        if let Some(tenant) = tenant {
            // A tenant taken from a line may hold what a header cannot; no retry makes it better.
            let Ok(tenant) = HeaderValue::from_str(tenant) else {
                let verdict = Verdict::Refused { reason: "tenant_invalid" };
                return failed(verdict, "the tenant holds what a header cannot".to_owned());
            };
            headers.insert(TENANT, tenant);
        }
        let _under_way = Tally::new(&self.metrics.path.under_way, 1);
        let answer = match self.http.post(&self.settings.url, headers, body).await {
            Ok(response) => read(response, self.settings.drop_rate_limited, started).await,
            Err(error) => {
                let (reason, was_sent) = match &error {
                    SendError::Identity(IdentityError::Credentials(_)) => ("credentials", false),
                    SendError::Identity(IdentityError::Token(_)) => ("token", false),
                    SendError::Http(error) if error.is_timeout() => ("timeout", true),
                    SendError::Http(_) => ("connection", true),
                };
                let answer = failed(Verdict::Retry { reason, after: None }, error.describe());
                if !was_sent {
                    return answer;
                }
                answer
            }
        };
        self.metrics.requested(&answer.status, answer.took.as_secs_f64());
        answer
    }
}

async fn read(mut response: reqwest::Response, drop_rate_limited: bool, started: Instant) -> Answer {
    let status = response.status().as_u16();
    let retry_after =
        response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut body = Vec::new();
    // The status alone decides most cases; an answer that breaks off in its body is still an answer.
    while let Ok(Some(piece)) = response.chunk().await {
        body.extend_from_slice(&piece);
        if body.len() >= BODY_LIMIT {
            break;
        }
    }
    body.truncate(BODY_LIMIT);
    let body = String::from_utf8_lossy(&body).trim_end().to_owned();
    let verdict = match status {
        429 if drop_rate_limited => Verdict::Refused { reason: "rate_limited" },
        _ => judge(status, retry_after.as_deref(), &body),
    };
    Answer { verdict, body, status: status.to_string(), took: started.elapsed() }
}
