//! PodTopologyLabels: a pod that is bound to a node learns the node's zone and region.

use serde_json::{Value, json};

use crate::admission::concerns;
use crate::attributes::{AdmissionRequest, Objects, Operation, Part, text};

const LABELS: [&str; 2] = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

/// Adds the labels to a binding, or to a pod that is made with its node.
pub(crate) fn label(request: &mut AdmissionRequest<'_>, objects: &dyn Objects) {
    if request.operation != Operation::Create {
        return;
    }
    let binds = concerns(request, "", "pods", "binding");
    let Some(object) = request.object.as_deref_mut().filter(|_| binds || request.subresource.is_empty())
    else {
        return;
    };
    let node = match (binds, text(object, "/target/kind")) {
        (true, "" | "Node") => text(object, "/target/name"),
        (true, _) => "",
        (false, _) => text(object, "/spec/nodeName"),
    };
    if node.is_empty() {
        return;
    }
    let Some(node) = objects.get("", "nodes", "", node) else { return };
    for label in LABELS {
        let found = node.part("/metadata/labels").and_then(|all| all.get(label)).and_then(Value::as_str);
        if let Some(value) = found {
            if !object["metadata"].is_object() {
                object["metadata"] = json!({});
            }
            object["metadata"]["labels"][label] = json!(value);
        }
    }
}
