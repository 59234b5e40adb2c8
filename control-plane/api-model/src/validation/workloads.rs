//! Rules of deployments, replica sets, daemon sets, stateful sets, replication controllers and revisions.

use super::names;
use super::place::Place;
use super::pod;
use super::report::{Report, internal};
use super::selectors;
use super::storage::changed_fields;
use crate::selector::LabelSelector;
use serde_json::Value;

/// A deployment.
pub(super) fn deployment(object: &Place, report: &mut Report) {
    let spec = object.field("spec");
    report.not_negative(&spec.field("replicas"));
    selector(&spec, "deployment", report);
    template(&spec, "ReplicaSet", report);
    let strategy = spec.field("strategy");
    let update = strategy.field("rollingUpdate");
    match strategy.text("type") {
        "Recreate" if update.is_set() => {
            report.forbidden(&update, "may not be specified when strategy `type` is 'Recreate'");
        }
        "Recreate" => {}
        "RollingUpdate" if !update.is_set() => {
            report.required(&update, "this should be defaulted and never be nil")
        }
        "RollingUpdate" => rolling_deployment(&update, report),
        kind => report.unsupported_shown(
            &strategy,
            &shown_strategy(kind, &update),
            &["Recreate", "RollingUpdate"],
        ),
    }
    for field in ["minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"] {
        report.not_negative(&spec.field(field));
    }
    let deadline = spec.field("progressDeadlineSeconds");
    if deadline.as_number().is_some_and(|seconds| seconds <= spec.number("minReadySeconds")) {
        report.invalid(&deadline, "must be greater than minReadySeconds");
    }
}

fn shown_strategy(kind: &str, update: &Place) -> String {
    internal(&[("Type", kind.into()), ("RollingUpdate", update.value().clone())])
}

fn rolling_deployment(at: &Place, report: &mut Report) {
    let (unavailable, surge) = (at.field("maxUnavailable"), at.field("maxSurge"));
    int_or_percent(&unavailable, report);
    int_or_percent(&surge, report);
    if amount_of(&unavailable) == 0 && amount_of(&surge) == 0 {
        report.invalid(&unavailable, "may not be 0 when `maxSurge` is 0");
    }
    at_most_all(&unavailable, report);
}

/// A whole number that is not negative, or a percentage.
pub(super) fn int_or_percent(at: &Place, report: &mut Report) {
    match at.value() {
        Value::String(text) => report.problems(at, names::percent(text)),
        _ => report.not_negative(at),
    }
}

/// The number, or the percentage.
fn amount_of(at: &Place) -> i64 {
    match at.value() {
        Value::String(text) => text.strip_suffix('%').and_then(|digits| digits.parse().ok()).unwrap_or(0),
        _ => at.as_number().unwrap_or(0),
    }
}

/// A percentage of at most a hundred.
pub(super) fn at_most_all(at: &Place, report: &mut Report) {
    if names::percent(at.as_text()).is_empty() && amount_of(at) > 100 {
        report.invalid(at, "must not be greater than 100%");
    }
}

/// A selector that is there and selects something in particular.
fn selector(spec: &Place, kind: &str, report: &mut Report) {
    let at = spec.field("selector");
    if !at.is_set() {
        return report.required(&at, "");
    }
    selectors::label_selector(&at, report);
    if selectors::is_empty(&at) {
        report.invalid(&at, &format!("empty selector is invalid for {kind}"));
    }
}

fn labels_match(spec: &Place, report: &mut Report) -> bool {
    let at = spec.field("selector");
    let template = spec.field("template");
    let metadata = template.field("metadata");
    let labels = metadata.field("labels");
    match selectors::selects(&at, labels.value()) {
        None => {
            report.invalid(&at, "invalid label selector");
            return false;
        }
        Some(false) if at.is_set() && !selectors::is_empty(&at) => {
            report.invalid_collection(&labels, "`selector` does not match template `labels`");
        }
        Some(_) => {}
    }
    true
}

fn template(spec: &Place, kind: &str, report: &mut Report) {
    if !labels_match(spec, report) {
        return;
    }
    let at = spec.field("template");
    pod::template(&at, report);
    runs_for_ever(&at, kind, report);
}

