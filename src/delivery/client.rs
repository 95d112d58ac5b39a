//! Pushes one client's parcels to its Loki, in order, until each is settled.
//! In: parcels.  Out: settled tickets, metrics.  Owns: an HTTP client and the parcel being sent.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::batch::Parcel;
use crate::clock::Instant;
use crate::custody::Outcome;
use crate::delivery::verdict::{Verdict, judge};
use crate::flow::{Backoff, BackoffSettings};
use crate::metrics::ClientMetrics;

/// How much of an answer is read: Loki says what matters first, and then may go on for as long as the push was.
const BODY_LIMIT: usize = 8 * 1024;

/// How much of it is logged: Loki repeats whole label values in its refusals.
const LOGGED_LIMIT: usize = 512;

/// A server may ask for a pause, not for ever.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(600);

/// One entry of `clients`.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// For logs and metrics: host and port.
    pub(crate) name: String,
    pub(crate) url: Url,
    /// Of one attempt.
    pub(crate) timeout: Duration,
    pub(crate) backoff: BackoffSettings,
    pub(crate) batch: crate::batch::Settings,
}

/// The HTTP client could not be built.
#[derive(Debug, thiserror::Error)]
#[error("HTTP client for {name}")]
pub(crate) struct ClientError {
    name: String,
    source: reqwest::Error,
}

/// A connection to one Loki.
#[derive(Debug)]
pub(crate) struct Client {
    settings: Settings,
    http: reqwest::Client,
    metrics: ClientMetrics,
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
        let builder = || {
            reqwest::Client::builder()
                .http1_only()
                // As Promtail: a proxy only where it is configured, never from the environment.
                .no_proxy()
                .timeout(settings.timeout)
                .redirect(Policy::custom(|attempt| {
                    // The other redirects turn a push into a GET, and the page that answers it is not Loki's.
                    let repeats_the_push = matches!(attempt.status().as_u16(), 307 | 308);
                    if repeats_the_push && attempt.previous().len() < 10 {
                        attempt.follow()
                    } else {
                        attempt.stop()
                    }
                }))
                .user_agent(concat!("tailwater/", env!("CARGO_PKG_VERSION")))
        };
        // In a container FROM scratch there is no CA store, and without one even http:// URLs would be refused.
        let bundled = || {
            let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
            roots.filter_map(|der| reqwest::Certificate::from_der(der).ok()).collect::<Vec<_>>()
        };
        let http = builder().build().or_else(|_| builder().tls_certs_only(bundled()).build());
        let http = http.map_err(|source| ClientError { name: settings.name.clone(), source })?;
        Ok(Client { settings, http, metrics })
    }

    /// Sends until the parcel, or each part it had to be split into, is settled. Cancel-safe in the way that counts:
    /// a parcel not settled drops its tickets, and the positions stay before its lines.
    async fn deliver(&self, parcel: Parcel) {
        let mut pending = VecDeque::from([parcel]);
        while let Some(parcel) = pending.pop_front() {
            let answer = self.send_until_judged(&parcel).await;
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
    }

    /// Repeats a push while the answer is to try again.
    async fn send_until_judged(&self, parcel: &Parcel) -> Answer {
        let mut backoff = Backoff::new(self.settings.backoff);
        let (mut attempts, mut told) = (0u64, None);
        loop {
            let answer = self.send(parcel).await;
            let Verdict::Retry { reason, after } = answer.verdict else {
                if attempts > 0 {
                    info!(client = %self.settings.name, attempts, "push is answered again");
                }
                return answer;
            };
            attempts += 1;
            self.metrics.retried(reason);
            let delay = backoff.next().max(after.unwrap_or_default().min(LONGEST_RETRY_AFTER));
            if told != Some(reason) {
                warn!(client = %self.settings.name, reason, status = %answer.status, answer = %answer.detail, ?delay,
                    "push failed, its lines are kept and tried again");
                told = Some(reason);
            }
            sleep(delay).await;
        }
    }

    async fn send(&self, parcel: &Parcel) -> Answer {
        let mut request = self
            .http
            .post(self.settings.url.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"))
            .body(parcel.body.clone());
        if let Some(tenant) = &parcel.tenant {
            request = request.header("X-Scope-OrgID", tenant.as_ref());
        }
        let started = Instant::now();
        let answer = match request.send().await {
            Ok(response) => read(response).await,
            Err(error) => Err(error),
        };
        let answer = answer.unwrap_or_else(|error| {
            let verdict = match () {
                // A tenant taken from a line may hold what a header cannot; no retry makes it better.
                () if error.is_builder() => Verdict::Refused { reason: "tenant_invalid" },
                () if error.is_timeout() => Verdict::Retry { reason: "timeout", after: None },
                () => Verdict::Retry { reason: "connection", after: None },
            };
            Answer { verdict, detail: chain(&error.without_url()), status: "error".to_owned() }
        });
        self.metrics.requested(&answer.status, started.elapsed().as_secs_f64());
        answer
    }

    fn refuse(&self, reason: &str, entries: u64, answer: &str) {
        self.metrics.refused(reason, entries);
        warn!(client = %self.settings.name, reason, entries, answer, "Loki refused entries for good");
    }
}

/// Delivers parcels until there are no more, or until it is told to abandon them: what is not acknowledged by then stays
/// before its position.
pub(crate) async fn run(
    client: Arc<Client>,
    mut parcels: mpsc::Receiver<Parcel>,
    abandon: CancellationToken,
) {
    let deliver_all = async {
        while let Some(parcel) = parcels.recv().await {
            client.deliver(parcel).await;
        }
    };
    tokio::select! {
        () = deliver_all => {}
        () = abandon.cancelled() => {}
    }
}

async fn read(mut response: reqwest::Response) -> Result<Answer, reqwest::Error> {
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
    let verdict = judge(status, retry_after.as_deref(), &detail);
    detail.truncate(detail.floor_char_boundary(LOGGED_LIMIT));
    Ok(Answer { verdict, detail, status: status.to_string() })
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
