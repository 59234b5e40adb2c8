//! A custom kind that is there all the time, in two versions, with rules.

use std::sync::LazyLock;

use api_model::Resource;
use serde_json::{Value, json};

use super::requests::MODEL;
use crate::harness::Server;

fn definition() -> Value {
    let part = json!({"type": "object", "required": ["name"], "properties": {"name": {"type": "string", "maxLength": 8}, "size": {"x-kubernetes-int-or-string": true}}});
    let spec = json!({
        "type": "object",
        "properties": {
            "replicas": {"type": "integer", "minimum": 0, "maximum": 100, "default": 1},
            "selector": {"type": "string"},
            "when": {"type": "string", "format": "date-time", "nullable": true},
            "parts": {"type": "array", "maxItems": 5, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": part},
            "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "words": {"type": "object", "maxProperties": 5, "additionalProperties": {"type": "string", "maxLength": 20}},
        },
        "x-kubernetes-validations": [
            {"rule": "!has(self.parts) || self.parts.size() <= self.replicas", "messageExpression": "'too many parts for ' + (has(self.selector) ? 'a selector' : 'none')"},
            {"rule": "!has(oldSelf.selector) || self.selector == oldSelf.selector", "message": "the selector stays"},
        ],
    });
    let status = json!({"type": "object", "properties": {"replicas": {"type": "integer"}, "selector": {"type": "string"}}});
    let schema =
        json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": status}}});
    let scale = json!({"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector"});
    let version = |name: &str| json!({"name": name, "served": true, "storage": name == "v1", "schema": schema, "subresources": {"status": {}, "scale": scale}});
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "things.kept.test"}, "spec": {
        "group": "kept.test", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
        "versions": [version("v1"), version("v2")]}})
}

/// The kind, as requests are made about it.
pub fn thing() -> &'static Resource {
    static THING: LazyLock<Resource> =
        LazyLock::new(|| Resource::from_definition(&MODEL, &definition(), "v1").expect("a good definition"));
    &THING
}

/// Defines it, and waits until it is served.
pub async fn define(server: &Server) {
    server.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition()).await.ok();
    while server.get("/apis/kept.test/v1/namespaces/default/things").await.status != 200 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
