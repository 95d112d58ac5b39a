//! Finds the file that Promtail's position of a path was about: Promtail knows files by their path alone.
//! In: the path, the position and when it was written.  Out: the file.  Owns: nothing.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::custody::{Imported, Ledger, Taken};
use crate::source::file::identity::{Identity, read_head};
use crate::source::file::listing::Listings;
use crate::source::file::rotation::{Rotated, rotated};

/// Settles what Promtail's position of `path` is about, if that is still open; `current` is the file at the path.
pub(super) fn take_over(ledger: &Ledger, listings: &Listings, path: &Path, current: &File) -> io::Result<()> {
    let name = path.display().to_string();
    if let Some(imported @ Imported { taken: None, .. }) = ledger.imported(&name) {
        let has_its_own = |sibling: &Path, size| {
            ledger.imported(&sibling.display().to_string()).is_some_and(|imported| imported.offset <= size)
        };
        let file = match rotated_since(rotated(listings, path)?, current, imported, has_its_own)? {
            Some(file) => Some(taken(&file)?),
            None if imported.offset <= current.metadata()?.len() => Some(taken(current)?),
            // As Promtail does, from its beginning.
            None => None,
        };
        ledger.settle_import(&name, file);
    }
    Ok(())
}

/// The file that was at the path and has been rotated away since Promtail stopped. Promtail would lose its rest, and what
/// the next file has already.
fn rotated_since(
    siblings: Vec<Rotated>,
    current: &File,
    imported: Imported,
    has_its_own: impl Fn(&Path, u64) -> bool,
) -> io::Result<Option<File>> {
    let mut since = None;
    let mut newest = None;
    for sibling in siblings {
        // What is renamed meanwhile is not seen here: then it is read from its beginning.
        let Ok(file) = File::open(&sibling.path) else { continue };
        let size = file.metadata()?.len();
        // A path that Promtail has followed by itself (`worker.log.1` beside `worker.log`) is no rotated file.
        if has_its_own(&sibling.path, size) {
            continue;
        }
        if since.is_none() && sibling.modified > imported.as_of {
            since = Some(file.try_clone()?);
        }
        newest = Some(file);
    }
    // The first that was written to after Promtail was at the path when it stopped. Where times say nothing (a copied
    // positions file), only a file too short for the position tells of a rotation.
    let too_short = current.metadata()?.len() < imported.offset;
    let candidate = since.or(if too_short { newest } else { None });
    let long_enough = |file: &File| file.metadata().is_ok_and(|metadata| metadata.len() >= imported.offset);
    Ok(candidate.filter(long_enough))
}

fn taken(file: &File) -> io::Result<Taken> {
    Ok(Identity::of(&file.metadata()?).taken(read_head(file)?))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::record::UnixNanos;

    const STOPPED: u64 = 1_000_000;

    struct Bench {
        directory: tempfile::TempDir,
    }

    impl Bench {
        fn new() -> Bench {
            Bench { directory: tempfile::tempdir().unwrap() }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }

        /// A file last written to so many seconds after Promtail stopped.
        fn file(&self, name: &str, size: usize, after: i64) -> &Bench {
            fs::write(self.path(name), vec![b'x'; size]).unwrap();
            let modified = UNIX_EPOCH + Duration::from_secs(STOPPED.checked_add_signed(after).unwrap());
            File::options().append(true).open(self.path(name)).unwrap().set_modified(modified).unwrap();
            self
        }

        /// Which file an offset of `a.log` is about.
        fn about(&self, offset: u64, others: &[(&str, u64)]) -> Option<String> {
            let ledger = Ledger::default();
            let entries = others.iter().copied().chain([("a.log", offset)]);
            let entries = entries.map(|(name, offset)| (self.path(name).display().to_string(), offset));
            ledger.import(&entries.collect(), UnixNanos(STOPPED as i64 * 1_000_000_000));
            let path = self.path("a.log");
            take_over(&ledger, &Listings::default(), &path, &File::open(&path).unwrap()).unwrap();
            let taken = ledger.imported(&path.display().to_string())?.taken?;
            let names = fs::read_dir(self.directory.path()).unwrap().map(|entry| entry.unwrap());
            let is_it = |path: PathBuf| Identity::of(&fs::metadata(path).unwrap()).taken(taken.head) == taken;
            names
                .filter(|entry| is_it(entry.path()))
                .map(|entry| entry.file_name().into_string().unwrap())
                .next()
        }
    }

    #[test]
    fn a_position_is_about_the_file_at_the_path() {
        assert_eq!(Bench::new().file("a.log", 10, 5).about(10, &[]).as_deref(), Some("a.log"));
        assert_eq!(Bench::new().file("a.log", 10, 5).about(11, &[]), None, "truncated");
        let bench = Bench::new();
        bench.file("a.log", 10, 5).file("a.log.1", 100, -3600);
        assert_eq!(bench.about(7, &[]).as_deref(), Some("a.log"), "rotated long before");
    }

    #[test]
    fn a_position_is_about_the_file_that_was_rotated_away_since() {
        let bench = Bench::new();
        bench.file("a.log", 10, 9).file("a.log.1", 100, 5).file("a.log.2", 500, -3600);
        assert_eq!(bench.about(60, &[]).as_deref(), Some("a.log.1"));
        assert_eq!(bench.about(7, &[]).as_deref(), Some("a.log.1"), "the new file is long enough as well");
        bench.file("a.log", 10, 12).file("a.log.1", 80, 9).file("a.log.2", 100, 5);
        assert_eq!(bench.about(60, &[]).as_deref(), Some("a.log.2"), "rotated twice");
    }

    #[test]
    fn where_times_say_nothing_sizes_do() {
        let bench = Bench::new();
        bench.file("a.log", 10, -5).file("a.log.1", 100, -10).file("a.log.2", 500, -3600);
        assert_eq!(bench.about(60, &[]).as_deref(), Some("a.log.1"));
        assert_eq!(bench.about(200, &[]), None, "the newest one is too short");
    }

    #[test]
    fn a_neighbour_that_was_followed_by_itself_is_no_rotated_file() {
        let bench = Bench::new();
        bench.file("a.log", 10, 9).file("a.log.1", 100, 5);
        assert_eq!(bench.about(7, &[("a.log.1", 90)]).as_deref(), Some("a.log"));
    }
}
