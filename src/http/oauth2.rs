//! OAuth 2 with client credentials: trades an id and a secret for a token, and keeps it while it lasts.
//! In: settings, answers of the token endpoint.  Out: an `Authorization` header.  Owns: the current token.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, InvalidHeaderValue};
use reqwest::{Response, Url};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::clock::Instant;
use crate::http::auth::{basic, secret_value};
use crate::http::connection::{BuildError, Connection, ConnectionSettings};
use crate::http::credential::{Credential, Unreadable};
use crate::record::Secret;

/// A token this close to its end counts as expired: it may not arrive in time.
const MARGIN: Duration = Duration::from_secs(10);

/// Tokens of large organisations name every group of their holder; nothing sensible is longer.
const ANSWER_LIMIT: usize = 256 * 1024;

/// How much of what the endpoint complains about is repeated.
const COMPLAINT_LIMIT: usize = 256;

/// An `oauth2` block.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) client_id: String,
    pub(crate) client_secret: Option<Credential>,
    pub(crate) token_url: Url,
    pub(crate) scopes: Vec<String>,
    /// More fields of the form.
    pub(crate) endpoint_params: Vec<(String, Secret)>,
    /// To the token endpoint.
    pub(crate) connection: ConnectionSettings,
}

/// There is no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("the client secret of oauth2")]
    Secret(#[from] Unreadable),
    #[error("no answer from the token endpoint")]
    NoAnswer(#[source] reqwest::Error),
    #[error("the token endpoint refuses with status {status}: {complaint}")]
    Refused { status: u16, complaint: String },
    #[error("the answer of the token endpoint holds no token")]
    NoToken,
    #[error("the id, secret or token holds what a header cannot")]
    NoHeader(#[from] InvalidHeaderValue),
}

/// Where an endpoint wants id and secret; the standard leaves it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Header,
    Form,
}

/// The current token, renewed when needed.
#[derive(Debug)]
pub(super) struct Tokens {
    settings: Settings,
    connection: Connection,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    token: Option<Token>,
    /// The secret it was got with: a new one in the file wants a new token.
    secret: Secret,
    /// Which of the two worked.
    style: Option<Style>,
}

#[derive(Debug)]
struct Token {
    header: HeaderValue,
    /// `None` where the endpoint does not say.
    until: Option<Instant>,
}

impl Tokens {
    pub(super) fn new(settings: Settings, timeout: Duration) -> Result<Tokens, BuildError> {
        let connection = Connection::new(settings.connection.clone(), timeout)?;
        Ok(Tokens { settings, connection, state: Mutex::default() })
    }

    /// The header of the current token, or of a new one.
    pub(super) async fn header(&self) -> Result<HeaderValue, TokenError> {
        let mut state = self.state.lock().await;
        let secret =
            self.settings.client_secret.as_ref().map_or_else(|| Ok(Secret::default()), Credential::read)?;
        let lasts = |token: &&Token| token.until.is_none_or(|until| Instant::now() < until);
        if let Some(token) = state.token.as_ref().filter(lasts)
            && state.secret == secret
        {
            return Ok(token.header.clone());
        }
        state.token = None;
        let (token, style) = self.fetch(&secret, state.style).await?;
        let header = token.header.clone();
        *state = State { token: Some(token), secret, style: Some(style) };
        Ok(header)
    }

    /// The server does not take the current token.
    pub(super) async fn forget(&self) {
        self.state.lock().await.token = None;
    }

    async fn fetch(&self, secret: &Secret, known: Option<Style>) -> Result<(Token, Style), TokenError> {
        if let Some(style) = known {
            return Ok((self.ask(secret, style).await?, style));
        }
        match self.ask(secret, Style::Header).await {
            Err(TokenError::Refused { .. }) => Ok((self.ask(secret, Style::Form).await?, Style::Form)),
            answer => Ok((answer?, Style::Header)),
        }
    }

    async fn ask(&self, secret: &Secret, style: Style) -> Result<Token, TokenError> {
        let Settings { client_id, token_url, scopes, endpoint_params, .. } = &self.settings;
        let scope = scopes.join(" ");
        let mut fields: Vec<(&str, &str)> =
            endpoint_params.iter().map(|(name, value)| (name.as_str(), value.reveal())).collect();
        // Endpoints with grants of their own are asked by naming the grant among the parameters.
        if !endpoint_params.iter().any(|(name, _)| name == "grant_type") {
            fields.push(("grant_type", "client_credentials"));
        }
        if !scope.is_empty() {
            fields.push(("scope", &scope));
        }
        let mut request = self.connection.client().post(token_url.clone());
        match style {
            // Escaped before they are encoded, says RFC 6749 in 2.3.1.
            Style::Header => {
                request =
                    request.header(AUTHORIZATION, basic(&escaped(client_id), &escaped(secret.reveal()))?);
            }
            Style::Form => {
                fields.push(("client_id", client_id));
                if !secret.reveal().is_empty() {
                    fields.push(("client_secret", secret.reveal()));
                }
            }
        }
        let asked = Instant::now();
        let request = request
            .header(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
            .body(form(&fields));
        let response = request.send().await.map_err(|error| TokenError::NoAnswer(error.without_url()))?;
        let (status, is_form) = (response.status(), is_form(&response));
        let body = read(response).await?;
        if !status.is_success() {
            return Err(TokenError::Refused { status: status.as_u16(), complaint: complaint(&body, secret) });
        }
        token(&body, is_form, asked)
    }
}

fn is_form(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // GitHub's and other early ones.
    ["application/x-www-form-urlencoded", "text/plain"].iter().any(|form| kind.starts_with(form))
}

async fn read(mut response: Response) -> Result<Vec<u8>, TokenError> {
    let mut body = Vec::new();
    while let Some(piece) =
        response.chunk().await.map_err(|error| TokenError::NoAnswer(error.without_url()))?
    {
        body.extend_from_slice(&piece);
        if body.len() > ANSWER_LIMIT {
            return Err(TokenError::NoToken);
        }
    }
    Ok(body)
}

fn token(body: &[u8], is_form: bool, asked: Instant) -> Result<Token, TokenError> {
    let fields: Value = match serde_json::from_slice(body) {
        Ok(fields) => fields,
        Err(_) if is_form => unformed(body),
        // What it was is not said: it may be a token all the same.
        Err(_) => return Err(TokenError::NoToken),
    };
    let text = |name: &str| fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let token = text("access_token").ok_or(TokenError::NoToken)?;
    let kind = match text("token_type") {
        None => "Bearer",
        Some(kind) if kind.eq_ignore_ascii_case("bearer") => "Bearer",
        Some(kind) => kind,
    };
    // PayPal once sent a text, others send a fraction; 0 is no answer.
    let seconds =
        fields.get("expires_in").and_then(|value| value.as_f64().or_else(|| value.as_str()?.parse().ok()));
    let lasts = seconds
        .filter(|seconds| *seconds > 0.0)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    Ok(Token {
        header: secret_value(&format!("{kind} {token}"))?,
        until: lasts.and_then(|lasts| asked.checked_add(lasts.saturating_sub(MARGIN))),
    })
}

/// The words the standard has for a refusal; anything else might be the request with its secret.
fn complaint(body: &[u8], secret: &Secret) -> String {
    let fields: Value = serde_json::from_slice(body).unwrap_or_default();
    let words = ["error", "error_description"].iter().filter_map(|name| fields.get(name)?.as_str());
    let mut text = words.collect::<Vec<_>>().join(", ");
    if text.is_empty() {
        return "without a reason".to_owned();
    }
    if !secret.reveal().is_empty() {
        text = text.replace(secret.reveal(), "***");
    }
    text.truncate(text.floor_char_boundary(COMPLAINT_LIMIT));
    text
}

fn form(fields: &[(&str, &str)]) -> String {
    let mut url = Url::parse("form:/").unwrap_or_else(|_| unreachable!("this text is a URL"));
    url.query_pairs_mut().extend_pairs(fields);
    url.query().unwrap_or_default().to_owned()
}

fn unformed(body: &[u8]) -> Value {
    let mut url = Url::parse("form:/").unwrap_or_else(|_| unreachable!("this text is a URL"));
    url.set_query(Some(&String::from_utf8_lossy(body)));
    url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

fn escaped(text: &str) -> String {
    form(&[("", text)]).trim_start_matches('=').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_escaped_and_read_back() {
        assert_eq!(form(&[("scope", "a b"), ("é", "1&2=3")]), "scope=a+b&%C3%A9=1%262%3D3");
        assert_eq!(escaped("me: you"), "me%3A+you");
        assert_eq!(unformed(b"access_token=a%2Bb&x=1")["access_token"], "a+b");
    }

    #[tokio::test]
    async fn answers_of_all_sorts_are_understood() {
        let now = Instant::now();
        let read = |body: &str, is_form| {
            token(body.as_bytes(), is_form, now).map(|token| {
                let left = token.until.map(|until| until.duration_since(now).as_secs());
                (token.header.to_str().unwrap().to_owned(), left)
            })
        };
        let is = |text: &str, left| Some((text.to_owned(), left));
        let table = [
            (
                r#"{"access_token":"t","token_type":"bearer","expires_in":3600}"#,
                false,
                is("Bearer t", Some(3590)),
            ),
            (r#"{"access_token":"t","expires_in":"60"}"#, false, is("Bearer t", Some(50))),
            (r#"{"access_token":"t","expires_in":3}"#, false, is("Bearer t", Some(0))),
            (r#"{"access_token":"t","token_type":"MAC"}"#, false, is("MAC t", None)),
            ("access_token=t&expires_in=70", true, is("Bearer t", Some(60))),
            ("access_token=t", false, None),
            (r#"{"token":"t"}"#, false, None),
            (r#"{"access_token":""}"#, false, None),
            ("<html>", true, None),
        ];
        for (body, is_form, expected) in table {
            assert_eq!(read(body, is_form).ok(), expected, "{body}");
        }
    }

    #[test]
    fn a_complaint_is_repeated_without_the_secret() {
        let secret = Secret::new("hunter2");
        let body = br#"{"error":"invalid_client","error_description":"no hunter2 here","request":"x"}"#;
        assert_eq!(complaint(body, &secret), "invalid_client, no *** here");
        assert_eq!(complaint(b"client_secret=hunter2", &secret), "without a reason");
    }
}
