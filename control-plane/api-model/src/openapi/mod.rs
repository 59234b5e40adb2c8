//! OpenAPI documents, made on demand from the model.
//!
//! kubectl reads them to explain kinds, to compute patches (merge keys) and to learn which query parameters a verb takes.
//! Version 3 is one document per group and version, version 2 one document of all, as JSON and in the binary form that Go
//! clients ask for. A document is kept compressed, which is how most clients want it; for others it is unpacked again.

mod custom;
mod document;
mod gnostic;
mod legacy;
mod merge;
mod operation;
mod paths;
mod schemas;

use crate::model::Model;
use crate::resource::Resource;
pub use document::Document;
pub use legacy::version_3;
pub use merge::restrict;
pub use operation::returns_deleted;
use operation::{capital, group_word, tag};
use paths::Paths;
use schemas::{Prose, Style};
use serde_json::{Map, Value, json};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A custom kind of one version with its `openAPIV3Schema`.
pub type CustomKind<'a> = (&'a Resource, &'a Value);

/// The documents made so far.
pub(crate) struct Documents {
    prose: &'static [u8],
    v3: Mutex<HashMap<String, Arc<Document>>>,
    v2: OnceLock<Arc<Document>>,
    v2_binary: OnceLock<Arc<Document>>,
}

/// Prefix of the names of the common types.
pub(crate) const META: &str = "apimachinery.pkg.apis.meta.v1.";

impl Documents {
    pub(crate) fn new(prose: &'static [u8]) -> Self {
        Self { prose, v3: Mutex::default(), v2: OnceLock::new(), v2_binary: OnceLock::new() }
    }

    fn closure(&self, model: &Model, roots: BTreeSet<String>, style: Style) -> Map<String, Value> {
        let text = zstd::decode_all(self.prose).unwrap_or_default();
        let prose = Prose::new(model, &text);
        schemas::closure(model, &prose, roots, style)
    }
}

impl Model {
    /// The OpenAPI v3 document of a path of [`Self::openapi_v3_paths`] (`api/v1`, `apis/apps/v1`), made at the first request
    /// and kept.
    pub fn openapi_v3(&self, path: &str) -> Option<Arc<Document>> {
        let documents = self.documents();
        let kept = || documents.v3.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept().get(path) {
            return Some(known.clone());
        }
        let made = Arc::new(Document::of(&to_bytes(&self.make_v3(path)?)));
        kept().insert(path.to_owned(), made.clone());
        Some(made)
    }

    /// The paths [`Self::openapi_v3`] answers, in order.
    pub fn openapi_v3_paths(&self) -> Vec<String> {
        let mut paths: Vec<String> = PLAIN.iter().map(|(path, ..)| (*path).to_owned()).collect();
        paths.extend(["api".to_owned(), "apis".to_owned()]);
        for group in self.groups() {
            let root = if group.name.is_empty() { "api".to_owned() } else { format!("apis/{}", group.name) };
            paths.extend(group.versions.iter().map(|version| format!("{root}/{version}")));
            if !group.name.is_empty() {
                paths.push(root);
            }
        }
        paths.sort();
        paths
    }

