//! What a new pod is completed with: priority, tolerations, the overhead of its runtime class.

use serde_json::{Value, json};

use super::{concerns, forbid};
use crate::attributes::{AdmissionRequest, ApiError, Objects, Operation, items, text};

const CLASSES: (&str, &str) = ("scheduling.k8s.io", "priorityclasses");
/// How long a pod stays on a node that went away, unless it says otherwise.
const TOLERATION_SECONDS: u64 = 300;
const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

fn is_global_default(class: &Value) -> bool {
    class.get("globalDefault").and_then(Value::as_bool).unwrap_or(false)
}

/// Priority: the number behind the class's name.
pub(super) fn priority(request: &mut AdmissionRequest<'_>, objects: &dyn Objects) -> Result<(), ApiError> {
    let Some(pod) = request.object.as_deref() else { return Ok(()) };
    let name = text(pod, "/spec/priorityClassName").to_owned();
    let (group, plural) = CLASSES;
    let class = if name.is_empty() {
        let all = objects.list(group, plural, None);
        all.into_iter().filter(|class| is_global_default(class)).min_by_key(|class| class["value"].as_i64())
    } else {
        let why = format!("no PriorityClass with name {name} was found");
        Some(objects.get(group, plural, "", &name).ok_or_else(|| forbid(request, &why))?)
    };
    let value = class.as_ref().and_then(|class| class["value"].as_i64()).unwrap_or(0);
    let given = pod.pointer("/spec/priority").and_then(Value::as_i64);
    if let Some(given) = given.filter(|given| *given != value) {
        let why = format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {value} from the given PriorityClass name"
        );
        return Err(forbid(request, &why));
    }
    let policy = class.as_ref().map_or("", |class| text(class, "/preemptionPolicy"));
    let policy = if policy.is_empty() { "PreemptLowerPriority" } else { policy }.to_owned();
    let class_name = class.as_ref().map(|class| text(class, "/metadata/name").to_owned());
    let Some(pod) = request.object.as_deref_mut() else { return Ok(()) };
    if let Some(name) = class_name {
        pod["spec"]["priorityClassName"] = json!(name);
    }
    pod["spec"]["priority"] = json!(value);
    if text(pod, "/spec/preemptionPolicy").is_empty() {
        pod["spec"]["preemptionPolicy"] = json!(policy);
    }
    Ok(())
}

/// Only one priority class may be the default.
pub(super) fn one_default_class(
    request: &AdmissionRequest<'_>,
    objects: &dyn Objects,
) -> Result<(), ApiError> {
    let (group, plural) = CLASSES;
    let writes = matches!(request.operation, Operation::Create | Operation::Update);
    let Some(class) = request.object.as_deref().filter(|_| writes && concerns(request, group, plural, ""))
    else {
        return Ok(());
    };
    if !is_global_default(class) {
        return Ok(());
    }
    let name = text(class, "/metadata/name");
    let all = objects.list(group, plural, None);
    match all.iter().find(|other| is_global_default(other) && text(other, "/metadata/name") != name) {
        None => Ok(()),
        Some(other) => {
            let why = format!(
                "PriorityClass {} is already marked as default. Only one default can exist",
                text(other, "/metadata/name")
            );
            Err(forbid(request, &why))
        }
    }
}

/// DefaultTolerationSeconds.
pub(super) fn tolerate(request: &mut AdmissionRequest<'_>) {
    let Some(pod) = request.object.as_deref_mut() else { return };
    for taint in TAINTS {
        let tolerated = items(pod, "/spec/tolerations").iter().any(|one| {
            let key = text(one, "/key");
            let effect = text(one, "/effect");
            (key == taint || key.is_empty()) && matches!(effect, "" | "NoExecute")
        });
        if tolerated {
            continue;
        }
        let toleration = json!({
            "key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_SECONDS,
        });
        match pod["spec"].get_mut("tolerations").and_then(Value::as_array_mut) {
            Some(list) => list.push(toleration),
            None => pod["spec"]["tolerations"] = json!([toleration]),
        }
    }
}

/// RuntimeClass: its overhead, node selector and tolerations become the pod's.
pub(super) fn runtime_class(
    request: &mut AdmissionRequest<'_>,
    objects: &dyn Objects,
) -> Result<(), ApiError> {
    let Some(pod) = request.object.as_deref() else { return Ok(()) };
    let name = text(pod, "/spec/runtimeClassName").to_owned();
    let stated = pod.pointer("/spec/overhead").filter(|one| !one.is_null()).cloned();
    if name.is_empty() {
        if stated.is_some_and(|one| one.as_object().is_some_and(|one| !one.is_empty())) {
            return Err(forbid(
                request,
                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
            ));
        }
        return Ok(());
    }
    let missing = format!("pod rejected: RuntimeClass \"{name}\" not found");
    let class =
        objects.get("node.k8s.io", "runtimeclasses", "", &name).ok_or_else(|| forbid(request, &missing))?;
    let overhead = class.pointer("/overhead/podFixed").filter(|one| !one.is_null());
    if stated.is_some() && stated.as_ref() != overhead {
        let why = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
        return Err(forbid(request, why));
    }
    let selector = class.pointer("/scheduling/nodeSelector").and_then(Value::as_object);
    for (label, value) in selector.into_iter().flatten() {
        let own = pod.pointer("/spec/nodeSelector").and_then(|all| all.get(label));
        if own.is_some_and(|own| own != value) {
            let why = format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{label}] = {value}; pod.spec.nodeSelector[{label}] differs"
            );
            return Err(forbid(request, &why));
        }
    }
    let Some(pod) = request.object.as_deref_mut() else { return Ok(()) };
    if let Some(overhead) = overhead {
        pod["spec"]["overhead"] = overhead.clone();
    }
    for (label, value) in selector.into_iter().flatten() {
        pod["spec"]["nodeSelector"][label.as_str()] = value.clone();
    }
    for toleration in items(&class, "/scheduling/tolerations") {
        if !items(pod, "/spec/tolerations").contains(toleration) {
            match pod["spec"].get_mut("tolerations").and_then(Value::as_array_mut) {
                Some(list) => list.push(toleration.clone()),
                None => pod["spec"]["tolerations"] = json!([toleration]),
            }
        }
    }
    Ok(())
}
