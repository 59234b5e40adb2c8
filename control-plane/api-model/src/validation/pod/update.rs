//! What may change in a pod after it was made.

use super::{annotations, metadata_and_spec};
use crate::validation::place::Place;
use crate::validation::report::Report;
use crate::validation::same::same;
use serde_json::{Map, Value};

const FREE: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// A changed pod.
pub(in crate::validation) fn update(new: &Place, old: &Place, report: &mut Report) {
    let fixed = (new.field("metadata"), old.field("metadata"));
    annotations::fixed(&fixed.0.field("annotations"), &fixed.1.field("annotations"), report);
    let (new_spec, old_spec) = (new.field("spec"), old.field("spec"));
    if same(new_spec.value(), old_spec.value()) {
        return;
    }
    metadata_and_spec(new, report);
    for field in ["containers", "initContainers"] {
        let list = new_spec.field(field);
        if list.len() != old_spec.field(field).len() {
            return report.forbidden(&list, "pod updates may not add or remove containers");
        }
    }
    if !deadline(&new_spec, &old_spec, report) {
        return;
    }
    tolerations(&new_spec.field("tolerations"), &old_spec.field("tolerations"), report);
    gates(&new_spec.field("schedulingGates"), &old_spec.field("schedulingGates"), report);
    let gated = !old_spec.field("schedulingGates").is_empty();
    if gated {
        node_selector(&new_spec.field("nodeSelector"), &old_spec.field("nodeSelector"), report);
        let affinity = new_spec.field("affinity");
        node_affinity(
            &affinity.field("nodeAffinity"),
            &old_spec.field("affinity").field("nodeAffinity"),
            report,
        );
    }
    if let Some(changed) = fixed_change(&new_spec, &old_spec, gated) {
        report.forbidden(&new_spec, &format!("{FREE}\n{changed}"));
    }
}

/// Says whether the rest is judged too.
fn deadline(new: &Place, old: &Place, report: &mut Report) -> bool {
    let at = new.field("activeDeadlineSeconds");
    match (at.as_number(), old.some_number("activeDeadlineSeconds")) {
        (Some(now), _) if !(0..=i64::from(i32::MAX)).contains(&now) => {
            report.in_range(&at, 0, i64::from(i32::MAX));
            false
        }
        (Some(now), Some(before)) if now > before => {
            report.invalid(&at, "must be less than or equal to previous value");
            false
        }
        (None, Some(_)) => {
            report.invalid(&at, "must not update from a positive integer to nil value");
            true
        }
        _ => true,
    }
}

/// More may be tolerated, and for another time, but not less.
fn tolerations(new: &Place, old: &Place, report: &mut Report) {
    const FIELDS: [&str; 4] = ["key", "operator", "value", "effect"];
    let alike = |a: &Value, b: &Value| {
        FIELDS.iter().all(|field| {
            let text = |of: &Value| of.get(*field).and_then(Value::as_str).unwrap_or_default().to_owned();
            text(a) == text(b)
        })
    };
    if old.list().iter().any(|had| !new.list().iter().any(|has| alike(has, had))) {
        report.forbidden(new, "existing toleration can not be modified except its tolerationSeconds");
    }
}

fn gates(new: &Place, old: &Place, report: &mut Report) {
    for gate in new.items() {
        let name = gate.text("name");
        if !old.list().iter().any(|had| had.get("name").and_then(Value::as_str) == Some(name)) {
            let detail = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            report.forbidden(&gate.field("name"), &detail);
        }
    }
}

fn node_selector(new: &Place, old: &Place, report: &mut Report) {
    if old.entries().any(|(key, had)| new.value().get(key) != Some(had.value())) {
        report.invalid(new, "only additions to spec.nodeSelector are allowed (no mutations or deletions)");
    }
}

fn node_affinity(new: &Place, old: &Place, report: &mut Report) {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    let required = new.field(REQUIRED);
    let now = required.field("nodeSelectorTerms");
    let had = old.field(REQUIRED);
    let had = had.field("nodeSelectorTerms");
    if had.is_empty() {
        return;
    }
    if now.len() != had.len() {
        return report
            .invalid(&now, "no additions/deletions to non-empty NodeSelectorTerms list are allowed");
    }
    for (now, had) in now.items().zip(had.items()) {
        let was_empty = had.field("matchExpressions").is_empty() && had.field("matchFields").is_empty();
        let only_added = ["matchExpressions", "matchFields"].iter().all(|field| {
            let (now, had) = (now.field(field).list(), had.field(field).list());
            if was_empty {
                now.is_empty()
            } else {
                now.len() >= had.len() && now.iter().zip(had).all(|(a, b)| same(a, b))
            }
        });
        if !only_added {
            report.invalid(&now, "only additions are allowed (no mutations or deletions)");
        }
    }
}

/// The fields that changed and may not, one a line as `-` and `+`.
fn fixed_change(new: &Place, old: &Place, gated: bool) -> Option<String> {
    let empty = Map::new();
    let (now, before) = (new.map().unwrap_or(&empty), old.map().unwrap_or(&empty));
    let mut keys: Vec<&str> = now.keys().chain(before.keys()).map(String::as_str).collect();
    keys.sort_unstable();
    keys.dedup();
    let mut lines = String::new();
    for key in keys {
        let (a, b) = (before.get(key).unwrap_or(&Value::Null), now.get(key).unwrap_or(&Value::Null));
        let free = match key {
            "activeDeadlineSeconds" | "tolerations" | "schedulingGates" => true,
            "containers" | "initContainers" => same_but(a, b, "image"),
            "terminationGracePeriodSeconds" => {
                a.as_i64().is_some_and(|seconds| seconds < 0) && b.as_i64() == Some(1)
            }
            "nodeSelector" => gated,
            "affinity" => gated && same_object_but(a, b, "nodeAffinity"),
            _ => false,
        };
        if !free && !same(a, b) {
            lines.push_str(&format!("- \t{key}: {a},\n+ \t{key}: {b},\n"));
        }
    }
    (!lines.is_empty()).then_some(lines)
}

fn same_but(a: &Value, b: &Value, field: &str) -> bool {
    match (a.as_array(), b.as_array()) {
        (Some(a), Some(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_object_but(a, b, field))
        }
        _ => same(a, b),
    }
}

fn same_object_but(a: &Value, b: &Value, field: &str) -> bool {
    let empty = Map::new();
    let (a, b) = (a.as_object().unwrap_or(&empty), b.as_object().unwrap_or(&empty));
    let at = |of: &Map<String, Value>, key: &str| of.get(key).cloned().unwrap_or(Value::Null);
    a.keys().chain(b.keys()).filter(|key| *key != field).all(|key| {
        let alone = |of| Value::Object(Map::from_iter([(key.clone(), at(of, key))]));
        same(&alone(a), &alone(b))
    })
}
