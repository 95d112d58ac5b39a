//! How the bucket's client gets to its server: by our own way of making HTTP clients, with its roots and proxies.
//! In: signed requests.  Out: whole answers, the keys to sign with.  Owns: an HTTP client.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::BodyExt as _;
use memchr::memmem;
use object_store::aws::AwsCredential;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService,
};
use object_store::{ClientConfigKey, ClientOptions, CredentialProvider, Error};

use crate::http::{BuildError, Client, Credential, SendError, Settings, chain};

/// What a machine says of itself is next door.
const METADATA_TIMEOUT: Duration = Duration::from_secs(2);

/// Makes clients.
#[derive(Debug)]
pub(super) struct Connector {
    server: Arc<Client>,
    /// For credentials that the machine gives: never by way of a proxy.
    machine: Arc<Client>,
}

impl Connector {
    /// Reads certificates; connects nowhere.
    pub(super) fn new(settings: Settings) -> Result<Connector, BuildError> {
        let machine = Client::new(Settings::plain(METADATA_TIMEOUT))?;
        Ok(Connector { server: Arc::new(Client::new(settings)?), machine: Arc::new(machine) })
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        // The endpoints of a machine are the only ones for which the crate itself allows plain HTTP.
        let is_machine = options.get_config_value(&ClientConfigKey::AllowHttp).as_deref() == Some("true");
        let client = if is_machine { &self.machine } else { &self.server };
        Ok(HttpClient::new(Transport { client: client.clone(), is_machine }))
    }
}

#[derive(Debug)]
struct Transport {
    client: Arc<Client>,
    is_machine: bool,
}

/// No answer, in words. Whatever is asked of a bucket can be asked again.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(super) struct NoAnswer {
    text: String,
    /// It was the machine that was asked, for keys.
    pub(super) of_machine: bool,
}

#[async_trait]
impl HttpService for Transport {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let of_machine = self.is_machine;
        let unusable = |text: String| HttpError::new(HttpErrorKind::Unknown, NoAnswer { text, of_machine });
        let lists = parts.uri.query().is_some_and(|query| query.contains("list-type=2"));
        let url = reqwest::Url::parse(&parts.uri.to_string()).map_err(|error| unusable(error.to_string()))?;
        let mut request = reqwest::Request::new(parts.method, url);
        *request.headers_mut() = parts.headers;
        *request.body_mut() = Some(body.collect().await?.to_bytes().into());
        let answer = self.client.execute(request).await.map_err(|error| no_answer(error, of_machine))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        // Whole: what breaks in the middle of an answer is then tried again like the rest.
        let body = answer.bytes().await.map_err(|error| no_answer(SendError::Http(error), of_machine))?;
        // Not as an answer: what the machine does not know is nothing about the bucket.
        if of_machine && !status.is_success() {
            return Err(unusable(format!("it answers {status}")));
        }
        // Of the page of something else an empty listing would be made.
        if lists && status.is_success() && memmem::find(&body, b"<ListBucketResult").is_none() {
            return Err(unusable("the server's answer is no listing of a bucket".to_owned()));
        }
        let mut response = HttpResponse::new(HttpResponseBody::from(body));
        (*response.status_mut(), *response.headers_mut()) = (status, headers);
        Ok(response)
    }
}

fn no_answer(error: SendError, of_machine: bool) -> HttpError {
    let kind = match &error {
        SendError::Identity(_) => HttpErrorKind::Unknown,
        SendError::Http(error) if error.is_timeout() => HttpErrorKind::Timeout,
        SendError::Http(error) if error.is_connect() => HttpErrorKind::Connect,
        SendError::Http(_) => HttpErrorKind::Request,
    };
    HttpError::new(kind, NoAnswer { text: error.describe(), of_machine })
}

/// Keys of the configuration, read for each request.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) id: Credential,
    pub(super) secret: Credential,
}

#[async_trait]
impl CredentialProvider for Keys {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let read = |credential: &Credential| match credential.read() {
            Ok(secret) => Ok(secret.reveal().to_owned()),
            Err(error) => Err(Error::Generic { store: "S3", source: chain(&error).into() }),
        };
        let credential =
            AwsCredential { key_id: read(&self.id)?, secret_key: read(&self.secret)?, token: None };
        Ok(Arc::new(credential))
    }
}
