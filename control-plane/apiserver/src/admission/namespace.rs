//! NamespaceLifecycle: nothing is made where no namespace is or where it ends; the three immortal ones stay.

use serde_json::json;

use super::forbid;
use crate::attributes::{AdmissionRequest, ApiError, Objects, Operation, text};

const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

pub(super) fn check(request: &AdmissionRequest<'_>, objects: &dyn Objects) -> Result<(), ApiError> {
    if request.resource.group.is_empty() && request.resource.plural == "namespaces" {
        let deletes = request.operation == Operation::Delete && request.subresource.is_empty();
        let name = request.old.map_or(request.name, |old| text(old, "/metadata/name"));
        if deletes && IMMORTAL.contains(&name) {
            return Err(ApiError::forbidden("", "namespaces", name, "this namespace may not be deleted"));
        }
        return Ok(());
    }
    let writes = matches!(request.operation, Operation::Create | Operation::Update);
    let asks = request.resource.group == "authorization.k8s.io";
    if !writes || request.namespace.is_empty() || asks {
        return Ok(());
    }
    let Some(namespace) = objects.get("", "namespaces", "", request.namespace) else {
        return Err(ApiError::not_found("", "namespaces", request.namespace));
    };
    if request.operation != Operation::Create || text(&namespace, "/status/phase") != "Terminating" {
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