/// Pods that are replaced when they end.
fn runs_for_ever(template: &Place, kind: &str, report: &mut Report) {
    let spec = template.field("spec");
    if spec.text("restartPolicy") != "Always" {
        report.unsupported(&spec.field("restartPolicy"), &["Always"]);
    }
    if spec.has("activeDeadlineSeconds") {
        let detail = format!("activeDeadlineSeconds in {kind} is not Supported");
        report.forbidden(&spec.field("activeDeadlineSeconds"), &detail);
    }
}

/// A replica set.
pub(super) fn replica_set(object: &Place, report: &mut Report) {
    let spec = object.field("spec");
    report.not_negative(&spec.field("replicas"));
    report.not_negative(&spec.field("minReadySeconds"));
    selector(&spec, "deployment", report);
    template(&spec, "ReplicaSet", report);
}

/// A replication controller.
pub(super) fn replication_controller(object: &Place, report: &mut Report) {
    let spec = object.field("spec");
    report.not_negative(&spec.field("minReadySeconds"));
    let selector = spec.field("selector");
    if selector.is_empty() {
        report.required(&selector, "");
    }
    report.not_negative(&spec.field("replicas"));
    let at = spec.field("template");
    if !at.is_set() {
        return report.required(&at, "");
    }
    let metadata = at.field("metadata");
    let labels = metadata.field("labels");
    if !selector.is_empty() && !LabelSelector::from_labels(Some(selector.value())).matches(labels.map()) {
        report.invalid_collection(&labels, "`selector` does not match template `labels`");
    }
    pod::template(&at, report);
    runs_for_ever(&at, "ReplicationController", report);
}

/// A daemon set.
pub(super) fn daemon_set(object: &Place, report: &mut Report) {
    let spec = object.field("spec");
    let at = spec.field("selector");
    selectors::label_selector(&at, report);
    let template = spec.field("template");
    let metadata = template.field("metadata");
    let labels = metadata.field("labels");
    if selectors::selects(&at, labels.value()) == Some(false) {
        report.invalid_collection(&labels, "`selector` does not match template `labels`");
    }
    if at.is_set() && selectors::is_empty(&at) {
        report.invalid(&at, "empty selector is invalid for daemonset");
    }
    pod::template(&template, report);
    runs_for_ever(&template, "DaemonSet", report);
    report.not_negative(&spec.field("minReadySeconds"));
    let strategy = spec.field("updateStrategy");
    let update = strategy.field("rollingUpdate");
    match strategy.text("type") {
        "OnDelete" => {}
        "RollingUpdate" if !update.is_set() => report.required(&update, ""),
        "RollingUpdate" => rolling_daemons(&update, report),
        kind => report.unsupported_shown(
            &strategy,
            &shown_strategy(kind, &update),
            &["RollingUpdate", "OnDelete"],
        ),
    }
    report.not_negative(&spec.field("revisionHistoryLimit"));
}

fn rolling_daemons(at: &Place, report: &mut Report) {
    let (unavailable, surge) = (at.field("maxUnavailable"), at.field("maxSurge"));
    for one in [unavailable, surge] {
        int_or_percent(&one, report);
    }
    for one in [unavailable, surge] {
        at_most_all(&one, report);
    }
    match (amount_of(&unavailable) != 0, amount_of(&surge) != 0) {
        (true, true) => report.invalid(&surge, "may not be set when maxUnavailable is non-zero"),
        (false, false) => report.required(&unavailable, "cannot be 0 when maxSurge is 0"),
        _ => {}
    }
}

/// A stateful set.
pub(super) fn stateful_set(object: &Place, report: &mut Report) {
    let spec = object.field("spec");
    match spec.text("podManagementPolicy") {
        "" => report.required(&spec.field("podManagementPolicy"), ""),
        "OrderedReady" | "Parallel" => {}
        _ => report.invalid(&spec.field("podManagementPolicy"), "must be 'OrderedReady' or 'Parallel'"),
    }
    let strategy = spec.field("updateStrategy");
    let update = strategy.field("rollingUpdate");
    match strategy.text("type") {
        "" => report.required(&strategy, ""),
        "OnDelete" if update.is_set() => {
            let shown = internal(&[
                ("Partition", update.number("partition").into()),
                ("MaxUnavailable", update.field("maxUnavailable").value().clone()),
            ]);
            report.invalid_shown(&update, &shown, "only allowed for updateStrategy 'RollingUpdate'");
        }
        "OnDelete" => {}
        "RollingUpdate" => rolling_stateful(&update, report),
        kind => {
            let shown = shown_strategy(kind, &update);
            report.invalid_shown(&strategy, &shown, "must be 'RollingUpdate' or 'OnDelete'");
        }
    }
    let retention = spec.field("persistentVolumeClaimRetentionPolicy");
    if retention.is_set() {
        for field in ["whenDeleted", "whenScaled"] {
            let known = ["Retain", "Delete"];
            if !known.contains(&retention.text(field)) {
                report.unsupported(&retention.field(field), &known);
            }
        }
    }
    report.not_negative(&spec.field("replicas"));
    report.not_negative(&spec.field("minReadySeconds"));
    let ordinals = spec.field("ordinals");
    report.not_negative(&ordinals.field("start"));
    selector(&spec, "statefulset", report);
    let at = spec.field("template");
    if labels_match(&spec, report) {
        pod::template_metadata(&at, report);
    }
    runs_for_ever(&at, "StatefulSet", report);
}

