//! Lists as bodies that are made while they are sent.
//!
//! A list of many objects is never in memory a second time: the body holds the entries of the cache and writes
//! a chunk of them whenever the connection takes one. JSON lists of objects know their length beforehand.

use std::io::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec::IntoIter;

use api_model::table::IncludeObject;
use bytes::{BufMut, Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use kit::http::BoxError;
use serde_json::{Value, json};

use super::negotiate::Form;
use super::render::{partial, table_of};
use crate::registry::Served;
use crate::registry::read::Listed;
use crate::watch::Entry;

/// How much is made at once, about.
const CHUNK_BYTES: usize = 64 * 1024;
/// Objects that are made into table rows at once.
const ROWS_TOGETHER: usize = 64;

/// How an entry becomes an item.
enum Item {
    /// As it is stored, without kind and version: the list carries them.
    Tail,
    /// In the version asked for, with kind and version.
    Versioned(Arc<Served>),
    /// Its metadata, in this version of `meta.k8s.io`.
    Metadata(&'static str),
    /// A row.
    Row(Arc<Served>, Rows),
}

/// What rows carry, as of when, and in which form.
pub type Rows = (IncludeObject, jiff::Timestamp, Form);

/// The body of a list.
pub struct ListBody {
    head: Option<BytesMut>,
    entries: IntoIter<Arc<Entry>>,
    item: Item,
    first: bool,
    /// Bytes still to come, where that is known.
    left: Option<u64>,
    ended: bool,
}

const TAIL: &[u8] = b"]}";

/// The metadata of a list.
pub fn list_meta(listed: &Listed) -> Value {
    // What is not of the store has no version.
    let version = if listed.revision == 0 { String::new() } else { listed.revision.to_string() };
    let mut meta = json!({"resourceVersion": version});
    if let Some(token) = &listed.continue_token {
        meta["continue"] = json!(token);
    }
    if let Some(remaining) = listed.remaining {
        meta["remainingItemCount"] = json!(remaining);
    }
    meta
}

fn head(kind: &str, api_version: &str, listed: &Listed, items: &str) -> BytesMut {
    let meta = list_meta(listed);
    BytesMut::from(
        format!("{{\"kind\":\"{kind}\",\"apiVersion\":\"{api_version}\",\"metadata\":{meta},{items}:[")
            .as_bytes(),
    )
}

impl ListBody {
    /// A list of whole objects.
    pub fn objects(served: &Arc<Served>, listed: Listed) -> Self {
        let head = head(&served.resource.list_kind(), &served.api_version(), &listed, "\"items\"");
        if !served.is_storage_version() || served.custom.is_some() {
            return Self::new(head, listed, Item::Versioned(served.clone()));
        }
        // The common case copies each object once and parses nothing.
        let entries = &listed.entries;
        let objects: usize = entries.iter().map(|entry| entry.item_tail_len() + 1).sum();
        let commas = entries.len().saturating_sub(1);
        let length = head.len() + objects + commas + TAIL.len();
        Self { left: Some(length as u64), ..Self::new(head, listed, Item::Tail) }
    }

    /// A list of metadata.
    pub fn metadata(listed: Listed, meta_version: &'static str) -> Self {
        let head = head("PartialObjectMetadataList", meta_version, &listed, "\"items\"");
        Self::new(head, listed, Item::Metadata(meta_version))
    }

    /// A table.
    pub fn table(served: &Arc<Served>, listed: Listed, rows: Rows) -> Self {
        let empty = table_of(&served.resource, &[], rows);
        let columns = format!("\"columnDefinitions\":{},\"rows\"", empty["columnDefinitions"]);
        let head = head("Table", rows.2.meta_version(), &listed, &columns);
        Self::new(head, listed, Item::Row(served.clone(), rows))
    }

    fn new(head: BytesMut, listed: Listed, item: Item) -> Self {
        Self {
            head: Some(head),
            entries: listed.entries.into_iter(),
            item,
            first: true,
            left: None,
            ended: false,
        }
    }

    /// All of it at once, for encodings that need the whole.
    pub fn collect(mut self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.left.map_or(0, |left| usize::try_from(left).unwrap_or(0)));
        while let Some(chunk) = self.chunk() {
            out.unsplit(BytesMut::from(chunk));
        }
        out.freeze()
    }

    fn chunk(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let mut out = BytesMut::with_capacity(CHUNK_BYTES);
        if let Some(head) = self.head.take() {
            out.put_slice(&head);
        }
        // The last object of a chunk may be large: the chunk grows for it, once.
        while out.len() < CHUNK_BYTES - CHUNK_BYTES / 16 {
            if !self.items(&mut out) {
                out.put_slice(TAIL);
                self.ended = true;
                break;
            }
        }
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(out.len() as u64);
        }
        Some(out.freeze())
    }

    /// Writes the next items; false when there are none.
    fn items(&mut self, out: &mut BytesMut) -> bool {
        if let Item::Row(served, rows) = &self.item {
            let some =
                self.entries.by_ref().take(ROWS_TOGETHER).map(|entry| served.from_storage(entry.parse()));
            let objects: Vec<Value> = some.collect();
            let made = table_of(&served.resource, &objects, *rows);
            for row in made["rows"].as_array().into_iter().flatten() {
                comma(&mut self.first, out);
                // Writing to memory does not fail.
                let _ = serde_json::to_writer(out.writer(), row);
            }
            return !objects.is_empty();
        }
        let Some(entry) = self.entries.next() else { return false };
        comma(&mut self.first, out);
        match &self.item {
            Item::Tail => {
                out.put_u8(b'{');
                entry.write_item_tail(out);
            }
            Item::Metadata(version) => out.put_slice(&partial(&entry.bytes(), version)),
            Item::Versioned(served) if served.is_storage_version() => entry.write(out),
            Item::Versioned(served) => {
                let _ = serde_json::to_writer(out.writer(), &served.from_storage(entry.parse()));
            }
            Item::Row(..) => {}
        }
        true
    }
}

