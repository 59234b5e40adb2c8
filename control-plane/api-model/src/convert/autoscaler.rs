//! Autoscalers between `autoscaling/v2` and `autoscaling/v1`.
//!
//! The older version has one field for one metric: how busy the CPU is. All else travels in annotations: the metrics and their
//! values in the form the older version once had for them, the behaviour as upstream's internal type prints itself. Back in
//! the newer version the CPU metric comes after the others.

use serde_json::{Map, Value, json};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

const WANTED: &str = "targetCPUUtilizationPercentage";
const MEASURED: &str = "currentCPUUtilizationPercentage";

fn part<'a>(object: &'a mut Value, key: &str) -> Option<&'a mut Map<String, Value>> {
    object.get_mut(key).and_then(Value::as_object_mut)
}

fn taken(object: &mut Value, within: &str, key: &str) -> Vec<Value> {
    match part(object, within).and_then(|part| part.remove(key)) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

fn annotate(object: &mut Value, key: &str, value: &Value) {
    let Some(metadata) = part(object, "metadata") else { return };
    let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
    if annotations.is_null() {
        *annotations = json!({});
    }
    if let Value::Object(annotations) = annotations {
        annotations.insert(key.to_owned(), value.to_string().into());
    }
}

/// Takes an annotation away and reads it; one that cannot be read is nothing.
fn annotated(object: &mut Value, key: &str) -> Option<Value> {
    let metadata = part(object, "metadata")?;
    let annotations = metadata.get_mut("annotations")?.as_object_mut()?;
    let value = serde_json::from_str(annotations.remove(key)?.as_str()?).ok();
    if annotations.is_empty() {
        metadata.remove("annotations");
    }
    value
}

/// Takes the first CPU metric with a value there, which the older version has a field for.
fn take_cpu(metrics: &mut Vec<Value>, pointer: &str) -> Option<Value> {
    let is_it = |metric: &Value| {
        metric["type"] == "Resource"
            && metric.pointer("/resource/name") == Some(&json!("cpu"))
            && metric.pointer(pointer).is_some_and(|value| !value.is_null())
    };
    let at = metrics.iter().position(is_it)?;
    metrics.remove(at).pointer(pointer).cloned()
}

pub(super) fn to_v1(object: &mut Value) {
    let mut metrics = taken(object, "spec", "metrics");
    let mut current = taken(object, "status", "currentMetrics");
    let conditions = taken(object, "status", "conditions");
    let behavior = part(object, "spec").and_then(|spec| spec.remove("behavior")).filter(|b| !b.is_null());
    let wanted = take_cpu(&mut metrics, "/resource/target/averageUtilization");
    let measured = take_cpu(&mut current, "/resource/current/averageUtilization");
    for (within, key, value) in [("spec", WANTED, wanted), ("status", MEASURED, measured)] {
        if let (Some(part), Some(value)) = (part(object, within), value) {
            part.insert(key.to_owned(), value);
        }
    }
    let older = |metrics: &[Value], side: &Side| metrics.iter().map(|one| to_older(one, side)).collect();
    let lists =
        [(METRICS, older(&metrics, &TARGET)), (CURRENT, older(&current, &NOW)), (CONDITIONS, conditions)];
    for (key, list) in lists {
        if !list.is_empty() {
            annotate(object, key, &Value::Array(list));
        }
    }
    if let Some(behavior) = behavior {
        annotate(object, BEHAVIOR, &internal(&behavior));
    }
}

pub(super) fn to_v2(object: &mut Value) {
    let list = |value: Option<Value>| match value {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    };
    let newer =
        |metrics: Vec<Value>, side: &Side| metrics.iter().map(|one| to_newer(one, side)).collect::<Vec<_>>();
    let mut metrics = newer(list(annotated(object, METRICS)), &TARGET);
    let mut current = newer(list(annotated(object, CURRENT)), &NOW);
    let conditions = list(annotated(object, CONDITIONS));
    let behavior = annotated(object, BEHAVIOR).map(|behavior| external(&behavior));
    if let Some(spec) = part(object, "spec") {
        if let Some(percent) = spec.remove(WANTED).filter(|percent| !percent.is_null()) {
            let target = json!({"type": "Utilization", "averageUtilization": percent});
            metrics.push(json!({"type": "Resource", "resource": {"name": "cpu", "target": target}}));
        }
        if !metrics.is_empty() {
            spec.insert("metrics".into(), Value::Array(metrics));
        }
        if let Some(behavior) = behavior {
            spec.insert("behavior".into(), behavior);
        }
    }
    if let Some(status) = part(object, "status") {
        if let Some(percent) = status.remove(MEASURED).filter(|percent| !percent.is_null()) {
            let now = json!({"name": "cpu", "current": {"averageUtilization": percent}});
            current.push(json!({"type": "Resource", "resource": now}));
        }
        for (key, list) in [("currentMetrics", current), ("conditions", conditions)] {
            if !list.is_empty() {
                status.insert(key.to_owned(), Value::Array(list));
            }
        }
    }
}

/// What is wanted, or what is measured: where the newer version has the values, and how the older one calls them.
struct Side {
    within: &'static str,
    utilization: &'static str,
    value: &'static str,
    average: &'static str,
}

const TARGET: Side = Side {
    within: "target",
    utilization: "targetAverageUtilization",
    value: "targetValue",
    average: "targetAverageValue",
};
const NOW: Side = Side {
    within: "current",
    utilization: "currentAverageUtilization",
    value: "currentValue",
    average: "currentAverageValue",
};

/// Where a source of metrics is, and what it is named by: `(newer, older)`.
fn names(kind: &str) -> Option<(&'static str, &'static [(&'static str, &'static str)])> {
    Some(match kind {
        "Resource" => ("resource", &[("/name", "name")]),
        "ContainerResource" => ("containerResource", &[("/name", "name"), ("/container", "container")]),
        "Pods" => ("pods", &[("/metric/name", "metricName"), ("/metric/selector", "selector")]),
        "Object" => (
            "object",
            &[
                ("/metric/name", "metricName"),
                ("/metric/selector", "selector"),
                ("/describedObject", "target"),
            ],
        ),
        "External" => ("external", &[("/metric/name", "metricName"), ("/metric/selector", "metricSelector")]),
        _ => return None,
    })
}

/// What the older version calls each value of a source.
fn values(source: &str, side: &Side) -> [(&'static str, &'static str); 3] {
    let average = if source == "object" { "averageValue" } else { side.average };
    [("averageUtilization", side.utilization), ("value", side.value), ("averageValue", average)]
}

fn to_older(metric: &Value, side: &Side) -> Value {
    let kind = metric["type"].as_str().unwrap_or_default();
    let Some((source, names)) = names(kind) else { return metric.clone() };
    let mut older = Map::new();
    for (newer, name) in names {
        if let Some(value) = metric[source].pointer(newer) {
            older.insert((*name).to_owned(), value.clone());
        }
    }
    for (newer, name) in values(source, side) {
        if let Some(value) = metric[source][side.within].get(newer) {
            older.insert(name.to_owned(), value.clone());
        }
    }
    json!({"type": kind, source: older})
}

fn to_newer(metric: &Value, side: &Side) -> Value {
    let kind = metric["type"].as_str().unwrap_or_default();
    let Some((source, names)) = names(kind) else { return metric.clone() };
    let older = &metric[source];
    let mut newer = json!({});
    for (pointer, name) in names {
        let Some(value) = older.get(name) else { continue };
        match pointer.trim_start_matches('/').split_once('/') {
            Some((outer, inner)) => newer[outer][inner] = value.clone(),
            None => newer[pointer.trim_start_matches('/')] = value.clone(),
        }
    }
    let mut numbers = Map::new();
    for (name, old) in values(source, side) {
        if let Some(value) = older.get(old) {
            numbers.insert(name.to_owned(), value.clone());
        }
    }
    if side.within == "target" {
        // The kind of target follows from what is given. Objects once had to give a value beside an average: zero.
        if numbers.contains_key("averageValue") && numbers.get("value") == Some(&json!("0")) {
            numbers.remove("value");
        }
        let given =
            [("averageUtilization", "Utilization"), ("averageValue", "AverageValue"), ("value", "Value")];
        let kind =
            given.iter().find(|(name, _)| numbers.contains_key(*name)).map_or("Value", |(_, kind)| kind);
        numbers.insert("type".into(), kind.into());
    }
    newer[side.within] = Value::Object(numbers);
    json!({"type": kind, source: newer})
}

/// With the names of Go's struct fields, which have none of their own: each begins with a capital.
fn internal(value: &Value) -> Value {
    renamed(value, |letter| letter.to_ascii_uppercase())
}

fn external(value: &Value) -> Value {
    renamed(value, |letter| letter.to_ascii_lowercase())
}

fn renamed(value: &Value, first: fn(char) -> char) -> Value {
    match value {
        Value::Object(map) => {
            let name = |key: &str| {
                let mut letters = key.chars();
                letters.next().map(|letter| first(letter).to_string() + letters.as_str()).unwrap_or_default()
            };
            // What is not set, Go prints as null; it is nothing here.
            let set = map.iter().filter(|(_, value)| !value.is_null());
            Value::Object(set.map(|(key, value)| (name(key), renamed(value, first))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(|item| renamed(item, first)).collect()),
        other => other.clone(),
    }
}
