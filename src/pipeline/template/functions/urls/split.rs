//! A URL cut into its parts.
//! In: a URL.  Out: parts, unescaped where Go unescapes them.  Owns: the parts.

use super::escape::{Place, escape, unescape};

/// The parts.
#[derive(Debug, Default)]
pub(super) struct Url {
    pub(super) scheme: String,
    pub(super) opaque: String,
    pub(super) user: Option<User>,
    /// With the port.
    pub(super) host: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) fragment: String,
}

/// Who asks.
#[derive(Debug)]
pub(super) struct User {
    name: String,
    password: Option<String>,
}

impl User {
    pub(super) fn escaped(&self) -> String {
        let name = escape(&self.name, Place::User);
        match &self.password {
            Some(password) => format!("{name}:{}", escape(password, Place::User)),
            None => name,
        }
    }
}

impl Url {
    /// The error is a phrase.
    pub(super) fn split(text: &str) -> Result<Url, String> {
        if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
            return Err("invalid control character in URL".to_owned());
        }
        let mut url = Url::default();
        let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
        url.fragment = unescape(fragment)?;
        let (scheme, rest) = scheme(text)?;
        url.scheme = scheme.to_ascii_lowercase();
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        url.query = query.to_owned();
        if !rest.starts_with('/') {
            if !url.scheme.is_empty() {
                url.opaque = rest.to_owned();
                return Ok(url);
            }
            if rest.split('/').next().is_some_and(|segment| segment.contains(':')) {
                return Err("first path segment in URL cannot contain colon".to_owned());
            }
        }
        let mut path = rest;
        let has_authority = !url.scheme.is_empty() || !rest.starts_with("///");
        if let Some(after) = rest.strip_prefix("//").filter(|_| has_authority) {
            let slash = after.find('/').unwrap_or(after.len());
            let (authority, after) = after.split_at(slash);
            path = after;
            let (user, host) = match authority.rsplit_once('@') {
                Some((user, host)) => (Some(userinfo(user)?), host),
                None => (None, authority),
            };
            url.user = user;
            url.host = self::host(host)?;
        }
        url.path = unescape(path)?;
        Ok(url)
    }
}

/// What stands before the first colon, if it can be a scheme.
fn scheme(text: &str) -> Result<(&str, &str), String> {
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
            b':' if at == 0 => return Err("missing protocol scheme".to_owned()),
            b':' => return Ok((&text[..at], &text[at + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

/// `name` or `name:password`.
pub(super) fn userinfo(text: &str) -> Result<User, String> {
    let is_allowed = |next: char| next.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(next);
    if !text.chars().all(is_allowed) {
        return Err("invalid userinfo".to_owned());
    }
    Ok(match text.split_once(':') {
        Some((name, password)) => User { name: unescape(name)?, password: Some(unescape(password)?) },
        None => User { name: unescape(text)?, password: None },
    })
}

fn host(text: &str) -> Result<String, String> {
    let after_name = if text.starts_with('[') {
        let Some(end) = text.rfind(']') else { return Err("missing ']' in host".to_owned()) };
        &text[end + 1..]
    } else {
        text.rfind(':').map_or("", |colon| &text[colon..])
    };
    let is_port = match after_name.strip_prefix(':') {
        Some(port) => port.bytes().all(|digit| digit.is_ascii_digit()),
        None => after_name.is_empty(),
    };
    if !is_port {
        return Err(format!("invalid port {after_name:?} after host"));
    }
    if let Some(odd) = text.chars().find(|next| " \\^`{|}".contains(*next)) {
        return Err(format!("invalid character {odd:?} in host name"));
    }
    // A host may hide behind a percent sign what is not ASCII, and the sign itself.
    let hides_ascii =
        |escape: &str| !escape.starts_with("25") && escape.starts_with(|digit| ('0'..'8').contains(&digit));
    if let Some(escape) = text.split('%').skip(1).find(|escape| hides_ascii(escape)) {
        return Err(format!("invalid URL escape \"%{}\"", escape.get(..2).unwrap_or(escape)));
    }
    unescape(text)
}

/// The host without its port and brackets.
pub(super) fn hostname(host: &str) -> &str {
    let name = match (host.rfind(':'), host.rfind(']')) {
        (Some(colon), bracket) if bracket.is_none_or(|bracket| bracket < colon) => &host[..colon],
        _ => host,
    };
    name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name)
}
