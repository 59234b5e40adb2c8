//! NodeRestriction: a kubelet changes only its own node and the pods bound to it. TaintNodesByCondition: a new node is not ready.

use serde_json::{Value, json};

use super::forbid;
use crate::attributes::{AdmissionRequest, ApiError, Objects, Operation, items, text};
use crate::authz::node_name;

const NOT_READY: &str = "node.kubernetes.io/not-ready";
/// Labels of `kubernetes.io` that a kubelet may set itself.
const OWN_LABELS: [&str; 11] = [
    "kubernetes.io/hostname",
    "kubernetes.io/arch",
    "kubernetes.io/os",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/os",
];

/// TaintNodesByCondition.
pub(super) fn taint(request: &mut AdmissionRequest<'_>) {
    let Some(node) = request.object.as_deref_mut() else { return };
    let has = items(node, "/spec/taints")
        .iter()
        .any(|one| text(one, "/key") == NOT_READY && text(one, "/effect") == "NoSchedule");
    if has {
        return;
    }
    let taint = json!({"key": NOT_READY, "effect": "NoSchedule"});
    match node["spec"].get_mut("taints").and_then(Value::as_array_mut) {
        Some(list) => list.push(taint),
        None => node["spec"]["taints"] = json!([taint]),
    }
}

/// NodeRestriction.
pub(super) fn check(request: &AdmissionRequest<'_>, objects: &dyn Objects) -> Result<(), ApiError> {
    if !request.user.is_in("system:nodes") {
        return Ok(());
    }
    let Some(node) = node_name(request.user) else {
        let why = format!("could not determine node from user \"{}\"", request.user.name);
        return Err(forbid(request, &why));
    };
    let judged = match (request.resource.group.as_str(), request.resource.plural.as_str()) {
        ("", "nodes") => own_node(request, node),
        ("", "pods") => own_pods(request, objects, node),
        ("", "serviceaccounts") if request.subresource == "token" => token(request, objects, node),
        ("coordination.k8s.io", "leases") if request.namespace == "kube-node-lease" => {
            same_name(request, node, "lease")
        }
        ("storage.k8s.io", "csinodes") => same_name(request, node, "CSINode"),
        _ => Ok(()),
    };
    judged.map_err(|why| forbid(request, &why))
}

fn name_of<'a>(request: &'a AdmissionRequest<'_>) -> &'a str {
    let stated = request.object.as_deref().map(|object| text(object, "/metadata/name")).unwrap_or_default();
    if request.name.is_empty() { stated } else { request.name }
}

fn same_name(request: &AdmissionRequest<'_>, node: &str, what: &str) -> Result<(), String> {
    if name_of(request) == node {
        return Ok(());
    }
    Err(format!("can only access {what} with the same name as the requesting node"))
}

/// Whether a label is one that only administrators may set on nodes.
fn reserved(label: &str) -> bool {
    let Some((domain, _)) = label.split_once('/') else { return false };
    let under = |parent: &str| domain == parent || domain.ends_with(&format!(".{parent}"));
    if under("node-restriction.kubernetes.io") {
        return true;
    }
    if OWN_LABELS.contains(&label) || under("kubelet.kubernetes.io") || under("node.kubernetes.io") {
        return false;
    }
    under("kubernetes.io") || under("k8s.io")
}

fn changed_labels(new: &Value, old: Option<&Value>) -> Vec<String> {
    let of = |object: &Value| super::labels(object).cloned().unwrap_or_default();
    let (new, old) = (of(new), old.map(of).unwrap_or_default());
    let mut changed: Vec<String> = new
        .iter()
        .filter(|(label, value)| old.get(*label) != Some(value))
        .map(|(label, _)| label.clone())
        .collect();
    changed.extend(old.keys().filter(|label| !new.contains_key(*label)).cloned());
    changed.retain(|label| reserved(label));
    changed.sort();
    changed
}

fn own_node(request: &AdmissionRequest<'_>, node: &str) -> Result<(), String> {
    if request.operation == Operation::Connect {
        return Ok(());
    }
    let other = name_of(request);
    if other != node {
        return Err(format!("node \"{node}\" is not allowed to modify node \"{other}\""));
    }
    let Some(object) = request.object.as_deref() else { return Ok(()) };
    if request.operation == Operation::Create {
        let labels = changed_labels(object, None);
        // Labels a kubelet is started with are refused only when they are for administrators.
        if !labels.is_empty() {
            return Err(format!(
                "node \"{node}\" is not allowed to set the following labels: {}",
                labels.join(", ")
            ));
        }
        if object.pointer("/spec/configSource").is_some_and(|one| !one.is_null()) {
            return Err(format!("node \"{node}\" is not allowed to create pods with a non-nil configSource"));
        }
    }
    if let Some(old) = request.old.filter(|_| request.operation == Operation::Update) {
        let labels = changed_labels(object, Some(old));
        if !labels.is_empty() {
            return Err(format!("is not allowed to modify labels: {}", labels.join(", ")));
        }
        if request.subresource.is_empty() && object.pointer("/spec/taints") != old.pointer("/spec/taints") {
            return Err(format!("node \"{node}\" is not allowed to modify taints"));
        }
    }
    Ok(())
}

