//! Pods: their first status, and the writes that touch a part of them.

use serde_json::{Map, Value, json};

use crate::attributes::Part;

use crate::registry::object;

/// A new pod waits; its quality of service follows from its resources.
pub fn prepare_create(pod: &mut Value) {
    let class = quality_of_service(pod);
    let mut status = json!({"phase": "Pending", "qosClass": class});
    if !object::items(pod, &["spec", "schedulingGates"]).is_empty() {
        status["conditions"] = json!([{
            "type": "PodScheduled",
            "status": "False",
            "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
        }]);
    }
    object::set(pod, "status", status);
    select_own_revision(pod);
}

/// `matchLabelKeys` and `mismatchLabelKeys` of affinity terms become a part of the selector, with this pod's own values.
fn select_own_revision(pod: &mut Value) {
    let Some(Value::Object(labels)) = pod.part("/metadata/labels").cloned() else { return };
    for affinity in ["podAffinity", "podAntiAffinity"] {
        let Some(affinity) = pod.pointer_mut(&format!("/spec/affinity/{affinity}")) else { continue };
        for (list, within) in [
            ("requiredDuringSchedulingIgnoredDuringExecution", ""),
            ("preferredDuringSchedulingIgnoredDuringExecution", "/podAffinityTerm"),
        ] {
            let Some(Value::Array(terms)) = affinity.get_mut(list) else { continue };
            for term in terms.iter_mut().filter_map(|term| term.pointer_mut(within)) {
                select_by_keys(term, &labels);
            }
        }
    }
}

fn select_by_keys(term: &mut Value, labels: &Map<String, Value>) {
    if !object::at(term, &["labelSelector"]).is_object() {
        return;
    }
    let mut added = Vec::new();
    for (keys, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        for key in object::items(term, &[keys]).iter().filter_map(Value::as_str) {
            if let Some(value) = labels.get(key) {
                added.push(json!({"key": key, "operator": operator, "values": [value]}));
            }
        }
    }
    if added.is_empty() {
        return;
    }
    let selector = object::map_mut(term, "labelSelector");
    if let Value::Array(expressions) = selector.entry("matchExpressions").or_insert_with(|| json!([])) {
        expressions.extend(added);
    }
}

/// `BestEffort`, `Burstable` or `Guaranteed`.
pub fn quality_of_service(pod: &Value) -> &'static str {
    let containers = object::items(pod, &["spec", "containers"]);
    let whole = object::at(pod, &["spec"]);
    let all: Vec<&Value> = if object::at(whole, &["resources"]).is_object() {
        // What the pod says of itself as a whole counts, not its parts.
        vec![whole]
    } else {
        containers.iter().chain(object::items(pod, &["spec", "initContainers"])).collect()
    };
    let amount = |container: &Value, kind: &str, name: &str| -> Option<String> {
        match object::at(container, &["resources", kind, name]) {
            Value::String(text) if text != "0" => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    };
    let mut any = false;
    let mut guaranteed = !all.is_empty();
    for container in all {
        for name in ["cpu", "memory"] {
            let limit = amount(container, "limits", name);
            let request = amount(container, "requests", name);
            any |= limit.is_some() || request.is_some();
            // An absent request equals the limit.
            guaranteed &=
                limit.is_some() && (request.is_none() || equal(request.as_deref(), limit.as_deref()));
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

fn equal(a: Option<&str>, b: Option<&str>) -> bool {
    if a == b {
        return true;
    }
    let parse = |text: Option<&str>| text.and_then(|text| api_model::quantity::Quantity::parse(text).ok());
    match (parse(a), parse(b)) {
        (Some(a), Some(b)) => a.cmp(&b) == std::cmp::Ordering::Equal,
        _ => false,
    }
}

/// `/ephemeralcontainers` writes `spec.ephemeralContainers` alone.
pub fn keep_all_but_ephemeral_containers(new: &mut Value, old: &Value) {
    let containers = object::at(new, &["spec", "ephemeralContainers"]).clone();
    let managed = object::at(new, &["metadata", "managedFields"]).clone();
    let mut kept = old.clone();
    object::set_meta(&mut kept, "managedFields", managed);
    if let Some(spec) = kept.get_mut("spec") {
        object::set(spec, "ephemeralContainers", containers);
    }
    *new = kept;
}

/// `/resize` writes resources and resize policies of containers alone.
pub fn keep_all_but_resources(new: &mut Value, old: &Value) {
    let mut kept = old.clone();
    object::set_meta(&mut kept, "managedFields", object::at(new, &["metadata", "managedFields"]).clone());
    for list in ["containers", "initContainers"] {
        let wanted = object::items(new, &["spec", list]).to_vec();
        let Some(Value::Array(containers)) = object::map_mut(&mut kept, "spec").get_mut(list) else {
            continue;
        };
        for container in containers {
            let name = object::text(container, &["name"]).to_owned();
            let Some(wanted) = wanted.iter().find(|wanted| object::text(wanted, &["name"]) == name) else {
                continue;
            };
            for field in ["resources", "resizePolicy"] {
                object::set(container, field, object::at(wanted, &[field]).clone());
            }
        }
    }
    *new = kept;
}

/// How long a pod is given to end, in seconds.
pub fn grace_period_s(pod: &Value, asked: Option<i64>) -> i64 {
    let own = object::number(pod, &["spec", "terminationGracePeriodSeconds"]).unwrap_or(30);
    let wanted = asked.unwrap_or(own).max(0);
    // Nobody runs it, or it has ended: nothing to wait for.
    let unbound = object::text(pod, &["spec", "nodeName"]).is_empty();
    let ended = matches!(object::text(pod, &["status", "phase"]), "Succeeded" | "Failed");
    if unbound || ended { 0 } else { wanted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quality_of_service_follows_from_resources() {
        let pod = |resources: Value| json!({"spec": {"containers": [{"name": "c", "resources": resources}]}});
        assert_eq!(quality_of_service(&pod(json!({}))), "BestEffort");
        assert_eq!(quality_of_service(&pod(json!({"requests": {"cpu": "1"}}))), "Burstable");
        let full =
            json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}});
        assert_eq!(quality_of_service(&pod(full.clone())), "Guaranteed");
        let whole = json!({"spec": {"resources": full, "containers": [{"name": "c"}]}});
        assert_eq!(quality_of_service(&whole), "Guaranteed");
    }

    #[test]
    fn a_pod_that_nobody_runs_goes_at_once() {
        let running = json!({"spec": {"nodeName": "n1"}, "status": {"phase": "Running"}});
        assert_eq!(grace_period_s(&running, None), 30);
        assert_eq!(grace_period_s(&running, Some(5)), 5);
        assert_eq!(grace_period_s(&json!({"spec": {}}), None), 0);
    }
}
