//! The arithmetic of a rolling update. Pure.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// Replicas a set wants.
pub(super) fn wanted(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1)
}

/// Replicas a set has.
pub(super) fn actual(set: &ReplicaSet) -> i32 {
    set.status.as_ref().map_or(0, |s| s.replicas)
}

/// Replicas of a set that are available.
pub(super) fn available(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|s| s.available_replicas).unwrap_or(0)
}

/// Replicas of a set that are ready.
pub(super) fn ready(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|s| s.ready_replicas).unwrap_or(0)
}

/// Sums a number over sets.
pub(super) fn sum(sets: &[Arc<ReplicaSet>], of: impl Fn(&ReplicaSet) -> i32) -> i32 {
    sets.iter().map(|s| of(s)).sum()
}

/// Replicas a deployment wants.
pub(super) fn desired(deployment: &Deployment) -> i32 {
    deployment.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1)
}

/// Whether old pods go before new ones come.
pub(super) fn recreates(deployment: &Deployment) -> bool {
    strategy(deployment).0
}

fn strategy(deployment: &Deployment) -> (bool, Option<IntOrString>, Option<IntOrString>) {
    let strategy = deployment.spec.as_ref().and_then(|s| s.strategy.clone()).unwrap_or_default();
    let rolling = strategy.rolling_update.unwrap_or_default();
    (strategy.type_.as_deref() == Some("Recreate"), rolling.max_surge, rolling.max_unavailable)
}

/// A number or a share of `total`.
pub(crate) fn share(value: Option<&IntOrString>, total: i32, round_up: bool) -> i32 {
    match value {
        None => 0,
        Some(IntOrString::Int(number)) => *number,
        Some(IntOrString::String(text)) => {
            let Some(percent) = text.strip_suffix('%').and_then(|p| p.parse::<i64>().ok()) else {
                return text.parse().unwrap_or(0);
            };
            let product = percent * i64::from(total);
            let value = if round_up { (product + 99) / 100 } else { product / 100 };
            i32::try_from(value).unwrap_or(i32::MAX)
        }
    }
}

/// How many pods may be there beyond the wanted ones, and how many may be missing. Never both zero.
pub(super) fn fences(deployment: &Deployment) -> (i32, i32) {
    let (recreate, surge, unavailable) = strategy(deployment);
    if recreate || desired(deployment) == 0 {
        return (0, 0);
    }
    let default = IntOrString::String("25%".into());
    let surge = share(surge.as_ref().or(Some(&default)), desired(deployment), true);
    let unavailable = share(unavailable.as_ref().or(Some(&default)), desired(deployment), false);
    if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable.min(desired(deployment))) }
}

/// How many pods may be missing.
pub(super) fn max_unavailable(deployment: &Deployment) -> i32 {
    fences(deployment).1
}

/// How many pods may be there beyond the wanted ones.
pub(super) fn max_surge(deployment: &Deployment) -> i32 {
    fences(deployment).0
}

/// The size the newest set may have now, given all sets (itself included).
pub(super) fn new_size(deployment: &Deployment, all: &[Arc<ReplicaSet>], newest: i32) -> i32 {
    let desired = desired(deployment);
    if recreates(deployment) {
        return desired;
    }
    let now = sum(all, wanted);
    let most = desired + max_surge(deployment);
    if now >= most { newest } else { newest + (most - now).min(desired - newest) }
}

