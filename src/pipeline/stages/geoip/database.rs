//! Databases of MaxMind's format, as far as labels are made of them.
//! In: a file.  Out: records by address.  Owns: the file's bytes, once for all stages of the agent that name it.

use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use maxminddb::{MaxMindDbError, Reader};
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

/// More than twice the largest that is sold.
const LARGEST: u64 = 1 << 30;

/// Databases in use. A job's stages name the same file, and it has tens of megabytes.
static OPEN: Mutex<Vec<Opened>> = Mutex::new(Vec::new());

/// A database in use, and the file as it was when it was read.
struct Opened {
    file: PathBuf,
    length: u64,
    changed: Option<SystemTime>,
    database: Weak<Database>,
}

/// A database in memory.
#[derive(Debug)]
pub(super) struct Database {
    reader: Reader<Vec<u8>>,
    /// It has no other addresses.
    only_v4: bool,
}

/// A database cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("cannot read the database {file}: {source}")]
    Unreadable { file: String, source: io::Error },
    #[error("the database {file} is no regular file")]
    NoFile { file: String },
    #[error("the database {file} is larger than {} MiB", LARGEST >> 20)]
    TooLarge { file: String },
    #[error("{file} is no usable database: {source}")]
    Damaged { file: String, source: MaxMindDbError },
}

/// A record is there and cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(super) struct LookupError(#[from] MaxMindDbError);

/// Where an address is. Texts are empty where the database has none.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct City<'d> {
    #[serde(borrow)]
    pub(super) city: Place<'d>,
    #[serde(borrow)]
    pub(super) continent: Place<'d>,
    #[serde(borrow)]
    pub(super) country: Place<'d>,
    #[serde(borrow)]
    pub(super) location: Location<'d>,
    #[serde(borrow)]
    pub(super) postal: Postal<'d>,
    #[serde(borrow)]
    pub(super) subdivisions: Vec<Place<'d>>,
}

/// A city, subdivision, country or continent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Place<'d> {
    /// Of a continent.
    pub(super) code: &'d str,
    /// Of countries and what they are divided into.
    pub(super) iso_code: &'d str,
    #[serde(borrow)]
    pub(super) names: Names<'d>,
}

/// Names by language: English is what labels are made of.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Names<'d> {
    pub(super) en: &'d str,
}

/// A place on the map, in degrees.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Location<'d> {
    #[serde(deserialize_with = "number")]
    pub(super) latitude: f64,
    #[serde(deserialize_with = "number")]
    pub(super) longitude: f64,
    pub(super) time_zone: &'d str,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Postal<'d> {
    pub(super) code: &'d str,
}

/// Whose an address is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asn<'d> {
    #[serde(deserialize_with = "number")]
    pub(super) autonomous_system_number: f64,
    pub(super) autonomous_system_organization: &'d str,
}

/// A number of any of the types that makers of databases choose; whole ones have at most 32 bits.
fn number<'d, D: Deserializer<'d>>(deserializer: D) -> Result<f64, D::Error> {
    struct Number;
    impl Visitor<'_> for Number {
        type Value = f64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number")
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<f64, E> {
            Ok(number as f64)
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<f64, E> {
            Ok(number as f64)
        }

        fn visit_f64<E: Error>(self, number: f64) -> Result<f64, E> {
            Ok(number)
        }
    }
    deserializer.deserialize_any(Number)
}

impl Database {
    /// Reads a file, or takes what another stage has read of it.
    pub(super) fn open(file: &str) -> Result<Arc<Database>, OpenError> {
        let unreadable = |source| OpenError::Unreadable { file: file.to_owned(), source };
        let metadata = fs::metadata(file).map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(OpenError::NoFile { file: file.to_owned() });
        }
        let path = fs::canonicalize(file).map_err(unreadable)?;
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|opened| opened.database.strong_count() > 0);
        let known = open.iter().find(|opened| opened.is(&path, &metadata));
        if let Some(database) = known.and_then(|opened| opened.database.upgrade()) {
            return Ok(database);
        }
        let database = Arc::new(Database::parse(file, read(file)?)?);
        open.push(Opened {
            file: path,
            length: metadata.len(),
            changed: metadata.modified().ok(),
            database: Arc::downgrade(&database),
        });
        Ok(database)
    }

    /// A database of these bytes.
    pub(super) fn parse(file: &str, bytes: Vec<u8>) -> Result<Database, OpenError> {
        let reader = Reader::from_source(bytes)
            .map_err(|source| OpenError::Damaged { file: file.to_owned(), source })?;
        let only_v4 = reader.metadata().ip_version == 4;
        Ok(Database { reader, only_v4 })
    }

    /// The record of an address, if it has one.
    pub(super) fn record<'d, R: Deserialize<'d>>(
        &'d self,
        address: IpAddr,
    ) -> Result<Option<R>, LookupError> {
        // An IPv4 address stays one when it is written as IPv6 would have it.
        let address = address.to_canonical();
        if self.only_v4 && address.is_ipv6() {
            return Ok(None);
        }
        Ok(self.reader.lookup(address)?.decode()?)
    }
}

impl Opened {
    fn is(&self, file: &PathBuf, metadata: &Metadata) -> bool {
        self.file == *file && self.length == metadata.len() && self.changed == metadata.modified().ok()
    }
}

fn read(file: &str) -> Result<Vec<u8>, OpenError> {
    let unreadable = |source| OpenError::Unreadable { file: file.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(file).and_then(|open| open.take(LARGEST + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST {
        return Err(OpenError::TooLarge { file: file.to_owned() });
    }
    Ok(bytes)
}
