//! Syslog for the fuzzer: what must hold of any bytes that a sender may write.
//! In: any bytes.  Out: a panic where a parser is wrong.  Owns: nothing.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::framing::{Frame, FrameError, Framer, datagram};
use super::rfc3164::{self, Here};
use super::rfc5424;

/// A sender's bytes, or one message.
pub(crate) fn fuzz(bytes: &[u8]) {
    const LIMIT: usize = 64;
    let read = |piece: usize| {
        let mut found = Vec::new();
        let mut each = |frame: Frame<'_>| {
            assert!(!frame.bytes.is_empty() && frame.bytes.len() <= LIMIT);
            found.push((frame.bytes.to_vec(), frame.is_cut));
        };
        let mut framer = Framer::new(LIMIT);
        let pushed: Result<(), FrameError> =
            bytes.chunks(piece).try_for_each(|part| framer.push(part, &mut each));
        let ended = pushed.and_then(|()| framer.finish(&mut each));
        (found, ended)
    };
    assert_eq!(read(3), read(usize::MAX));
    datagram(bytes, LIMIT, &mut |frame: Frame<'_>| assert!(frame.bytes.len() <= LIMIT));
    let here = Here { now: Timestamp::UNIX_EPOCH, zone: TimeZone::UTC };
    let message = rfc3164::parse(bytes, &here);
    assert!(bytes.ends_with(message.text));
    match rfc5424::parse(bytes) {
        Ok(strict) => {
            assert_eq!(strict, message);
            let mut parameters = 0;
            rfc5424::parameters(strict.structured_data, |id, name, _| {
                assert!(!id.is_empty() && !name.is_empty());
                parameters += 1;
            });
            // Each takes at least ` a=""`.
            assert!(parameters <= strict.structured_data.len() / 5);
        }
        Err(malformed) => assert!(malformed.at <= bytes.len()),
    }
}