fn comma(first: &mut bool, out: &mut BytesMut) {
    if !std::mem::replace(first, false) {
        out.put_u8(b',');
    }
}

impl Body for ListBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(self.chunk().map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map(SizeHint::with_exact).unwrap_or_default()
    }
}

/// A body that is compressed while it is sent.
pub struct Gzip<B> {
    inner: B,
    encoder: Option<flate2::write::GzEncoder<Vec<u8>>>,
}

impl<B> Gzip<B> {
    /// Compresses `inner`.
    pub fn new(inner: B) -> Self {
        let encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        Self { inner, encoder: Some(encoder) }
    }
}

impl<B: Body<Data = Bytes, Error = BoxError> + Unpin> Body for Gzip<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            let Some(encoder) = &mut self.encoder else { return Poll::Ready(None) };
            if encoder.get_ref().len() >= CHUNK_BYTES / 4 {
                let ready = std::mem::take(encoder.get_mut());
                return Poll::Ready(Some(Ok(Frame::data(ready.into()))));
            }
            match std::task::ready!(Pin::new(&mut self.inner).poll_frame(context)) {
                Some(Ok(frame)) => {
                    let data = frame.into_data().unwrap_or_default();
                    if let Some(encoder) = &mut self.encoder
                        && let Err(error) = encoder.write_all(&data)
                    {
                        return Poll::Ready(Some(Err(error.into())));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    let rest = self.encoder.take().map(flate2::write::GzEncoder::finish);
                    return Poll::Ready(match rest {
                        Some(Ok(rest)) => Some(Ok(Frame::data(rest.into()))),
                        Some(Err(error)) => Some(Err(error.into())),
                        None => None,
                    });
                }
            }
        }
    }
}
