//! A document as it is kept: compressed.

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use std::io::{Read, Write};

/// A document, kept as gzip.
pub struct Document {
    gzip: Bytes,
    length: usize,
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Document({} bytes, {} compressed)", self.length, self.gzip.len())
    }
}

impl Document {
    /// Keeps these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 8), Compression::default());
        // Writing to memory does not fail.
        let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
        Self { gzip: written.unwrap_or_default().into(), length: bytes.len() }
    }

    /// As gzip.
    pub fn gzip(&self) -> Bytes {
        self.gzip.clone()
    }

    /// As it is, unpacked for the caller.
    pub fn plain(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(self.length);
        let _ = GzDecoder::new(&self.gzip[..]).read_to_end(&mut bytes);
        bytes.into()
    }

    /// Bytes of it unpacked.
    pub fn length(&self) -> usize {
        self.length
    }
}
