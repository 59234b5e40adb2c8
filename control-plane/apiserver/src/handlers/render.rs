//! Makes responses of objects: as they are, as tables, as metadata; JSON, YAML or binary; compressed when asked.

use std::io::Write;
use std::sync::Arc;

use api_model::Model;
use api_model::table::{IncludeObject, table};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use kit::http::Response;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::negotiate::{Encoding, Form, Shape};
use super::options::Query;
use crate::ApiError;
use crate::registry::read::Listed;
use crate::registry::{Served, object};
use crate::watch::Entry;

/// Bodies from this size on are compressed for who asks; as upstream's.
const GZIP_BYTES_MIN: usize = 128 * 1024;

/// What an object looks like in a response.
pub struct Renderer<'a> {
    /// The resource.
    pub served: &'a Served,
    /// The object model.
    pub model: &'a Model,
    /// The form.
    pub form: Form,
    /// What table rows carry.
    pub include: IncludeObject,
    /// Now, for ages in tables.
    pub now: jiff::Timestamp,
}

/// What the query says about table rows.
pub fn include(query: &Query) -> IncludeObject {
    match query.get("includeObject") {
        Some("None") => IncludeObject::None,
        Some("Object") => IncludeObject::Object,
        _ => IncludeObject::Metadata,
    }
}

#[derive(Deserialize)]
struct OnlyMetadata<'a> {
    #[serde(borrow)]
    metadata: &'a RawValue,
}

/// `PartialObjectMetadata` of an object's bytes.
pub fn partial(bytes: &[u8]) -> Bytes {
    let metadata =
        serde_json::from_slice::<OnlyMetadata<'_>>(bytes).map(|only| only.metadata.get()).unwrap_or("{}");
    let mut out = BytesMut::with_capacity(metadata.len() + 80);
    out.put_slice(b"{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":");
    out.put_slice(metadata.as_bytes());
    out.put_slice(b"}");
    out.freeze()
}

impl Renderer<'_> {
    /// The entry's bytes in the version of the request.
    pub fn versioned(&self, entry: &Entry) -> Bytes {
        if self.served.is_storage_version() {
            return entry.bytes.clone();
        }
        serde_json::to_vec(&self.served.from_storage(entry.parse())).unwrap_or_default().into()
    }

    /// One object, given as bytes in the version of the request, in the form asked for.
    pub fn one(&self, bytes: Bytes) -> Bytes {
        match self.form.shape {
            Shape::Object => bytes,
            Shape::Metadata => partial(&bytes),
            Shape::Table => {
                let object = object::decode(&bytes).unwrap_or_default();
                let version = object::resource_version(&object).to_owned();
                let mut made = table(&self.served.resource, &[object], self.include, self.now);
                made["metadata"] = json!({"resourceVersion": version});
                serde_json::to_vec(&made).unwrap_or_default().into()
            }
        }
    }

    /// A list.
    pub fn many(&self, listed: &Listed) -> Bytes {
        let mut meta = json!({"resourceVersion": listed.revision.to_string()});
        if let Some(token) = &listed.continue_token {
            meta["continue"] = json!(token);
        }
        if let Some(remaining) = listed.remaining {
            meta["remainingItemCount"] = json!(remaining);
        }
        match self.form.shape {
            Shape::Object => self.plain_list(&listed.entries, &meta),
            Shape::Metadata => {
                let items = listed.entries.iter().map(|entry| partial(&entry.bytes));
                let items: Vec<Bytes> = items.collect();
                joined("PartialObjectMetadataList", "meta.k8s.io/v1", &meta, &items)
            }
            Shape::Table => {
                let objects: Vec<Value> =
                    listed.entries.iter().map(|entry| self.served.from_storage(entry.parse())).collect();
                let mut made = table(&self.served.resource, &objects, self.include, self.now);
                made["metadata"] = meta;
                serde_json::to_vec(&made).unwrap_or_default().into()
            }
        }
    }

    fn plain_list(&self, entries: &[Arc<Entry>], meta: &Value) -> Bytes {
        let kind = self.served.resource.list_kind();
        let version = self.served.api_version();
        if !self.served.is_storage_version() || self.served.custom.is_some() {
            let items: Vec<Bytes> = entries.iter().map(|entry| self.versioned(entry)).collect();
            return joined(&kind, &version, meta, &items);
        }
        // The common case copies each object once and parses nothing.
        let size: usize = entries.iter().map(|entry| entry.bytes.len() + 2).sum();
        let mut out = list_head(&kind, &version, meta, size);
        for (position, entry) in entries.iter().enumerate() {
            out.put_slice(if position == 0 { b"{" } else { b",{" });
            out.put_slice(entry.item_tail());
        }
        out.put_slice(b"]}");
        out.freeze()
    }
}

