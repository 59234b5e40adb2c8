//! StorageObjectInUseProtection and PersistentVolumeClaimResize.

use api_model::quantity::Quantity;
use serde_json::{Value, json};

use super::{concerns, creates, forbid, push};
use crate::attributes::{AdmissionRequest, ApiError, Objects, Operation, items, text};

/// Which finalizer keeps which objects while they are in use; controllers take it away.
const FINALIZERS: [(&str, &str, &str); 3] = [
    ("", "persistentvolumes", "kubernetes.io/pv-protection"),
    ("", "persistentvolumeclaims", "kubernetes.io/pvc-protection"),
    ("storage.k8s.io", "volumeattributesclasses", "kubernetes.io/vac-protection"),
];

/// StorageObjectInUseProtection.
pub(super) fn protect(request: &mut AdmissionRequest<'_>) {
    let Some((_, _, finalizer)) = FINALIZERS.iter().find(|one| creates(request, one.0, one.1)) else {
        return;
    };
    let Some(object) = request.object.as_deref_mut() else { return };
    if !items(object, "/metadata/finalizers").iter().any(|one| one == finalizer) {
        push(&mut object["metadata"], "finalizers", json!(finalizer));
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
    let class = match text(old, "/spec/storageClassName") {
        "" => None,
        name => objects.get("storage.k8s.io", "storageclasses", "", name),
    };
    if class.is_some_and(|class| class["allowVolumeExpansion"].as_bool() == Some(true)) {
        return Ok(());
    }
    let why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
    Err(forbid(request, why))
}
