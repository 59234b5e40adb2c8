//! Makes responses of objects: as they are, as tables, as metadata; JSON, YAML or binary; compressed when asked.

use std::io::Write;
use std::sync::Arc;

use api_model::protobuf::{ListWriter, ProtobufError};
use api_model::table::{IncludeObject, table};
use api_model::{Cause, FieldPath, Model};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::Body as _;
use kit::http::Response;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::list::{Gzip, ListBody, list_meta};
use super::negotiate::{Encoding, Form, Offers, Shape, choose};
use super::options::Query;
use crate::ApiError;
use crate::registry::read::Listed;
use crate::registry::{Served, object};
use crate::watch::Entry;

/// Bodies larger than this are compressed for who asks; as upstream's.
const GZIP_BYTES_MIN: usize = 128 * 1024;

/// What an object looks like in a response.
pub struct Renderer<'a> {
    /// The resource.
    pub served: &'a Arc<Served>,
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
///
/// # Errors
/// When it says what is not known.
pub fn include(query: &Query) -> Result<IncludeObject, ApiError> {
    match query.get("includeObject") {
        None | Some("Metadata") => Ok(IncludeObject::Metadata),
        Some("None") => Ok(IncludeObject::None),
        Some("Object") => Ok(IncludeObject::Object),
        Some(other) => {
            let path = FieldPath::new("includeObject");
            let why = "must be 'Metadata', 'Object', 'None', or empty";
            let cause = Cause::invalid(&path, &json!(other), why);
            Err(ApiError::invalid("meta.k8s.io", "TableOptions", "", &[cause]))
        }
    }
}

#[derive(Deserialize)]
struct OnlyMetadata<'a> {
    #[serde(borrow)]
    metadata: &'a RawValue,
}

/// `PartialObjectMetadata` of an object's bytes, in this version of `meta.k8s.io`.
pub fn partial(bytes: &[u8], meta_version: &str) -> Bytes {
    let metadata =
        serde_json::from_slice::<OnlyMetadata<'_>>(bytes).map(|only| only.metadata.get()).unwrap_or("{}");
    let mut out = BytesMut::with_capacity(metadata.len() + 90);
    out.put_slice(b"{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"");
    out.put_slice(meta_version.as_bytes());
    out.put_slice(b"\",\"metadata\":");
    out.put_slice(metadata.as_bytes());
    out.put_slice(b"}");
    out.freeze()
}

/// The table of these objects, without metadata of its own.
pub fn table_of(
    resource: &api_model::Resource,
    objects: &[Value],
    (include, now, form): (IncludeObject, jiff::Timestamp, Form),
) -> Value {
    let mut made = table(resource, objects, include, now);
    if form.beta {
        made["apiVersion"] = json!(form.meta_version());
        let rows = made["rows"].as_array_mut().into_iter().flatten();
        for row in rows.filter(|row| row["object"]["kind"] == "PartialObjectMetadata") {
            row["object"]["apiVersion"] = json!(form.meta_version());
        }
    }
    made
}

impl Renderer<'_> {
    /// The entry's bytes in the version of the request.
    pub fn versioned(&self, entry: &Entry) -> Bytes {
        // Those of custom kinds are in the version of the request already.
        if self.served.is_storage_version() || self.served.custom.is_some() {
            return entry.bytes();
        }
        serde_json::to_vec(&self.served.from_storage(entry.parse())).unwrap_or_default().into()
    }

    /// One object, given as bytes in the version of the request, in the form asked for.
    pub fn one(&self, bytes: Bytes) -> Bytes {
        match self.form.shape {
            Shape::Object => bytes,
            Shape::Metadata => partial(&bytes, self.form.meta_version()),
            Shape::Table => {
                let object = object::decode(&bytes).unwrap_or_default();
                let version = object::resource_version(&object).to_owned();
                let mut made =
                    table_of(&self.served.resource, &[object], (self.include, self.now, self.form));
                made["metadata"] = json!({"resourceVersion": version});
                serde_json::to_vec(&made).unwrap_or_default().into()
            }
        }
    }

    /// A list, as the response to `request`.
    pub fn many(&self, listed: Listed, request: &HeaderMap, warnings: &[String]) -> Response {
        if self.form.encoding == Encoding::Protobuf {
            match self.binary_list(&listed) {
                Ok(bytes) => {
                    let mut response =
                        encoded(StatusCode::OK, self.form.encoding.content_type(), bytes, request);
                    add_warnings(response.headers_mut(), warnings);
                    return response;
                }
                // What has no binary form goes as JSON, and its type says so.
                Err(error) => tracing::debug!(%error, "a list is not written in the binary form"),
            }
        }
        let body = match self.form.shape {
            Shape::Object => ListBody::objects(self.served, listed),
            Shape::Metadata => ListBody::metadata(listed, self.form.meta_version()),
            Shape::Table => ListBody::table(self.served, listed, (self.include, self.now, self.form)),
        };
        if self.form.encoding != Encoding::Json || self.form.pretty {
            return respond(self.model, StatusCode::OK, self.form, body.collect(), request, warnings);
        }
        let mut response = streamed(body, request);
        add_warnings(response.headers_mut(), warnings);
        response
    }

    fn binary_list(&self, listed: &Listed) -> Result<Bytes, ProtobufError> {
        let (kind, version) = match self.form.shape {
            Shape::Object => (self.served.resource.list_kind(), self.served.api_version()),
            Shape::Metadata => ("PartialObjectMetadataList".to_owned(), self.form.meta_version().to_owned()),
            Shape::Table => {
                return Err(ProtobufError::Unknown {
                    kind: "Table".into(),
                    api_version: "meta.k8s.io/v1".into(),
                });
            }
        };
        let list = ListWriter::new(self.model, &kind, &version, &list_meta(listed))?;
        let mut items = Vec::with_capacity(listed.entries.len());
        for entry in &listed.entries {
            let object = match self.form.shape {
                Shape::Metadata => {
                    object::decode(&partial(&entry.bytes(), self.form.meta_version())).unwrap_or_default()
                }
                _ => self.served.from_storage(entry.parse()),
            };
            items.push(list.item(&object)?);
        }
        let length: usize = items.iter().map(Vec::len).sum();
        let head = list.head(length);
        let mut out = BytesMut::with_capacity(head.len() + length + 8);
        out.put_slice(&head);
        items.iter().for_each(|item| out.put_slice(item));
        out.put_slice(&ListWriter::tail());
        Ok(out.freeze())
    }
}

