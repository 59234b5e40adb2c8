//! OpenAPI, version 2 in one document and version 3 by group and version.
//!
//! Documents of built-in kinds are the model's and shared by all clusters of a minor version; those with custom kinds are made
//! when somebody asks and kept until a definition changes. A document's hash is told without making it: it changes when the
//! model, the version or a definition in it does. What extension API servers publish is in version 2, too; version 3 points to them.

use std::collections::HashMap;
use std::sync::Arc;

use api_model::openapi::Document;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use kit::http::Response;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::{Discovery, tag};
use crate::ApiError;
use crate::handlers::Asked;
use crate::handlers::negotiate::accepted;
use crate::registry::Served;

/// The binary form of version 2, as Go clients have asked for it, then and now.
const BINARY: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
const BINARY_ONCE: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
/// Documents from this size on are sent compressed to who accepts it.
const GZIP_BYTES_MIN: usize = 1400;
/// How long a document named by its hash may be kept.
const KEPT_DAYS: i64 = 365;

/// Documents with custom kinds, by path and form, each with the hash it was made for.
#[derive(Default)]
pub(super) struct Documents {
    made: Mutex<HashMap<String, (String, Arc<Document>)>>,
}

impl Documents {
    fn get(&self, name: &str, hash: &str, make: impl FnOnce() -> Arc<Document>) -> Arc<Document> {
        if let Some((of, document)) = self.made.lock().get(name)
            && of == hash
        {
            return document.clone();
        }
        let document = make();
        self.made.lock().insert(name.to_owned(), (hash.to_owned(), document.clone()));
        document
    }
}

/// A custom kind and its schema, taken from its definition. Schemas are read for a document and then let go.
type Custom = (Arc<Served>, Value);

impl Discovery {
    /// `/openapi/…`.
    ///
    /// # Errors
    /// When there is no such document, or it cannot be had in the form asked for.
    pub fn openapi(&self, rest: &[&str], asked: &Asked) -> Result<Response, ApiError> {
        match rest {
            ["v2"] => self.version_2(asked.headers()),
            ["v3"] => {
                offered(asked.headers(), &["application/json"])?;
                let index: Bytes = self.openapi_index().to_string().into();
                let document = || document(&Document::of(&index), "application/json", asked.headers());
                Ok(tag::tagged(&tag::hash(&index), asked.headers(), document))
            }
            ["v3", path @ ..] => self.version_3(&path.join("/"), asked),
            _ => Err(ApiError::no_such_path()),
        }
    }

    fn version_2(&self, request: &HeaderMap) -> Result<Response, ApiError> {
        let form = offered(request, &["application/json", BINARY, BINARY_ONCE])?;
        let binary = form != "application/json";
        let custom = self.custom_kinds(None);
        let others = self.aggregator().documents();
        let mut name = form.to_owned();
        others.iter().for_each(|other| name.extend([" ", other.hash.as_str()]));
        let hash = self.document_hash(&name, &custom);
        let model = &self.registry.model;
        Ok(tag::tagged(&hash, request, || {
            let make = || {
                let custom = self.with_schemas(&custom);
                let kinds: Vec<_> =
                    custom.iter().map(|(served, schema)| (&served.resource, schema)).collect();
                let others = others.iter().filter_map(|other| parsed(other.v2.as_deref()?));
                Arc::new(model.openapi_v2_merged(&kinds, others, binary))
            };
            let made = match custom.is_empty() && others.is_empty() {
                true if binary => model.openapi_v2_binary(&[]),
                true => model.openapi_v2(&[]),
                false => self.documents.get(form, &hash, make),
            };
            document(&made, if binary { BINARY } else { "application/json" }, request)
        }))
    }

