//! One object as the cache holds it: the bytes that are served, and the header that filters read.

use std::sync::{Arc, OnceLock};

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::Value;

use super::header::{self, Header, Paths};

const METADATA: &[u8] = b"\"metadata\":{";

/// An object at one revision. Never changes.
#[derive(Debug)]
pub struct Entry {
    /// The whole key in the store.
    pub key: Arc<str>,
    /// How much of the key is the resource's prefix.
    prefix_bytes: usize,
    /// The object's JSON with its resource version, as it goes out.
    pub bytes: Bytes,
    /// Where `"metadata"` begins in `bytes`: before it stand only `kind` and `apiVersion`.
    metadata_at: usize,
    /// What filters read.
    pub header: Arc<Header>,
    /// The revision of the last change: the resource version.
    pub revision: u64,
    parsed: OnceLock<Arc<Value>>,
}

impl Entry {
    /// The entry of a stored value. `prefix_bytes` is the length of the resource's key prefix.
    pub fn new(key: Arc<str>, prefix_bytes: usize, value: &[u8], revision: u64, paths: &Paths) -> Self {
        let (bytes, metadata_at) = splice(value, revision);
        let header = Arc::new(header::read(paths, value));
        Self { key, prefix_bytes, bytes, metadata_at, header, revision, parsed: OnceLock::new() }
    }

    /// The same object as its deletion at `revision` announces it.
    pub fn deleted_at(&self, revision: u64) -> Self {
        let bytes = respliced(&self.bytes, self.metadata_at, revision);
        Self {
            key: self.key.clone(),
            prefix_bytes: self.prefix_bytes,
            bytes,
            metadata_at: self.metadata_at,
            header: self.header.clone(),
            revision,
            parsed: OnceLock::new(),
        }
    }

    /// The object, built at first use and kept: for what is read again and again by the server itself.
    pub fn value(&self) -> Arc<Value> {
        self.parsed.get_or_init(|| Arc::new(self.parse())).clone()
    }

    /// The object, built anew: for a reader that changes it.
    pub fn parse(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    /// The object's name.
    pub fn name(&self) -> &str {
        self.key.rsplit('/').next().unwrap_or_default()
    }

    /// The object's namespace; empty for cluster-scoped ones.
    pub fn namespace(&self) -> &str {
        match self.key.get(self.prefix_bytes..).and_then(|rest| rest.split_once('/')) {
            Some((namespace, _)) => namespace,
            None => "",
        }
    }

    /// The object as an item of a typed list: without `kind` and `apiVersion`, which the list carries.
    /// To be preceded by `{`.
    pub fn item_tail(&self) -> &[u8] {
        &self.bytes[self.metadata_at..]
    }
}

/// Puts the resource version into a stored value: the first key of `metadata`.
/// Gives the bytes and where `"metadata"` begins.
pub fn splice(value: &[u8], revision: u64) -> (Bytes, usize) {
    let Some(at) = value.windows(METADATA.len()).position(|window| window == METADATA) else {
        return (Bytes::copy_from_slice(value), 0);
    };
    let after = at + METADATA.len();
    let mut out = BytesMut::with_capacity(value.len() + 40);
    out.put_slice(&value[..after]);
    out.put_slice(b"\"resourceVersion\":\"");
    let mut number = itoa(revision);
    out.put_slice(number.text());
    out.put_slice(b"\"");
    if value.get(after) != Some(&b'}') {
        out.put_slice(b",");
    }
    out.put_slice(&value[after..]);
    (out.freeze(), at)
}

/// Replaces the resource version that [`splice`] put in.
fn respliced(bytes: &[u8], metadata_at: usize, revision: u64) -> Bytes {
    let start = metadata_at + METADATA.len() + b"\"resourceVersion\":\"".len();
    let Some(end) = bytes.get(start..).and_then(|rest| rest.iter().position(|byte| *byte == b'"')) else {
        return Bytes::copy_from_slice(bytes);
    };
    let mut out = BytesMut::with_capacity(bytes.len() + 20);
    out.put_slice(&bytes[..start]);
    out.put_slice(itoa(revision).text());
    out.put_slice(&bytes[start + end..]);
    out.freeze()
}

struct Digits {
    buffer: [u8; 20],
    at: usize,
}

impl Digits {
    fn text(&mut self) -> &[u8] {
        &self.buffer[self.at..]
    }
}

fn itoa(mut number: u64) -> Digits {
    let mut digits = Digits { buffer: [b'0'; 20], at: 20 };
    loop {
        digits.at -= 1;
        digits.buffer[digits.at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return digits;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resource_version_is_spliced_once_and_replaced_on_deletion() {
        let value = br#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"x"},"spec":{}}"#;
        let paths = Paths::default();
        let entry = Entry::new(
            "/registry/core/pods/default/x".into(),
            "/registry/core/pods/".len(),
            value,
            42,
            &paths,
        );
        assert_eq!(
            &entry.bytes[..],
            br#"{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"42","name":"x"},"spec":{}}"#
        );
        assert_eq!((entry.namespace(), entry.name()), ("default", "x"));
        assert!(entry.item_tail().starts_with(b"\"metadata\":{"));
        let gone = entry.deleted_at(1043);
        assert!(gone.bytes.windows(24).any(|window| window == br#""resourceVersion":"1043""#));
    }
}
