//! Rules of nodes, leases, priority classes, autoscalers and disruption budgets.

use super::report::{Report, list, number, spec, text};
use super::workloads;
use crate::cause::Cause;
use crate::path::FieldPath;
use serde_json::Value;

pub(super) fn node_changes(new: &Value, old: &Value, report: &mut Report) {
    let path = FieldPath::new("spec");
    let at = |o: &Value, field: &str| o.pointer(&format!("/spec/{field}")).cloned().unwrap_or(Value::Null);
    for field in ["providerID", "podCIDR"] {
        let (now, before) = (at(new, field), at(old, field));
        let unset = before.is_null() || before == "";
        if !unset && now != before {
            let detail = match field {
                "providerID" => "node updates may not change providerID except from \"\" to valid",
                _ => "node updates may not change podCIDR except from \"\" to valid",
            };
            report.forbidden(&path.child(field), detail);
        }
    }
    let taints = new.pointer("/spec/taints").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut seen = std::collections::BTreeSet::new();
    for (index, taint) in taints.iter().enumerate() {
        let at = path.child("taints").index(index);
        let allowed = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
        report.one_of(&at.child("effect"), taint.get("effect"), &allowed, true);
        let key = text(taint, "key");
        report.problems(&at.child("key"), key, super::names::qualified_name(key));
        if !seen.insert((key, text(taint, "effect"))) {
            let mut cause = Cause::duplicate(&at, taint);
            cause.message.push_str(": taints must be unique by key and effect pair");
            report.push(cause);
        }
    }
}

pub(super) fn lease(o: &Value, report: &mut Report) {
    let (path, spec) = spec(o);
    report.positive(&path.child("leaseDurationSeconds"), spec.get("leaseDurationSeconds"));
    report.not_negative(&path.child("leaseTransitions"), spec.get("leaseTransitions"));
}

/// Priorities above are the system's.
const HIGHEST: i64 = 1_000_000_000;

pub(super) fn priority_class(o: &Value, report: &mut Report) {
    let name = o.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let known = matches!(name, "system-node-critical" | "system-cluster-critical");
    if name.starts_with("system-") && !known {
        let detail = "priority class names with 'system-' prefix are reserved for system use only. error: only system-node-critical and system-cluster-critical are allowed";
        report.forbidden(&FieldPath::new("metadata.name"), detail);
    }
    if !known && number(o, "value").unwrap_or(0) > HIGHEST {
        let detail = format!("maximum allowed value of a user defined priority is {HIGHEST}");
        report.forbidden(&FieldPath::new("value"), &detail);
    }
    report.one_of(
        &FieldPath::new("preemptionPolicy"),
        o.get("preemptionPolicy"),
        &["Never", "PreemptLowerPriority"],
        false,
    );
}

pub(super) fn priority_class_changes(new: &Value, old: &Value, report: &mut Report) {
    for field in ["value", "preemptionPolicy"] {
        if new.get(field) != old.get(field) {
            report.forbidden(&FieldPath::new(field), "may not be changed in an update.");
        }
    }
}

pub(super) fn autoscaler(o: &Value, report: &mut Report) {
    let (path, spec) = spec(o);
    let (min, max) = (number(spec, "minReplicas"), number(spec, "maxReplicas").unwrap_or(0));
    if let Some(min) = min.filter(|n| *n < 1) {
        report.invalid(&path.child("minReplicas"), &min.into(), "must be greater than or equal to 1");
    }
    if max < 1 {
        report.invalid(&path.child("maxReplicas"), &max.into(), "must be greater than 0");
    }
    if min.is_some_and(|min| max < min) {
        report.invalid(
            &path.child("maxReplicas"),
            &max.into(),
            "must be greater than or equal to `minReplicas`",
        );
    }
    let target = spec.get("scaleTargetRef").unwrap_or(&Value::Null);
    for field in ["kind", "name"] {
        if text(target, field).is_empty() {
            report.required(&path.child("scaleTargetRef").child(field), "");
        }
    }
    for (index, metric) in list(spec, "metrics").iter().enumerate() {
        let kinds = ["ContainerResource", "External", "Object", "Pods", "Resource"];
        report.one_of(&path.child("metrics").index(index).child("type"), metric.get("type"), &kinds, true);
    }
}

pub(super) fn budget(o: &Value, report: &mut Report) {
    let (path, spec) = spec(o);
    let has = |field: &str| spec.get(field).is_some_and(|v| !v.is_null());
    if has("minAvailable") && has("maxUnavailable") {
        report.invalid(&path, spec, "minAvailable and maxUnavailable cannot be both set");
    }
    for field in ["minAvailable", "maxUnavailable"] {
        report.not_negative(&path.child(field), spec.get(field));
    }
    if let Some(selector) = spec.get("selector").filter(|s| !s.is_null()) {
        workloads::label_selector(selector, &path.child("selector"), report);
    }
}
