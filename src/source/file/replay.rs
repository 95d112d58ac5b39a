//! What was read of a file before a kill, to be read again as it was: in the same chunks, with the same times.
//! In: notes of the run before.  Out: one after the other, as long as the file bears them out.  Owns: those to come.

use std::collections::VecDeque;
use std::fs::File;
use std::io;

use crate::custody::Note;
use crate::source::file::identity::begins_with;

/// The chunks to come.
#[derive(Debug, Default)]
pub(super) struct Replay(VecDeque<Note>);

impl Replay {
    /// As many of the notes as are about what is in the file now.
    pub(super) fn of(mut notes: VecDeque<Note>, file: &File, length: u64) -> io::Result<Replay> {
        let mut borne_out = 0;
        for note in &notes {
            if note.end > length || !begins_with(file, note.head)? {
                break;
            }
            borne_out += 1;
        }
        notes.truncate(borne_out);
        Ok(Replay(notes))
    }

    /// The chunk that began at `offset`. Where none did, the file was not read as before, and there are no more.
    pub(super) fn next(&mut self, offset: u64) -> Option<Note> {
        let note = self.0.pop_front().filter(|note| note.start == offset);
        if note.is_none() {
            self.0.clear();
        }
        note
    }
}
