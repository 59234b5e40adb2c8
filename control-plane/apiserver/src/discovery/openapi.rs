//! OpenAPI, version 2 in one document and version 3 by group and version.

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use kit::http::Response;
use serde_json::{Map, Value, json};

use super::{Discovery, hash, tagged};
use crate::ApiError;
use crate::attributes::Objects;
use crate::handlers::Asked;
use crate::handlers::negotiate::accepted;
use crate::handlers::render::encoded;
use crate::registry::{Served, object};

impl Discovery {
    /// `/openapi/…`.
    ///
    /// # Errors
    /// When there is no such document, or it cannot be had in the form asked for.
    pub fn openapi(&self, rest: &[&str], asked: &Asked) -> Result<Response, ApiError> {
        accepts_json(asked.headers())?;
        let tag = format!("\"{}\"", self.openapi_hash(&rest.join("/")));
        let bytes: Bytes = match rest {
            ["v2"] => self.registry.model.openapi_v2(),
            ["v3"] => self.openapi_index().to_string().into(),
            ["v3", path @ ..] => self.openapi_document(&path.join("/")).ok_or_else(ApiError::no_such_path)?,
            _ => return Err(ApiError::no_such_path()),
        };
        let headers = asked.headers();
        Ok(tagged(&tag, headers, || encoded(StatusCode::OK, "application/json", bytes, headers)))
    }

    /// A document changes with the version and with the custom resources only.
    fn openapi_hash(&self, path: &str) -> String {
        hash(
            format!(
                "{} {} {path}",
                self.version,
                self.registry.hub.cache(crate::registry::custom::DEFINITIONS).changed()
            )
            .as_bytes(),
        )
    }

    fn custom_paths(&self) -> Vec<String> {
        let mut paths: Vec<String> =
            self.registry.kinds.custom().iter().map(|served| served.resource.group_path()).collect();
        paths.sort();
        paths.dedup();
        paths
    }

    fn openapi_index(&self) -> Value {
        let mut paths = Map::new();
        for path in self
            .registry
            .model
            .openapi_v3_paths()
            .into_iter()
            .chain(self.custom_paths())
            .chain(self.extension_paths())
        {
            let url = format!("/openapi/v3/{path}?hash={}", self.openapi_hash(&path));
            paths.insert(path, json!({"serverRelativeURL": url}));
        }
        json!({"paths": paths})
    }

    fn openapi_document(&self, path: &str) -> Option<Bytes> {
        if let Some(document) = self.registry.model.openapi_v3(path) {
            return Some(document);
        }
        let kinds = self.registry.kinds.custom();
        let here: Vec<&Served> = kinds
            .iter()
            .map(|served| &**served)
            .filter(|served| served.resource.group_path() == path)
            .collect();
        if here.is_empty() {
            return None;
        }
        Some(self.custom_document(&here).to_string().into())
    }

    fn custom_document(&self, kinds: &[&Served]) -> Value {
        let (mut paths, mut schemas) = (Map::new(), Map::new());
        for served in kinds {
            let resource = &served.resource;
            let Some(custom) = &served.custom else { continue };
            let definition = Objects::get(
                &*self.registry,
                "apiextensions.k8s.io",
                "customresourcedefinitions",
                "",
                &custom.definition,
            );
            let versions = definition
                .as_deref()
                .map(|one| object::items(one, &["spec", "versions"]))
                .unwrap_or_default();
            let version = versions.iter().find(|one| object::text(one, &["name"]) == resource.version);
            let mut schema = version
                .map(|one| object::at(one, &["schema", "openAPIV3Schema"]).clone())
                .unwrap_or_default();
            let gvk = json!({"group": resource.group, "version": resource.version, "kind": resource.kind});
            object::set(&mut schema, "x-kubernetes-group-version-kind", json!([gvk]));
            let properties = object::map_mut(&mut schema, "properties");
            properties.insert("apiVersion".to_owned(), json!({"type": "string"}));
            properties.insert("kind".to_owned(), json!({"type": "string"}));
            properties.insert(
                "metadata".to_owned(),
                json!({"type": "object", "description": "Standard object metadata."}),
            );
            let reversed: Vec<&str> = resource.group.rsplit('.').collect();
            let name = format!("{}.{}.{}", reversed.join("."), resource.version, resource.kind);
            let reference = json!({"$ref": format!("#/components/schemas/{name}")});
            schemas.insert(name, schema);
            let place = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
            let base = format!("/{}{place}/{}", resource.group_path(), resource.plural);
            let content = json!({"application/json": {"schema": reference}});
            let parameters: Vec<Value> = ["dryRun", "fieldManager", "fieldValidation"]
                .iter()
                .map(|name| json!({"name": name, "in": "query", "schema": {"type": "string"}}))
                .collect();
            let operation = |action: &str| {
                json!({
                    "x-kubernetes-action": action,
                    "x-kubernetes-group-version-kind": gvk,
                    // kubectl leaves the checking of fields to servers whose operations take this.
                    "parameters": parameters,
                    "requestBody": {"content": content},
                    "responses": {"200": {"description": "OK", "content": content}},
                })
            };
            paths.insert(base.clone(), json!({"post": operation("post")}));
            let one = json!({
                "get": operation("get"),
                "put": operation("put"),
                "patch": operation("patch"),
                "delete": operation("delete"),
            });
            paths.insert(format!("{base}/{{name}}"), one);
        }
        json!({
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": format!("v{}", self.version)},
            "paths": paths,
            "components": {"schemas": schemas},
        })
    }
}

fn accepts_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let header = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let fits = |media: &str| matches!(media, "application/json" | "*/*" | "application/*");
    if header.trim().is_empty() || accepted(header).iter().any(|one| fits(one.media)) {
        return Ok(());
    }
    Err(ApiError::not_acceptable(&["application/json"]))
}