/// A response whose body is made while it is sent, compressed when that pays and is asked for.
fn streamed(body: ListBody, request: &HeaderMap) -> Response {
    let small = body.size_hint().exact().is_some_and(|length| length < GZIP_BYTES_MIN as u64);
    let zipped = !small && wants_gzip(request);
    let body = if zipped { kit::http::boxed(Gzip::new(body)) } else { kit::http::boxed(body) };
    let mut response = http::Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(Encoding::Json.content_type()));
    mark(headers, zipped);
    response
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
    let zipped = (bytes.len() > GZIP_BYTES_MIN && wants_gzip(request)).then(|| gzip(&bytes)).flatten();
    let is_zipped = zipped.is_some();
    let mut response = kit::http::bytes_response(status, content_type, zipped.unwrap_or(bytes));
    mark(response.headers_mut(), is_zipped);
    response
}

/// What every answer says of caching, and a compressed one of that.
fn mark(headers: &mut HeaderMap, zipped: bool) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    if zipped {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
}

/// Whether the client takes compressed answers.
pub fn wants_gzip(request: &HeaderMap) -> bool {
    let accepted =
        request.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|one| one.trim() == "gzip")
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
    // The audit log takes it from there.
    response.extensions_mut().insert(error.clone());
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    add_warnings(headers, warnings);
    response
}

/// The same in the encoding that the client reads. Whoever accepts nothing that is offered is told so in JSON.
pub fn failed_as(model: &Model, error: &ApiError, asked: &HeaderMap, warnings: &[String]) -> Response {
    let mut response = failed(error, warnings);
    let offers = Offers { shapes: false, binary: true, stream: false };
    let Ok(form) = choose(asked, false, offers) else { return response };
    if form.encoding == Encoding::Json {
        return response;
    }
    let bytes = serde_json::to_vec(&error.status()).unwrap_or_default();
    let made = respond(model, response.status(), form, bytes.into(), &HeaderMap::new(), &[]);
    let (head, body) = made.into_parts();
    *response.body_mut() = body;
    for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH] {
        match head.headers.get(&name) {
            Some(value) => response.headers_mut().insert(name, value.clone()),
            None => response.headers_mut().remove(name),
        };
    }
    response
}

/// What is answered where nothing is served, and not even the group is known: plain text.
pub fn nothing_here() -> Response {
    let mut response =
        kit::http::bytes_response(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "404 page not found\n");
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}
