//! Conversion between served versions of the same kind, and between the two groups of events.
//!
//! Lossless both ways: what an older version has no field for travels in upstream's annotations.

use serde_json::{Map, Value, json};

/// Why an object has no form in another version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} has no conversion from {from} to {to}")]
pub struct ConvertError {
    /// The kind.
    pub kind: String,
    /// `apiVersion` it has.
    pub from: String,
    /// `apiVersion` wanted.
    pub to: String,
}

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// Rewrites `object` for `api_version` (`autoscaling/v1`). An object of that version already is left alone.
pub fn convert(object: &mut Value, api_version: &str) -> Result<(), ConvertError> {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (kind, from) = (text("kind"), text("apiVersion"));
    if from == api_version {
        return Ok(());
    }
    match (kind.as_str(), from.as_str(), api_version) {
        ("HorizontalPodAutoscaler", "autoscaling/v2", "autoscaling/v1") => autoscaler_to_v1(object),
        ("HorizontalPodAutoscaler", "autoscaling/v1", "autoscaling/v2") => autoscaler_to_v2(object),
        ("Event", "v1", "events.k8s.io/v1") => rename(object, &EVENT, false),
        ("Event", "events.k8s.io/v1", "v1") => rename(object, &EVENT, true),
        _ => return Err(ConvertError { kind, from, to: api_version.to_owned() }),
    }
    if let Value::Object(map) = object {
        map.insert("apiVersion".to_owned(), api_version.into());
    }
    Ok(())
}

/// Fields of an event: core's name, the new group's name.
const EVENT: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

fn rename(object: &mut Value, names: &[(&str, &str)], back: bool) {
    let Value::Object(map) = object else { return };
    for (old, new) in names {
        let (from, to) = if back { (new, old) } else { (old, new) };
        if let Some(value) = map.remove(*from) {
            map.insert((*to).to_owned(), value);
        }
    }
}

fn part<'a>(object: &'a mut Value, key: &str) -> Option<&'a mut Map<String, Value>> {
    object.get_mut(key).and_then(Value::as_object_mut)
}

fn annotate(object: &mut Value, key: &str, value: Option<Value>) {
    let Some(value) = value.filter(|v| !matches!(v, Value::Array(items) if items.is_empty())) else { return };
    let Some(metadata) = part(object, "metadata") else { return };
    if let Value::Object(annotations) = metadata.entry("annotations").or_insert_with(|| json!({})) {
        annotations.insert(key.to_owned(), value.to_string().into());
    }
}

fn annotated(object: &mut Value, key: &str) -> Option<Value> {
    let metadata = part(object, "metadata")?;
    let annotations = metadata.get_mut("annotations")?.as_object_mut()?;
    let value = serde_json::from_str(annotations.remove(key)?.as_str()?).ok();
    if annotations.is_empty() {
        metadata.remove("annotations");
    }
    value
}

/// Whether a metric is the one the old version has a field for.
fn is_cpu(metric: &Value) -> bool {
    metric["type"] == "Resource" && metric.pointer("/resource/name") == Some(&json!("cpu"))
}

fn take_cpu(metrics: &mut Vec<Value>, pointer: &str) -> Option<Value> {
    let at = metrics.iter().position(|m| is_cpu(m) && m.pointer(pointer).is_some_and(|v| !v.is_null()))?;
    metrics.remove(at).pointer(pointer).cloned()
}

fn autoscaler_to_v1(object: &mut Value) {
    let list = |part: Option<&mut Map<String, Value>>, key: &str| match part.and_then(|p| p.remove(key)) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    };
    let mut metrics = list(part(object, "spec"), "metrics");
    let cpu = take_cpu(&mut metrics, "/resource/target/averageUtilization");
    let behavior = part(object, "spec").and_then(|spec| spec.remove("behavior"));
    let mut current = list(part(object, "status"), "currentMetrics");
    let cpu_now = take_cpu(&mut current, "/resource/current/averageUtilization");
    let conditions = list(part(object, "status"), "conditions");
    if let (Some(spec), Some(cpu)) = (part(object, "spec"), cpu) {
        spec.insert("targetCPUUtilizationPercentage".into(), cpu);
    }
    if let (Some(status), Some(cpu)) = (part(object, "status"), cpu_now) {
        status.insert("currentCPUUtilizationPercentage".into(), cpu);
    }
    annotate(object, METRICS, Some(Value::Array(metrics)));
    annotate(object, CURRENT, Some(Value::Array(current)));
    annotate(object, CONDITIONS, Some(Value::Array(conditions)));
    annotate(object, BEHAVIOR, behavior);
}

fn autoscaler_to_v2(object: &mut Value) {
    let list = |value: Option<Value>| match value {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    };
    let mut metrics = list(annotated(object, METRICS));
    let mut current = list(annotated(object, CURRENT));
    let conditions = annotated(object, CONDITIONS);
    let behavior = annotated(object, BEHAVIOR);
    if let Some(spec) = part(object, "spec") {
        if let Some(cpu) = spec.remove("targetCPUUtilizationPercentage") {
            let target = json!({"type": "Utilization", "averageUtilization": cpu});
            metrics.insert(0, json!({"type": "Resource", "resource": {"name": "cpu", "target": target}}));
        }
        if !metrics.is_empty() {
            spec.insert("metrics".into(), Value::Array(metrics));
        }
        if let Some(behavior) = behavior {
            spec.insert("behavior".into(), behavior);
        }
    }
    if let Some(status) = part(object, "status") {
        if let Some(cpu) = status.remove("currentCPUUtilizationPercentage") {
            let now = json!({"name": "cpu", "current": {"averageUtilization": cpu}});
            current.insert(0, json!({"type": "Resource", "resource": now}));
        }
        for (key, value) in [("currentMetrics", Some(Value::Array(current))), ("conditions", conditions)] {
            if let Some(value) = value.filter(|v| v.as_array().is_some_and(|a| !a.is_empty())) {
                status.insert(key.into(), value);
            }
        }
    }
}
