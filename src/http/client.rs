//! Requests with everything the configuration adds to them.
//! In: a body and the headers that belong to it.  Out: a response.  Owns: a connection, a token.

use reqwest::header::HeaderMap;
use reqwest::{Response, Url};

use crate::http::connection::{BuildError, Connection};
use crate::http::identity::{Identity, IdentityError};
use crate::http::{Settings, chain};

/// Speaks to one server.
#[derive(Debug)]
pub(crate) struct Client {
    connection: Connection,
    identity: Identity,
}

/// There is no answer. No variant prints a secret or an address.
#[derive(Debug)]
pub(crate) enum SendError {
    /// Nothing was sent.
    Identity(IdentityError),
    Http(reqwest::Error),
}

impl SendError {
    /// With its causes, in one line.
    pub(crate) fn describe(self) -> String {
        match self {
            SendError::Identity(error) => chain(&error),
            SendError::Http(error) => chain(&error.without_url()),
        }
    }
}

impl Client {
    /// Reads certificates; connects nowhere.
    pub(crate) fn new(settings: Settings) -> Result<Client, BuildError> {
        let connection = Connection::new(settings.connection.clone(), settings.timeout)?;
        Ok(Client { connection, identity: Identity::new(&settings)? })
    }

    /// Sends a request that has all it needs: whoever signs what is sent cannot have anything added.
    #[cfg(feature = "s3")]
    pub(crate) async fn execute(&self, request: reqwest::Request) -> Result<Response, SendError> {
        self.connection.client().execute(request).await.map_err(SendError::Http)
    }

    /// Posts `body`; headers that are already there stay as they are.
    pub(crate) async fn post(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: bytes::Bytes,
    ) -> Result<Response, SendError> {
        self.send(headers, self.connection.client().post(url.clone()).body(body)).await
    }

    /// Gets a page.
    pub(crate) async fn get(&self, url: &Url) -> Result<Response, SendError> {
        self.send(HeaderMap::new(), self.connection.client().get(url.clone())).await
    }

    async fn send(
        &self,
        mut headers: HeaderMap,
        request: reqwest::RequestBuilder,
    ) -> Result<Response, SendError> {
        self.identity.add_to(&mut headers).await.map_err(SendError::Identity)?;
        let request = request.headers(headers);
        let response = request.send().await.map_err(SendError::Http)?;
        self.identity.note(response.status()).await;
        Ok(response)
    }
}
