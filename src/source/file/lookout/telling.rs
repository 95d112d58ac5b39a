//! Says of a path how reading it goes.
//! In: errors, the files that are open.  Out: words for the log, numbers for the board.  Owns: nothing.

use std::io;

use rustix::io::Errno;
use tracing::{info, warn};

use crate::source::file::lookout::Lookout;

impl Lookout {
    pub(in crate::source::file) fn fail(&mut self, error: &io::Error) {
        let place = &self.place;
        self.failed = true;
        place.own.file_errors.add(1.0);
        place.reporter.fails(error);
        // Where there are too many files, they do not all say so.
        let crowded = [Errno::MFILE, Errno::NFILE].map(|errno| Some(errno.raw_os_error()));
        if crowded.contains(&error.raw_os_error()) {
            return;
        }
        if self.told.replace(error.kind()) != Some(error.kind()) {
            warn!(path = %place.path.display(), %error, "file cannot be read, trying again");
        }
    }

    /// What could be read is read. Says so when something failed before, and nothing since.
    pub(in crate::source::file) fn tell(&mut self) {
        self.report();
        let failed = std::mem::take(&mut self.failed);
        if std::mem::replace(&mut self.failing, failed) && !failed {
            self.place.reporter.works();
            if self.told.take().is_some() {
                info!(path = %self.place.path.display(), "file can be read again");
            }
        }
    }

    /// Tells how far reading is behind.
    pub(in crate::source::file) fn report(&self) {
        let mut unread = 0;
        for open in &self.files {
            // What cannot be asked is told of by whoever reads it.
            let length = open.reader.content().metadata().map_or(0, |metadata| metadata.len());
            unread += length.saturating_sub(open.reader.read_to());
            self.place.reporter.file(open.reader.offset(), length);
        }
        self.place.reporter.behind(self.read, unread);
    }
}
