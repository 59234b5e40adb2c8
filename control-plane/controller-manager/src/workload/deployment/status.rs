//! A deployment's status and conditions. Pure.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::arith::{actual, available, desired, max_unavailable, ready, sum, wanted};
use crate::workload::nonzero;

pub(super) const PROGRESSING: &str = "Progressing";
const AVAILABLE: &str = "Available";
const FAILURE: &str = "ReplicaFailure";

/// A condition of a status.
pub(super) fn condition<'a>(status: &'a DeploymentStatus, kind: &str) -> Option<&'a DeploymentCondition> {
    status.conditions.iter().flatten().find(|c| c.type_ == kind)
}

/// Sets a condition. One that says the same already keeps its times; one with the same status keeps its transition.
pub(super) fn set(
    status: &mut DeploymentStatus,
    kind: &str,
    value: &str,
    reason: &str,
    message: String,
    now: Timestamp,
) {
    let known = condition(status, kind).cloned();
    if known.as_ref().is_some_and(|k| k.status == value && k.reason.as_deref() == Some(reason)) {
        return;
    }
    replace(status, kind, value, reason, message, now);
}

fn replace(
    status: &mut DeploymentStatus,
    kind: &str,
    value: &str,
    reason: &str,
    message: String,
    now: Timestamp,
) {
    let known = condition(status, kind).cloned();
    let transition = known.filter(|k| k.status == value).and_then(|k| k.last_transition_time);
    let conditions = status.conditions.get_or_insert_default();
    conditions.retain(|c| c.type_ != kind);
    conditions.push(DeploymentCondition {
        type_: kind.into(),
        status: value.into(),
        reason: Some(reason.into()),
        message: Some(message),
        last_update_time: Some(Time(now)),
        last_transition_time: Some(transition.unwrap_or(Time(now))),
    });
}

fn deadline(deployment: &Deployment) -> Option<i32> {
    let seconds = deployment.spec.as_ref()?.progress_deadline_seconds.unwrap_or(600);
    (seconds != i32::MAX).then_some(seconds)
}

/// Counts and the `Available` condition.
pub(super) fn counts(
    deployment: &Deployment,
    all: &[Arc<ReplicaSet>],
    newest: Option<&Arc<ReplicaSet>>,
    now: Timestamp,
) -> DeploymentStatus {
    let old = deployment.status.clone().unwrap_or_default();
    let available = sum(all, available);
    let mut status = DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: nonzero(sum(all, actual)),
        updated_replicas: nonzero(newest.map_or(0, |s| actual(s))),
        ready_replicas: nonzero(sum(all, ready)),
        available_replicas: nonzero(available),
        unavailable_replicas: nonzero((sum(all, wanted) - available).max(0)),
        collision_count: old.collision_count,
        conditions: old.conditions,
        terminating_replicas: old.terminating_replicas,
    };
    if available >= desired(deployment) - max_unavailable(deployment) {
        let text = "Deployment has minimum availability.".to_owned();
        set(&mut status, AVAILABLE, "True", "MinimumReplicasAvailable", text, now);
    } else {
        let text = "Deployment does not have minimum availability.".to_owned();
        set(&mut status, AVAILABLE, "False", "MinimumReplicasUnavailable", text, now);
    }
    status
}

/// Whether the rollout has reached its end.
pub(super) fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let desired = desired(deployment);
    status.updated_replicas.unwrap_or(0) == desired
        && status.replicas.unwrap_or(0) == desired
        && status.available_replicas.unwrap_or(0) == desired
        && status.observed_generation >= deployment.metadata.generation
}

fn is_progressing(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let n = |v: Option<i32>| v.unwrap_or(0);
    let outdated = |s: &DeploymentStatus| n(s.replicas) - n(s.updated_replicas);
    n(new.updated_replicas) > n(old.updated_replicas)
        || outdated(new) < outdated(old)
        || n(new.ready_replicas) > n(old.ready_replicas)
        || n(new.available_replicas) > n(old.available_replicas)
}

