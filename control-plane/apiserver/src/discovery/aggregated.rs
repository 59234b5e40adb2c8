//! All resources of all groups in one answer.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use kit::http::Response;
use serde_json::{Value, json};

use super::{Discovery, Group, etag, tagged};
use crate::handlers::render::encoded;
use crate::registry::Served;

/// The answers, made once per set of custom resources.
pub(super) struct Made {
    generation: (u64, u64),
    core: Answer,
    groups: Answer,
}

#[derive(Clone)]
struct Answer {
    v2: Bytes,
    v2beta1: Bytes,
    tag: String,
}

impl Answer {
    fn new(items: &[Value]) -> Self {
        let make = |version: &str| -> Bytes {
            json!({
                "kind": "APIGroupDiscoveryList",
                "apiVersion": format!("apidiscovery.k8s.io/{version}"),
                "metadata": {},
                "items": items,
            })
            .to_string()
            .into()
        };
        let v2 = make("v2");
        Self { tag: etag(&v2), v2, v2beta1: make("v2beta1") }
    }
}

impl Discovery {
    pub(super) fn aggregated(&self, core: bool, version: &str, request: &HeaderMap) -> Response {
        let generation = (self.registry.kinds.generation(), self.aggregator.generation());
        let answer = {
            let mut kept = self.aggregated.lock();
            let made = match kept.take() {
                Some(made) if made.generation == generation => made,
                _ => self.make(generation),
            };
            let answer = if core { made.core.clone() } else { made.groups.clone() };
            *kept = Some(made);
            answer
        };
        let (content_type, bytes) = if version == "v2" {
            ("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", answer.v2)
        } else {
            ("application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList", answer.v2beta1)
        };
        tagged(&answer.tag, request, || encoded(StatusCode::OK, content_type, bytes, request))
    }

    fn make(&self, generation: (u64, u64)) -> Made {
        let core = Group { name: String::new(), versions: vec!["v1".to_owned()] };
        let groups: Vec<Value> = self.groups().iter().map(|group| self.group(group)).collect();
        Made { generation, core: Answer::new(&[self.group(&core)]), groups: Answer::new(&groups) }
    }

    fn group(&self, group: &Group) -> Value {
        let versions: Vec<Value> = group
            .versions
            .iter()
            .map(|version| {
                if let Some(described) = self.aggregator.described(&group.name, version) {
                    return described;
                }
                let resources = self.resources(&group.name, version);
                let resources: Vec<Value> = resources.iter().map(|served| resource(served)).collect();
                json!({"version": version, "freshness": "Current", "resources": resources})
            })
            .collect();
        let metadata = if group.name.is_empty() {
            json!({"creationTimestamp": null})
        } else {
            json!({"name": group.name, "creationTimestamp": null})
        };
        json!({"metadata": metadata, "versions": versions})
    }
}

fn resource(served: &Served) -> Value {
    let resource = &served.resource;
    let mut value = json!({
        "resource": resource.plural,
        "responseKind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": resource.verbs,
    });
    if !resource.short_names.is_empty() {
        value["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        value["categories"] = json!(resource.categories);
    }
    let subresources: Vec<Value> = resource
        .subresources
        .iter()
        .map(|sub| {
            json!({
                "subresource": sub.name,
                "responseKind": {"group": sub.group, "version": sub.version, "kind": sub.kind},
                "verbs": sub.verbs,
            })
        })
        .collect();
    if !subresources.is_empty() {
        value["subresources"] = json!(subresources);
    }
    value
}
