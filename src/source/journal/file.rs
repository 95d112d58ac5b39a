//! One journal file, read entry by entry.
//! In: a file that journald may be writing to.  Out: its entries by number, and what they say.  Owns: the open file, the
//! places of its arrays of entries.
//!
//! What the header counts is complete and never changes, so a reader that goes by a header read before sees only that.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use crate::custody::JournalPoint;
use crate::source::journal::compression::{decompress, enough};
use crate::source::journal::format::{
    ARRAY, DATA, DATA_COMPACT, Damage, ENTRY, HEADER, Header, OBJECT, Object, Type, header, object, point,
    u32_at, u64_at,
};
use crate::source::journal::pages::Pages;

/// Arrays of entries grow by doubling, so that no file has a hundred.
const MOST_ARRAYS: usize = 4096;

/// Items of an entry that are looked at; journald takes 1024.
const MOST_ITEMS: u64 = 4096;

/// A file whose header made sense.
#[derive(Debug)]
pub(super) struct JournalFile {
    /// Tells it apart from other files, also those before it.
    number: u64,
    file: File,
    header: Header,
    /// Bytes of the file when the header was read.
    length: u64,
    arrays: Vec<Array>,
}

/// Entries in their order, by number from `first` on.
#[derive(Debug)]
struct Array {
    at: u64,
    first: u64,
    entries: u64,
}

/// An entry, and where it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) point: JournalPoint,
    at: u64,
    size: u64,
}

/// What is known of a payload besides its bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Payload {
    /// There is more of it.
    pub(super) cut: bool,
    /// Several entries say the same.
    pub(super) shared: bool,
}

