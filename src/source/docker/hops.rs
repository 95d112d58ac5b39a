//! The hops of a container's log, alone: as the json-file driver keeps it, and as the API streams it.
//! In: a file, or messages.  Out: chunks.  Owns: what reads them.

use std::io;
use std::path::Path;

use crate::record::Chunk;
use crate::source::docker::json_file::JsonFile;
use crate::source::docker::messages::Messages;
use crate::source::docker::resume::Place;
use crate::source::docker::stream::Decoder;

/// Fills chunks from a log file, read from its beginning once more at the end. True there.
pub(crate) fn read_log(path: &Path) -> io::Result<impl FnMut(&mut Chunk) -> io::Result<bool> + use<>> {
    let path = path.to_owned();
    let open = move || io::Result::Ok((JsonFile::open(&path, None)?, Messages::from(Place::START, false)));
    let (mut log, mut messages) = open()?;
    Ok(move |chunk: &mut Chunk| {
        let end = log.fill(&mut messages, chunk)?;
        if end {
            (log, messages) = open()?;
        }
        Ok(end)
    })
}

/// Decodes frames of a log stream into chunks.
pub(crate) fn decode() -> impl FnMut(&[u8], &mut Chunk) -> io::Result<()> {
    let mut decoder = Decoder::new(false, Place::START);
    move |bytes, chunk| decoder.feed(bytes, chunk).map_err(io::Error::other)
}
