//! OpenAPI documents, made on demand from the model.
//!
//! kubectl reads them to explain kinds, to compute patches (merge keys) and to learn which query parameters a verb takes.

mod paths;
mod schemas;

use crate::model::Model;
use crate::resource::Resource;
use bytes::Bytes;
use schemas::{Prose, Style};
use serde_json::{Map, Value, json};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, OnceLock, PoisonError};

/// The documents made so far.
pub(crate) struct Documents {
    prose: &'static [u8],
    v3: Mutex<HashMap<String, Bytes>>,
    v2: OnceLock<Bytes>,
}

/// Kinds every group and version speaks beside its own.
const COMMON: [&str; 5] = ["DeleteOptions", "Status", "WatchEvent", "Patch", "APIResourceList"];

impl Documents {
    pub(crate) fn new(prose: &'static [u8]) -> Self {
        Self { prose, v3: Mutex::default(), v2: OnceLock::new() }
    }

    pub(crate) fn v3(&self, model: &Model, path: &str) -> Option<Bytes> {
        if let Some(known) = self.v3.lock().unwrap_or_else(PoisonError::into_inner).get(path) {
            return Some(known.clone());
        }
        let document = self.make_v3(model, path)?;
        let bytes = to_bytes(&document);
        self.v3.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), bytes.clone());
        Some(bytes)
    }

    pub(crate) fn v2(&self, model: &Model) -> Bytes {
        self.v2.get_or_init(|| to_bytes(&self.make_v2(model))).clone()
    }

    fn make_v3(&self, model: &Model, path: &str) -> Option<Value> {
        let resources: Vec<&Resource> = model.resources().iter().filter(|r| r.group_path() == path).collect();
        let mut paths = Map::new();
        let mut roots: BTreeSet<String> = COMMON.iter().map(|kind| format!("{META}{kind}")).collect();
        match path {
            "api" => discovery(&mut paths, &mut roots, "/api/", "APIVersions"),
            "apis" => discovery(&mut paths, &mut roots, "/apis/", "APIGroupList"),
            "version" => {
                paths.insert("/version/".into(), json!({"get": paths::plain_get("version", None)}));
            }
            _ if resources.is_empty() => return None,
            _ => discovery(&mut paths, &mut roots, &format!("/{path}/"), "APIResourceList"),
        }
        for resource in resources {
            paths::resource(model, resource, Style::V3, &mut paths, &mut roots);
        }
        let schemas = self.closure(model, roots, Style::V3);
        Some(v3_document(paths, schemas, model.minor()))
    }

    fn make_v2(&self, model: &Model) -> Value {
        let mut paths = Map::new();
        let mut roots: BTreeSet<String> = COMMON.iter().map(|kind| format!("{META}{kind}")).collect();
        for resource in model.resources() {
            paths::resource(model, resource, Style::V2, &mut paths, &mut roots);
        }
        let definitions = self.closure(model, roots, Style::V2);
        json!({"swagger": "2.0", "info": info(model.minor()), "paths": paths, "definitions": definitions})
    }

    fn closure(&self, model: &Model, roots: BTreeSet<String>, style: Style) -> Map<String, Value> {
        let text = zstd::decode_all(self.prose).unwrap_or_default();
        let prose = Prose::new(model, &text);
        schemas::closure(model, &prose, roots, style)
    }
}

impl Model {
    /// The OpenAPI v3 document of a group and version of custom kinds, each with its `openAPIV3Schema`.
    pub fn openapi_v3_custom(&self, kinds: &[(&Resource, &Value)]) -> Bytes {
        let mut paths = Map::new();
        let mut roots: BTreeSet<String> = COMMON.iter().map(|kind| format!("{META}{kind}")).collect();
        roots.extend([format!("{META}ObjectMeta"), format!("{META}ListMeta")]);
        for (resource, _) in kinds {
            paths::resource(self, resource, Style::V3, &mut paths, &mut roots);
        }
        let mut schemas = self.documents().closure(self, roots, Style::V3);
        for (resource, schema) in kinds {
            schemas.extend(schemas::custom(resource, schema));
        }
        to_bytes(&v3_document(paths, schemas, self.minor()))
    }
}

/// Prefix of the names of the common types.
pub(crate) const META: &str = "apimachinery.pkg.apis.meta.v1.";

fn v3_document(paths: Map<String, Value>, schemas: Map<String, Value>, minor: &str) -> Value {
    json!({
        "openapi": "3.0.0",
        "info": info(minor),
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"BearerToken": {
            "type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer Token authentication"}}},
    })
}

fn info(minor: &str) -> Value {
    json!({"title": "Kubernetes", "version": format!("v{minor}.0")})
}

fn discovery(paths: &mut Map<String, Value>, roots: &mut BTreeSet<String>, path: &str, kind: &str) {
    roots.insert(format!("{META}{kind}"));
    paths.insert(path.to_owned(), json!({"get": paths::plain_get("get available resources", Some(kind))}));
}

fn to_bytes(value: &Value) -> Bytes {
    // A Value always serialises.
    Bytes::from(serde_json::to_vec(value).unwrap_or_default())
}
