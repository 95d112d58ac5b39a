//! Pushes one client's parcels to its Loki, in order, until each is settled.
//! In: parcels.  Out: settled tickets, metrics; to a successor, what is not settled.  Owns: an HTTP client and the
//! parcel being sent.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::batch::Parcel;
use crate::clock::Instant;
use crate::custody::Outcome;
use crate::delivery::verdict::{Verdict, judge};
use crate::flow::{Backoff, BackoffSettings};
use crate::http::{self, BuildError, SendError};
use crate::metrics::ClientMetrics;

/// How much of an answer is read: Loki says what matters first, and then may go on for as long as the push was.
const BODY_LIMIT: usize = 8 * 1024;

/// How much of it is logged: Loki repeats whole label values in its refusals.
const LOGGED_LIMIT: usize = 512;

const TENANT: HeaderName = HeaderName::from_static("x-scope-orgid");

/// A server may ask for a pause, not for ever.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(600);

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
    pub(crate) batch: crate::batch::Settings,
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
    settings: Settings,
    http: http::Client,
    metrics: ClientMetrics,
}

/// What a sender had not settled when it was told to retire, in order.
#[derive(Debug, Default)]
pub(crate) struct Leftover {
    parcels: VecDeque<Parcel>,
}

/// How a sender is told to end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop {
    /// Leave what is not settled to a successor.
    pub(crate) retire: CancellationToken,
    /// Time is up: what is not acknowledged stays before its position.
    pub(crate) abandon: CancellationToken,
}

/// What came back from one attempt.
struct Answer {
    verdict: Verdict,
    /// What to say about it: the body's beginning, or the transport error.
    detail: String,
    status: String,
}

impl Client {
    /// Builds the client; nothing is connected yet.
    pub(crate) fn new(settings: Settings, metrics: ClientMetrics) -> Result<Client, ClientError> {
        match http::Client::new(settings.http.clone()) {
            Ok(http) => Ok(Client { settings, http, metrics }),
            Err(cause) => Err(ClientError { name: settings.name, cause }),
        }
    }

    /// Sends until the parcel, or each part it had to be split into, is settled. Cancel-safe in the way that counts:
    /// a parcel not settled drops its tickets, and the positions stay before its lines. Told to retire, it gives back what
    /// is not settled after the attempt at hand.
    async fn deliver(&self, parcel: Parcel, retire: &CancellationToken) -> VecDeque<Parcel> {
        let mut pending = VecDeque::from([parcel]);
        while let Some(parcel) = pending.pop_front() {
            let Some(answer) = self.send_until_judged(&parcel, retire).await else {
                pending.push_front(parcel);
                break;
            };
            match answer.verdict {
                Verdict::Delivered => {
                    self.metrics.sent_entries.add(parcel.entries as f64);
                    self.metrics.sent_bytes.add(parcel.body.len() as f64);
                    parcel.settle(Outcome::Delivered);
                }
                Verdict::PartlyRefused { reason, refused } => {
                    let refused = refused.unwrap_or(1).clamp(1, parcel.entries.max(1));
                    self.metrics.sent_entries.add(parcel.entries.saturating_sub(refused) as f64);
                    self.refuse(reason, refused, &answer.detail);
                    parcel.settle(Outcome::Refused);
                }
                Verdict::Refused { reason } => {
                    self.refuse(reason, parcel.entries, &answer.detail);
                    parcel.settle(Outcome::Refused);
                }
                Verdict::Split { reason } if parcel.entries <= 1 => {
                    self.refuse(reason, parcel.entries, &answer.detail);
                    parcel.settle(Outcome::Refused);
                }
                Verdict::Split { .. } => {
                    self.metrics.splits.add(1.0);
                    match parcel.halve() {
                        Ok((first, second)) => {
                            pending.push_front(second);
                            pending.push_front(first);
                        }
                        // The tickets are dropped with the parcel: its lines stay before the position.
                        Err(error) => error!(client = %self.settings.name, %error, "parcel cannot be split"),
                    }
                }
                Verdict::Retry { .. } => {}
            }
        }
        pending
    }