/// New sizes for the old sets: `(name, size)` for those that shrink. Unhealthy replicas go first.
pub(super) fn old_sizes(
    deployment: &Deployment,
    old: &[Arc<ReplicaSet>],
    newest: &ReplicaSet,
) -> Vec<(String, i32)> {
    let floor = desired(deployment) - max_unavailable(deployment);
    let all = sum(old, wanted) + wanted(newest);
    let new_unavailable = wanted(newest) - available(newest);
    let mut unhealthy = (all - floor - new_unavailable).max(0);
    if unhealthy == 0 {
        return Vec::new();
    }
    let mut sets: Vec<(&Arc<ReplicaSet>, i32)> = old.iter().map(|s| (s, wanted(s))).collect();
    sets.sort_by_key(|(s, _)| s.metadata.creation_timestamp.as_ref().map(|t| t.0));
    for (set, size) in &mut sets {
        let cut = unhealthy.min(*size - available(set)).max(0);
        *size -= cut;
        unhealthy -= cut;
    }
    let mut spare = (sum(old, available) + available(newest) - floor).max(0);
    for (_, size) in &mut sets {
        let cut = spare.min(*size);
        *size -= cut;
        spare -= cut;
    }
    sets.into_iter()
        .filter(|(set, size)| *size != wanted(set))
        .map(|(set, size)| (set.metadata.name.clone().unwrap_or_default(), size))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, created: &str, wanted: i32, available: i32) -> Arc<ReplicaSet> {
        Arc::new(
            serde_json::from_value(serde_json::json!({
                "metadata": {"name": name, "creationTimestamp": created},
                "spec": {"replicas": wanted, "selector": {}},
                "status": {"replicas": wanted, "availableReplicas": available},
            }))
            .unwrap(),
        )
    }

    fn deployment(replicas: i32, surge: serde_json::Value, unavailable: serde_json::Value) -> Deployment {
        serde_json::from_value(serde_json::json!({"metadata": {}, "spec": {
            "replicas": replicas, "selector": {}, "template": {},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}},
        }}))
        .unwrap()
    }

    #[test]
    fn fences_round_up_surge_and_down_unavailable() {
        for (replicas, surge, unavailable, expected) in [
            (3, "25%".into(), "25%".into(), (1, 0)),
            (4, "25%".into(), "25%".into(), (1, 1)),
            (10, 2.into(), 0.into(), (2, 0)),
            (10, 0.into(), 0.into(), (0, 1)),
            (1, "0%".into(), "50%".into(), (0, 1)),
            (2, 0.into(), 5.into(), (0, 2)),
        ]
            as [(i32, serde_json::Value, serde_json::Value, (i32, i32)); 6]
        {
            assert_eq!(fences(&deployment(replicas, surge, unavailable)), expected, "{replicas}");
        }
    }

    #[test]
    fn the_new_set_grows_to_the_surge() {
        let deployment = deployment(10, 3.into(), 2.into());
        let all = [set("old", "2026-01-01T00:00:00Z", 10, 10), set("new", "2026-01-02T00:00:00Z", 0, 0)];
        assert_eq!(new_size(&deployment, &all, 0), 3);
        let all = [set("old", "2026-01-01T00:00:00Z", 8, 8), set("new", "2026-01-02T00:00:00Z", 5, 5)];
        assert_eq!(new_size(&deployment, &all, 5), 5, "no room");
        let all = [set("old", "2026-01-01T00:00:00Z", 0, 0), set("new", "2026-01-02T00:00:00Z", 9, 5)];
        assert_eq!(new_size(&deployment, &all, 9), 10);
    }

    #[test]
    fn old_sets_shrink_as_far_as_availability_allows() {
        let deployment = deployment(10, 3.into(), 2.into());
        let new = set("new", "2026-01-03T00:00:00Z", 3, 0);
        let old = [set("old", "2026-01-01T00:00:00Z", 10, 10)];
        assert_eq!(old_sizes(&deployment, &old, &new), [("old".to_owned(), 8)]);
        let old = [set("old", "2026-01-01T00:00:00Z", 8, 8)];
        assert_eq!(old_sizes(&deployment, &old, &new), []);
        let new = set("new", "2026-01-03T00:00:00Z", 5, 4);
        assert_eq!(old_sizes(&deployment, &old, &new), [("old".to_owned(), 4)]);
    }

    #[test]
    fn replicas_that_never_worked_go_first() {
        let deployment = deployment(10, 0.into(), 2.into());
        let new = set("new", "2026-01-03T00:00:00Z", 0, 0);
        let old = [set("good", "2026-01-01T00:00:00Z", 8, 8), set("bad", "2026-01-02T00:00:00Z", 2, 0)];
        assert_eq!(old_sizes(&deployment, &old, &new), [("bad".to_owned(), 0)]);
    }
}
