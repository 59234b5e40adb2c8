//! Rules of priority classes, runtime classes, leases and disruption budgets.

use super::names;
use super::place::Place;
use super::pod::{preemption_policy, toleration_list};
use super::report::Report;
use super::resources;
use super::same::same;
use super::selectors;
use super::workloads::{at_most_all, int_or_percent};

/// Priorities above are the system's.
const PRIORITY_MAX: i64 = 1_000_000_000;
/// The system's classes and their priorities.
const SYSTEM: [(&str, i64); 2] =
    [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];

/// A priority class.
pub(super) fn priority_class(object: &Place, report: &mut Report) {
    let metadata = object.field("metadata");
    let (name, value) = (metadata.field("name"), object.field("value"));
    if name.as_text().starts_with("system-") {
        let problem = match SYSTEM.iter().find(|(known, _)| *known == name.as_text()) {
            None => Some(format!("{} is not a known system priority class", name.as_text())),
            Some((known, priority)) if *priority != object.number("value") => {
                Some(format!("value of {known} PriorityClass must be {priority}"))
            }
            Some((known, _)) if object.flag("globalDefault") => {
                Some(format!("globalDefault of {known} PriorityClass must be false"))
            }
            Some(_) => None,
        };
        if let Some(problem) = problem {
            let detail = format!(
                "priority class names with 'system-' prefix are reserved for system use only. error: {problem}"
            );
            report.forbidden(&name, &detail);
        }
    } else if object.number("value") > PRIORITY_MAX {
        report.forbidden(
            &value,
            &format!("maximum allowed value of a user defined priority is {PRIORITY_MAX}"),
        );
    }
    if object.has("preemptionPolicy") {
        preemption_policy(&object.field("preemptionPolicy"), report);
    }
}

pub(super) fn priority_class_changes(new: &Place, old: &Place, report: &mut Report) {
    if new.number("value") != old.number("value") {
        report.forbidden(&new.field("value"), "may not be changed in an update.");
    }
    report.immutable(&new.field("preemptionPolicy"), &old.field("preemptionPolicy"));
}

/// A runtime class.
pub(super) fn runtime_class(object: &Place, report: &mut Report) {
    let handler = object.field("handler");
    report.problems(&handler, names::dns1123_label(handler.as_text()));
    let overhead = object.field("overhead");
    let fixed = overhead.field("podFixed");
    let limits = fixed.named("limits");
    for (name, entry) in limits.entries() {
        resources::container_resource_name(&entry, name, report);
        resources::amount(&entry, name, report);
    }
    let scheduling = object.field("scheduling");
    selectors::labels(&scheduling.field("nodeSelector"), report);
    let tolerations = scheduling.field("tolerations");
    toleration_list(&tolerations, report);
    for (index, one) in tolerations.items().enumerate() {
        let earlier = tolerations.list().iter().take(index).any(|other| same(other, one.value()));
        if earlier {
            report.duplicate(&one);
        }
    }
}

pub(super) fn runtime_class_changes(new: &Place, old: &Place, report: &mut Report) {
    report.immutable(&new.field("handler"), &old.field("handler"));
}

/// A lease.
pub(super) fn lease(object: &Place, report: &mut Report) {
    let spec = object.field("spec");
    let duration = spec.field("leaseDurationSeconds");
    if duration.as_number().is_some_and(|seconds| seconds <= 0) {
        report.invalid(&duration, "must be greater than 0");
    }
    let transitions = spec.field("leaseTransitions");
    if transitions.as_number().is_some_and(|count| count < 0) {
        report.invalid(&transitions, "must be greater than or equal to 0");
    }
    let strategy = spec.field("strategy");
    if !strategy.is_set() {
        return;
    }
    match strategy.as_text().split_once('/') {
        None if strategy.as_text() == "OldestEmulationVersion" => {}
        None => report.unsupported(&strategy, &["OldestEmulationVersion"]),
        Some(_) => report.problems(&strategy, names::qualified_name(strategy.as_text())),
    }
    if spec.has("preferredHolder") && strategy.is_empty() {
        report.forbidden(&spec.field("preferredHolder"), "may only be specified when `strategy` is defined");
    }
}

/// A disruption budget.
pub(super) fn budget(object: &Place, report: &mut Report) {
    let spec = object.field("spec");
    let (available, unavailable) = (spec.field("minAvailable"), spec.field("maxUnavailable"));
    if available.is_set() && unavailable.is_set() {
        report.invalid(&spec, "minAvailable and maxUnavailable cannot be both set");
    }
    for one in [available, unavailable].iter().filter(|one| one.is_set()) {
        int_or_percent(one, report);
        at_most_all(one, report);
    }
    selectors::label_selector(&spec.field("selector"), report);
    report.optional_of(&spec.field("unhealthyPodEvictionPolicy"), &["AlwaysAllow", "IfHealthyBudget"]);
}

/// What may be written to a budget's status.
pub(super) fn budget_status(new: &Place, _old: &Place, report: &mut Report) {
    let status = new.field("status");
    for field in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
        report.not_negative(&status.field(field));
    }
}
