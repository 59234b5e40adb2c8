//! One object as the cache holds it: the bytes that are served, and the header that filters read.

use std::sync::{Arc, OnceLock};

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::Value;

use super::header::{self, Header, Paths};

const METADATA: &[u8] = b"\"metadata\":{";
const VERSION: &[u8] = b"\"resourceVersion\":\"";

/// An object at one revision. Never changes.
#[derive(Debug)]
pub struct Entry {
    /// The whole key in the store.
    pub key: Arc<str>,
    /// How much of the key is the resource's prefix.
    prefix_bytes: usize,
    /// The object's JSON as it is stored, shared with the store.
    value: Bytes,
    /// Where the resource version goes into it.
    splice: Splice,
    /// What filters read.
    pub header: Arc<Header>,
    /// The revision of the last change: the resource version. 0: it is not of the store and has none.
    pub revision: u64,
    parsed: OnceLock<Arc<Value>>,
}

/// Where a resource version goes into a stored value.
#[derive(Debug, Clone, Copy)]
struct Splice {
    /// Where `"metadata"` begins: before it stand only `kind` and `apiVersion`.
    metadata_at: usize,
    /// Behind the brace of the metadata; 0 when there is none, which only damage explains.
    at: usize,
    /// Whether more metadata follows.
    comma: bool,
}

impl Splice {
    fn of(value: &[u8]) -> Self {
        let Some(metadata_at) = value.windows(METADATA.len()).position(|window| window == METADATA) else {
            return Self { metadata_at: 0, at: 0, comma: false };
        };
        let at = metadata_at + METADATA.len();
        Self { metadata_at, at, comma: value.get(at) != Some(&b'}') }
    }

    /// Writes `value` from byte `from` on with the version in its place.
    fn write(self, value: &[u8], from: usize, revision: u64, out: &mut impl BufMut) {
        let from = from.min(self.at);
        out.put_slice(&value[from..self.at]);
        if self.at > 0 && revision > 0 {
            out.put_slice(VERSION);
            out.put_slice(itoa(revision).text());
            out.put_slice(if self.comma { b"\"," } else { b"\"" });
        }
        out.put_slice(&value[self.at..]);
    }

    /// How much the version adds.
    fn extra_bytes(self, revision: u64) -> usize {
        if self.at == 0 || revision == 0 {
            0
        } else {
            VERSION.len() + itoa(revision).text().len() + 1 + usize::from(self.comma)
        }
    }
}

impl Entry {
    /// The entry of a stored value. `prefix_bytes` is the length of the resource's key prefix.
    pub fn new(key: Arc<str>, prefix_bytes: usize, value: Bytes, revision: u64, paths: &Paths) -> Self {
        let header = Arc::new(header::read(paths, &value));
        let splice = Splice::of(&value);
        Self { key, prefix_bytes, value, splice, header, revision, parsed: OnceLock::new() }
    }

    /// The same object as its deletion at `revision` announces it.
    pub fn deleted_at(&self, revision: u64) -> Self {
        Self {
            key: self.key.clone(),
            prefix_bytes: self.prefix_bytes,
            value: self.value.clone(),
            splice: self.splice,
            header: self.header.clone(),
            revision,
            parsed: OnceLock::new(),
        }
    }

    /// The object's JSON with its resource version, as it goes out.
    pub fn bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.len());
        self.write(&mut out);
        out.freeze()
    }

    /// How long that is.
    pub fn len(&self) -> usize {
        self.value.len() + self.splice.extra_bytes(self.revision)
    }

    /// Never: an object has at least its braces.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Writes the JSON that goes out.
    pub fn write(&self, out: &mut impl BufMut) {
        self.splice.write(&self.value, 0, self.revision, out);
    }

    /// Writes the object as an item of a typed list: without `kind` and `apiVersion`, which the list carries.
    /// To be preceded by `{`.
    pub fn write_item_tail(&self, out: &mut impl BufMut) {
        self.splice.write(&self.value, self.splice.metadata_at, self.revision, out);
    }

    /// How long the tail is.
    pub fn item_tail_len(&self) -> usize {
        self.len() - self.splice.metadata_at
    }

    /// The same object with a header of these fields.
    pub fn selected_by(&self, paths: &Paths) -> Self {
        Self::new(self.key.clone(), self.prefix_bytes, self.value.clone(), self.revision, paths)
    }

    /// The same object with another value, as another version of its kind shows it.
    pub fn with_value(&self, value: Bytes) -> Self {
        let splice = Splice::of(&value);
        Self {
            key: self.key.clone(),
            prefix_bytes: self.prefix_bytes,
            value,
            splice,
            header: self.header.clone(),
            revision: self.revision,
            parsed: OnceLock::new(),
        }
    }

    /// The object, built at first use and kept: for what is read again and again by the server itself.
    pub fn value(&self) -> Arc<Value> {
        self.parsed.get_or_init(|| Arc::new(self.parse())).clone()
    }

    /// The object, built anew: for a reader that changes it.
    pub fn parse(&self) -> Value {
        let mut object: Value = serde_json::from_slice(&self.value).unwrap_or_default();
        if let Some(Value::Object(metadata)) = object.get_mut("metadata").filter(|_| self.revision > 0) {
            metadata.insert("resourceVersion".to_owned(), Value::String(self.revision.to_string()));
        }
        object
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
}

/// A stored value with its resource version: the first key of `metadata`.
pub fn splice(value: &[u8], revision: u64) -> Bytes {
    let splice = Splice::of(value);
    let mut out = BytesMut::with_capacity(value.len() + splice.extra_bytes(revision));
    splice.write(value, 0, revision, &mut out);
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

    fn entry(value: &'static str) -> Entry {
        let prefix = "/registry/core/pods/";
        Entry::new("/registry/core/pods/default/x".into(), prefix.len(), value.into(), 42, &Paths::default())
    }

    #[test]
    fn the_resource_version_is_spliced_in_as_the_object_goes_out() {
        let entry = entry(r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"x"},"spec":{}}"#);
        let out =
            r#"{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"42","name":"x"},"spec":{}}"#;
        assert_eq!(entry.bytes(), out);
        assert_eq!(entry.len(), out.len());
        assert_eq!((entry.namespace(), entry.name()), ("default", "x"));
        let mut tail = BytesMut::new();
        entry.write_item_tail(&mut tail);
        assert_eq!(tail, out[out.find("\"metadata").unwrap()..]);
        assert_eq!(tail.len(), entry.item_tail_len());
        assert_eq!(entry.parse(), serde_json::from_slice::<Value>(&entry.bytes()).unwrap());
        let gone = entry.deleted_at(1043);
        assert!(gone.bytes().windows(24).any(|window| window == br#""resourceVersion":"1043""#));
    }

    #[test]
    fn empty_metadata_and_none_at_all_do_no_harm() {
        assert_eq!(entry(r#"{"metadata":{}}"#).bytes(), r#"{"metadata":{"resourceVersion":"42"}}"#);
        let damaged = entry("{}");
        assert_eq!((damaged.bytes(), damaged.len()), (Bytes::from_static(b"{}"), 2));
    }
}
