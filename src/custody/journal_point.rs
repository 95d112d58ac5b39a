//! A place in the systemd journal: the entry read last.
//! In: numbers of an entry, or systemd's own text for a cursor.  Out: the other.  Owns: nothing.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An entry, as exactly as the journal names it. In the state it is written as `journalctl --after-cursor` takes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct JournalPoint {
    /// Whoever gave the number.
    pub(crate) seqnum_id: u128,
    pub(crate) seqnum: u64,
    pub(crate) boot: u128,
    /// Microseconds since that boot.
    pub(crate) monotonic: u64,
    /// Microseconds since 1970.
    pub(crate) realtime: u64,
    /// Of what the entry says.
    pub(crate) xor: u64,
}

/// A text that is no cursor of the journal.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no place in a journal")]
pub(crate) struct NoJournalPoint(String);

impl fmt::Display for JournalPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let JournalPoint { seqnum_id, seqnum, boot, monotonic, realtime, xor } = self;
        write!(f, "s={seqnum_id:032x};i={seqnum:x};b={boot:032x};m={monotonic:x};t={realtime:x};x={xor:x}")
    }
}

impl FromStr for JournalPoint {
    type Err = NoJournalPoint;

    fn from_str(text: &str) -> Result<JournalPoint, NoJournalPoint> {
        parse(text).ok_or_else(|| NoJournalPoint(text.to_owned()))
    }
}

impl TryFrom<String> for JournalPoint {
    type Error = NoJournalPoint;

    fn try_from(text: String) -> Result<JournalPoint, NoJournalPoint> {
        text.parse()
    }
}

impl From<JournalPoint> for String {
    fn from(point: JournalPoint) -> String {
        point.to_string()
    }
}

/// Every part is needed: with less, an entry is found by its time alone, or not at all.
fn parse(text: &str) -> Option<JournalPoint> {
    let mut parts = [None; 6];
    for part in text.split(';') {
        let (name, value) = part.split_once('=')?;
        let index = ["s", "i", "b", "m", "t", "x"].iter().position(|known| *known == name)?;
        if value.starts_with('+') || parts[index].is_some() {
            return None;
        }
        parts[index] = Some(u128::from_str_radix(value, 16).ok()?);
    }
    let number = |part: Option<u128>| u64::try_from(part?).ok();
    let [seqnum_id, seqnum, boot, monotonic, realtime, xor] = parts;
    Some(JournalPoint {
        seqnum_id: seqnum_id?,
        seqnum: number(seqnum)?,
        boot: boot?,
        monotonic: number(monotonic)?,
        realtime: number(realtime)?,
        xor: number(xor)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "s=0639b67b0c4c4b1b8ed2a3a3d1bd1b5e;i=2b10d;b=a1dcf4d5a5f34f27aab5b9a5b3eb0c4a;m=2f6f1a;t=5dd6a3f2c1e40;x=f5e2c0a6d3b1";

    #[test]
    fn a_place_is_written_as_systemd_writes_it() {
        let point: JournalPoint = TEXT.parse().unwrap();
        assert_eq!((point.seqnum, point.realtime), (0x2b10d, 0x5_dd6a_3f2c_1e40));
        assert_eq!(point.to_string(), TEXT);
        let json = serde_json::to_string(&point).unwrap();
        assert_eq!(serde_json::from_str::<JournalPoint>(&json).unwrap(), point);
    }

    #[test]
    fn what_is_no_place_is_none() {
        let longer = TEXT.replace("i=2b10d", "i=10000000000000000");
        for wrong in ["", "s=ab;i=5", &TEXT[..TEXT.len() - 15], &format!("{TEXT};x=1"), &longer, "i=-1"] {
            assert!(wrong.parse::<JournalPoint>().is_err(), "{wrong}");
        }
    }
}
