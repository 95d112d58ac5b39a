//! URLs taken apart and put together, as Go's `net/url` does it.
//! In: a URL, or a dict of its parts.  Out: the other one.  Owns: nothing.

mod escape;
mod split;

use super::super::call::{Call, Outcome, Row, row};
use super::super::error::Problem;
use super::super::value::{Element, Entries, Value};
use escape::{Place, escape};
use split::Url;

pub(super) const ROWS: &[Row] = &[row("urlJoin", "d", url_join), row("urlParse", "s", url_parse)];

fn url_parse<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let url = match Url::split(call.text(0)) {
        Ok(url) => url,
        Err(problem) => return call.fail(format!("unable to parse the URL: {problem}")),
    };
    let userinfo = url.user.map_or_else(String::new, |user| user.escaped());
    let parts = [
        ("scheme", url.scheme),
        ("hostname", split::hostname(&url.host).to_owned()),
        ("host", url.host),
        ("path", url.path),
        ("query", url.query),
        ("opaque", url.opaque),
        ("fragment", url.fragment),
        ("userinfo", userinfo),
    ];
    let entries: Entries<'a> =
        parts.into_iter().map(|(name, part)| (name.to_owned(), Value::text(part))).collect();
    call.new_dict(Element::Any, entries)
}

fn part(call: &Call<'_, '_>, name: &str) -> Result<String, Problem> {
    match call.dict(0).and_then(|dict| dict.get(name)) {
        None => Ok(String::new()),
        Some(Value::Text(text)) => Ok(text.to_string()),
        Some(other) => {
            call.fail(format!("the part {name:?} must be of type string, but is {}", other.type_name()))
        }
    }
}

fn url_join<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let (scheme, opaque) = (part(call, "scheme")?, part(call, "opaque")?);
    let (host, path) = (part(call, "host")?, part(call, "path")?);
    let (query, fragment) = (part(call, "query")?, part(call, "fragment")?);
    let userinfo = part(call, "userinfo")?;
    let user = if userinfo.is_empty() {
        None
    } else {
        match split::userinfo(&userinfo) {
            Ok(user) => Some(user.escaped()),
            Err(problem) => return call.fail(format!("unable to parse the user: {problem}")),
        }
    };
    let mut url = String::new();
    if !scheme.is_empty() {
        url.push_str(&scheme);
        url.push(':');
    }
    if opaque.is_empty() {
        let has_authority = !host.is_empty() || user.is_some();
        if has_authority || (!scheme.is_empty() && !path.is_empty()) {
            url.push_str("//");
        }
        if let Some(user) = user {
            url.push_str(&user);
            url.push('@');
        }
        url.push_str(&escape(&host, Place::Host));
        let path = escape(&path, Place::Path);
        if !path.is_empty() && !path.starts_with('/') && !host.is_empty() {
            url.push('/');
        }
        if url.is_empty() && path.split('/').next().is_some_and(|segment| segment.contains(':')) {
            url.push_str("./");
        }
        url.push_str(&path);
    } else {
        url.push_str(&opaque);
    }
    if !query.is_empty() {
        url.push('?');
        url.push_str(&query);
    }
    if !fragment.is_empty() {
        url.push('#');
        url.push_str(&escape(&fragment, Place::Fragment));
    }
    Ok(Value::text(url))
}