/// Adds the `Progressing` and `ReplicaFailure` conditions of a rollout. Returns when the deadline must be checked.
pub(super) fn progress(
    deployment: &Deployment,
    status: &mut DeploymentStatus,
    newest: Option<&Arc<ReplicaSet>>,
    all: &[Arc<ReplicaSet>],
    now: Timestamp,
) -> Option<Timestamp> {
    let mut check = None;
    if let Some(seconds) = deadline(deployment) {
        let old = deployment.status.clone().unwrap_or_default();
        let known = condition(status, PROGRESSING).cloned();
        let reason = known.as_ref().and_then(|k| k.reason.clone()).unwrap_or_default();
        let settled = status.replicas == status.updated_replicas && reason == "NewReplicaSetAvailable";
        let subject = match newest.and_then(|s| s.metadata.name.clone()) {
            Some(name) => format!("ReplicaSet \"{name}\""),
            None => format!("Deployment \"{}\"", deployment.metadata.name.as_deref().unwrap_or_default()),
        };
        if !settled {
            if is_complete(deployment, status) {
                let text = format!("{subject} has successfully progressed.");
                set(status, PROGRESSING, "True", "NewReplicaSetAvailable", text, now);
            } else if is_progressing(&old, status) {
                let text = format!("{subject} is progressing.");
                replace(status, PROGRESSING, "True", "ReplicaSetUpdated", text, now);
            } else if let Some(known) = known {
                let since = known.last_update_time.as_ref().map_or(now, |t| t.0);
                let until = since.saturating_add(SignedDuration::from_secs(seconds.into())).unwrap_or(now);
                if reason == "ProgressDeadlineExceeded" || until <= now {
                    let text = format!("{subject} has timed out progressing.");
                    set(status, PROGRESSING, "False", "ProgressDeadlineExceeded", text, now);
                } else if reason != "NewReplicaSetAvailable" {
                    check = Some(until);
                }
            }
        }
    }
    failure(status, newest, all, now);
    check
}

fn failure(
    status: &mut DeploymentStatus,
    newest: Option<&Arc<ReplicaSet>>,
    all: &[Arc<ReplicaSet>],
    now: Timestamp,
) {
    let of = |set: &ReplicaSet| {
        set.status.iter().flat_map(|s| s.conditions.clone().unwrap_or_default()).find(|c| c.type_ == FAILURE)
    };
    let found = newest.and_then(|s| of(s)).or_else(|| all.iter().find_map(|s| of(s)));
    match found {
        Some(c) => {
            let (reason, message) = (c.reason.unwrap_or_default(), c.message.unwrap_or_default());
            set(status, FAILURE, &c.status, &reason, message, now);
        }
        None => {
            if let Some(conditions) = &mut status.conditions {
                conditions.retain(|c| c.type_ != FAILURE);
            }
        }
    }
}

/// The `Progressing` condition of a deployment that has just been paused or resumed.
pub(super) fn paused(deployment: &Deployment, status: &mut DeploymentStatus, now: Timestamp) {
    if deadline(deployment).is_none() {
        return;
    }
    let reason = condition(status, PROGRESSING).and_then(|c| c.reason.clone()).unwrap_or_default();
    let is_paused = deployment.spec.as_ref().and_then(|s| s.paused).unwrap_or(false);
    if reason == "ProgressDeadlineExceeded" {
        return;
    }
    if is_paused && reason != "DeploymentPaused" {
        set(status, PROGRESSING, "Unknown", "DeploymentPaused", "Deployment is paused".into(), now);
    } else if !is_paused && reason == "DeploymentPaused" {
        set(status, PROGRESSING, "Unknown", "DeploymentResumed", "Deployment is resumed".into(), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_of(name: &str, wanted: i32, available: i32) -> Arc<ReplicaSet> {
        Arc::new(
            serde_json::from_value(serde_json::json!({
                "metadata": {"name": name}, "spec": {"replicas": wanted, "selector": {}},
                "status": {"replicas": wanted, "readyReplicas": available, "availableReplicas": available},
            }))
            .unwrap(),
        )
    }

    fn deployment(status: serde_json::Value) -> Deployment {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "web", "generation": 2},
            "spec": {"replicas": 2, "selector": {}, "template": {}, "progressDeadlineSeconds": 10},
            "status": status,
        }))
        .unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_rollout_progresses_completes_and_times_out() {
        let start = at("2026-01-01T00:00:00Z");
        let mut d = deployment(serde_json::json!({}));
        let new = set_of("web-1", 2, 1);
        let mut status = counts(&d, std::slice::from_ref(&new), Some(&new), start);
        assert_eq!(condition(&status, AVAILABLE).unwrap().status, "False");
        assert_eq!(progress(&d, &mut status, Some(&new), std::slice::from_ref(&new), start), None);
        assert_eq!(condition(&status, PROGRESSING).unwrap().reason.as_deref(), Some("ReplicaSetUpdated"));

        d.status = Some(status);
        let mut status = counts(&d, std::slice::from_ref(&new), Some(&new), start);
        let check = progress(&d, &mut status, Some(&new), std::slice::from_ref(&new), start);
        assert_eq!(check, Some(at("2026-01-01T00:00:10Z")));
        progress(&d, &mut status, Some(&new), std::slice::from_ref(&new), at("2026-01-01T00:00:10Z"));
        assert_eq!(
            condition(&status, PROGRESSING).unwrap().reason.as_deref(),
            Some("ProgressDeadlineExceeded")
        );

        let new = set_of("web-1", 2, 2);
        let mut status = counts(&d, std::slice::from_ref(&new), Some(&new), start);
        progress(&d, &mut status, Some(&new), std::slice::from_ref(&new), start);
        let done = condition(&status, PROGRESSING).unwrap();
        assert_eq!(done.message.as_deref(), Some("ReplicaSet \"web-1\" has successfully progressed."));
        assert!(is_complete(&d, &status));
    }
}