impl JournalFile {
    pub(super) fn open(number: u64, file: File) -> Result<JournalFile, Damage> {
        let (header, length) = (read_header(&file)?, file.metadata()?.len());
        Ok(JournalFile { number, file, header, length, arrays: Vec::new() })
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Looks for what is new; true when there is something.
    pub(super) fn refresh(&mut self, pages: &mut Pages) -> Result<bool, Damage> {
        let header = read_header(&self.file)?;
        if header == self.header {
            return Ok(false);
        }
        pages.forget(self.number);
        if header.entries < self.header.entries || header.file_id != self.header.file_id {
            return Err(Damage::Broken { what: "the file has been written anew", at: 0 });
        }
        (self.header, self.length) = (header, self.file.metadata()?.len());
        Ok(true)
    }

    /// The entry with this number, from 0 on.
    pub(super) fn entry(&mut self, pages: &mut Pages, number: u64) -> Result<Entry, Damage> {
        let at = self.place(pages, number)?;
        let mut bytes = [0; ENTRY as usize];
        self.read(pages, at, &mut bytes)?;
        let Object { size, .. } = object(&bytes, at, Type::Entry, ENTRY)?;
        Ok(Entry { point: point(&bytes, self.header.seqnum_id), at, size })
    }

    /// Where the payloads of an entry are, as far as they are looked at, also where that is an error.
    pub(super) fn items(&self, pages: &mut Pages, entry: &Entry, items: &mut Vec<u64>) -> Result<(), Damage> {
        items.clear();
        let width = if self.header.compact { 4 } else { 16 };
        let count = (entry.size - ENTRY) / width;
        let mut bytes = [0; 1024];
        let (mut at, mut left) = (entry.at + ENTRY, count.min(MOST_ITEMS) * width);
        while left > 0 {
            let part = &mut bytes[..left.min(1024) as usize];
            self.read(pages, at, part)?;
            items.extend(part.chunks(width as usize).map(|item| self.offset(item)));
            (at, left) = (at + part.len() as u64, left - part.len() as u64);
        }
        if count > MOST_ITEMS {
            return Err(Damage::Broken { what: "an entry of too many fields", at: entry.at });
        }
        Ok(())
    }

    /// Appends at most `most` bytes of a payload, which is a field's name, `=` and its value.
    pub(super) fn payload(
        &self,
        pages: &mut Pages,
        at: u64,
        most: usize,
        out: &mut Vec<u8>,
    ) -> Result<Payload, Damage> {
        let start = if self.header.compact { DATA_COMPACT } else { DATA };
        let mut head = [0; DATA as usize];
        self.read(pages, at, &mut head)?;
        let Object { compression, size } = object(&head, at, Type::Data, start)?;
        let length = size - start;
        let shared = u64_at(&head, 56) > 1;
        let wanted = compression.map_or(most, |_| enough(most));
        // Before memory is asked for: a damaged length may be any.
        if at.checked_add(size).is_none_or(|end| end > self.length) {
            return Err(Damage::Broken { what: "an object that is too large", at });
        }
        let taken = usize::try_from(length).unwrap_or(usize::MAX).min(wanted);
        let whole = taken as u64 == length;
        let Some(compression) = compression else {
            let before = out.len();
            out.resize(before + taken, 0);
            self.read(pages, at + start, &mut out[before..])?;
            return Ok(Payload { cut: !whole, shared });
        };
        let mut packed = vec![0; taken];
        self.read(pages, at + start, &mut packed)?;
        let cut =
            decompress(compression, &packed, whole, most, out).map_err(|what| Damage::Broken { what, at })?;
        Ok(Payload { cut, shared })
    }

    /// The number of the first entry that is not `before`, where those that are come first. An entry that cannot be read
    /// is passed over.
    pub(super) fn partition(&mut self, pages: &mut Pages, before: impl Fn(&JournalPoint) -> bool) -> u64 {
        let (mut low, mut high) = (0, self.header.entries);
        while low < high {
            let middle = low + (high - low) / 2;
            let readable = (middle..high.min(middle + 16))
                .find_map(|number| Some((number, self.entry(pages, number).ok()?.point)));
            match readable {
                Some((number, point)) if before(&point) => low = number + 1,
                // What is unreadable in between is looked at when it is read.
                _ => high = middle,
            }
        }
        low
    }

    /// Where the entry with this number is.
    fn place(&mut self, pages: &mut Pages, number: u64) -> Result<u64, Damage> {
        if self.arrays.is_empty() {
            self.add_array(pages, self.header.array, 0)?;
        }
        while let Some(last) = self.arrays.last().filter(|last| number >= last.first + last.entries) {
            let (at, first) = (last.at, last.first + last.entries);
            let mut next = [0; 8];
            self.read(pages, at + OBJECT, &mut next)?;
            let next = u64_at(&next, 0);
            if next <= at {
                return Err(Damage::Broken { what: "the list of entries ends too early", at });
            }
            self.add_array(pages, next, first)?;
        }
        let index = self.arrays.partition_point(|array| array.first <= number);
        let array = index.checked_sub(1).map(|index| &self.arrays[index]);
        let Some(array) = array else { return Err(Damage::Broken { what: "no entries", at: 0 }) };
        let width = if self.header.compact { 4 } else { 8 };
        let at = array.at + ARRAY + (number - array.first) * width;
        let mut item = [0; 8];
        let item = &mut item[..width as usize];
        self.read(pages, at, item)?;
        Ok(self.offset(item))
    }

    fn add_array(&mut self, pages: &mut Pages, at: u64, first: u64) -> Result<(), Damage> {
        let mut head = [0; ARRAY as usize];
        self.read(pages, at, &mut head)?;
        let Object { size, .. } = object(&head, at, Type::Array, ARRAY)?;
        let entries = (size - ARRAY) / if self.header.compact { 4 } else { 8 };
        let fits = at.checked_add(size).is_some_and(|end| end <= self.length);
        if entries == 0 || !fits || self.arrays.len() >= MOST_ARRAYS {
            return Err(Damage::Broken { what: "a list of entries that makes no sense", at });
        }
        self.arrays.push(Array { at, first, entries });
        Ok(())
    }

    fn offset(&self, item: &[u8]) -> u64 {
        if self.header.compact { u64::from(u32_at(item, 0)) } else { u64_at(item, 0) }
    }

    /// Every object is read through this.
    fn read(&self, pages: &mut Pages, at: u64, into: &mut [u8]) -> Result<(), Damage> {
        if at < self.header.size || at > i64::MAX as u64 {
            return Err(Damage::Broken { what: "an offset that makes no sense", at });
        }
        pages.read(self.number, &self.file, at, into)
    }
}

fn read_header(file: &File) -> Result<Header, Damage> {
    let mut bytes = [0; HEADER];
    file.read_exact_at(&mut bytes, 0)?;
    header(&bytes)
}
