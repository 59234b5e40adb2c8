//! Sharing a new size among the sets of a rollout that is under way. Pure.

use std::cmp::Reverse;
use std::sync::Arc;

use informers::objects::annotation;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};

use super::arith::{available, desired, max_surge, recreates, sum, wanted};
use super::revision::{DESIRED, MAX};

/// Whether the sets have been told another size than the deployment now wants.
pub(super) fn is_scaling(deployment: &Deployment, sets: &[Arc<ReplicaSet>]) -> bool {
    sets.iter().filter(|s| wanted(s) > 0).any(|set| {
        let told = annotation(&set.metadata, DESIRED).and_then(|v| v.parse::<i32>().ok());
        told.is_some_and(|told| told != desired(deployment))
    })
}

/// What to do with the sets when only the size changes: `(name, size)`, also for those that keep their size
/// but must be told the new total.
pub(super) fn sizes(
    deployment: &Deployment,
    newest: Option<&Arc<ReplicaSet>>,
    old: &[Arc<ReplicaSet>],
) -> Vec<(String, i32)> {
    let name = |set: &ReplicaSet| set.metadata.name.clone().unwrap_or_default();
    let all: Vec<Arc<ReplicaSet>> = old.iter().chain(newest).cloned().collect();
    let active: Vec<&Arc<ReplicaSet>> = all.iter().filter(|s| wanted(s) > 0).collect();
    let lone = match active.as_slice() {
        [] => newest.or_else(|| old.iter().max_by_key(|s| created(s))),
        [one] => Some(*one),
        _ => None,
    };
    if let Some(set) = lone {
        return vec![(name(set), desired(deployment))];
    }
    if let Some(newest) = newest
        && wanted(newest) == desired(deployment)
        && available(newest) == desired(deployment)
    {
        return old.iter().filter(|s| wanted(s) > 0).map(|s| (name(s), 0)).collect();
    }
    if recreates(deployment) {
        return Vec::new();
    }
    proportional(deployment, &active)
}

fn created(set: &ReplicaSet) -> Option<jiff::Timestamp> {
    set.metadata.creation_timestamp.as_ref().map(|t| t.0)
}

fn proportional(deployment: &Deployment, active: &[&Arc<ReplicaSet>]) -> Vec<(String, i32)> {
    let allowed = if desired(deployment) > 0 { desired(deployment) + max_surge(deployment) } else { 0 };
    let owned: Vec<Arc<ReplicaSet>> = active.iter().map(|s| (*s).clone()).collect();
    let to_add = allowed - sum(&owned, wanted);
    let mut sets = active.to_vec();
    if to_add > 0 {
        sets.sort_by_key(|s| (Reverse(wanted(s)), Reverse(created(s))));
    } else {
        sets.sort_by_key(|s| (Reverse(wanted(s)), created(s)));
    }
    let mut added = 0;
    let mut sizes: Vec<(String, i32)> = Vec::new();
    for set in &sets {
        let part = if to_add == 0 { 0 } else { fraction(set, allowed) };
        let part = if to_add > 0 { part.clamp(0, to_add - added) } else { part.clamp(to_add - added, 0) };
        sizes.push((set.metadata.name.clone().unwrap_or_default(), wanted(set) + part));
        added += part;
    }
    if let Some(first) = sizes.first_mut() {
        first.1 = (first.1 + to_add - added).max(0);
    }
    sizes
}

fn fraction(set: &ReplicaSet, allowed: i32) -> i32 {
    let told = annotation(&set.metadata, MAX).and_then(|v| v.parse::<i32>().ok()).filter(|told| *told > 0);
    let told = told.unwrap_or(allowed.max(1));
    let size = f64::from(wanted(set)) * f64::from(allowed) / f64::from(told);
    #[expect(clippy::cast_possible_truncation, reason = "replica counts are far below 2^31")]
    let size = size.round() as i32;
    size - wanted(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, created: &str, wanted: i32, max: i32) -> Arc<ReplicaSet> {
        Arc::new(
            serde_json::from_value(serde_json::json!({
                "metadata": {"name": name, "creationTimestamp": created,
                             "annotations": {DESIRED: "10", MAX: max.to_string()}},
                "spec": {"replicas": wanted, "selector": {}},
            }))
            .unwrap(),
        )
    }

    fn deployment(replicas: i32) -> Deployment {
        serde_json::from_value(serde_json::json!({"metadata": {}, "spec": {
            "replicas": replicas, "selector": {}, "template": {},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}},
        }}))
        .unwrap()
    }

    #[test]
    fn a_rollout_in_flight_is_scaled_in_proportion() {
        let old = [set("old", "2026-01-01T00:00:00Z", 8, 13)];
        let new = set("new", "2026-01-02T00:00:00Z", 5, 13);
        let sizes = sizes(&deployment(15), Some(&new), &old);
        assert_eq!(sizes, [("old".to_owned(), 11), ("new".to_owned(), 7)]);
        assert!(is_scaling(&deployment(15), &old));
        assert!(!is_scaling(&deployment(10), &old));
    }

    #[test]
    fn a_lone_set_takes_all() {
        let new = set("new", "2026-01-02T00:00:00Z", 10, 13);
        assert_eq!(sizes(&deployment(4), Some(&new), &[]), [("new".to_owned(), 4)]);
    }
}
