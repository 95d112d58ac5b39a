//! Files in other encodings: where their lines end, and what they say in UTF-8.
//! In: the name of an encoding; bytes.  Out: line ends; text.  Owns: nothing.
//!
//! Line ends are looked for in the bytes as they are in the file, so that places in the file stay places in the file. In
//! every encoding known here but UTF-16, the byte 0x0A is a line end wherever it stands.

use std::borrow::Cow;

use encoding_rs::{UTF_8, UTF_16BE, UTF_16LE};

/// How the bytes of a file are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Encoding {
    /// `None` for UTF-16 whose byte order mark says which.
    charset: Option<&'static encoding_rs::Encoding>,
}

/// No encoding that can be read goes by this name.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no encoding that can be read")]
pub(crate) struct UnknownEncoding(String);

impl Encoding {
    /// The encoding that goes by this name on the Web, or with IANA.
    pub(crate) fn named(name: &str) -> Result<Encoding, UnknownEncoding> {
        // On the Web this is little-endian, whatever the mark says. IANA has it as the mark says.
        if ["utf-16", "utf16", "csutf16"].iter().any(|label| name.trim().eq_ignore_ascii_case(label)) {
            return Ok(Encoding { charset: None });
        }
        let charset = encoding_rs::Encoding::for_label_no_replacement(name.as_bytes());
        charset.map(|charset| Encoding { charset: Some(charset) }).ok_or_else(|| UnknownEncoding(name.into()))
    }

    /// True while the first two bytes of the file must say which it is.
    pub(super) fn needs_mark(self) -> bool {
        self.charset.is_none()
    }

    /// The same, as the file's first two bytes say.
    pub(super) fn marked(self, first: [u8; 2]) -> Encoding {
        // Without a mark, RFC 2781 has it big-endian, and so does Promtail.
        Encoding { charset: self.charset.or(Some(if first == [0xFF, 0xFE] { UTF_16LE } else { UTF_16BE })) }
    }

    /// True where characters are pairs of bytes, and begin at even places.
    pub(super) fn is_in_pairs(self) -> bool {
        self.charset.is_none_or(|charset| charset == UTF_16LE || charset == UTF_16BE)
    }

    /// The first line end in `block`, which begins where a character does: its place and its length.
    pub(super) fn line_end(self, block: &[u8]) -> Option<(usize, usize)> {
        let mut ends = memchr::memchr_iter(b'\n', block);
        if !self.is_in_pairs() {
            return ends.next().map(|end| (end, 1));
        }
        let big = self.charset == Some(UTF_16BE);
        let mut starts = ends.filter_map(|at| if big { at.checked_sub(1) } else { Some(at) });
        let pair: [u8; 2] = if big { [0, b'\n'] } else { [b'\n', 0] };
        starts.find(|at| at % 2 == 0 && block[*at..].starts_with(&pair)).map(|at| (at, 2))
    }

    /// How much of `block` can be read without the bytes that follow it.
    pub(super) fn whole(self, block: &[u8]) -> usize {
        if !self.is_in_pairs() {
            return block.len();
        }
        let pairs = block.len() / 2 * 2;
        // The first half of a character that takes two pairs.
        let high = if self.charset == Some(UTF_16BE) { 2 } else { 1 };
        let halved = pairs >= 2 && (0xD8..0xDC).contains(&block[pairs - high]);
        if halved { pairs - 2 } else { pairs }
    }

    /// A line as UTF-8. What is no text becomes U+FFFD; a mark at the beginning of the file is none of its text.
    pub(super) fn decode(self, line: &[u8], begins_file: bool) -> Cow<'_, [u8]> {
        let charset = self.charset.unwrap_or(UTF_16BE);
        let mark: &[u8] = if charset == UTF_16LE {
            &[0xFF, 0xFE]
        } else if charset == UTF_16BE {
            &[0xFE, 0xFF]
        } else if charset == UTF_8 {
            &[0xEF, 0xBB, 0xBF]
        } else {
            &[]
        };
        let line = if begins_file { line.strip_prefix(mark).unwrap_or(line) } else { line };
        match charset.decode_without_bom_handling(line).0 {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        }
    }
}

