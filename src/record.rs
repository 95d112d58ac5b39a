//! What travels: a chunk of whole lines, the labels of a stream, the units everything is counted in.
//! In: nothing, these are the words the other modules speak.  Out: types.  Owns: no state.

mod chunk;
mod labels;
mod secret;
mod stream;
mod units;

pub(crate) use chunk::{Chunk, LONGEST_LINE, Metadata, Origin, Output};
pub(crate) use labels::{Labels, MAX_LABEL_VALUE, valid_label_name};
pub(crate) use secret::Secret;
pub(crate) use stream::Stream;
pub(crate) use units::{ByteCount, UnixNanos};