fn rolling_stateful(at: &Place, report: &mut Report) {
    report.not_negative(&at.field("partition"));
    let unavailable = at.field("maxUnavailable");
    if unavailable.is_set() {
        int_or_percent(&unavailable, report);
        if amount_of(&unavailable) == 0 {
            report.invalid(&unavailable, "cannot be 0");
        }
        at_most_all(&unavailable, report);
    }
}

/// A changed stateful set.
pub(super) fn stateful_set_changes(new: &Place, old: &Place, report: &mut Report) {
    const FREE: [&str; 7] = [
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];
    let (at, had) = (new.field("spec"), old.field("spec"));
    if changed_fields(at.map(), had.map(), |key| FREE.contains(&key)).is_some() {
        let detail = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
        report.forbidden(&at, detail);
    }
}

/// A selector stays as it was made.
pub(super) fn selector_changes(new: &Place, old: &Place, report: &mut Report) {
    let (at, had) = (new.field("spec"), old.field("spec"));
    report.immutable(&at.field("selector"), &had.field("selector"));
}

/// A revision of a controller's template.
pub(super) fn revision(object: &Place, report: &mut Report) {
    if !object.has("data") {
        report.required(&object.field("data"), "data is mandatory");
    }
    report.not_negative(&object.field("revision"));
}

pub(super) fn revision_changes(new: &Place, old: &Place, report: &mut Report) {
    report.immutable(&new.field("data"), &old.field("data"));
}

/// A template by itself.
pub(super) fn pod_template(object: &Place, report: &mut Report) {
    pod::template(&object.field("template"), report);
}

/// Counts that a status may hold, each at most all of the replicas.
pub(super) fn replica_status(new: &Place, old: &Place, report: &mut Report) {
    const COUNTS: [&str; 9] = [
        "observedGeneration",
        "replicas",
        "fullyLabeledReplicas",
        "updatedReplicas",
        "readyReplicas",
        "currentReplicas",
        "availableReplicas",
        "unavailableReplicas",
        "terminatingReplicas",
    ];
    const PARTS: [&str; 5] =
        ["fullyLabeledReplicas", "updatedReplicas", "readyReplicas", "currentReplicas", "availableReplicas"];
    let status = new.field("status");
    for field in COUNTS.iter().chain(&["collisionCount"]) {
        report.not_negative(&status.field(field));
    }
    let all = status.number("replicas");
    for field in PARTS {
        if status.number(field) > all {
            report.invalid(&status.field(field), "cannot be greater than status.replicas");
        }
    }
    if status.number("availableReplicas") > status.number("readyReplicas") {
        let stateful = status.has("currentRevision") || status.has("currentReplicas");
        let detail = if stateful {
            "cannot be greater than status.readyReplicas"
        } else {
            "cannot be greater than readyReplicas"
        };
        report.invalid(&status.field("availableReplicas"), detail);
    }
    collisions(&status, &old.field("status"), report);
}

fn collisions(status: &Place, old: &Place, report: &mut Report) {
    let at = status.field("collisionCount");
    if let Some(before) = old.some_number("collisionCount")
        && at.as_number().is_none_or(|now| now < before)
    {
        report.invalid_number(&at, "cannot be decremented");
    }
}

/// A daemon set's status.
pub(super) fn daemon_set_status(new: &Place, old: &Place, report: &mut Report) {
    const COUNTS: [&str; 9] = [
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
        "observedGeneration",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
        "collisionCount",
    ];
    let status = new.field("status");
    for field in COUNTS {
        report.not_negative(&status.field(field));
    }
    collisions(&status, &old.field("status"), report);
}
