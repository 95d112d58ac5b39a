//! Headers the configuration adds to every request.
//! In: settings, files that may have changed.  Out: a header map.  Owns: nothing.

use reqwest::header::{HeaderMap, HeaderName};

use crate::http::auth::{AuthError, secret_value};
use crate::http::credential::Credential;

/// One header. What it holds is treated as a secret: half of all added headers are API keys.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Header {
    pub(crate) name: HeaderName,
    pub(crate) values: Vec<Credential>,
}

/// All of them, in the order they are sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Headers(pub(crate) Vec<Header>);

impl Headers {
    /// Adds them to what the request has by itself, which stays as it is.
    pub(super) fn add_to(&self, own: &mut HeaderMap) -> Result<(), AuthError> {
        let mut added = HeaderMap::new();
        for header in self.0.iter().filter(|header| !own.contains_key(&header.name)) {
            for value in &header.values {
                added.append(header.name.clone(), secret_value(value.read()?.reveal())?);
            }
        }
        own.extend(added);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;
    use crate::record::Secret;

    #[test]
    fn headers_of_the_request_itself_stay_and_others_may_come_twice() {
        let header = |name: &'static str, values: &[&str]| Header {
            name: HeaderName::from_static(name),
            values: values.iter().map(|text| Credential::Inline(Secret::new(*text))).collect(),
        };
        let headers =
            Headers(vec![header("x-a", &["1", "2"]), header("x-own", &["theirs"]), header("x-a", &["3"])]);
        let mut map =
            HeaderMap::from_iter([(HeaderName::from_static("x-own"), HeaderValue::from_static("ours"))]);
        headers.add_to(&mut map).unwrap();
        assert_eq!(map.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2", "3"]);
        assert_eq!(map.get_all("x-own").iter().collect::<Vec<_>>(), ["ours"]);
    }
}
