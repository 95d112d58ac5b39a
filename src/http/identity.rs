//! What every request to one server carries: who we are, and the headers of the configuration.
//! In: settings, files that may have changed, a token endpoint.  Out: headers.  Owns: the current token.

use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, HeaderMap};

use crate::http::Settings;
use crate::http::auth::{Auth, AuthError};
use crate::http::connection::BuildError;
use crate::http::headers::Headers;
use crate::http::oauth2::{TokenError, Tokens};

/// Who we are to one server.
#[derive(Debug)]
pub(crate) struct Identity {
    auth: Auth,
    headers: Headers,
    tokens: Option<Tokens>,
}

/// There is nothing to say who we are with. No variant prints a secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    /// A file with credentials is not as it should be.
    #[error(transparent)]
    Credentials(#[from] AuthError),
    /// The token endpoint gave no token.
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl Identity {
    /// Reads certificates of the token endpoint; connects nowhere.
    pub(crate) fn new(settings: &Settings) -> Result<Identity, BuildError> {
        let tokens = match &settings.auth {
            Auth::OAuth2(oauth2) => Some(Tokens::new(oauth2.as_ref().clone(), settings.timeout)?),
            _ => None,
        };
        Ok(Identity { auth: settings.auth.clone(), headers: settings.headers.clone(), tokens })
    }

    /// Adds to what a request has by itself, which stays as it is.
    pub(crate) async fn add_to(&self, headers: &mut HeaderMap) -> Result<(), IdentityError> {
        self.headers.add_to(headers)?;
        if let Some(tokens) = &self.tokens {
            headers.insert(AUTHORIZATION, tokens.header().await?);
        } else if !headers.contains_key(AUTHORIZATION)
            && let Some(value) = self.auth.header()?
        {
            headers.insert(AUTHORIZATION, value);
        }
        Ok(())
    }

    /// Hears how the server answered.
    pub(crate) async fn note(&self, status: StatusCode) {
        if let (Some(tokens), StatusCode::UNAUTHORIZED) = (&self.tokens, status) {
            // Taken back before it expired: the next try asks for another.
            tokens.forget().await;
        }
    }
}
