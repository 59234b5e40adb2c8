//! Rules of pods and pod templates.

use super::report::{Report, at, list, number, spec, text};
use super::{container, metadata, names, volumes};
use crate::cause::Cause;
use crate::path::FieldPath;
use serde_json::Value;

pub(super) fn pod(object: &Value, report: &mut Report) {
    let (path, spec) = spec(object);
    pod_spec(spec, &path, report);
}

/// A controller's pod template.
pub(super) fn template(template: &Value, path: &FieldPath, report: &mut Report) {
    metadata::labels(template.pointer("/metadata/labels"), &path.child("metadata").child("labels"), report);
    pod_spec(at(template, "/spec"), &path.child("spec"), report);
    if !list(at(template, "/spec"), "ephemeralContainers").is_empty() {
        report.forbidden(
            &path.child("spec").child("ephemeralContainers"),
            "ephemeral containers not allowed in pod template",
        );
    }
}

pub(super) fn pod_spec(spec: &Value, path: &FieldPath, report: &mut Report) {
    let volumes = volumes::volumes(spec, path, report);
    container::containers(spec, path, &volumes, report);
    report.one_of(
        &path.child("restartPolicy"),
        spec.get("restartPolicy"),
        &["Always", "Never", "OnFailure"],
        true,
    );
    report.one_of(
        &path.child("dnsPolicy"),
        spec.get("dnsPolicy"),
        &["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"],
        true,
    );
    report.not_negative(
        &path.child("terminationGracePeriodSeconds"),
        spec.get("terminationGracePeriodSeconds"),
    );
    if let Some(seconds) = spec.get("activeDeadlineSeconds").filter(|v| v.as_i64().is_some_and(|n| n < 1)) {
        report.invalid(
            &path.child("activeDeadlineSeconds"),
            seconds,
            "must be between 1 and 2147483647, inclusive",
        );
    }
    for (field, check) in [
        ("nodeName", names::dns1123_subdomain as fn(&str) -> Vec<String>),
        ("serviceAccountName", names::dns1123_subdomain),
        ("priorityClassName", names::dns1123_subdomain),
        ("runtimeClassName", names::dns1123_subdomain),
        ("hostname", names::dns1123_label),
        ("subdomain", names::dns1123_label),
    ] {
        let value = text(spec, field);
        if !value.is_empty() {
            report.problems(&path.child(field), value, check(value));
        }
    }
    metadata::labels(spec.get("nodeSelector"), &path.child("nodeSelector"), report);
    if text(spec, "dnsPolicy") == "None" && list(at(spec, "/dnsConfig"), "nameservers").is_empty() {
        let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        report.required(&path.child("dnsConfig").child("nameservers"), detail);
    }
    tolerations(spec, path, report);
    spread(spec, path, report);
    affinity(at(spec, "/affinity"), &path.child("affinity"), report);
}

fn tolerations(spec: &Value, path: &FieldPath, report: &mut Report) {
    for (index, toleration) in list(spec, "tolerations").iter().enumerate() {
        let at = path.child("tolerations").index(index);
        let (key, operator, effect) =
            (text(toleration, "key"), text(toleration, "operator"), text(toleration, "effect"));
        if key.is_empty() {
            if operator != "Exists" {
                let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
                report.push(Cause::invalid_str(&at.child("operator"), operator, detail));
            }
        } else {
            report.problems(&at.child("key"), key, names::qualified_name(key));
        }
        if toleration.get("tolerationSeconds").is_some_and(|s| !s.is_null()) && effect != "NoExecute" {
            let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            report.push(Cause::invalid_str(&at.child("effect"), effect, detail));
        }
        match operator {
            "" | "Equal" => {
                let value = text(toleration, "value");
                report.problems(&at.child("operator"), value, names::label_value(value));
            }
            "Exists" if !text(toleration, "value").is_empty() => {
                let detail = "value must be empty when `operator` is 'Exists'";
                report.push(Cause::invalid_str(&at.child("operator"), operator, detail));
            }
            "Exists" => {}
            _ => report.one_of(&at.child("operator"), toleration.get("operator"), &["Equal", "Exists"], true),
        }
        if !effect.is_empty() {
            let allowed = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
            report.one_of(&at.child("effect"), toleration.get("effect"), &allowed, false);
        }
    }
}

fn spread(spec: &Value, path: &FieldPath, report: &mut Report) {
    for (index, constraint) in list(spec, "topologySpreadConstraints").iter().enumerate() {
        let at = path.child("topologySpreadConstraints").index(index);
        if number(constraint, "maxSkew").unwrap_or(0) <= 0 {
            let skew = constraint.get("maxSkew").cloned().unwrap_or(0.into());
            report.invalid(&at.child("maxSkew"), &skew, "must be greater than zero");
        }
        if text(constraint, "topologyKey").is_empty() {
            report.required(&at.child("topologyKey"), "can not be empty");
        }
        let allowed = ["DoNotSchedule", "ScheduleAnyway"];
        report.one_of(&at.child("whenUnsatisfiable"), constraint.get("whenUnsatisfiable"), &allowed, true);
    }
}

fn affinity(affinity: &Value, path: &FieldPath, report: &mut Report) {
    for kind in ["podAffinity", "podAntiAffinity"] {
        let (rules, at) = (affinity.get(kind).unwrap_or(&Value::Null), path.child(kind));
        let required = "requiredDuringSchedulingIgnoredDuringExecution";
        for (index, term) in list(rules, required).iter().enumerate() {
            pod_term(term, &at.child(required).index(index), report);
        }
        let preferred = "preferredDuringSchedulingIgnoredDuringExecution";
        for (index, weighted) in list(rules, preferred).iter().enumerate() {
            let at = at.child(preferred).index(index);
            weight(weighted, &at, report);
            let term = weighted.get("podAffinityTerm").unwrap_or(&Value::Null);
            pod_term(term, &at.child("podAffinityTerm"), report);
        }
    }
    let node = affinity.get("nodeAffinity").unwrap_or(&Value::Null);
    if let Some(required) =
        node.get("requiredDuringSchedulingIgnoredDuringExecution").filter(|r| !r.is_null())
    {
        let at = path.child("nodeAffinity").child("requiredDuringSchedulingIgnoredDuringExecution");
        if list(required, "nodeSelectorTerms").is_empty() {
            report.required(&at.child("nodeSelectorTerms"), "must have at least one node selector term");
        }
    }
}

fn weight(weighted: &Value, path: &FieldPath, report: &mut Report) {
    let weight = number(weighted, "weight").unwrap_or(0);
    if !(1..=100).contains(&weight) {
        report.invalid(&path.child("weight"), &weight.into(), "must be in the range 1-100");
    }
}

fn pod_term(term: &Value, path: &FieldPath, report: &mut Report) {
    let key = text(term, "topologyKey");
    if key.is_empty() {
        report.required(&path.child("topologyKey"), "can not be empty");
    } else {
        report.problems(&path.child("topologyKey"), key, names::qualified_name(key));
    }
}
