//! The hop of a full batch, alone: its compression.
//! In: a request.  Out: a body.  Owns: the buffers for it.

use bytes::Bytes;

use crate::batch::groups::Finished;
use crate::batch::press::Press;

/// How many entries there are.
pub(crate) fn entries(groups: &Finished) -> u64 {
    groups.iter().map(|group| group.sizes.len() as u64).sum()
}

/// Compresses encoded requests, one after the other.
pub(crate) fn press() -> impl FnMut(&[u8]) -> Bytes {
    let mut press = Press::new();
    move |request| press.press(|buffer| buffer.extend_from_slice(request))
}
