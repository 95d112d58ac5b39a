//! A bucket of an S3-compatible object storage, as it is configured.
//! In: the configuration, checked.  Out: where and how it is reached.  Owns: nothing.

use std::fmt;
use std::sync::Arc;

use reqwest::Url;

use crate::http::{self, Credential};

/// A bucket, or a part of it.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(not(feature = "s3"), allow(dead_code, reason = "such a store is refused"))]
pub(crate) struct Bucket {
    pub(crate) name: String,
    /// Keys begin so, and go on after a `/`; may be empty.
    pub(crate) prefix: String,
    pub(crate) server: Arc<S3>,
}

/// The server that has the buckets.
#[derive(Debug, PartialEq)]
#[cfg_attr(not(feature = "s3"), allow(dead_code, reason = "such a store is refused"))]
pub(crate) struct S3 {
    /// Without one it is Amazon's, or what the environment says.
    pub(crate) endpoint: Option<Url>,
    pub(crate) region: Option<String>,
    /// Identifier and secret. Without them, what the environment or the machine gives.
    pub(crate) keys: Option<(Credential, Credential)>,
    /// The bucket stands in the path and not before the host.
    pub(crate) path_style: bool,
    pub(crate) http: http::Settings,
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        write!(f, "s3://{}{slash}{}", self.name, self.prefix)
    }
}
