//! LimitRanger: defaults, least and most of what containers, pods and claims may ask for in a namespace.

mod judge;

use std::sync::Arc;

use serde_json::{Value, json};

use super::concerns;
use crate::attributes::{AdmissionRequest, Objects, Operation, Part, items, text};

pub(super) use judge::check;

/// Says what was filled in.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";

fn ranges(request: &AdmissionRequest<'_>, objects: &dyn Objects) -> Vec<Arc<Value>> {
    if request.namespace.is_empty() {
        return Vec::new();
    }
    objects.list("", "limitranges", Some(request.namespace))
}

/// Whether the resources of a pod are what is written: containers never change but through `resize`.
fn writes_pod(request: &AdmissionRequest<'_>) -> bool {
    let created = request.operation == Operation::Create && concerns(request, "", "pods", "");
    created || (request.operation == Operation::Update && concerns(request, "", "pods", "resize"))
}

/// Fills in what containers do not say, from one range after the other.
pub(super) fn default(request: &mut AdmissionRequest<'_>, objects: &dyn Objects) {
    if !writes_pod(request) || is_ending(request) {
        return;
    }
    let ranges = ranges(request, objects);
    let Some(pod) = request.object.as_deref_mut() else { return };
    for range in &ranges {
        let said = default_from(pod, range);
        if !said.is_empty() {
            pod["metadata"]["annotations"][ANNOTATION] =
                json!(format!("LimitRanger plugin set: {}", said.join("; ")));
        }
    }
}

/// An object on its way out is left as it is.
fn is_ending(request: &AdmissionRequest<'_>) -> bool {
    request.old.is_some_and(|old| !text(old, "/metadata/deletionTimestamp").is_empty())
}

/// What was filled in, in upstream's words.
fn default_from(pod: &mut Value, range: &Value) -> Vec<String> {
    let mut wanted =
        [("requests", "request", serde_json::Map::new()), ("limits", "limit", serde_json::Map::new())];
    for limit in items(range, "/spec/limits").iter().filter(|limit| text(limit, "/type") == "Container") {
        for ((_, _, into), field) in wanted.iter_mut().zip(["defaultRequest", "default"]) {
            into.extend(
                limit
                    .get(field)
                    .and_then(Value::as_object)
                    .into_iter()
                    .flatten()
                    .map(|(k, v)| (k.clone(), v.clone())),
            );
        }
    }
    let mut said = Vec::new();
    if wanted.iter().all(|(_, _, values)| values.is_empty()) {
        return said;
    }
    for (list, what) in [("containers", "container"), ("initContainers", "init container")] {
        let found = pod.get_mut("spec").and_then(|spec| spec.get_mut(list)).and_then(Value::as_array_mut);
        for container in found.into_iter().flatten() {
            let name = text(container, "/name").to_owned();
            for (field, word, values) in &wanted {
                let set = fill(container, field, values);
                if !set.is_empty() {
                    said.push(format!("{} {word} for {what} {name}", set.join(", ")));
                }
            }
        }
    }
    said
}

fn fill(container: &mut Value, field: &str, values: &serde_json::Map<String, Value>) -> Vec<String> {
    let missing = |container: &Value, name: &String| {
        container.part("/resources").and_then(|all| all.get(field)?.get(name)).is_none()
    };
    let names: Vec<String> = values.keys().filter(|name| missing(container, name)).cloned().collect();
    for name in &names {
        if !container["resources"].is_object() {
            container["resources"] = json!({});
        }
        if !container["resources"][field].is_object() {
            container["resources"][field] = json!({});
        }
        container["resources"][field][name.as_str()] = values[name].clone();
    }
    names
}

#[cfg(test)]
mod tests;
