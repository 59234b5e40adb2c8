//! What a kubelet may do to pods: make mirrors, report status, delete and evict its own.

use std::sync::Arc;

use serde_json::Value;

use super::{Judged, Refusal, name_of};
use crate::admission::service_account::{refers_to_config_maps, refers_to_secrets};
use crate::attributes::{AdmissionRequest, ApiError, Objects, Operation, items, text};

fn is_bound(pod: &Value, node: &str) -> bool {
    text(pod, "/spec/nodeName") == node
}

pub(super) fn check(request: &AdmissionRequest<'_>, objects: &dyn Objects, node: &str) -> Judged {
    let stored = || -> Result<Arc<Value>, Refusal> {
        let name = name_of(request);
        let missing = || Refusal::Error(ApiError::not_found("", "pods", name));
        objects.get("", "pods", request.namespace, name).ok_or_else(missing)
    };
    match (request.subresource, request.operation) {
        ("", Operation::Create) => mirror(request, objects, node),
        ("", Operation::Delete) => {
            let own = match request.old {
                Some(old) => is_bound(old, node),
                None => is_bound(&*stored()?, node),
            };
            if own {
                Ok(())
            } else {
                Err(format!("node \"{node}\" can only delete pods with spec.nodeName set to itself").into())
            }
        }
        ("", operation) => Err(format!(
            "unexpected operation \"{}\", node \"{node}\" can only create and delete mirror pods",
            operation.as_str()
        )
        .into()),
        ("status", Operation::Update) => status(request, node),
        ("status", operation) => Err(format!("unexpected operation \"{}\"", operation.as_str()).into()),
        ("eviction", Operation::Create) if is_bound(&*stored()?, node) => Ok(()),
        ("eviction", Operation::Create) => {
            Err(format!("node {node} can only evict pods with spec.nodeName set to itself").into())
        }
        ("eviction", operation) => Err(format!("unexpected operation {}", operation.as_str()).into()),
        (other, _) => {
            Err(format!("unexpected pod subresource \"{other}\", only 'status' and 'eviction' are allowed")
                .into())
        }
    }
}

fn status(request: &AdmissionRequest<'_>, node: &str) -> Judged {
    let (Some(new), Some(old)) = (request.object.as_deref(), request.old) else { return Ok(()) };
    if !is_bound(old, node) {
        return Err(format!(
            "node \"{node}\" can only update pod status for pods with spec.nodeName set to itself"
        )
        .into());
    }
    let labels = |pod: &Value| crate::admission::labels(pod).filter(|labels| !labels.is_empty()).cloned();
    if labels(new) != labels(old) {
        return Err(format!("node \"{node}\" cannot update labels through pod status").into());
    }
    if items(new, "/status/resourceClaimStatuses") != items(old, "/status/resourceClaimStatuses") {
        return Err(format!("node \"{node}\" cannot update resource claim statues").into());
    }
    Ok(())
}

/// What stands for a pod of the kubelet's own may refer to nothing in the cluster.
fn mirror(request: &AdmissionRequest<'_>, objects: &dyn Objects, node: &str) -> Judged {
    let Some(pod) = request.object.as_deref() else { return Ok(()) };
    if pod.pointer("/metadata/annotations/kubernetes.io~1config.mirror").is_none() {
        let why = format!(
            "pod does not have \"kubernetes.io/config.mirror\" annotation, node \"{node}\" can only create mirror pods"
        );
        return Err(why.into());
    }
    if !is_bound(pod, node) {
        return Err(format!("node \"{node}\" can only create pods with spec.nodeName set to itself").into());
    }
    owner(pod, objects, node)?;
    let refers =
        |what: &str| Err(format!("node \"{node}\" can not create pods that reference {what}").into());
    if !text(pod, "/spec/serviceAccountName").is_empty() {
        return refers("a service account");
    }
    if refers_to_secrets(pod) {
        return refers("secrets");
    }
    if refers_to_config_maps(pod) {
        return refers("configmaps");
    }
    let volumes = items(pod, "/spec/volumes");
    let trusts = |volume: &Value| {
        items(volume, "/projected/sources").iter().any(|source| source.get("clusterTrustBundle").is_some())
    };
    if volumes.iter().any(trusts) {
        return refers("clustertrustbundles");
    }
    if volumes.iter().any(|volume| volume.get("persistentVolumeClaim").is_some_and(|one| !one.is_null())) {
        return refers("persistentvolumeclaims");
    }
    if !items(pod, "/spec/resourceClaims").is_empty() {
        return refers("resourceclaims");
    }
    Ok(())
}

fn owner(pod: &Value, objects: &dyn Objects, node: &str) -> Judged {
    let [owner] = items(pod, "/metadata/ownerReferences") else {
        let several = !items(pod, "/metadata/ownerReferences").is_empty();
        let what = if several { "a single owner reference" } else { "an owner reference" };
        return Err(format!("node \"{node}\" can only create pods with {what} set to itself").into());
    };
    if (text(owner, "/apiVersion"), text(owner, "/kind"), text(owner, "/name")) != ("v1", "Node", node) {
        return Err(
            format!("node \"{node}\" can only create pods with an owner reference set to itself").into()
        );
    }
    if owner["controller"].as_bool() != Some(true) {
        let why =
            format!("node \"{node}\" can only create pods with a controller owner reference set to itself");
        return Err(why.into());
    }
    if owner["blockOwnerDeletion"].as_bool() == Some(true) {
        return Err(format!("node \"{node}\" must not set blockOwnerDeletion on an owner reference").into());
    }
    let Some(own) = objects.get("", "nodes", "", node) else {
        return Err(Refusal::Error(ApiError::not_found("", "nodes", node)));
    };
    let (stated, is) = (text(owner, "/uid"), text(&own, "/metadata/uid"));
    if stated != is {
        return Err(format!("node {node} UID mismatch: expected {stated} got {is}").into());
    }
    Ok(())
}
