//! Objects in a bucket of an S3-compatible storage.
//! In: names and bytes.  Out: what the server says, failures in a sentence.  Owns: a thread that speaks with the server.
//!
//! What may help (5xx, 429, no answer, a connection that broke) is tried again some times with growing pauses; whoever
//! asks waits so long. An upload is one request, so it is there whole or not at all.

mod failure;
mod transport;

#[cfg(test)]
mod scripted;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, ObjectMeta, ObjectStore as _, ObjectStoreExt as _, RetryConfig,
};
use reqwest::Url;
use tokio::runtime::{self, Handle};
use tokio::sync::oneshot;

use crate::http;
use crate::retention::objects::s3::failure::failure;
use crate::retention::objects::s3::transport::{Connector, Keys};
use crate::retention::objects::{Listing, Objects};
use crate::retention::tiers::{self, Bucket};

/// A request is tried again so often, within [`PATIENCE`].
const RETRIES: usize = 5;

/// No attempt begins later than this after the first one. Whoever seals tries again in any case.
const PATIENCE: Duration = Duration::from_secs(60);

/// The first pause between two attempts, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// Variables that count where the configuration does not say it.
const VARIABLES: [&str; 13] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL_STS",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_METADATA_ENDPOINT",
];

/// The same for the server's address.
const ENDPOINTS: [&str; 2] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];

/// The bucket.
#[derive(Debug)]
pub(crate) struct S3 {
    store: Arc<AmazonS3>,
    bucket: Bucket,
    runtime: Handle,
    /// The thread ends when this is dropped. Nobody waits for it: a runtime must not be waited for inside of another.
    _end: oneshot::Sender<()>,
}

/// Where an answer will be.
type Answer<T> = mpsc::Receiver<object_store::Result<T>>;

impl S3 {
    /// Reads certificates; connects nowhere.
    pub(crate) fn open(bucket: &Bucket) -> io::Result<S3> {
        S3::open_in(bucket, &|name| std::env::var(name).ok())
    }

    /// The same, in an environment with these variables.
    fn open_in(bucket: &Bucket, variable: &dyn Fn(&str) -> Option<String>) -> io::Result<S3> {
        let store = Arc::new(build(bucket, variable)?);
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        let work = move || {
            // An error is the end: there is nobody to say anything else.
            let _dropped = runtime.block_on(ended);
            runtime.shutdown_background();
        };
        thread::Builder::new().name("archive-s3".to_owned()).spawn(work)?;
        Ok(S3 { store, bucket: bucket.clone(), runtime: handle, _end: end })
    }

    /// Waits for an answer, on any thread that may block.
    fn wait<T: Send + 'static>(
        &self,
        answer: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> io::Result<T> {
        taken(self.begin(answer))
    }

    fn begin<T: Send + 'static>(
        &self,
        answer: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> Answer<T> {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.runtime.spawn(async move { drop(sender.send(answer.await)) });
        receiver
    }

    /// The key of a name. Names are escaped already where they must be, so the key is the name to the letter.
    fn key(&self, name: &str) -> io::Result<Path> {
        let parts = [self.bucket.prefix.as_str(), name];
        let key = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
        Path::parse(key).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
    }

    /// What names begin with below a directory, as a key; `None` where it is the whole bucket.
    fn directory(&self, directory: &str) -> io::Result<Option<Path>> {
        self.key(directory).map(|key| Some(key).filter(|key| !key.is_root()))
    }

    /// The other way round, for what is no marker of a directory and has no dot before a part of its name below `directory`.
    fn name_of(&self, directory: &str, key: &Path) -> Option<String> {
        let name = below(&self.bucket.prefix, key.as_ref())?;
        let rest = below(directory, name)?;
        (!rest.split('/').any(|part| part.starts_with('.'))).then(|| name.to_owned())
    }

    /// Names of objects. Some tools mark directories with empty objects, which have a `=` in their names.
    fn objects(&self, directory: &str, found: &[ObjectMeta]) -> Vec<String> {
        let names = found.iter().filter_map(|object| self.name_of(directory, &object.location));
        let is_marker = |name: &str| name.rsplit('/').next().is_some_and(|name| name.contains('='));
        let mut names: Vec<String> = names.filter(|name| !is_marker(name)).collect();
        names.sort();
        names
    }
}

/// Waits for it.
fn taken<T>(answer: Answer<T>) -> io::Result<T> {
    let answer = answer.recv().map_err(|_| io::Error::other("nobody speaks with the server any more"))?;
    answer.map_err(|error| failure(&error))
}