    fn version_3(&self, path: &str, asked: &Asked) -> Result<Response, ApiError> {
        let request = asked.headers();
        let model = &self.registry.model;
        let built_in = model.openapi_v3_paths().iter().any(|known| known == path);
        let custom = if built_in { Vec::new() } else { self.custom_kinds(Some(path)) };
        let none = !built_in && custom.is_empty();
        let legacy = self.aggregator().legacy(path).filter(|_| none);
        if none && legacy.is_none() {
            return Err(ApiError::no_such_path());
        }
        offered(request, &["application/json"])?;
        let hash = match &legacy {
            Some(published) => published.hash.clone(),
            None => self.document_hash(path, &custom),
        };
        let named = asked.query.get("hash").filter(|given| !given.is_empty());
        if named.is_some_and(|given| given != hash) {
            return Ok(moved(&relative_url(path, &hash)));
        }
        let mut response = tag::tagged(&hash, request, || {
            let made = if built_in {
                model.openapi_v3(path).unwrap_or_else(|| Arc::new(Document::of(b"{}")))
            } else {
                self.documents.get(path, &hash, || {
                    if let Some(two) = legacy.as_ref().and_then(|one| parsed(one.v2.as_deref()?)) {
                        let three = api_model::openapi::version_3(&two).to_string();
                        return Arc::new(Document::of(three.as_bytes()));
                    }
                    let custom = self.with_schemas(&custom);
                    let kinds: Vec<_> =
                        custom.iter().map(|(served, schema)| (&served.resource, schema)).collect();
                    Arc::new(model.openapi_v3_custom(&kinds))
                })
            };
            document(&made, "application/json", request)
        });
        if named.is_some() {
            let until = self.registry.clock.now() + jiff::SignedDuration::from_hours(24 * KEPT_DAYS);
            let headers = response.headers_mut();
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
            if let Ok(value) = HeaderValue::from_str(&until.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
            {
                headers.insert(header::EXPIRES, value);
            }
        }
        Ok(response)
    }

    /// Changes when the document does.
    fn document_hash(&self, name: &str, custom: &[Arc<Served>]) -> String {
        let mut text = format!("{} {} {name}", self.registry.model.digest(), self.version);
        for served in custom {
            let content = served.custom.as_ref().map_or(0, |custom| custom.content);
            text.push_str(&format!(" {} {content:x}", served.resource.group_resource()));
        }
        tag::hash(text.as_bytes())
    }

    /// The custom kinds of a group and version, or all, in order.
    fn custom_kinds(&self, path: Option<&str>) -> Vec<Arc<Served>> {
        let mut kinds = self.registry.kinds.custom();
        kinds.retain(|served| path.is_none_or(|path| served.resource.group_path() == path));
        kinds.sort_by_cached_key(|served| (served.resource.group_path(), served.resource.plural.clone()));
        kinds
    }

    /// The same with their schemas.
    fn with_schemas(&self, kinds: &[Arc<Served>]) -> Vec<Custom> {
        let with_schema = |served: &Arc<Served>| {
            let definition = self.registry.definition(&served.custom.as_ref()?.definition)?;
            let schema = api_model::schema::custom::declared(&definition, &served.resource.version);
            Some((served.clone(), schema.unwrap_or_default()))
        };
        kinds.iter().filter_map(with_schema).collect()
    }

    fn openapi_index(&self) -> Value {
        let mut paths = Map::new();
        for path in self.registry.model.openapi_v3_paths() {
            let url = relative_url(&path, &self.document_hash(&path, &[]));
            paths.insert(path, json!({"serverRelativeURL": url}));
        }
        let custom = self.custom_kinds(None);
        for here in custom.chunk_by(|a, b| a.resource.group_path() == b.resource.group_path()) {
            let Some(served) = here.first() else { continue };
            let path = served.resource.group_path();
            let url = relative_url(&path, &self.document_hash(&path, here));
            paths.insert(path, json!({"serverRelativeURL": url}));
        }
        for (path, url) in self.extension_documents() {
            paths.entry(path).or_insert_with(|| json!({"serverRelativeURL": url}));
        }
        json!({"paths": paths})
    }
}

pub(super) fn relative_url(path: &str, hash: &str) -> String {
    format!("/openapi/v3/{path}?hash={hash}")
}

fn parsed(document: &Document) -> Option<Value> {
    serde_json::from_slice(&document.plain()).ok()
}

fn moved(to: &str) -> Response {
    let mut response = kit::http::status(StatusCode::MOVED_PERMANENTLY);
    if let Ok(value) = HeaderValue::from_str(to) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    response
}

fn document(document: &Document, content_type: &'static str, request: &HeaderMap) -> Response {
    let zipped = document.length() >= GZIP_BYTES_MIN && crate::handlers::render::wants_gzip(request);
    let bytes = if zipped { document.gzip() } else { document.plain() };
    let mut response = kit::http::bytes_response(StatusCode::OK, content_type, bytes);
    let headers = response.headers_mut();
    if zipped {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    response
}

/// Which of these forms the client likes best; the first when it does not say.
fn offered(request: &HeaderMap, forms: &[&'static str]) -> Result<&'static str, ApiError> {
    let header = request.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let first = forms.first().copied().unwrap_or_default();
    if header.trim().is_empty() {
        return Ok(first);
    }
    let found = accepted(header).into_iter().find_map(|one| match one.media {
        "*/*" | "application/*" => Some(first),
        media => forms.iter().copied().find(|form| *form == media),
    });
    found.ok_or_else(|| ApiError::not_acceptable(forms))
}
