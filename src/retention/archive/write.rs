//! Writes entries as a Parquet file.
//! In: entries in order of time.  Out: the file's bytes.  Owns: nothing. Equal entries give equal bytes.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter, SerializedRowGroupWriter};

use crate::retention::archive::entry::{Entry, Stream};
use crate::retention::archive::schema::{Column, PROPERTIES, ROWS, SCHEMA};

/// The whole file, in memory: what is sealed at once is bounded.
pub(crate) fn write(entries: &[Entry]) -> Result<Vec<u8>, ParquetError> {
    let schema = SCHEMA.as_ref().map_err(|error| ParquetError::General(error.to_string()))?;
    let mut file = SerializedFileWriter::new(Vec::new(), schema.clone(), PROPERTIES.clone())?;
    for entries in entries.chunks(ROWS) {
        let mut group = file.next_row_group()?;
        let times: Vec<i64> = entries.iter().map(|entry| entry.time.0).collect();
        let mut column = next(&mut group)?;
        column.typed::<Int64Type>().write_batch(&times, None, None)?;
        column.close()?;
        of_streams(&mut group, entries, Column::Service, |stream| stream.label("service").map(copied))?;
        of_streams(&mut group, entries, Column::Level, |stream| stream.label("level").map(copied))?;
        texts(&mut group, entries, Column::Line, |entry| Some(entry.line.clone().into()))?;
        of_streams(&mut group, entries, Column::Labels, |stream| Some(copied(&stream.text)))?;
        texts(&mut group, entries, Column::Metadata, |entry| entry.metadata.as_deref().map(copied))?;
        of_streams(&mut group, entries, Column::Tenant, |stream| stream.tenant.as_deref().map(copied))?;
        group.close()?;
    }
    file.into_inner()
}

/// Values that are made for one batch; what repeats goes into a dictionary right after.
const BATCH: usize = 1024;

fn texts(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    entries: &[Entry],
    which: Column,
    mut value: impl FnMut(&Entry) -> Option<ByteArray>,
) -> Result<(), ParquetError> {
    let mut column = next(group)?;
    for entries in entries.chunks(BATCH) {
        let values: Vec<Option<ByteArray>> = entries.iter().map(&mut value).collect();
        let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
        let levels = which.is_optional().then_some(levels.as_slice());
        let values: Vec<ByteArray> = values.into_iter().flatten().collect();
        column.typed::<ByteArrayType>().write_batch(&values, levels, None)?;
    }
    column.close()
}

/// A column whose values entries of one stream have in common: each is made once.
fn of_streams(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    entries: &[Entry],
    which: Column,
    value: impl Fn(&Stream) -> Option<ByteArray>,
) -> Result<(), ParquetError> {
    let mut values: HashMap<*const Stream, Option<ByteArray>> = HashMap::new();
    texts(group, entries, which, |entry| {
        let known = values.entry(Arc::as_ptr(&entry.stream));
        known.or_insert_with(|| value(&entry.stream)).clone()
    })
}

fn next<'g>(
    group: &'g mut SerializedRowGroupWriter<'_, Vec<u8>>,
) -> Result<SerializedColumnWriter<'g>, ParquetError> {
    group.next_column()?.ok_or_else(|| ParquetError::General("the schema has fewer columns".to_owned()))
}

fn copied(text: &str) -> ByteArray {
    Bytes::copy_from_slice(text.as_bytes()).into()
}
