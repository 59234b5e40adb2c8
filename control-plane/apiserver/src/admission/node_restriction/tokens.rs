//! Tokens that a kubelet asks for: of the pods on its node, for audiences that their volumes name.

use std::sync::Arc;

use serde_json::Value;

use super::{Judged, Refusal};
use crate::attributes::{AdmissionRequest, ApiError, Attributes, Objects, Operation, items, text};
use crate::authz::Authorizer;

pub(super) fn check(
    request: &AdmissionRequest<'_>,
    objects: &dyn Objects,
    authorizer: &Authorizer,
    node: &str,
) -> Judged {
    if request.operation != Operation::Create || request.subresource != "token" {
        return Ok(());
    }
    let Some(asked) = request.object.as_deref() else { return Ok(()) };
    let bound = &asked["spec"]["boundObjectRef"];
    let name = text(bound, "/name");
    if (text(bound, "/apiVersion"), text(bound, "/kind")) != ("v1", "Pod") || name.is_empty() {
        return Err("node requested token not bound to a pod".into());
    }
    let uid = text(bound, "/uid");
    if uid.is_empty() {
        return Err("node requested token with a pod binding without a uid".into());
    }
    let Some(pod) = objects.get("", "pods", request.namespace, name) else {
        return Err(Refusal::Error(ApiError::not_found("", "pods", name)));
    };
    if uid != text(&pod, "/metadata/uid") {
        return Err(format!("the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated").into());
    }
    if text(&pod, "/spec/nodeName") != node {
        return Err("node requested token bound to a pod scheduled on a different node".into());
    }
    audience(request, objects, authorizer, asked, &pod)
}

fn audience(
    request: &AdmissionRequest<'_>,
    objects: &dyn Objects,
    authorizer: &Authorizer,
    asked: &Value,
    pod: &Value,
) -> Judged {
    let audience = match items(asked, "/spec/audiences") {
        [] => "",
        [one] => one.as_str().unwrap_or_default(),
        _ => return Err("node may only request 0 or 1 audiences".into()),
    };
    if items(pod, "/spec/volumes")
        .iter()
        .any(|volume| names(volume, request.namespace, pod, objects, audience))
    {
        return Ok(());
    }
    let attributes = Attributes {
        user: Arc::new(request.user.clone()),
        verb: "request-serviceaccounts-token-audience".to_owned(),
        resource: audience.to_owned(),
        namespace: request.namespace.to_owned(),
        name: request.name.to_owned(),
        is_resource: true,
        ..Attributes::default()
    };
    if authorizer.authorize(&attributes).allowed() {
        return Ok(());
    }
    Err(format!("audience \"{audience}\" not found in pod spec volume").into())
}

/// Whether a volume needs tokens for an audience: a projected one by itself, others by their driver.
fn names(volume: &Value, namespace: &str, pod: &Value, objects: &dyn Objects, audience: &str) -> bool {
    let projected =
        items(volume, "/projected/sources").iter().filter_map(|source| source.get("serviceAccountToken"));
    if projected.into_iter().any(|token| text(token, "/audience") == audience) {
        return true;
    }
    let asks = |driver: &str| {
        let known = objects.get("storage.k8s.io", "csidrivers", "", driver);
        known.is_some_and(|known| {
            items(&known, "/spec/tokenRequests").iter().any(|one| text(one, "/audience") == audience)
        })
    };
    let driver = text(volume, "/csi/driver");
    if !driver.is_empty() {
        return asks(driver);
    }
    let own = text(volume, "/persistentVolumeClaim/claimName");
    let claim = if volume.get("ephemeral").is_some_and(|one| !one.is_null()) {
        format!("{}-{}", text(pod, "/metadata/name"), text(volume, "/name"))
    } else {
        own.to_owned()
    };
    let Some(claim) = objects.get("", "persistentvolumeclaims", namespace, &claim) else { return false };
    let volume = objects.get("", "persistentvolumes", "", text(&claim, "/spec/volumeName"));
    volume.is_some_and(|volume| asks(text(&volume, "/spec/csi/driver")))
}