    /// The OpenAPI v3 document of a group and version of custom kinds.
    pub fn openapi_v3_custom(&self, kinds: &[CustomKind<'_>]) -> Document {
        let mut paths = Paths::new(self, Style::V3);
        paths.roots.extend([format!("{META}ObjectMeta"), format!("{META}ListMeta")]);
        for (resource, _) in kinds {
            paths.resource(resource);
        }
        let mut schemas = self.documents().closure(self, std::mem::take(&mut paths.roots), Style::V3);
        for (resource, schema) in kinds {
            schemas.extend(custom::components(resource, schema, Style::V3));
        }
        Document::of(&to_bytes(&v3_document(paths.paths, schemas, self.minor())))
    }

    /// The OpenAPI v2 document as JSON, with these custom kinds. Without any it is made once and kept.
    pub fn openapi_v2(&self, kinds: &[CustomKind<'_>]) -> Arc<Document> {
        let make = || Arc::new(Document::of(&to_bytes(&self.make_v2(kinds))));
        if kinds.is_empty() { self.documents().v2.get_or_init(make).clone() } else { make() }
    }

    /// The OpenAPI v2 document in its binary form, with these custom kinds. Without any it is made once and kept.
    pub fn openapi_v2_binary(&self, kinds: &[CustomKind<'_>]) -> Arc<Document> {
        let make = || Arc::new(Document::of(&gnostic::document(&self.make_v2(kinds))));
        if kinds.is_empty() { self.documents().v2_binary.get_or_init(make).clone() } else { make() }
    }

    /// The OpenAPI v2 document with these custom kinds and with what other servers publish, those that count first first.
    pub fn openapi_v2_merged(
        &self,
        kinds: &[CustomKind<'_>],
        others: impl IntoIterator<Item = Value>,
        binary: bool,
    ) -> Document {
        let mut all = self.make_v2(kinds);
        others.into_iter().for_each(|other| merge::merge(&mut all, other));
        Document::of(&if binary { gnostic::document(&all) } else { to_bytes(&all) })
    }

    fn make_v3(&self, path: &str) -> Option<Value> {
        let mut paths = Paths::new(self, Style::V3);
        if !add_plain(&mut paths, path) {
            let resources = self.resources().iter().filter(|r| r.group_path() == path);
            resources.for_each(|resource| paths.resource(resource));
            let served = !paths.paths.is_empty();
            if !add_discovery(&mut paths, path) && !served {
                return None;
            }
        }
        let schemas = self.documents().closure(self, std::mem::take(&mut paths.roots), Style::V3);
        Some(v3_document(paths.paths, schemas, self.minor()))
    }

    fn make_v2(&self, kinds: &[CustomKind<'_>]) -> Value {
        let mut paths = Paths::new(self, Style::V2);
        for path in self.openapi_v3_paths() {
            if !add_plain(&mut paths, &path) {
                add_discovery(&mut paths, &path);
            }
        }
        self.resources().iter().for_each(|resource| paths.resource(resource));
        kinds.iter().for_each(|(resource, _)| paths.resource(resource));
        let mut definitions = self.documents().closure(self, std::mem::take(&mut paths.roots), Style::V2);
        for (resource, schema) in kinds {
            definitions.extend(custom::components(resource, schema, Style::V2));
        }
        json!({
            "swagger": "2.0", "info": info(self.minor()), "paths": paths.paths, "definitions": definitions,
            "parameters": paths.shared, "security": [{"BearerToken": []}],
            "securityDefinitions": {"BearerToken": bearer()},
        })
    }
}

/// What answers without being a part of the API: path in the index, tag, id, description.
const PLAIN: [(&str, &str, &str, &str); 3] = [
    (
        ".well-known/openid-configuration",
        "WellKnown",
        "getServiceAccountIssuerOpenIDConfiguration",
        "get service account issuer OpenID configuration, also known as the 'OIDC discovery doc'",
    ),
    (
        "openid/v1/jwks",
        "openid",
        "getServiceAccountIssuerOpenIDKeyset",
        "get service account issuer OpenID JSON Web Key Set (contains public token verification keys)",
    ),
    ("version", "version", "getCodeVersion", "get the version information for this server"),
];

fn add_plain(paths: &mut Paths<'_>, path: &str) -> bool {
    let Some((_, tag, id, description)) = PLAIN.iter().find(|(known, ..)| *known == path) else {
        return false;
    };
    let version = *tag == "version";
    let answer = json!({"type": if version { "object" } else { "string" }});
    // In version 2 only the server's version ends in a slash.
    let slash = if version || paths.style == Style::V3 { "/" } else { "" };
    paths.plain(&format!("/{path}{slash}"), tag, id, description, &answer);
    true
}

/// Adds what says what is served below a path; false when there is no such group and version.
fn add_discovery(paths: &mut Paths<'_>, path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let of =
        |group: &str, what: &str| (group_word(group), format!("get{}{what}", capital(&group_word(group))));
    let full = format!("/{path}/");
    let groups = paths.model.groups();
    let known = |name: &str, version: Option<&str>| {
        groups
            .iter()
            .any(|g| g.name == name && version.is_none_or(|version| g.versions.iter().any(|v| v == version)))
    };
    match parts[..] {
        ["api"] => {
            paths.discovery(&full, "core", "getCoreAPIVersions", "get available API versions", "APIVersions")
        }
        ["apis"] => {
            paths.discovery(&full, "apis", "getAPIVersions", "get available API versions", "APIGroupList")
        }
        ["apis", group] if known(group, None) => {
            let (tag, id) = of(group, "APIGroup");
            paths.discovery(&full, &tag, &id, "get information of a group", "APIGroup");
        }
        ["api", version] | ["apis", _, version] if known(path_group(&parts), Some(version)) => {
            let group = path_group(&parts);
            let id = format!("get{}{}APIResources", capital(&group_word(group)), capital(version));
            paths.discovery(&full, &tag(group, version), &id, "get available resources", "APIResourceList");
        }
        _ => return false,
    }
    true
}

fn path_group<'a>(parts: &[&'a str]) -> &'a str {
    match parts {
        ["apis", group, ..] => group,
        _ => "",
    }
}

fn v3_document(paths: Map<String, Value>, schemas: Map<String, Value>, minor: &str) -> Value {
    json!({
        "openapi": "3.0.0",
        "info": info(minor),
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"BearerToken": bearer()}},
        "security": [{"BearerToken": []}],
    })
}

fn bearer() -> Value {
    json!({"type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer Token authentication"})
}

fn info(minor: &str) -> Value {
    json!({"title": "Kubernetes", "version": format!("v{minor}.0")})
}

fn to_bytes(value: &Value) -> Vec<u8> {
    // A Value always serialises.
    serde_json::to_vec(value).unwrap_or_default()
}
