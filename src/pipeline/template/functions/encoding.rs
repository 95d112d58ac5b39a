//! Base 64, base 32, and checksums.
//! In: texts.  Out: texts.  Owns: the encodings.

use std::sync::LazyLock;

use data_encoding::{BASE32, BASE64, Encoding};
use sha2::Digest;

use super::super::call::{Call, Outcome, Row, row};
use super::super::value::Value;
use super::promtail::hex;

pub(super) const ROWS: &[Row] = &[
    row("adler32sum", "s", |call| Ok(Value::text(adler32(call.text(0).as_bytes()).to_string()))),
    row("b32dec", "s", |call| decode(call, &LENIENT_32, "base32")),
    row("b32enc", "s", |call| Ok(Value::text(BASE32.encode(call.text(0).as_bytes())))),
    row("b64dec", "s", |call| decode(call, &LENIENT_64, "base64")),
    row("b64enc", "s", |call| Ok(Value::text(BASE64.encode(call.text(0).as_bytes())))),
    row("sha1sum", "s", |call| Ok(Value::text(hex(&sha1::Sha1::digest(call.text(0)))))),
    row("sha256sum", "s", |call| Ok(Value::text(hex(&sha2::Sha256::digest(call.text(0)))))),
    row("sha512sum", "s", |call| Ok(Value::text(hex(&sha2::Sha512::digest(call.text(0)))))),
];

static LENIENT_64: LazyLock<Option<Encoding>> = LazyLock::new(|| lenient(&BASE64));
static LENIENT_32: LazyLock<Option<Encoding>> = LazyLock::new(|| lenient(&BASE32));

/// Go passes over line ends and ignores stray bits at the end.
fn lenient(strict: &Encoding) -> Option<Encoding> {
    let mut specification = strict.specification();
    specification.check_trailing_bits = false;
    specification.ignore.push_str("\r\n");
    specification.encoding().ok()
}

/// Sprig returns the complaint in place of the text. Bytes that are no UTF-8 become U+FFFD.
fn decode<'a>(call: &Call<'_, 'a>, encoding: &Option<Encoding>, name: &str) -> Outcome<'a> {
    let Some(encoding) = encoding else { return call.fail("the encoding is not available") };
    Ok(Value::text(match encoding.decode(call.text(0).as_bytes()) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => format!("illegal {name} data at input byte {}", error.position),
    }))
}

fn adler32(bytes: &[u8]) -> u32 {
    const MODULUS: u32 = 65_521;
    let sums = |(one, two): (u32, u32), byte: &u8| {
        let one = (one + u32::from(*byte)) % MODULUS;
        (one, (two + one) % MODULUS)
    };
    let (one, two) = bytes.iter().fold((1, 0), sums);
    (two << 16) | one
}
