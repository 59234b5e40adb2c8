//! NamespaceLifecycle: nothing is made where no namespace is or where it ends; the three immortal ones stay.

use serde_json::json;

use super::forbid;
use crate::attributes::{AdmissionRequest, ApiError, Objects, Operation, text};

const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

pub(super) fn check(request: &AdmissionRequest<'_>, objects: &dyn Objects) -> Result<(), ApiError> {
    if request.resource.group.is_empty() && request.resource.plural == "namespaces" {
        let deletes = request.operation == Operation::Delete && request.subresource.is_empty();
        if deletes && IMMORTAL.contains(&request.name) {
            return Err(forbid(request, "this namespace may not be deleted"));
        }
        return Ok(());
    }
    let makes = request.operation == Operation::Create && !request.namespace.is_empty();
    if !makes || request.resource.plural == "localsubjectaccessreviews" {
        return Ok(());
    }
    let Some(namespace) = objects.get("", "namespaces", "", request.namespace) else {
        return Err(ApiError::not_found("", "namespaces", request.namespace));
    };
    let ending = text(&namespace, "/status/phase") == "Terminating"
        || !text(&namespace, "/metadata/deletionTimestamp").is_empty();
    if !ending || !request.subresource.is_empty() {
        return Ok(());
    }
    let why = format!(
        "unable to create new content in namespace {} because it is being terminated",
        request.namespace
    );
    let mut error = forbid(request, &why);
    if let Some(details) = error.details.as_mut() {
        details["causes"] = json!([{
            "reason": "NamespaceTerminating",
            "message": format!("namespace {} is being terminated", request.namespace),
            "field": "metadata.namespace",
        }]);
    }
    Err(error)
}
