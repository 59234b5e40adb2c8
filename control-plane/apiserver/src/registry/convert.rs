//! Where objects of a resource are stored, and how one version becomes another.
//!
//! Most versions of a kind differ in `apiVersion` alone. The exceptions are here: events of two groups, and
//! the first version of autoscalers.

use serde_json::{Map, Value, json};

use super::kinds::api_version;
use super::object;

/// The place of a resource in the store.
pub struct Place {
    /// `<group or core>/<plural>`.
    pub name: String,
    /// `apiVersion` of stored objects.
    pub api_version: String,
}

/// Where a built-in resource is stored.
pub fn storage_of(group: &str, version: &str, plural: &str) -> Place {
    let place = |group: &str, version: &str| Place {
        name: format!("{}/{plural}", if group.is_empty() { "core" } else { group }),
        api_version: api_version(group, version),
    };
    match (group, plural) {
        ("events.k8s.io", "events") => place("", "v1"),
        ("autoscaling", "horizontalpodautoscalers") => place(group, "v2"),
        // Where several versions of one shape are served, the finished one is stored.
        ("resource.k8s.io" | "networking.k8s.io" | "storage.k8s.io" | "admissionregistration.k8s.io", _) => {
            place(group, "v1")
        }
        _ => place(group, version),
    }
}

/// Whether versions of the kind have different fields.
pub fn changes_fields(kind: &str) -> bool {
    matches!(kind, "Event" | "HorizontalPodAutoscaler")
}

/// The object with another `apiVersion`.
pub fn convert(mut object: Value, kind: &str, to: &str) -> Value {
    let from = object::text(&object, &["apiVersion"]).to_owned();
    if from == to {
        return object;
    }
    match (kind, from.as_str(), to) {
        ("Event", "events.k8s.io/v1", "v1") => rename_event(&mut object, false),
        ("Event", "v1", "events.k8s.io/v1") => rename_event(&mut object, true),
        ("HorizontalPodAutoscaler", "autoscaling/v1", "autoscaling/v2") => autoscaler_to_v2(&mut object),
        ("HorizontalPodAutoscaler", "autoscaling/v2", "autoscaling/v1") => autoscaler_to_v1(&mut object),
        _ => {}
    }
    object::set(&mut object, "apiVersion", json!(to));
    object
}

/// Names in core/v1 and in events.k8s.io/v1.
const EVENT_FIELDS: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

fn rename_event(object: &mut Value, to_new: bool) {
    let Value::Object(map) = object else { return };
    for (old, new) in EVENT_FIELDS {
        let (from, to) = if to_new { (old, new) } else { (new, old) };
        if let Some(value) = map.remove(*from) {
            map.insert((*to).to_owned(), value);
        }
    }
}

const UTILIZATION: &str = "targetCPUUtilizationPercentage";

fn autoscaler_to_v2(object: &mut Value) {
    let spec = object::map_mut(object, "spec");
    let mut metrics: Vec<Value> = Vec::new();
    if let Some(percent) = spec.remove(UTILIZATION) {
        metrics.push(json!({"type": "Resource", "resource": {"name": "cpu",
            "target": {"type": "Utilization", "averageUtilization": percent}}}));
    }
    if !metrics.is_empty() {
        spec.insert("metrics".to_owned(), Value::Array(metrics));
    }
    if let Some(Value::Object(status)) = object.get_mut("status")
        && let Some(current) = status.remove("currentCPUUtilizationPercentage")
    {
        status.insert(
            "currentMetrics".to_owned(),
            json!([{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": current}}}]),
        );
    }
}

fn cpu<'a>(map: &'a Map<String, Value>, list: &str, path: &[&str]) -> Option<&'a Value> {
    map.get(list)?.as_array()?.iter().find_map(|metric| {
        let cpu = object::text(metric, &["resource", "name"]) == "cpu";
        let value = object::at(metric, path);
        (cpu && !value.is_null()).then_some(value)
    })
}

fn autoscaler_to_v1(object: &mut Value) {
    let spec = object::map_mut(object, "spec");
    let percent = cpu(spec, "metrics", &["resource", "target", "averageUtilization"]).cloned();
    spec.remove("metrics");
    spec.remove("behavior");
    if let Some(percent) = percent {
        spec.insert(UTILIZATION.to_owned(), percent);
    }
    if let Some(Value::Object(status)) = object.get_mut("status") {
        let current = cpu(status, "currentMetrics", &["resource", "current", "averageUtilization"]).cloned();
        status.remove("currentMetrics");
        status.remove("conditions");
        if let Some(current) = current {
            status.insert("currentCPUUtilizationPercentage".to_owned(), current);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_the_same_event_in_both_groups() {
        let event = json!({"kind": "Event", "apiVersion": "events.k8s.io/v1", "note": "hello", "regarding": {"name": "x"}});
        let core = convert(event.clone(), "Event", "v1");
        assert_eq!(core["message"], "hello");
        assert_eq!(core["involvedObject"]["name"], "x");
        assert_eq!(convert(core, "Event", "events.k8s.io/v1"), event);
    }
}
