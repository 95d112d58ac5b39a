//! Says who we are: the `Authorization` header of a request.
//! In: settings, files that may have changed.  Out: a header value.  Owns: nothing.

use data_encoding::BASE64;
use reqwest::Url;
use reqwest::header::{HeaderValue, InvalidHeaderValue};

use crate::http::credential::{Credential, Unreadable};
use crate::http::oauth2;
use crate::record::Secret;

/// How a client proves who it is. At most one way.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Auth {
    None,
    Basic {
        username: Option<Credential>,
        password: Option<Credential>,
    },
    /// `Bearer` and its like.
    Scheme {
        name: String,
        credentials: Option<Credential>,
    },
    OAuth2(Box<oauth2::Settings>),
}

/// There is nothing to say who we are with, at this moment.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthError {
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// A line break inside, mostly.
    #[error("the credentials hold what a header cannot")]
    NoHeader(#[from] InvalidHeaderValue),
}

impl Auth {
    /// The header as of now; none for OAuth 2, whose token comes from elsewhere.
    pub(super) fn header(&self) -> Result<Option<HeaderValue>, AuthError> {
        match self {
            Auth::None | Auth::OAuth2(_) => Ok(None),
            Auth::Basic { username, password } => {
                let (username, password) = (text(username.as_ref())?, text(password.as_ref())?);
                Ok(Some(basic(username.reveal(), password.reveal())?))
            }
            Auth::Scheme { name, credentials } => {
                let credentials = text(credentials.as_ref())?;
                Ok(Some(secret_value(&format!("{name} {}", credentials.reveal()))?))
            }
        }
    }
}

fn text(credential: Option<&Credential>) -> Result<Secret, Unreadable> {
    credential.map_or_else(|| Ok(Secret::default()), Credential::read)
}

/// `Basic` credentials.
pub(super) fn basic(username: &str, password: &str) -> Result<HeaderValue, InvalidHeaderValue> {
    secret_value(&format!("Basic {}", BASE64.encode(format!("{username}:{password}").as_bytes())))
}

/// A header value that Debug does not show.
pub(super) fn secret_value(text: &str) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut value = HeaderValue::from_bytes(text.as_bytes())?;
    value.set_sensitive(true);
    Ok(value)
}

/// The user or password inside a URL is not text when its %-escapes are resolved.
#[derive(Debug, thiserror::Error)]
#[error("the user and password in this address are no UTF-8")]
pub(crate) struct UrlAuthError;

/// Takes user and password out of a URL, so that the URL can be printed.
pub(crate) fn split_url_auth(url: &mut Url) -> Result<Option<Auth>, UrlAuthError> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let inline = |text: &str| Ok(Some(Credential::Inline(Secret::new(unescaped(text)?))));
    let auth =
        Auth::Basic { username: inline(url.username())?, password: url.password().map_or(Ok(None), inline)? };
    // Fails only for URLs that cannot have a user in the first place.
    let removed = url.set_username("").and_then(|()| url.set_password(None));
    removed.map_err(|()| UrlAuthError)?;
    Ok(Some(auth))
}

fn unescaped(text: &str) -> Result<String, UrlAuthError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escape = after.get(..2).filter(|_| first == b'%');
        let byte = escape.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).map_err(|_| UrlAuthError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_password_leave_the_url_unescaped() {
        let mut url = Url::parse("http://me%40home:p%3Ass%zz@loki/push").unwrap();
        let auth = split_url_auth(&mut url).unwrap().unwrap();
        assert_eq!(url.as_str(), "http://loki/push");
        assert_eq!(auth.header().unwrap().unwrap(), basic("me@home", "p:ss%zz").unwrap());
        assert!(!format!("{auth:?}").contains("p:ss"), "{auth:?}");
        assert_eq!(split_url_auth(&mut url).unwrap(), None);
    }

    #[test]
    fn each_way_has_its_header() {
        let inline = |text: &str| Some(Credential::Inline(Secret::new(text)));
        let value = |auth: &Auth| auth.header().unwrap().map(|value| value.to_str().unwrap().to_owned());
        let basic = Auth::Basic { username: inline("Aladdin"), password: inline("open sesame") };
        assert_eq!(value(&basic).unwrap(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        let token = Auth::Scheme { name: "Token".to_owned(), credentials: inline("abc") };
        assert_eq!(value(&token).unwrap(), "Token abc");
        assert!(!format!("{:?}", token.header()).contains("abc"));
        assert_eq!(value(&Auth::None), None);
        let broken = Auth::Scheme { name: "Bearer".to_owned(), credentials: inline("a\nb") };
        assert!(broken.header().unwrap_err().to_string().contains("a header cannot"));
    }
}