fn bound_to(pod: Option<&Value>, node: &str) -> bool {
    pod.is_some_and(|pod| text(pod, "/spec/nodeName") == node)
}

fn own_pods(request: &AdmissionRequest<'_>, objects: &dyn Objects, node: &str) -> Result<(), String> {
    let stored = || objects.get("", "pods", request.namespace, name_of(request));
    match (request.subresource, request.operation) {
        ("", Operation::Create) => mirror(request, node),
        ("", Operation::Delete) => match request.old.cloned().map(std::sync::Arc::new).or_else(stored) {
            Some(pod) if !bound_to(Some(&pod), node) => {
                Err(format!("node \"{node}\" can only delete pods with spec.nodeName set to itself"))
            }
            _ => Ok(()),
        },
        ("", _) => Err(format!(
            "unexpected operation \"{}\", node \"{node}\" can only create and delete mirror pods",
            request.operation.as_str()
        )),
        ("status", Operation::Update) if bound_to(request.old, node) => Ok(()),
        ("status", _) => Err(format!(
            "node \"{node}\" can only update pod status for pods with spec.nodeName set to itself"
        )),
        ("eviction", Operation::Create) if bound_to(stored().as_deref(), node) => Ok(()),
        ("eviction", _) => {
            Err(format!("node \"{node}\" can only evict pods with spec.nodeName set to itself"))
        }
        (other, _) => {
            Err(format!("unexpected pod subresource \"{other}\", only 'status' and 'eviction' are allowed"))
        }
    }
}

/// What stands for a pod of the kubelet's own may refer to nothing in the cluster.
fn mirror(request: &AdmissionRequest<'_>, node: &str) -> Result<(), String> {
    let Some(pod) = request.object.as_deref() else { return Ok(()) };
    if pod.pointer("/metadata/annotations/kubernetes.io~1config.mirror").is_none() {
        return Err(
            "pod does not have \"kubernetes.io/config.mirror\" annotation, node can only create mirror pods"
                .to_owned(),
        );
    }
    if !bound_to(Some(pod), node) {
        return Err(format!("node \"{node}\" can only create pods with spec.nodeName set to itself"));
    }
    let owners = items(pod, "/metadata/ownerReferences");
    let own = |one: &Value| text(one, "/kind") == "Node" && text(one, "/name") == node;
    if owners.len() > 1 || !owners.iter().all(own) {
        return Err(format!("node \"{node}\" can only create pods with an owner reference set to itself"));
    }
    if !text(pod, "/spec/serviceAccountName").is_empty() {
        return Err(format!("node \"{node}\" can not create pods that reference a service account"));
    }
    let refers = items(pod, "/spec/volumes").iter().any(|volume| {
        ["secret", "configMap", "persistentVolumeClaim", "projected"]
            .iter()
            .any(|kind| volume.get(kind).is_some())
    });
    if refers {
        return Err(format!(
            "node \"{node}\" can not create pods that reference secrets, configmaps or persistentvolumeclaims"
        ));
    }
    Ok(())
}

fn token(request: &AdmissionRequest<'_>, objects: &dyn Objects, node: &str) -> Result<(), String> {
    let Some(asked) = request.object.as_deref() else { return Ok(()) };
    if text(asked, "/spec/boundObjectRef/kind") != "Pod" {
        return Err("node requested token not bound to a pod".to_owned());
    }
    let name = text(asked, "/spec/boundObjectRef/name");
    let Some(pod) = objects.get("", "pods", request.namespace, name) else {
        return Err(format!("pod \"{name}\" not found"));
    };
    if text(asked, "/spec/boundObjectRef/uid") != text(&pod, "/metadata/uid") {
        return Err("the UID in the bound object reference does not match the UID in record".to_owned());
    }
    if !bound_to(Some(&pod), node) {
        return Err("node requested token bound to a pod scheduled on a different node".to_owned());
    }
    Ok(())
}
