//! Rules of autoscalers, in both versions.

use super::names;
use super::place::Place;
use super::report::Report;
use super::resources;

/// Seconds that a policy looks back, and that a decision waits, at most.
const PERIOD_MAX_S: i64 = 1800;
const WINDOW_MAX_S: i64 = 3600;
const POSITIVE: &str = "must be greater than zero";

/// An autoscaler of either version.
pub(super) fn autoscaler(object: &Place, report: &mut Report) {
    let spec = object.field("spec");
    let (min, max) = (spec.field("minReplicas"), spec.field("maxReplicas"));
    let most = max.as_number().unwrap_or(0);
    if min.as_number().is_some_and(|min| min < 1) {
        report.invalid(&min, "must be greater than or equal to 1");
    }
    if most < 1 {
        report.invalid_number(&max, "must be greater than 0");
    }
    if min.as_number().is_some_and(|min| most < min) {
        report.invalid_number(&max, "must be greater than or equal to `minReplicas`");
    }
    reference(&spec.field("scaleTargetRef"), report);
    for metric in spec.field("metrics").items() {
        metric_spec(&metric, report);
    }
    // The first version says its one metric here.
    let utilization = spec.field("targetCPUUtilizationPercentage");
    if utilization.as_number().is_some_and(|percent| percent < 1) {
        report.invalid(&utilization, "must be greater than 0");
    }
    let behavior = spec.field("behavior");
    for direction in ["scaleUp", "scaleDown"] {
        let rules = behavior.field(direction);
        if rules.is_set() {
            scaling_rules(&rules, report);
        }
    }
}

fn reference(at: &Place, report: &mut Report) {
    for field in ["kind", "name"] {
        let part = at.field(field);
        if part.is_empty() {
            report.required(&part, "");
        } else {
            report.problems(&part, names::path_segment(part.as_text()));
        }
    }
}

fn scaling_rules(at: &Place, report: &mut Report) {
    let window = at.field("stabilizationWindowSeconds");
    if window.as_number().is_some_and(|seconds| seconds < 0) {
        report.invalid(&window, "must be greater than or equal to zero");
    }
    if window.as_number().is_some_and(|seconds| seconds > WINDOW_MAX_S) {
        report.invalid(&window, &format!("must be less than or equal to {WINDOW_MAX_S}"));
    }
    report.optional_of(&at.field("selectPolicy"), &["Disabled", "Max", "Min"]);
    let policies = at.field("policies");
    if policies.is_empty() {
        report.required(&policies, "must specify at least one Policy");
    }
    for policy in policies.items() {
        let known = ["Percent", "Pods"];
        if !known.contains(&policy.text("type")) {
            report.unsupported(&policy.field("type"), &known);
        }
        for field in ["value", "periodSeconds"] {
            if policy.number(field) <= 0 {
                report.invalid_number(&policy.field(field), POSITIVE);
            }
        }
        if policy.number("periodSeconds") > PERIOD_MAX_S {
            report.invalid(
                &policy.field("periodSeconds"),
                &format!("must be less than or equal to {PERIOD_MAX_S}"),
            );
        }
    }
    let tolerance = at.field("tolerance");
    if tolerance.as_quantity().is_some_and(|tolerance| tolerance.sign() < 0) {
        report.invalid(&tolerance, "must be greater than or equal to 0");
    }
}

/// The kinds of metrics: name and field.
const METRICS: [(&str, &str); 5] = [
    ("Object", "object"),
    ("External", "external"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
];

fn metric_spec(at: &Place, report: &mut Report) {
    const KNOWN: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];
    let kind = at.field("type");
    if kind.is_empty() {
        report.required(&kind, "must specify a metric source type");
    }
    if !KNOWN.contains(&kind.as_text()) {
        report.unsupported(&kind, &KNOWN);
    }
    let mut found = 0;
    for (name, field) in METRICS.iter().filter(|(_, field)| at.has(field)) {
        found += 1;
        if found == 1 {
            source(&at.field(field), name, report);
        }
    }
    let expected = METRICS.iter().find(|(name, _)| *name == kind.as_text());
    if let Some((_, field)) = expected.filter(|(_, field)| !at.has(field)) {
        report.required(&at.field(field), "must populate information for the given metric source");
    }
    if found != 1 {
        for (_, field) in METRICS.iter().filter(|metric| Some(*metric) != expected && at.has(metric.1)) {
            report.forbidden(&at.field(field), "must populate the given metric source only");
        }
    }
}

fn source(at: &Place, kind: &str, report: &mut Report) {
    let target = at.field("target");
    match kind {
        "Resource" | "ContainerResource" => {
            let name = at.field("name");
            if name.is_empty() {
                report.required(&name, "must specify a resource name");
            } else if kind == "ContainerResource" {
                resources::container_resource_name(&name, name.as_text(), report);
            }
            if kind == "ContainerResource" {
                let container = at.field("container");
                if container.is_empty() {
                    report.required(&container, "must specify a container");
                } else {
                    report.problems(&container, names::dns1123_label(container.as_text()));
                }
            }
        }
        _ => {
            if kind == "Object" {
                reference(&at.field("describedObject"), report);
            }
            let metric = at.field("metric");
            let name = metric.field("name");
            if name.is_empty() {
                report.required(&name, "must specify a metric name");
            } else {
                report.problems(&name, names::path_segment(name.as_text()));
            }
        }
    }
    target_amounts(&target, report);
    chosen_amount(&target, kind, report);
}

fn target_amounts(at: &Place, report: &mut Report) {
    let kind = at.field("type");
    if kind.is_empty() {
        report.required(&kind, "must specify a metric target type");
    }
    if !matches!(kind.as_text(), "Utilization" | "Value" | "AverageValue") {
        report.invalid_text(&kind, "must be either Utilization, Value, or AverageValue");
    }
    for field in ["value", "averageValue"] {
        let amount = at.field(field);
        if amount.as_quantity().is_some_and(|quantity| quantity.sign() != 1) {
            report.invalid(&amount, "must be positive");
        }
    }
    let utilization = at.field("averageUtilization");
    if utilization.as_number().is_some_and(|percent| percent < 1) {
        report.invalid(&utilization, "must be greater than 0");
    }
}

fn chosen_amount(at: &Place, kind: &str, report: &mut Report) {
    let has = |field: &str| at.has(field);
    let (required, detail) = match kind {
        "Object" if !has("value") && !has("averageValue") => {
            ("averageValue", "must set either a target value or averageValue")
        }
        "External" if !has("value") && !has("averageValue") => {
            ("averageValue", "must set either a target value for metric or a per-pod target")
        }
        "Pods" if !has("averageValue") => ("averageValue", "must specify a positive target averageValue"),
        "Resource" | "ContainerResource" if !has("averageUtilization") && !has("averageValue") => {
            ("averageUtilization", "must set either a target raw value or a target utilization")
        }
        _ => ("", ""),
    };
    if !required.is_empty() {
        report.required(&at.field(required), detail);
    }
    match kind {
        "External" if has("value") && has("averageValue") => {
            report.forbidden(
                &at.field("value"),
                "may not set both a target value for metric and a per-pod target",
            );
        }
        "Resource" | "ContainerResource" if has("averageUtilization") && has("averageValue") => {
            report.forbidden(
                &at.field("averageValue"),
                "may not set both a target raw value and a target utilization",
            );
        }
        _ => {}
    }
}

/// What may be written to an autoscaler's status.
pub(super) fn status(new: &Place, _old: &Place, report: &mut Report) {
    let status = new.field("status");
    for field in ["currentReplicas", "desiredReplicas"] {
        report.not_negative(&status.field(field));
    }
}
