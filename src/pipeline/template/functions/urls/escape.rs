//! Percent signs: what must be escaped where.
//! In: text.  Out: escaped text, or the other way.  Owns: nothing.

/// A part of a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    User,
    Host,
    Path,
    Fragment,
}

impl Place {
    /// Characters with a meaning elsewhere that may stand here as they are.
    fn allows(self, byte: u8) -> bool {
        byte.is_ascii_alphanumeric()
            || b"-_.~".contains(&byte)
            || match self {
                Place::User => b"$&+,;=".contains(&byte),
                Place::Host => b"!$&'()*+,;=:[]<>\"".contains(&byte),
                Place::Path => b"$&+,/:;=@".contains(&byte),
                Place::Fragment => b"$&+,/:;=?@!()*".contains(&byte),
            }
    }
}

pub(super) fn escape(text: &str, place: Place) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if place.allows(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Bytes that are no UTF-8 become U+FFFD.
pub(super) fn unescape(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let digits = after.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let Some(code) = code else {
            let shown: String = after.chars().take(2).collect();
            return Err(format!("invalid URL escape \"%{shown}\""));
        };
        bytes.push(code);
        rest = &after[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