    /// Repeats a push while the answer is to try again; `None` when it is told to retire instead.
    async fn send_until_judged(&self, parcel: &Parcel, retire: &CancellationToken) -> Option<Answer> {
        let mut backoff = Backoff::new(self.settings.backoff);
        let (mut attempts, mut told) = (0u64, None);
        loop {
            let answer = self.send(parcel).await;
            let Verdict::Retry { reason, after } = answer.verdict else {
                if attempts > 0 {
                    info!(client = %self.settings.name, attempts, "push is answered again");
                }
                return Some(answer);
            };
            attempts += 1;
            self.metrics.retried(reason);
            let delay = backoff.next().max(after.unwrap_or_default().min(LONGEST_RETRY_AFTER));
            if told != Some(reason) {
                warn!(client = %self.settings.name, reason, status = %answer.status, answer = %answer.detail, ?delay,
                    "push failed, its lines are kept and tried again");
                told = Some(reason);
            }
            retire.run_until_cancelled(sleep(delay)).await?;
        }
    }

    async fn send(&self, parcel: &Parcel) -> Answer {
        let failed = |verdict, detail| Answer { verdict, detail, status: "error".to_owned() };
        let mut headers =
            HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"))]);
        if let Some(tenant) = &parcel.tenant {
            // A tenant taken from a line may hold what a header cannot; no retry makes it better.
            let Ok(tenant) = HeaderValue::from_str(tenant) else {
                let verdict = Verdict::Refused { reason: "tenant_invalid" };
                return failed(verdict, "the tenant holds what a header cannot".to_owned());
            };
            headers.insert(TENANT, tenant);
        }
        let started = Instant::now();
        let answer = match self.http.post(&self.settings.url, headers, parcel.body.clone()).await {
            Ok(response) => read(response, self.settings.drop_rate_limited).await,
            Err(error) => {
                let (reason, was_sent) = match &error {
                    SendError::Credentials(_) => ("credentials", false),
                    SendError::Token(_) => ("token", false),
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
        self.metrics.requested(&answer.status, started.elapsed().as_secs_f64());
        answer
    }

    fn refuse(&self, reason: &str, entries: u64, answer: &str) {
        self.metrics.refused(reason, entries);
        warn!(client = %self.settings.name, reason, entries, answer, "Loki refused entries for good");
    }
}

/// Delivers what a predecessor left and then parcels, until there are no more or until it is told to end. Retiring, it
/// waits for the last parcel and gives back what is not settled.
pub(crate) async fn run(
    client: Arc<Client>,
    leftover: Leftover,
    parcels: mpsc::Receiver<Parcel>,
    stop: Stop,
) -> Leftover {
    let delivered = deliver_all(&client, leftover, parcels, &stop.retire);
    stop.abandon.run_until_cancelled(delivered).await.unwrap_or_default()
}

async fn deliver_all(
    client: &Client,
    leftover: Leftover,
    mut parcels: mpsc::Receiver<Parcel>,
    retire: &CancellationToken,
) -> Leftover {
    let mut waiting = leftover.parcels;
    while !retire.is_cancelled() {
        let parcel = match waiting.pop_front() {
            Some(parcel) => parcel,
            None => match retire.run_until_cancelled(parcels.recv()).await {
                Some(Some(parcel)) => parcel,
                Some(None) => return Leftover::default(),
                None => break,
            },
        };
        let unsettled = client.deliver(parcel, retire).await;
        unsettled.into_iter().rev().for_each(|parcel| waiting.push_front(parcel));
    }
    while let Some(parcel) = parcels.recv().await {
        waiting.push_back(parcel);
    }
    Leftover { parcels: waiting }
}

/// Gives up what a client that is not configured any more still had to deliver.
pub(crate) fn forsake(client: &Client, leftover: Leftover) {
    let entries = leftover.parcels.iter().map(|parcel| parcel.entries).sum();
    leftover.parcels.into_iter().for_each(|parcel| parcel.settle(Outcome::DroppedByRule));
    if entries > 0 {
        client.metrics.refused("client_removed", entries);
        warn!(client = %client.settings.name, entries, "the client is not configured any more, what it did not take is dropped");
    }
}

async fn read(mut response: reqwest::Response, drop_rate_limited: bool) -> Answer {
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
    let mut detail = String::from_utf8_lossy(&body).trim_end().to_owned();
    let verdict = match status {
        429 if drop_rate_limited => Verdict::Refused { reason: "rate_limited" },
        _ => judge(status, retry_after.as_deref(), &detail),
    };
    detail.truncate(detail.floor_char_boundary(LOGGED_LIMIT));
    Answer { verdict, detail, status: status.to_string() }
}
