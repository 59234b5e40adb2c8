//! RuntimeClass: its overhead, node selector and tolerations become the pod's.

use std::sync::Arc;

use serde_json::Value;

use crate::admission::{creates, forbid, push};
use crate::attributes::{AdmissionRequest, ApiError, Objects, Part, items, text};

fn class(
    request: &AdmissionRequest<'_>,
    pod: &Value,
    objects: &dyn Objects,
) -> Result<Option<Arc<Value>>, ApiError> {
    let name = text(pod, "/spec/runtimeClassName");
    if name.is_empty() {
        return Ok(None);
    }
    let missing = || forbid(request, &format!("pod rejected: RuntimeClass \"{name}\" not found"));
    objects.get("node.k8s.io", "runtimeclasses", "", name).map(Some).ok_or_else(missing)
}

fn stated(pod: &Value) -> Option<&Value> {
    pod.part("/spec/overhead").filter(|one| !one.is_null())
}

fn fixed(class: &Value) -> Option<&Value> {
    class.part("/overhead/podFixed").filter(|one| !one.is_null())
}

/// Gives a new pod what its class says.
pub(crate) fn complete(request: &mut AdmissionRequest<'_>, objects: &dyn Objects) -> Result<(), ApiError> {
    if !creates(request, "", "pods") {
        return Ok(());
    }
    let Some(pod) = request.object.as_deref() else { return Ok(()) };
    let Some(class) = class(request, pod, objects)? else { return Ok(()) };
    if let Some(overhead) = fixed(&class)
        && stated(pod).is_some_and(|own| own != overhead)
    {
        let why = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
        return Err(forbid(request, why));
    }
    let selector = class.part("/scheduling/nodeSelector").and_then(Value::as_object);
    for (label, value) in selector.into_iter().flatten() {
        let own = pod.part("/spec/nodeSelector").and_then(|all| all.get(label)).and_then(Value::as_str);
        let wanted = value.as_str().unwrap_or_default();
        if let Some(own) = own.filter(|own| *own != wanted) {
            let why = format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{label}] = {wanted}; pod.spec.nodeSelector[{label}] = {own}"
            );
            return Err(forbid(request, &why));
        }
    }
    let Some(pod) = request.object.as_deref_mut() else { return Ok(()) };
    if let Some(overhead) = fixed(&class) {
        pod["spec"]["overhead"] = overhead.clone();
    }
    for (label, value) in selector.into_iter().flatten() {
        pod["spec"]["nodeSelector"][label.as_str()] = value.clone();
    }
    for toleration in items(&class, "/scheduling/tolerations") {
        if !items(pod, "/spec/tolerations").contains(toleration) {
            push(&mut pod["spec"], "tolerations", toleration.clone());
        }
    }
    Ok(())
}

/// Judges the overhead that a pod has in the end.
pub(crate) fn check(request: &AdmissionRequest<'_>, objects: &dyn Objects) -> Result<(), ApiError> {
    if !creates(request, "", "pods") {
        return Ok(());
    }
    let Some(pod) = request.object.as_deref() else { return Ok(()) };
    let class = class(request, pod, objects)?;
    let why = match class.as_deref().and_then(fixed) {
        Some(overhead) if stated(pod) != Some(overhead) => {
            "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
        }
        None if stated(pod).and_then(Value::as_object).is_some_and(|one| !one.is_empty()) => {
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
        }
        _ => return Ok(()),
    };
    Err(forbid(request, why))
}
