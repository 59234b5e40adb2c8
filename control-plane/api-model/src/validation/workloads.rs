//! Rules of deployments, replica sets, daemon sets, stateful sets and replication controllers.

use super::pod;
use super::report::{Report, at, list, map, number, spec, text};
use crate::cause::Cause;
use crate::path::FieldPath;
use crate::selector::LabelSelector;
use serde_json::{Map, Value};

pub(super) fn deployment(o: &Value, report: &mut Report) {
    let (path, spec) = spec(o);
    selected_template(spec, &path, "deployment", report);
    replicas(spec, &path, report);
    report.not_negative(&path.child("revisionHistoryLimit"), spec.get("revisionHistoryLimit"));
    let (progress, ready) =
        (number(spec, "progressDeadlineSeconds"), number(spec, "minReadySeconds").unwrap_or(0));
    if let Some(progress) = progress {
        report.not_negative(&path.child("progressDeadlineSeconds"), spec.get("progressDeadlineSeconds"));
        if progress <= ready {
            report.invalid(
                &path.child("progressDeadlineSeconds"),
                &progress.into(),
                "must be greater than minReadySeconds",
            );
        }
    }
    let (strategy, path) = (at(spec, "/strategy"), path.child("strategy"));
    match text(strategy, "type") {
        "Recreate" if strategy.get("rollingUpdate").is_some_and(|r| !r.is_null()) => {
            report.forbidden(
                &path.child("rollingUpdate"),
                "may not be specified when strategy `type` is 'Recreate'",
            );
        }
        "Recreate" => {}
        "RollingUpdate" => rolling(at(strategy, "/rollingUpdate"), &path.child("rollingUpdate"), report),
        other => report.push(Cause::unsupported(
            &path.child("type"),
            &other.into(),
            &["Recreate", "RollingUpdate"],
        )),
    }
}

pub(super) fn replica_set(o: &Value, report: &mut Report) {
    let (path, spec) = spec(o);
    selected_template(spec, &path, "deployment", report);
    replicas(spec, &path, report);
}

pub(super) fn daemon_set(o: &Value, report: &mut Report) {
    let (path, spec) = spec(o);
    selected_template(spec, &path, "daemonset", report);
    report.not_negative(&path.child("minReadySeconds"), spec.get("minReadySeconds"));
    report.not_negative(&path.child("revisionHistoryLimit"), spec.get("revisionHistoryLimit"));
    let (strategy, path) = (at(spec, "/updateStrategy"), path.child("updateStrategy"));
    match text(strategy, "type") {
        "OnDelete" => {}
        "RollingUpdate" => rolling(at(strategy, "/rollingUpdate"), &path.child("rollingUpdate"), report),
        other => report.push(Cause::unsupported(
            &path.child("type"),
            &other.into(),
            &["OnDelete", "RollingUpdate"],
        )),
    }
}

pub(super) fn stateful_set(o: &Value, report: &mut Report) {
    let (path, spec) = spec(o);
    selected_template(spec, &path, "statefulset", report);
    replicas(spec, &path, report);
    let policies = ["OrderedReady", "Parallel"];
    report.one_of(&path.child("podManagementPolicy"), spec.get("podManagementPolicy"), &policies, true);
    let (strategy, at) = (at(spec, "/updateStrategy"), path.child("updateStrategy"));
    report.one_of(&at.child("type"), strategy.get("type"), &["OnDelete", "RollingUpdate"], true);
    if let Some(partition) = strategy.pointer("/rollingUpdate/partition") {
        report.not_negative(&at.child("rollingUpdate").child("partition"), Some(partition));
    }
}

pub(super) fn replication_controller(o: &Value, report: &mut Report) {
    let (path, spec) = spec(o);
    replicas(spec, &path, report);
    let selector = map(spec, "selector");
    if selector.is_none_or(Map::is_empty) {
        report.required(&path.child("selector"), "");
    }
    match spec.get("template").filter(|t| !t.is_null()) {
        None => report.required(&path.child("template"), ""),
        Some(template) => {
            let at = path.child("template");
            let labels = template.pointer("/metadata/labels");
            if !LabelSelector::from_labels(spec.get("selector")).matches(labels.and_then(Value::as_object)) {
                let detail = "`selector` does not match template `labels`";
                report.invalid(&at.child("metadata").child("labels"), labels.unwrap_or(&Value::Null), detail);
            }
            always_restarts(template, &at, report);
            pod::template(template, &at, report);
        }
    }
}

