//! DefaultStorageClass, DefaultIngressClass, PersistentVolumeClaimResize.

use std::sync::Arc;

use api_model::quantity::Quantity;
use serde_json::{Value, json};

use super::{concerns, creates, forbid};
use crate::attributes::{AdmissionRequest, ApiError, Objects, Operation, text};

/// The newest class that says it is the default; of two as old, the first by name.
fn default_class(classes: Vec<Arc<Value>>, annotations: &[&str]) -> Option<String> {
    let is_default = |class: &&Arc<Value>| {
        annotations.iter().any(|annotation| {
            let all = class.pointer("/metadata/annotations");
            all.and_then(|all| all.get(annotation)).and_then(Value::as_str) == Some("true")
        })
    };
    let mut found: Vec<&Arc<Value>> = classes.iter().filter(is_default).collect();
    found.sort_by(|left, right| {
        let at = |class: &Value| text(class, "/metadata/creationTimestamp").to_owned();
        let name = |class: &Value| text(class, "/metadata/name").to_owned();
        at(right).cmp(&at(left)).then_with(|| name(left).cmp(&name(right)))
    });
    found.first().map(|class| text(class, "/metadata/name").to_owned())
}

pub(super) fn default_storage_class(request: &mut AdmissionRequest<'_>, objects: &dyn Objects) {
    if !creates(request, "", "persistentvolumeclaims") {
        return;
    }
    let Some(claim) = request.object.as_deref_mut() else { return };
    let named = claim.pointer("/spec/storageClassName").is_some_and(|class| !class.is_null())
        || claim.pointer("/metadata/annotations/volume.beta.kubernetes.io~1storage-class").is_some();
    if named {
        return;
    }
    let annotations =
        ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
    if let Some(class) = default_class(objects.list("storage.k8s.io", "storageclasses", None), &annotations) {
        claim["spec"]["storageClassName"] = json!(class);
    }
}

pub(super) fn default_ingress_class(request: &mut AdmissionRequest<'_>, objects: &dyn Objects) {
    const GROUP: &str = "networking.k8s.io";
    if !creates(request, GROUP, "ingresses") {
        return;
    }
    let Some(ingress) = request.object.as_deref_mut() else { return };
    let named = ingress.pointer("/spec/ingressClassName").is_some_and(|class| !class.is_null())
        || ingress.pointer("/metadata/annotations/kubernetes.io~1ingress.class").is_some();
    if named {
        return;
    }
    let annotations = ["ingressclass.kubernetes.io/is-default-class"];
    if let Some(class) = default_class(objects.list(GROUP, "ingressclasses", None), &annotations) {
        ingress["spec"]["ingressClassName"] = json!(class);
    }
}

/// PersistentVolumeClaimResize: a claim grows only when its class lets it.
pub(super) fn check_resize(request: &AdmissionRequest<'_>, objects: &dyn Objects) -> Result<(), ApiError> {
    if request.operation != Operation::Update || !concerns(request, "", "persistentvolumeclaims", "") {
        return Ok(());
    }
    let (Some(new), Some(old)) = (request.object.as_deref(), request.old) else { return Ok(()) };
    let size = |claim: &Value| {
        Quantity::parse(text(claim, "/spec/resources/requests/storage")).unwrap_or(Quantity::ZERO)
    };
    if size(new) <= size(old) {
        return Ok(());
    }
    if text(old, "/status/phase") != "Bound" {
        return Err(forbid(request, "Only bound persistent volume claims can be expanded"));
    }
    let class = objects.get("storage.k8s.io", "storageclasses", "", text(old, "/spec/storageClassName"));
    let expandable = class.is_some_and(|class| class["allowVolumeExpansion"].as_bool() == Some(true));
    if expandable {
        return Ok(());
    }
    let why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
    Err(forbid(request, why))
}
