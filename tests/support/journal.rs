//! Journal files as journald writes them, as far as a reader looks at them: no hash tables, nothing compressed.
//! In: entries.  Out: a file that grows.  Owns: the file.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

const HEADER: u64 = 264;

/// What is written of an entry besides its fields.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    pub seqnum: u64,
    pub boot: u128,
    /// Microseconds.
    pub monotonic: u64,
    pub realtime: u64,
}

pub struct JournalWriter {
    file: File,
    /// Where the next object goes.
    end: u64,
    entries: u64,
    array: u64,
    room: u64,
    taken: u64,
    payloads: HashMap<Vec<u8>, (u64, u64)>,
}

impl JournalWriter {
    pub fn create(path: &Path, file_id: u128, seqnum_id: u128) -> JournalWriter {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = File::create(path).unwrap();
        let mut header = vec![0; HEADER as usize];
        header[..8].copy_from_slice(b"LPKSHHRH");
        header[16] = 1;
        header[24..40].copy_from_slice(&file_id.to_be_bytes());
        header[72..88].copy_from_slice(&seqnum_id.to_be_bytes());
        header[88..96].copy_from_slice(&HEADER.to_le_bytes());
        file.write_all_at(&header, 0).unwrap();
        JournalWriter { file, end: HEADER, entries: 0, array: 0, room: 0, taken: 0, payloads: HashMap::new() }
    }

    /// Adds an entry with these fields, each `NAME=value`.
    pub fn append(&mut self, stamp: Stamp, fields: &[&[u8]]) {
        let items: Vec<u64> = fields.iter().map(|field| self.data(field)).collect();
        let mut entry = Vec::new();
        for number in [stamp.seqnum, stamp.realtime, stamp.monotonic] {
            entry.extend_from_slice(&number.to_le_bytes());
        }
        entry.extend_from_slice(&stamp.boot.to_be_bytes());
        entry.extend_from_slice(&(stamp.seqnum ^ stamp.realtime).to_le_bytes());
        for item in items {
            entry.extend_from_slice(&item.to_le_bytes());
            entry.extend_from_slice(&[0; 8]);
        }
        let at = self.object(3, &entry);
        if self.taken == self.room {
            let room = (self.room * 2).max(4);
            let array = self.object(6, &vec![0; 8 + room as usize * 8]);
            let link = if self.array == 0 { 176 } else { self.array + 16 };
            self.number(link, array);
            (self.array, self.room, self.taken) = (array, room, 0);
        }
        self.number(self.array + 24 + self.taken * 8, at);
        (self.taken, self.entries) = (self.taken + 1, self.entries + 1);
        self.number(160, stamp.seqnum);
        self.number(192, stamp.realtime);
        self.number(152, self.entries);
    }

    /// Nothing is appended any more.
    pub fn archive(self) {
        self.file.write_all_at(&[2], 16).unwrap();
    }

    fn data(&mut self, payload: &[u8]) -> u64 {
        if let Some((at, count)) = self.payloads.get_mut(payload) {
            *count += 1;
            let (at, count) = (*at, *count);
            self.number(at + 56, count);
            return at;
        }
        let mut object = vec![0; 48];
        object[40..].copy_from_slice(&1u64.to_le_bytes());
        object.extend_from_slice(payload);
        let at = self.object(1, &object);
        self.payloads.insert(payload.to_vec(), (at, 1));
        at
    }

    fn object(&mut self, kind: u8, content: &[u8]) -> u64 {
        let mut object = vec![kind, 0, 0, 0, 0, 0, 0, 0];
        object.extend_from_slice(&(16 + content.len() as u64).to_le_bytes());
        object.extend_from_slice(content);
        object.resize(object.len().next_multiple_of(8), 0);
        let at = self.end;
        self.file.write_all_at(&object, at).unwrap();
        self.end += object.len() as u64;
        at
    }

    fn number(&self, at: u64, number: u64) {
        self.file.write_all_at(&number.to_le_bytes(), at).unwrap();
    }
}