pub(super) fn stateful_set_changes(new: &Value, old: &Value, report: &mut Report) {
    const FIXED: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
    const FREE: [&str; 7] = [
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];
    let fixed = |o: &Value| -> Map<String, Value> {
        let spec = map(o, "spec").into_iter().flatten().filter(|(key, _)| !FREE.contains(&key.as_str()));
        spec.map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    if fixed(new) != fixed(old) {
        report.forbidden(&FieldPath::new("spec"), FIXED);
    }
}

fn replicas(spec: &Value, path: &FieldPath, report: &mut Report) {
    report.not_negative(&path.child("replicas"), spec.get("replicas"));
    report.not_negative(&path.child("minReadySeconds"), spec.get("minReadySeconds"));
}

/// A selector that is there, is not empty and selects what the template makes.
fn selected_template(spec: &Value, path: &FieldPath, kind: &str, report: &mut Report) {
    let at = path.child("selector");
    let selector = spec.get("selector").filter(|s| !s.is_null());
    match selector {
        None => report.required(&at, ""),
        Some(selector) => label_selector(selector, &at, report),
    }
    if let Some(selector) = selector.filter(|s| is_empty_selector(s)) {
        report.invalid(&at, selector, &format!("empty selector is invalid for {kind}"));
    }
    let template = spec.get("template").unwrap_or(&Value::Null);
    let path = path.child("template");
    let labels = template.pointer("/metadata/labels");
    if let Some(Ok(parsed)) = selector.map(|s| LabelSelector::from_object(Some(s)))
        && !parsed.is_everything()
        && !parsed.matches(labels.and_then(Value::as_object))
    {
        let shown = labels.cloned().unwrap_or(Value::Null);
        let detail = "`selector` does not match template `labels`";
        report.invalid(&path.child("metadata").child("labels"), &shown, detail);
    }
    // The template of a stateful set mounts volumes that only its pods get, from claims: those pods are judged instead.
    if kind == "statefulset" {
        super::metadata::labels(labels, &path.child("metadata").child("labels"), report);
    } else {
        pod::template(template, &path, report);
    }
    always_restarts(template, &path, report);
}

fn always_restarts(template: &Value, path: &FieldPath, report: &mut Report) {
    let policy = template.pointer("/spec/restartPolicy").unwrap_or(&Value::Null);
    if matches!(policy.as_str(), Some("Never" | "OnFailure")) {
        report.push(Cause::unsupported(&path.child("spec").child("restartPolicy"), policy, &["Always"]));
    }
}

pub(super) fn is_empty_selector(selector: &Value) -> bool {
    map(selector, "matchLabels").is_none_or(Map::is_empty) && list(selector, "matchExpressions").is_empty()
}

/// A `LabelSelector` object.
pub(super) fn label_selector(selector: &Value, path: &FieldPath, report: &mut Report) {
    super::metadata::labels(selector.get("matchLabels"), &path.child("matchLabels"), report);
    for (index, expression) in list(selector, "matchExpressions").iter().enumerate() {
        let at = path.child("matchExpressions").index(index);
        let values = list(expression, "values");
        match text(expression, "operator") {
            "In" | "NotIn" if values.is_empty() => {
                report.required(&at.child("values"), "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                report.forbidden(&at.child("values"), detail);
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => {
                report.push(Cause::invalid_str(&at.child("operator"), other, "not a valid selector operator"))
            }
        }
        let key = text(expression, "key");
        report.problems(&at.child("key"), key, super::names::qualified_name(key));
    }
}

/// Whole numbers or percentages; both zero would never progress.
fn rolling(update: &Value, path: &FieldPath, report: &mut Report) {
    for field in ["maxUnavailable", "maxSurge"] {
        let Some(value) = update.get(field) else { continue };
        let at = path.child(field);
        match value {
            Value::String(text) => match percent(text) {
                None => {
                    let detail = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
                    report.push(Cause::invalid_str(&at, text, detail));
                }
                Some(percent) if percent > 100 && field == "maxUnavailable" => {
                    report.push(Cause::invalid_str(&at, text, "must not be greater than 100%"));
                }
                Some(_) => {}
            },
            other => report.not_negative(&at, Some(other)),
        }
    }
    let zero = |field: &str| match update.get(field) {
        Some(Value::String(text)) => percent(text) == Some(0),
        Some(value) => value.as_i64() == Some(0),
        None => false,
    };
    if zero("maxUnavailable") && zero("maxSurge") {
        let value = update.get("maxUnavailable").unwrap_or(&Value::Null);
        report.invalid(&path.child("maxUnavailable"), value, "may not be 0 when `maxSurge` is 0");
    }
}

fn percent(text: &str) -> Option<u64> {
    let digits = text.strip_suffix('%')?;
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}
