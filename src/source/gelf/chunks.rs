//! Puts messages together that came in several datagrams.
//! In: chunks, in any order.  Out: whole payloads.  Owns: those that are not complete, within bounds.
//!
//! A chunk is `1e 0f`, an id of 8 bytes, its number, how many there are, and its part. Ids of two senders may be the same.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::time::Duration;

use crate::clock::Instant;

/// What a chunk begins with.
const MAGIC: [u8; 2] = [0x1e, 0x0f];

const HEADER: usize = 12;

/// More chunks the format does not allow.
const MOST_CHUNKS: u8 = 128;

/// What is not complete after so long is given up, as the format says.
const COMPLETE_WITHIN: Duration = Duration::from_secs(5);

/// Messages that are not complete, and bytes of all of them.
const MOST_OPEN: usize = 1000;
const MOST_BYTES: usize = 16 << 20;

/// What became of a datagram.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// It is no chunk.
    Whole,
    /// It completes this payload.
    Complete(Vec<u8>),
    /// Others are missing, or it was there already.
    Incomplete,
    Malformed,
    /// There is no room for one more message, or for more of this one.
    NoRoom,
}

/// Messages that are not complete.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    open: HashMap<(IpAddr, [u8; 8]), Open>,
    bytes: usize,
}

#[derive(Debug)]
struct Open {
    since: Instant,
    parts: Vec<Option<Box<[u8]>>>,
    missing: usize,
    bytes: usize,
}

impl Chunks {
    pub(super) fn add(&mut self, sender: IpAddr, datagram: &[u8], now: Instant) -> Part {
        let Some(rest) = datagram.strip_prefix(&MAGIC) else { return Part::Whole };
        let Some((&[ref id @ .., number, count], part)) = rest.split_first_chunk::<{ HEADER - 2 }>() else {
            return Part::Malformed;
        };
        if number >= count || count > MOST_CHUNKS {
            return Part::Malformed;
        }
        let key = (sender, *id);
        let has_room = self.bytes + part.len() <= MOST_BYTES && self.open.len() < MOST_OPEN;
        let open = match self.open.entry(key) {
            Entry::Occupied(open) if self.bytes + part.len() <= MOST_BYTES => open.into_mut(),
            Entry::Vacant(place) if has_room => {
                let missing = usize::from(count);
                place.insert(Open { since: now, parts: vec![None; missing], missing, bytes: 0 })
            }
            _ => return Part::NoRoom,
        };
        match open.parts.get_mut(usize::from(number)) {
            // Another message with the same id, or none.
            None => return Part::Malformed,
            Some(Some(_)) => return Part::Incomplete,
            Some(place) => *place = Some(part.into()),
        }
        (open.missing, open.bytes, self.bytes) =
            (open.missing - 1, open.bytes + part.len(), self.bytes + part.len());
        if open.missing > 0 {
            return Part::Incomplete;
        }
        let parts = self.open.remove(&key).map(|open| {
            self.bytes -= open.bytes;
            open.parts
        });
        Part::Complete(parts.into_iter().flatten().flatten().flatten().collect())
    }

    /// Gives up what has been waited for for too long; how many messages.
    pub(super) fn expire(&mut self, now: Instant) -> usize {
        let before = self.open.len();
        let bytes = &mut self.bytes;
        self.open.retain(|_, open| {
            let stays = now < open.since + COMPLETE_WITHIN;
            *bytes -= if stays { 0 } else { open.bytes };
            stays
        });
        before - self.open.len()
    }

    /// Messages that are not complete.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

    fn chunk(id: u8, number: u8, count: u8, part: &[u8]) -> Vec<u8> {
        [&MAGIC[..], &[id; 8], &[number, count], part].concat()
    }

    #[test]
    fn b_gelf_2_messages_whose_chunks_interleave_are_put_together() {
        let (mut chunks, now) = (Chunks::default(), Instant::now());
        let mut add =
            |sender, id, number, part: &str| chunks.add(sender, &chunk(id, number, 3, part.as_bytes()), now);
        assert_eq!(add(ONE, 1, 2, "c"), Part::Incomplete);
        assert_eq!(add(ONE, 2, 0, "x"), Part::Incomplete);
        assert_eq!(add(OTHER, 1, 0, "other"), Part::Incomplete);
        assert_eq!(add(ONE, 1, 0, "a"), Part::Incomplete);
        assert_eq!(add(ONE, 1, 0, "again"), Part::Incomplete);
        assert_eq!(add(ONE, 2, 1, "y"), Part::Incomplete);
        assert_eq!(add(ONE, 1, 1, "b"), Part::Complete(b"abc".to_vec()));
        assert_eq!(add(ONE, 2, 2, "z"), Part::Complete(b"xyz".to_vec()));
        assert_eq!((chunks.open(), chunks.bytes), (1, 5));
    }

    #[test]
    fn what_is_no_chunk_is_whole_and_what_is_no_good_one_is_malformed() {
        let (mut chunks, now) = (Chunks::default(), Instant::now());
        let mut add = |datagram: &[u8]| chunks.add(ONE, datagram, now);
        assert_eq!(add(b"{}"), Part::Whole);
        assert_eq!(add(b"\x1e"), Part::Whole);
        assert_eq!(add(&chunk(1, 0, 1, b"all")), Part::Complete(b"all".to_vec()));
        assert_eq!(add(&chunk(1, 0, 0, b"")), Part::Malformed);
        assert_eq!(add(&chunk(1, 3, 3, b"x")), Part::Malformed);
        assert_eq!(add(&chunk(1, 0, 129, b"x")), Part::Malformed);
        assert_eq!(add(&chunk(1, 0, 2, b"")[..11]), Part::Malformed);
        assert_eq!(add(&chunk(1, 0, 2, b"x")), Part::Incomplete);
        assert_eq!(add(&chunk(1, 2, 3, b"x")), Part::Malformed, "it was of two chunks");
    }

    #[test]
    fn what_does_not_become_complete_is_given_up() {
        let (mut chunks, now) = (Chunks::default(), Instant::now());
        chunks.add(ONE, &chunk(1, 0, 2, b"x"), now);
        chunks.add(ONE, &chunk(2, 0, 2, b"y"), now + Duration::from_secs(3));
        assert_eq!(chunks.expire(now + Duration::from_secs(4)), 0);
        assert_eq!(chunks.expire(now + Duration::from_secs(5)), 1);
        assert_eq!((chunks.open(), chunks.bytes), (1, 1));
    }

    #[test]
    fn there_is_an_end_to_what_is_kept() {
        let (mut chunks, now) = (Chunks::default(), Instant::now());
        for sender in 0..4 {
            for id in 0..=255 {
                chunks.add(Ipv4Addr::new(10, 0, 1, sender).into(), &chunk(id, 0, 2, b"x"), now);
            }
        }
        assert_eq!(chunks.open(), MOST_OPEN);
        assert_eq!(chunks.add(ONE, &chunk(0, 0, 2, b"x"), now), Part::NoRoom);
        assert_eq!(chunks.expire(now + COMPLETE_WITHIN), MOST_OPEN);
        let part = vec![b'x'; 65_000];
        let mut add = |id, number| chunks.add(ONE, &chunk(id, number, 128, &part), now);
        let taken = (0..255).flat_map(|id| (0..127).map(move |number| (id, number)));
        let taken = taken.take_while(|(id, number)| add(*id, *number) == Part::Incomplete).count();
        assert_eq!(taken, MOST_BYTES / 65_000);
    }
}
