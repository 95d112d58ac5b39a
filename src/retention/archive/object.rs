//! Reads a Parquet file of the archive, one row group at a time and no more columns than are needed.
//! In: an object's name.  Out: the entries of a row group that are asked for.  Owns: the object's bytes.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use parquet::column::reader::ColumnReader;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader as _, RowGroupReader, SerializedFileReader};
use parquet::file::statistics::Statistics;

use crate::record::UnixNanos;
use crate::retention::archive::entry::{Entry, Stream, Streams};
use crate::retention::archive::manifest::{Seal, digest_of};
use crate::retention::archive::schema::Column;
use crate::retention::filter::Filter;
use crate::retention::objects::Objects;

/// Rows that are decoded together.
const BATCH: usize = 4096;

/// An object, all of it in memory: sealing and compaction bound it.
pub(crate) struct Object {
    reader: SerializedFileReader<Bytes>,
}

/// A row group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    pub(crate) index: usize,
    pub(crate) first: UnixNanos,
    pub(crate) last: UnixNanos,
}

/// It cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ObjectError {
    #[error("{0}")]
    Read(#[from] io::Error),
    #[error("it has {length} bytes, its manifest says {wanted}")]
    Length { length: u64, wanted: u64 },
    #[error("its SHA-256 is {digest}, its manifest says {wanted}")]
    Digest { digest: String, wanted: String },
    #[error("{0}")]
    Damaged(#[from] ParquetError),
    #[error("it is no object of an archive")]
    Foreign,
}

impl Seal {
    /// Whether these bytes are those of the object.
    pub(crate) fn check(&self, bytes: &[u8]) -> Result<(), ObjectError> {
        let length = bytes.len() as u64;
        if length != self.bytes {
            return Err(ObjectError::Length { length, wanted: self.bytes });
        }
        let digest = digest_of(bytes);
        if digest != self.sha256 {
            return Err(ObjectError::Digest { digest, wanted: self.sha256.clone() });
        }
        Ok(())
    }
}

impl Object {
    /// Reads one that is still what its manifest says. Nothing else is looked into: of bytes that are not what was written
    /// the reader of Parquet may panic.
    pub(crate) fn open(objects: &dyn Objects, name: &str, seal: &Seal) -> Result<Object, ObjectError> {
        let bytes = objects.read(name)?;
        seal.check(&bytes)?;
        let reader = SerializedFileReader::new(bytes)?;
        let columns = reader.metadata().file_metadata().schema_descr().num_columns();
        if columns <= Column::Tenant as usize { Err(ObjectError::Foreign) } else { Ok(Object { reader }) }
    }

    /// The row groups, in order of time.
    pub(crate) fn groups(&self) -> impl Iterator<Item = Group> {
        let groups = self.reader.metadata().row_groups().iter().enumerate();
        groups.map(|(index, group)| {
            let (first, last) = match group.column(Column::Timestamp as usize).statistics() {
                Some(Statistics::Int64(times)) => (times.min_opt(), times.max_opt()),
                _ => (None, None),
            };
            let time = |time: Option<&i64>, unknown| UnixNanos(time.copied().unwrap_or(unknown));
            let (first, last) = (time(first, i64::MIN), time(last, i64::MAX));
            Group { index, first, last }
        })
    }

    /// The entries of a row group that are asked for, in order of time.
    pub(crate) fn read(
        &self,
        group: Group,
        filter: &Filter,
        streams: &mut Streams,
    ) -> Result<Vec<Entry>, ObjectError> {
        let reader = self.reader.get_row_group(group.index)?;
        let times = times(&*reader)?;
        let mut wanted: Vec<bool> =
            times.iter().map(|time| filter.overlaps(UnixNanos(*time), UnixNanos(*time))).collect();
        let found = if wanted.contains(&true) {
            find_streams(&*reader, filter, streams, &mut wanted)?
        } else {
            Vec::new()
        };
        let mut lines: Vec<Bytes> = Vec::new();
        let mut kept = wanted.clone();
        texts(&*reader, Column::Line, &wanted, |row, line| {
            let line = line.map(ByteArray::data).unwrap_or_default();
            kept[row] = filter.wants_line(line);
            if kept[row] {
                // Whatever is kept must not keep the whole page.
                lines.push(Bytes::copy_from_slice(line));
            }
        })?;
        let mut metadata: Vec<Option<Arc<str>>> = Vec::with_capacity(lines.len());
        texts(&*reader, Column::Metadata, &kept, |_, text| {
            metadata.push(text.map(|text| String::from_utf8_lossy(text.data()).into()));
        })?;
        let rows = (0..times.len()).filter(|row| wanted[*row]).zip(found).filter(|(row, _)| kept[*row]);
        let entry = |(((row, stream), line), metadata): (((usize, _), _), _)| Entry {
            time: UnixNanos(times[row]),
            stream,
            line,
            metadata,
        };
        Ok(rows.zip(lines).zip(metadata).map(entry).collect())
    }

    /// How many rows there are, and the least and the greatest time of them, as the rows say.
    pub(crate) fn measure(&self) -> Result<(u64, Option<(UnixNanos, UnixNanos)>), ObjectError> {
        let (mut rows, mut bounds) = (0, None);
        for group in self.groups() {
            for time in times(&*self.reader.get_row_group(group.index)?)? {
                let (first, last) = bounds.unwrap_or((time, time));
                bounds = Some((time.min(first), time.max(last)));
                rows += 1;
            }
        }
        Ok((rows, bounds.map(|(first, last)| (UnixNanos(first), UnixNanos(last)))))
    }
}

fn times(group: &dyn RowGroupReader) -> Result<Vec<i64>, ObjectError> {
    let mut times = Vec::new();
    match group.get_column_reader(Column::Timestamp as usize)? {
        ColumnReader::Int64ColumnReader(mut column) => {
            while column.read_records(BATCH, None, None, &mut times)?.0 > 0 {}
            Ok(times)
        }
        _ => Err(ObjectError::Foreign),
    }
}

/// Of the rows that are wanted only those of wanted streams stay so; the streams of these, in order.
fn find_streams(
    group: &dyn RowGroupReader,
    filter: &Filter,
    streams: &mut Streams,
    wanted: &mut [bool],
) -> Result<Vec<Arc<Stream>>, ObjectError> {
    let mut tenants: Vec<Option<Arc<str>>> = Vec::new();
    texts(group, Column::Tenant, wanted, |_, tenant| {
        let last = tenants.last().and_then(Option::as_ref);
        let tenant = tenant.map(|tenant| match last {
            Some(last) if last.as_bytes() == tenant.data() => last.clone(),
            _ => String::from_utf8_lossy(tenant.data()).into(),
        });
        tenants.push(tenant);
    })?;
    let mut verdicts: HashMap<*const Stream, (Arc<Stream>, bool)> = HashMap::new();
    let (mut found, mut tenants, mut out) = (Vec::new(), tenants.into_iter(), Vec::new());
    texts(group, Column::Labels, wanted, |row, labels| {
        let labels = labels.map(|labels| Bytes::copy_from_slice(labels.data())).unwrap_or_default();
        let stream = streams.of_object(tenants.next().flatten(), labels);
        let verdict = verdicts
            .entry(Arc::as_ptr(&stream))
            .or_insert_with(|| (stream.clone(), filter.wants_stream(&stream.labels)));
        if verdict.1 {
            found.push(stream);
        } else {
            out.push(row);
        }
    })?;
    out.into_iter().for_each(|row| wanted[row] = false);
    Ok(found)
}

/// Gives the values of a column in the rows that are wanted.
fn texts(
    group: &dyn RowGroupReader,
    which: Column,
    wanted: &[bool],
    mut each: impl FnMut(usize, Option<&ByteArray>),
) -> Result<(), ObjectError> {
    let ColumnReader::ByteArrayColumnReader(mut column) = group.get_column_reader(which as usize)? else {
        return Err(ObjectError::Foreign);
    };
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    let mut row = 0;
    while row < wanted.len() {
        let rows = BATCH.min(wanted.len() - row);
        if wanted[row..row + rows].contains(&true) {
            values.clear();
            levels.clear();
            let optional = which.is_optional();
            let (read, ..) = column.read_records(rows, optional.then_some(&mut levels), None, &mut values)?;
            if read < rows {
                return Err(ParquetError::EOF("a column is shorter than others".to_owned()).into());
            }
            let mut values = values.iter();
            for at in 0..rows {
                let value = if !optional || levels[at] > 0 { values.next() } else { None };
                if wanted[row + at] {
                    each(row + at, value);
                }
            }
        } else {
            column.skip_records(rows)?;
        }
        row += rows;
    }
    Ok(())
}
