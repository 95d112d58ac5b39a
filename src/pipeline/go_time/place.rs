//! What a time zone says about a clock reading: the offset in force, the offset an abbreviation stands for.
//! In: clock readings as UTC seconds.  Out: moments, offsets.  Owns: the zone and its abbreviations.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

use super::TimeError;

/// Where the rules of a zone only repeat themselves: 2100-01-01. Their abbreviations have all been seen by
/// then.
const RULES_REPEAT_AFTER: i64 = 4_102_444_800;

/// A time zone and its abbreviations.
#[derive(Debug)]
pub(super) struct Place {
    zone: TimeZone,
    /// In order of first use, no pair twice.
    abbreviations: Box<[(Box<str>, Offset)]>,
}

impl Place {
    /// `names_zones`: the layout has a zone abbreviation, so the list of them is worth having.
    pub(super) fn new(zone: TimeZone, names_zones: bool) -> Place {
        let abbreviations = if names_zones { abbreviations(&zone) } else { Box::default() };
        Place { zone, abbreviations }
    }

    /// The moment at which clocks here show this reading.
    ///
    /// Readings that a change of clocks skips or repeats get what Go's `time.Date` gives them: the offset in
    /// force when the reading is taken for UTC, corrected once. That is one of the two possible answers,
    /// never a third.
    pub(super) fn moment(&self, wall: i64) -> Result<i64, TimeError> {
        let guess = self.offset_at(wall)?;
        let offset = if guess == 0 { 0 } else { self.offset_at(wall - guess)? };
        Ok(wall - offset)
    }

    /// The offset this abbreviation stands for here at this reading, if it stands for any.
    ///
    /// An abbreviation can have had several offsets (Moscow's `MSK`): the one in force wins, then the oldest.
    pub(super) fn offset_of(&self, abbreviation: &str, wall: i64) -> Result<Option<i64>, TimeError> {
        let mut oldest = None;
        for (_, offset) in self.abbreviations.iter().filter(|(known, _)| **known == *abbreviation) {
            let offset = i64::from(offset.seconds());
            let then = self.zone.to_offset_info(timestamp(wall - offset)?);
            if then.abbreviation() == abbreviation {
                return Ok(Some(i64::from(then.offset().seconds())));
            }
            oldest = oldest.or(Some(offset));
        }
        Ok(oldest)
    }

    fn offset_at(&self, seconds: i64) -> Result<i64, TimeError> {
        Ok(i64::from(self.zone.to_offset(timestamp(seconds)?).seconds()))
    }
}

fn timestamp(seconds: i64) -> Result<Timestamp, TimeError> {
    Timestamp::from_second(seconds).map_err(|_| TimeError::BeyondNanoseconds)
}

fn abbreviations(zone: &TimeZone) -> Box<[(Box<str>, Offset)]> {
    let first = zone.to_offset_info(Timestamp::MIN);
    let mut found: Vec<(Box<str>, Offset)> = vec![(first.abbreviation().into(), first.offset())];
    for change in zone.following(Timestamp::MIN) {
        if change.timestamp().as_second() > RULES_REPEAT_AFTER {
            break;
        }
        let (abbreviation, offset) = (change.abbreviation(), change.offset());
        if !found.iter().any(|(known, at)| **known == *abbreviation && *at == offset) {
            found.push((abbreviation.into(), offset));
        }
    }
    found.into_boxed_slice()
}
