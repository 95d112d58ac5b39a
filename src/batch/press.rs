//! Compresses requests, one after the other, in buffers that stay.
//! In: encoded streams.  Out: snappy blocks.  Owns: the buffers.

use bytes::Bytes;

/// What a buffer keeps: enough for a batch of usual size.
const KEPT: usize = 2 * 1024 * 1024;

/// The buffers. New ones for each request would be cleared first, at a megabyte each.
#[derive(Debug)]
pub(super) struct Press {
    request: Vec<u8>,
    compressed: Vec<u8>,
    encoder: snap::raw::Encoder,
}

impl Press {
    pub(super) fn new() -> Press {
        Press { request: Vec::new(), compressed: Vec::new(), encoder: snap::raw::Encoder::new() }
    }

    /// A request that `write` appends to an empty buffer, as a snappy block.
    pub(super) fn press(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
        write(&mut self.request);
        let most = snap::raw::max_compress_len(self.request.len());
        if self.compressed.len() < most {
            self.compressed.resize(most, 0);
        }
        // snap fails only above 4 GiB of input; a batch is bounded far below by the byte budget.
        let length = self.encoder.compress(&self.request, &mut self.compressed).unwrap_or_default();
        let body = Bytes::copy_from_slice(&self.compressed[..length]);
        self.request.clear();
        self.request.shrink_to(KEPT);
        self.compressed.truncate(KEPT);
        self.compressed.shrink_to(KEPT);
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_compressed_as_if_it_were_the_first() {
        let mut press = Press::new();
        for length in [10, 3_000_000, 0, 500] {
            let request: Vec<u8> = (0..length).map(|byte: u32| (byte / 7) as u8).collect();
            let body = press.press(|buffer| buffer.extend_from_slice(&request));
            assert_eq!(body, snap::raw::Encoder::new().compress_vec(&request).unwrap());
            assert!(press.request.capacity() <= KEPT && press.compressed.capacity() <= KEPT);
        }
    }
}