/// Whatever the first byte chooses to read the others as: lines are whole and lie one behind the other, and are text.
#[cfg(any(fuzzing, test))]
pub(crate) fn fuzz(input: &[u8]) {
    let Some((choice, mut rest)) = input.split_first() else { return };
    let names =
        ["utf-16", "utf-16le", "utf-16be", "utf-8", "iso-2022-jp", "shift_jis", "gb18030", "big5", "euc-kr"];
    let Ok(encoding) = Encoding::named(names[usize::from(*choice) % names.len()]) else {
        unreachable!("all of these are known")
    };
    let encoding = rest.first_chunk().map_or(encoding, |first| encoding.marked(*first));
    rest = &rest[..encoding.whole(rest)];
    let mut begins_file = true;
    while let Some((end, width)) = encoding.line_end(rest) {
        assert!(rest[end..end + width].contains(&b'\n'));
        let line = encoding.decode(&rest[..end], begins_file).into_owned();
        assert!(String::from_utf8(line).is_ok());
        rest = &rest[end + width..];
        begins_file = false;
    }
    assert!(str::from_utf8(&encoding.decode(rest, begins_file)).is_ok());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_iana_and_of_the_web_are_known_and_others_are_not() {
        for name in
            ["UTF-8", "utf-16", "UTF-16LE", "utf-16be", "ISO-8859-1", "latin1", "windows-1252", "Shift_JIS"]
        {
            assert!(Encoding::named(name).is_ok(), "{name}");
        }
        for name in
            ["gb18030", "GBK", "Big5", "EUC-KR", "euc-jp", "ISO-2022-JP", "KOI8-R", "IBM866", "macintosh"]
        {
            assert!(Encoding::named(name).is_ok(), "{name}");
        }
        for name in ["utf-7", "UTF-32", "utf-32le", "iso-2022-kr", "hz-gb-2312", "EBCDIC-US", "", "utf-88"] {
            assert!(Encoding::named(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_line_end_in_utf_16_is_a_pair_at_an_even_place() {
        let little = Encoding::named("utf-16le").unwrap();
        // U+0A00 and U+000A U+0A0A.
        assert_eq!(little.line_end(b"\x00\x0A\x41\x00"), None);
        assert_eq!(little.line_end(b"\x0A\x0A\x00\x0A\x0A\x00"), Some((4, 2)));
        let big = Encoding::named("utf-16be").unwrap();
        assert_eq!(big.line_end(b"\x0A\x00\x41\x00"), None);
        assert_eq!(big.line_end(b"\x0A\x0A\x0A\x00\x00\x0A"), Some((4, 2)));
        assert_eq!(Encoding::named("latin1").unwrap().line_end(b"a\nb"), Some((1, 1)));
    }

    #[test]
    fn characters_are_not_torn() {
        let little = Encoding::named("utf-16le").unwrap();
        assert_eq!(little.whole(b"a\0b"), 2);
        assert_eq!(little.whole(b"a\0\x3D\xD8"), 2, "the first half of a pair");
        assert_eq!(little.whole(b"a\0\x3D\xD8\x00\xDE"), 6);
        let big = Encoding::named("utf-16be").unwrap();
        assert_eq!(big.whole(b"\0a\xD8\x3D\xDE"), 2);
        assert_eq!(Encoding::named("shift_jis").unwrap().whole(b"\x83"), 1);
    }

    #[test]
    fn a_mark_is_heeded_once_and_what_is_no_text_is_replaced() {
        let text = |name: &str, bytes: &[u8]| {
            let encoding = Encoding::named(name).unwrap().marked([bytes[0], bytes[1]]);
            String::from_utf8(encoding.decode(bytes, true).into_owned()).unwrap()
        };
        assert_eq!(text("utf-16", b"\xFF\xFEa\0"), "a");
        assert_eq!(text("utf-16", b"\xFE\xFF\0a"), "a");
        assert_eq!(text("utf-16", b"\0a"), "a");
        assert_eq!(text("utf-16le", b"a\0\x00\xDC"), "a\u{FFFD}");
        assert_eq!(text("utf-8", b"\xEF\xBB\xBFa\xFF"), "a\u{FFFD}");
        assert_eq!(text("windows-1252", b"\x80\xFC"), "€ü");
        let again = Encoding::named("utf-8").unwrap().decode(b"\xEF\xBB\xBFa", false).into_owned();
        assert_eq!(again, "\u{FEFF}a".as_bytes());
    }
}
