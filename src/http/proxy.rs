//! Which requests go by way of a proxy.
//! In: settings, the environment of the process.  Out: reqwest's proxies.  Owns: nothing.

mod no_proxy;

use reqwest::header::HeaderMap;
use reqwest::{ClientBuilder, Url};

use crate::http::auth::AuthError;
use crate::http::headers::Headers;
use crate::record::Secret;

pub(crate) use no_proxy::NoProxy;

/// The way to a server.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Proxy {
    #[default]
    Direct,
    Through {
        /// For plain and for TLS targets; may hold a password.
        http: Option<Secret>,
        https: Option<Secret>,
        except: NoProxy,
        /// Sent with CONNECT only, as in Go: the target never sees them.
        connect_headers: Headers,
    },
}

impl Proxy {
    /// What the environment says, read as Go reads it: capitals first, and a bare `host:port` is an HTTP proxy.
    pub(crate) fn of_environment(
        variable: &dyn Fn(&str) -> Option<String>,
        connect_headers: Headers,
    ) -> Result<Proxy, String> {
        let either = |name: &str| {
            let small = name.to_ascii_lowercase();
            [name, &small].into_iter().filter_map(variable).find(|text| !text.is_empty())
        };
        let address = |name: &str| {
            let Some(text) = either(name) else { return Ok(None) };
            let text = if text.contains("://") { text } else { format!("http://{text}") };
            // Not the text: it may hold a password.
            address(&text).map(Some).ok_or_else(|| format!("the variable {name} holds no address of a proxy"))
        };
        Ok(Proxy::Through {
            http: address("HTTP_PROXY")?,
            https: address("HTTPS_PROXY")?,
            except: NoProxy::parse(&either("NO_PROXY").unwrap_or_default()),
            connect_headers,
        })
    }

    /// The proxy on the way to `url`, if any.
    pub(super) fn towards(&self, url: &Url) -> Option<Url> {
        let Proxy::Through { http, https, except, .. } = self else { return None };
        let address = if url.scheme() == "https" { https } else { http };
        let address = address.as_ref().filter(|_| !except.matches(url))?;
        Url::parse(address.reveal()).ok()
    }

    pub(super) fn apply(&self, builder: ClientBuilder) -> Result<ClientBuilder, AuthError> {
        // Never from the environment unless the configuration says so.
        let mut builder = builder.no_proxy();
        let Proxy::Through { http, https, except, connect_headers } = self else { return Ok(builder) };
        let mut headers = HeaderMap::new();
        connect_headers.add_to(&mut headers)?;
        for (scheme, address, headers) in [("http", http, HeaderMap::new()), ("https", https, headers)] {
            let Some(address) = address.clone() else { continue };
            let except = except.clone();
            let choose = move |url: &Url| {
                (url.scheme() == scheme && !except.matches(url)).then(|| address.reveal().to_owned())
            };
            builder = builder.proxy(reqwest::Proxy::custom(choose).headers(headers));
        }
        Ok(builder)
    }
}

/// An address of a proxy in reqwest's spelling, where it is one.
pub(crate) fn address(text: &str) -> Option<Secret> {
    let url = Url::parse(text).ok().filter(Url::has_host)?;
    match url.scheme() {
        "http" | "https" | "socks5h" => Some(Secret::new(url.as_str())),
        // Go leaves names to the proxy under either spelling.
        "socks5" => Some(Secret::new(text.replacen("socks5", "socks5h", 1))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_read_as_go_reads_it() {
        let variables =
            [("HTTP_PROXY", "proxy:3128"), ("https_proxy", "http://u:p@s:1"), ("NO_PROXY", "a.b")];
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let proxy = Proxy::of_environment(&variable, Headers::default()).unwrap();
        let Proxy::Through { http, https, except, .. } = &proxy else { panic!("{proxy:?}") };
        assert_eq!(http.as_ref().unwrap().reveal(), "http://proxy:3128/");
        assert_eq!(https.as_ref().unwrap().reveal(), "http://u:p@s:1/");
        assert!(except.matches(&Url::parse("http://x.a.b/").unwrap()));
        assert!(!format!("{proxy:?}").contains("u:p"));
        let wrong = |_: &str| Some("ftp://me:hunter2@host".to_owned());
        let error = Proxy::of_environment(&wrong, Headers::default()).unwrap_err();
        assert!(error.contains("HTTP_PROXY") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_socks_proxy_resolves_the_names() {
        assert_eq!(address("socks5://h:1").unwrap().reveal(), "socks5h://h:1");
        assert!(address("gopher://h:1").is_none() && address("h:1").is_none());
    }
}
