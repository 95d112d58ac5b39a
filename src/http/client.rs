//! Requests with everything the configuration adds to them.
//! In: a body and the headers that belong to it.  Out: a response.  Owns: a connection, a token.

use reqwest::header::{AUTHORIZATION, HeaderMap};
use reqwest::{Response, StatusCode, Url};

use crate::http::auth::{Auth, AuthError};
use crate::http::connection::{BuildError, Connection};
use crate::http::oauth2::{TokenError, Tokens};
use crate::http::{Settings, chain};

/// Speaks to one server.
#[derive(Debug)]
pub(crate) struct Client {
    settings: Settings,
    connection: Connection,
    tokens: Option<Tokens>,
}

/// There is no answer. No variant prints a secret or an address.
#[derive(Debug)]
pub(crate) enum SendError {
    /// Nothing was sent: a file with credentials is not as it should be.
    Credentials(AuthError),
    /// Nothing was sent: the token endpoint gave no token.
    Token(TokenError),
    Http(reqwest::Error),
}

impl SendError {
    /// With its causes, in one line.
    pub(crate) fn describe(self) -> String {
        match self {
            SendError::Credentials(error) => chain(&error),
            SendError::Token(error) => chain(&error),
            SendError::Http(error) => chain(&error.without_url()),
        }
    }
}

impl Client {
    /// Reads certificates; connects nowhere.
    pub(crate) fn new(settings: Settings) -> Result<Client, BuildError> {
        let connection = Connection::new(settings.connection.clone(), settings.timeout)?;
        let tokens = match &settings.auth {
            Auth::OAuth2(oauth2) => Some(Tokens::new(oauth2.as_ref().clone(), settings.timeout)?),
            _ => None,
        };
        Ok(Client { settings, connection, tokens })
    }

    /// Posts `body`; headers that are already there stay as they are.
    pub(crate) async fn post(
        &self,
        url: &Url,
        mut headers: HeaderMap,
        body: bytes::Bytes,
    ) -> Result<Response, SendError> {
        self.settings.headers.add_to(&mut headers).map_err(SendError::Credentials)?;
        if let Some(tokens) = &self.tokens {
            headers.insert(AUTHORIZATION, tokens.header().await.map_err(SendError::Token)?);
        } else if !headers.contains_key(AUTHORIZATION)
            && let Some(value) = self.settings.auth.header().map_err(SendError::Credentials)?
        {
            headers.insert(AUTHORIZATION, value);
        }
        let request = self.connection.client().post(url.clone()).headers(headers).body(body);
        let response = request.send().await.map_err(SendError::Http)?;
        if let (Some(tokens), StatusCode::UNAUTHORIZED) = (&self.tokens, response.status()) {
            // Taken back before it expired: the next try asks for another.
            tokens.forget().await;
        }
        Ok(response)
    }
}
