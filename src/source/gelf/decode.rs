//! Makes lines of GELF datagrams.
//! In: datagrams as they arrived.  Out: lines with labels and times.  Owns: messages that are not complete.

use std::net::IpAddr;
use std::sync::Arc;

use tracing::warn;

use crate::clock::Instant;
use crate::metrics::Own;
use crate::record::Labels;
use crate::source::arrivals::{Arrival, Decode, Lines};
use crate::source::gelf::KIND;
use crate::source::gelf::chunks::{Chunks, Part};
use crate::source::gelf::message;
use crate::source::gelf::payload::plain;

/// Makes lines of the messages of one listener.
pub(super) struct Decoder {
    labels: Labels,
    keep_time: bool,
    chunks: Chunks,
    own: Arc<Own>,
}

impl Decoder {
    pub(super) fn new(labels: Labels, keep_time: bool, own: &Arc<Own>) -> Decoder {
        Decoder { labels, keep_time, chunks: Chunks::default(), own: own.clone() }
    }

    fn take(&mut self, payload: &[u8], sender: IpAddr, lines: &mut Lines) {
        let json = match plain(payload) {
            Ok(json) => json,
            Err(error) => return self.drop("undecompressible", sender, &error.to_string()),
        };
        let message = match message::parse(&json) {
            Ok(message) => message,
            Err(error) => return self.drop("malformed", sender, &error.to_string()),
        };
        let given = [
            ("__gelf_message_level", message.level),
            ("__gelf_message_host", message.host.as_deref()),
            ("__gelf_message_version", message.version.as_deref()),
            ("__gelf_message_facility", message.facility.as_deref()),
        ];
        let given = given.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let labels = self.labels.iter().chain(given);
        lines.push(message.line.as_bytes(), message.timestamp.filter(|_| self.keep_time), labels);
    }

    fn drop(&mut self, reason: &str, sender: IpAddr, error: &str) {
        self.own.network.messages_dropped(KIND, reason).add(1.0);
        warn!(source = KIND, reason, %sender, error, "not a GELF message, dropped");
    }

    fn expire(&mut self, now: Instant) {
        match self.chunks.expire(now) {
            0 => {}
            expired => self.own.network.messages_dropped(KIND, "incomplete").add(expired as f64),
        }
    }
}

impl Decode for Decoder {
    fn decode(&mut self, arrival: Arrival<'_>, lines: &mut Lines) {
        let now = Instant::now();
        match self.chunks.add(arrival.sender, arrival.bytes, now) {
            Part::Whole => self.take(arrival.bytes, arrival.sender, lines),
            Part::Complete(payload) => self.take(&payload, arrival.sender, lines),
            Part::Incomplete => {}
            Part::Malformed => self.drop("malformed", arrival.sender, "it is no chunk of a message"),
            Part::NoRoom => {
                self.expire(now);
                self.drop("no_room", arrival.sender, "too much is not complete");
            }
        }
    }

    fn tick(&mut self) {
        self.expire(Instant::now());
    }

    /// What is not complete now never will be.
    fn end(&mut self) {
        self.own.network.messages_dropped(KIND, "incomplete").add(self.chunks.open() as f64);
    }
}

/// Datagrams, each with its length in two bytes before it.
#[cfg(any(fuzzing, test))]
pub(crate) fn fuzz(mut input: &[u8]) {
    let (mut chunks, now) = (Chunks::default(), Instant::now());
    let read = |payload: &[u8]| {
        let Ok(json) = plain(payload) else { return };
        if let Ok(message) = message::parse(&json) {
            let again = message::parse(message.line.as_bytes());
            assert_eq!(again.map_err(|error| error.to_string()), Ok(message));
        }
    };
    while let Some((length, rest)) = input.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        let (datagram, rest) = rest.split_at(length);
        match chunks.add(std::net::Ipv4Addr::LOCALHOST.into(), datagram, now) {
            Part::Whole => read(datagram),
            Part::Complete(payload) => read(&payload),
            Part::Incomplete | Part::Malformed | Part::NoRoom => {}
        }
        input = rest;
    }
    assert!(chunks.open() <= 1000);
}