fn list_head(kind: &str, version: &str, meta: &Value, size: usize) -> BytesMut {
    let meta = meta.to_string();
    let mut out = BytesMut::with_capacity(size + meta.len() + 128);
    out.put_slice(
        format!("{{\"kind\":\"{kind}\",\"apiVersion\":\"{version}\",\"metadata\":{meta},\"items\":[")
            .as_bytes(),
    );
    out
}

fn joined(kind: &str, version: &str, meta: &Value, items: &[Bytes]) -> Bytes {
    let size: usize = items.iter().map(|item| item.len() + 1).sum();
    let mut out = list_head(kind, version, meta, size);
    for (position, item) in items.iter().enumerate() {
        if position > 0 {
            out.put_u8(b',');
        }
        out.put_slice(item);
    }
    out.put_slice(b"]}");
    out.freeze()
}

/// A response of JSON bytes in the encoding asked for.
pub fn respond(
    model: &Model,
    status: StatusCode,
    form: Form,
    bytes: Bytes,
    request: &HeaderMap,
    warnings: &[String],
) -> Response {
    let (content_type, bytes) = match (form.encoding, form.pretty) {
        (Encoding::Json, false) => (form.encoding.content_type(), bytes),
        (encoding, _) => match serde_json::from_slice::<Value>(&bytes) {
            Err(_) => ("application/json", bytes),
            // What has no binary form goes as it is, and its type says so.
            Ok(value) if encoding == Encoding::Protobuf => match api_model::protobuf::encode(model, &value) {
                Ok(bytes) => (encoding.content_type(), bytes.into()),
                Err(error) => {
                    tracing::warn!(%error, "an object could not be written in the binary form");
                    ("application/json", bytes)
                }
            },
            Ok(value) if encoding == Encoding::Yaml => {
                (encoding.content_type(), serde_yaml_ng::to_string(&value).unwrap_or_default().into())
            }
            Ok(value) => {
                (encoding.content_type(), serde_json::to_vec_pretty(&value).unwrap_or_default().into())
            }
        },
    };
    let mut response = encoded(status, content_type, bytes, request);
    add_warnings(response.headers_mut(), warnings);
    response
}

/// A response of these bytes, compressed when that pays and is asked for.
pub fn encoded(
    status: StatusCode,
    content_type: &'static str,
    bytes: Bytes,
    request: &HeaderMap,
) -> Response {
    let zipped = (bytes.len() >= GZIP_BYTES_MIN && wants_gzip(request)).then(|| gzip(&bytes)).flatten();
    let is_zipped = zipped.is_some();
    let mut response = kit::http::bytes_response(status, content_type, zipped.unwrap_or(bytes));
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    if is_zipped {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    response
}

fn wants_gzip(request: &HeaderMap) -> bool {
    let accepted =
        request.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|one| one.split(';').next().unwrap_or_default().trim() == "gzip")
}

fn gzip(bytes: &[u8]) -> Option<Bytes> {
    let mut encoder =
        flate2::write::GzEncoder::new(Vec::with_capacity(bytes.len() / 4), flate2::Compression::fast());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

/// `Warning` headers, as clients of Kubernetes show them.
pub fn add_warnings(headers: &mut HeaderMap, warnings: &[String]) {
    for warning in warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            headers.append(header::WARNING, value);
        }
    }
}

/// An error as a response, with the warnings that came before it.
pub fn failed(error: &ApiError, warnings: &[String]) -> Response {
    let mut response = error.response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    add_warnings(headers, warnings);
    response
}