/// The rest of a path below a directory, which may be empty.
fn below<'p>(directory: &str, path: &'p str) -> Option<&'p str> {
    if directory.is_empty() {
        return Some(path);
    }
    path.strip_prefix(directory)?.strip_prefix('/')
}

fn build(bucket: &Bucket, variable: &dyn Fn(&str) -> Option<String>) -> io::Result<AmazonS3> {
    let server = &bucket.server;
    let mut builder = AmazonS3Builder::new();
    for name in VARIABLES {
        let key = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>().map_err(io::Error::other)?;
        if let Some(value) = variable(name).filter(|value| !value.is_empty()) {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(region) = &server.region {
        builder = builder.with_region(region);
    }
    if let Some((id, secret)) = server.keys.clone() {
        builder = builder.with_credentials(Arc::new(Keys { id, secret }));
    }
    if let Some(mut endpoint) = endpoint(server, variable)? {
        if !server.path_style {
            let host = format!("{}.{}", bucket.name, endpoint.host_str().unwrap_or_default());
            endpoint.set_host(Some(&host)).map_err(io::Error::other)?;
        }
        builder = builder.with_endpoint(endpoint.as_str().trim_end_matches('/'));
    }
    let broken = |error: http::BuildError| io::Error::other(http::chain(&error));
    let connector = Connector::new(server.http.clone()).map_err(broken)?;
    let backoff = BackoffConfig { init_backoff: PAUSES.0, max_backoff: PAUSES.1, base: 2.0 };
    builder
        .with_bucket_name(&bucket.name)
        .with_virtual_hosted_style_request(!server.path_style)
        // Not every server knows how to remove several objects at once.
        .with_disable_bulk_delete(true)
        .with_client_options(ClientOptions::new())
        .with_http_connector(connector)
        .with_retry(RetryConfig { backoff, max_retries: RETRIES, retry_timeout: PATIENCE })
        .build()
        .map_err(|error| failure(&error))
}

/// Where the server is, unless it is Amazon's.
fn endpoint(server: &tiers::S3, variable: &dyn Fn(&str) -> Option<String>) -> io::Result<Option<Url>> {
    if server.endpoint.is_some() {
        return Ok(server.endpoint.clone());
    }
    for name in ENDPOINTS {
        if let Some(text) = variable(name).filter(|text| !text.is_empty()) {
            let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            let unusable =
                || io::Error::other(format!("the variable {name} holds no http:// or https:// address"));
            return url.map(Some).ok_or_else(unusable);
        }
    }
    Ok(None)
}

impl Objects for S3 {
    fn list(&self, directory: &str) -> io::Result<Listing> {
        let (store, prefix) = (self.store.clone(), self.directory(directory)?);
        let found = self.wait(async move { store.list_with_delimiter(prefix.as_ref()).await })?;
        let mut directories: Vec<String> =
            found.common_prefixes.iter().filter_map(|key| self.name_of(directory, key)).collect();
        directories.sort();
        Ok(Listing { directories, objects: self.objects(directory, &found.objects) })
    }

    fn below(&self, directory: &str) -> io::Result<Vec<String>> {
        let (store, prefix) = (self.store.clone(), self.directory(directory)?);
        let found = self.wait(async move { store.list(prefix.as_ref()).try_collect::<Vec<_>>().await })?;
        Ok(self.objects(directory, &found))
    }

    fn read(&self, name: &str) -> io::Result<Bytes> {
        let (store, key) = (self.store.clone(), self.key(name)?);
        self.wait(async move { store.get(&key).await?.bytes().await })
    }

    fn read_several(&self, names: &[String]) -> Vec<io::Result<Bytes>> {
        let read = |name: &String| {
            let (store, key) = (self.store.clone(), self.key(name)?);
            Ok(self.begin(async move { store.get(&key).await?.bytes().await }))
        };
        // All are under way before the first is waited for.
        let begun: Vec<io::Result<Answer<Bytes>>> = names.iter().map(read).collect();
        begun.into_iter().map(|answer| taken(answer?)).collect()
    }

    fn put(&self, name: &str, bytes: Bytes) -> io::Result<()> {
        let (store, key) = (self.store.clone(), self.key(name)?);
        self.wait(async move { store.put(&key, bytes.into()).await }).map(drop)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let (store, key) = (self.store.clone(), self.key(name)?);
        match self.wait(async move { store.delete(&key).await }) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// An upload that was cut short leaves nothing.
    fn clear_partial(&self) -> io::Result<()> {
        Ok(())
    }

    fn name(&self) -> String {
        self.bucket.to_string()
    }
}
