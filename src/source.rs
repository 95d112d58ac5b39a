//! Sources: what reads a target's lines.
//! In: targets from discovery.  Out: chunks into the target's intake.  Owns: open files and log streams.

pub(crate) mod docker;
pub(crate) mod file;
pub(crate) mod journal;
pub(crate) mod listen;
pub(crate) mod push;
pub(crate) mod stdin;

use crate::record::LONGEST_LINE;

/// Ends a line that was cut.
pub(crate) const CUT_MARK: &[u8] = b" [cut by tailwater]";

/// Cuts a line to [`LONGEST_LINE`], marking it. True when there was something to cut.
fn cut(line: &mut Vec<u8>) -> bool {
    if line.len() <= LONGEST_LINE {
        return false;
    }
    let mut end = LONGEST_LINE - CUT_MARK.len();
    // Not in the middle of a UTF-8 character, where it is UTF-8.
    while end > LONGEST_LINE - CUT_MARK.len() - 3 && line[end] & 0b1100_0000 == 0b1000_0000 {
        end -= 1;
    }
    line.truncate(end);
    line.extend_from_slice(CUT_MARK);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_over_the_limit_is_cut_at_a_character_and_marked() {
        let mut line = "é".repeat(LONGEST_LINE).into_bytes();
        assert!(cut(&mut line));
        assert!(line.len() <= LONGEST_LINE);
        assert!(String::from_utf8(line).unwrap().ends_with("é [cut by tailwater]"));
        assert!(!cut(&mut b"short".to_vec()));
    }
}
