//! All resources of all groups in one answer.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use kit::http::Response;
use serde_json::{Value, json};

use super::{Discovery, Group, tag};
use crate::handlers::negotiate::Encoding;
use crate::handlers::render::encoded;
use crate::registry::Served;

/// The answers, made once per set of custom resources.
pub(super) struct Made {
    generation: (u64, u64),
    core: Answer,
    groups: Answer,
}

/// The newest version as JSON; other forms are made of it for who asks.
#[derive(Clone)]
struct Answer {
    json: Bytes,
    hash: Arc<str>,
}

const V2: &str = "apidiscovery.k8s.io/v2";

impl Answer {
    fn new(items: &[Value]) -> Self {
        let list = json!({"kind": "APIGroupDiscoveryList", "apiVersion": V2, "metadata": {}, "items": items});
        let json: Bytes = list.to_string().into();
        Self { hash: tag::hash(&json).into(), json }
    }
}

impl Discovery {
    pub(super) fn aggregated(
        &self,
        core: bool,
        version: &str,
        encoding: Encoding,
        request: &HeaderMap,
    ) -> Response {
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
        let mut response = tag::tagged(&answer.hash, request, || {
            let (content_type, bytes) = self.encoded(answer.json, version, encoding);
            let mut response = encoded(StatusCode::OK, "application/json", bytes, request);
            if let Ok(value) = HeaderValue::from_str(&content_type) {
                response.headers_mut().insert(header::CONTENT_TYPE, value);
            }
            response
        });
        // Unlike all else it may be kept: the tag tells whether it is still true.
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
        response
    }

    fn encoded(&self, json: Bytes, version: &str, encoding: Encoding) -> (String, Bytes) {
        let shape = format!(";g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
        let plain = |json| (format!("application/json{shape}"), json);
        if version == "v2" && encoding == Encoding::Json {
            return plain(json);
        }
        let Ok(mut list) = serde_json::from_slice::<Value>(&json) else { return plain(json) };
        list["apiVersion"] = json!(format!("apidiscovery.k8s.io/{version}"));
        let bytes = match encoding {
            Encoding::Json => None,
            Encoding::Yaml => serde_yaml_ng::to_string(&list).ok().map(Bytes::from),
            Encoding::Protobuf => {
                api_model::protobuf::encode(&self.registry.model, &list).ok().map(Bytes::from)
            }
        };
        match bytes {
            Some(bytes) => (format!("{}{shape}", encoding.content_type()), bytes),
            None => plain(list.to_string().into()),
        }
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
        let metadata = if group.name.is_empty() { json!({}) } else { json!({"name": group.name}) };
        json!({"metadata": metadata, "versions": versions})
    }
}

fn resource(served: &Served) -> Value {
    let resource = &served.resource;
    // Of built-in kinds upstream says group and version only where they are not those of the list.
    let built_in = served.custom.is_none();
    let kind = |group: &str, version: &str, kind: &str| {
        let own = built_in && (group, version) == (resource.group.as_str(), resource.version.as_str());
        let (group, version) = if own { ("", "") } else { (group, version) };
        json!({"group": group, "version": version, "kind": kind})
    };
    let mut value = json!({
        "resource": resource.plural,
        "responseKind": kind(&resource.group, &resource.version, &resource.kind),
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
                "responseKind": kind(&sub.group, &sub.version, &sub.kind),
                "verbs": sub.verbs,
            })
        })
        .collect();
    if !subresources.is_empty() {
        value["subresources"] = json!(subresources);
    }
    value
}
