//! NodeRestriction: a kubelet changes only its own node and the pods bound to it. TaintNodesByCondition: a new node is not ready.

mod labels;
mod pods;
mod tokens;

use serde_json::{Value, json};

use super::{forbid, push};
use crate::attributes::{AdmissionRequest, ApiError, Objects, Operation, items, text};
use crate::authz::{Authorizer, node_name};

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const LEASES: &str = "kube-node-lease";

/// TaintNodesByCondition.
pub(super) fn taint(request: &mut AdmissionRequest<'_>) {
    let Some(node) = request.object.as_deref_mut() else { return };
    let has = items(node, "/spec/taints")
        .iter()
        .any(|one| text(one, "/key") == NOT_READY && text(one, "/effect") == "NoSchedule");
    if !has {
        push(&mut node["spec"], "taints", json!({"key": NOT_READY, "effect": "NoSchedule"}));
    }
}

/// Why a node is refused: a plain 403, or an error of its own.
enum Refusal {
    Why(String),
    Error(ApiError),
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self::Why(why)
    }
}

impl From<&str> for Refusal {
    fn from(why: &str) -> Self {
        Self::Why(why.to_owned())
    }
}

type Judged = Result<(), Refusal>;

/// NodeRestriction.
pub(super) fn check(
    request: &AdmissionRequest<'_>,
    objects: &dyn Objects,
    authorizer: &Authorizer,
) -> Result<(), ApiError> {
    let named = request.user.name.starts_with("system:node:");
    if request.operation == Operation::Connect || !(named && request.user.is_in("system:nodes")) {
        return Ok(());
    }
    let Some(node) = node_name(request.user) else {
        let why = format!("could not determine node from user \"{}\"", request.user.name);
        return Err(forbid(request, &why));
    };
    let judged = match (request.resource.group.as_str(), request.resource.plural.as_str()) {
        ("", "pods") => pods::check(request, objects, node),
        ("", "nodes") => own_node(request, node),
        ("", "persistentvolumeclaims") => claim_status(request, node),
        ("", "serviceaccounts") => tokens::check(request, objects, authorizer, node),
        ("coordination.k8s.io", "leases") => lease(request, node),
        ("storage.k8s.io", "csinodes") => same_name(request, node, "CSINode"),
        ("resource.k8s.io", "resourceslices") => slice(request, node),
        _ => Ok(()),
    };
    judged.map_err(|refusal| match refusal {
        Refusal::Why(why) => forbid(request, &why),
        Refusal::Error(error) => error,
    })
}

fn name_of<'a>(request: &'a AdmissionRequest<'_>) -> &'a str {
    let stated = request.object.as_deref().map(|object| text(object, "/metadata/name")).unwrap_or_default();
    if request.name.is_empty() { stated } else { request.name }
}

fn same_name(request: &AdmissionRequest<'_>, node: &str, what: &str) -> Judged {
    if name_of(request) == node {
        return Ok(());
    }
    Err(format!("can only access {what} with the same name as the requesting node").into())
}

fn lease(request: &AdmissionRequest<'_>, node: &str) -> Judged {
    if request.namespace != LEASES {
        return Err(format!("can only access leases in the \"{LEASES}\" system namespace").into());
    }
    same_name(request, node, "node lease")
}

fn slice(request: &AdmissionRequest<'_>, node: &str) -> Judged {
    let (object, verb) = match request.operation {
        Operation::Create => (request.object.as_deref(), "create"),
        Operation::Delete => (request.old, "delete"),
        _ => return Ok(()),
    };
    if object.is_some_and(|slice| text(slice, "/spec/nodeName") == node) {
        return Ok(());
    }
    Err(format!("can only {verb} ResourceSlice with the same NodeName as the requesting node").into())
}

fn own_node(request: &AdmissionRequest<'_>, node: &str) -> Judged {
    let other = name_of(request);
    if other != node {
        return Err(format!("node \"{node}\" is not allowed to modify node \"{other}\"").into());
    }
    let Some(object) = request.object.as_deref() else { return Ok(()) };
    let source = |node: &Value| node.pointer("/spec/configSource").filter(|one| !one.is_null()).cloned();
    match (request.operation, request.old) {
        (Operation::Create, _) => {
            if source(object).is_some() {
                return Err(format!(
                    "node \"{node}\" is not allowed to create pods with a non-nil configSource"
                )
                .into());
            }
            let labels = labels::forbidden(object, None);
            if !labels.is_empty() {
                let list = labels.join(", ");
                return Err(
                    format!("node \"{node}\" is not allowed to set the following labels: {list}").into()
                );
            }
        }
        (Operation::Update, Some(old)) => {
            if source(object).is_some() && source(object) != source(old) {
                let why = "is not allowed to update configSource to a new non-nil configSource";
                return Err(format!("node \"{node}\" {why}").into());
            }
            if items(object, "/spec/taints") != items(old, "/spec/taints") {
                return Err(format!("node \"{node}\" is not allowed to modify taints").into());
            }
            let labels = labels::forbidden(object, Some(old));
            if !labels.is_empty() {
                return Err(format!("is not allowed to modify labels: {}", labels.join(", ")).into());
            }
        }
        _ => {}
    }
    Ok(())
}

/// Of a claim a kubelet reports how far growing it has come, and nothing else.
fn claim_status(request: &AdmissionRequest<'_>, node: &str) -> Judged {
    if request.subresource != "status" {
        return Err("may only update PVC status".into());
    }
    let (Operation::Update, Some(new), Some(old)) =
        (request.operation, request.object.as_deref(), request.old)
    else {
        return Err(format!("unexpected operation \"{}\"", request.operation.as_str()).into());
    };
    let rest = |claim: &Value| {
        let mut claim = claim.clone();
        for (part, fields) in [
            ("metadata", &["resourceVersion", "managedFields"][..]),
            ("status", &["capacity", "conditions", "allocatedResourceStatuses", "allocatedResources"][..]),
        ] {
            if let Some(map) = claim.get_mut(part).and_then(Value::as_object_mut) {
                map.retain(|field, _| !fields.contains(&field.as_str()));
            }
        }
        claim
    };
    if rest(new) == rest(old) {
        return Ok(());
    }
    Err(format!(
        "node \"{node}\" is not allowed to update fields other than status.capacity and status.conditions"
    )
    .into())
}
