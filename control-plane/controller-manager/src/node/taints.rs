//! Taints that follow from a node's conditions, and what pods say to taints. Pure.

use std::time::Duration;

use informers::objects::until;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, Pod, Taint, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

pub(super) const NOT_READY: &str = "node.kubernetes.io/not-ready";
pub(super) const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// Condition, the status that taints, the taint.
const BY_CONDITION: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
];

/// A condition's status, or an empty text.
pub(super) fn condition<'a>(node: &'a Node, kind: &str) -> &'a str {
    let conditions = node.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    conditions.iter().find(|c| c.type_ == kind).map_or("", |c| &c.status)
}

fn is_ours(taint: &Taint) -> bool {
    match taint.effect.as_str() {
        "NoSchedule" => {
            taint.key == UNSCHEDULABLE || BY_CONDITION.iter().any(|(_, _, key)| *key == taint.key)
        }
        "NoExecute" => taint.key == NOT_READY || taint.key == UNREACHABLE,
        _ => false,
    }
}

/// The taints the node must have; `None` if it has them. `evict` says whether not being ready drives pods away.
pub(super) fn wanted(node: &Node, evict: bool, now: Timestamp) -> Option<Vec<Taint>> {
    let present = node.spec.as_ref().and_then(|s| s.taints.clone()).unwrap_or_default();
    let mut wanted: Vec<(&str, &str)> = Vec::new();
    for (kind, status, key) in BY_CONDITION {
        if condition(node, kind) == status {
            wanted.push((key, "NoSchedule"));
            if evict && kind == "Ready" {
                wanted.push((key, "NoExecute"));
            }
        }
    }
    if condition(node, "Ready").is_empty() {
        wanted.push((NOT_READY, "NoSchedule"));
    }
    if node.spec.as_ref().and_then(|s| s.unschedulable).unwrap_or(false) {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    let is_wanted = |t: &Taint| wanted.iter().any(|(key, effect)| t.key == *key && t.effect == *effect);
    let mut taints: Vec<Taint> = present.iter().filter(|t| !is_ours(t) || is_wanted(t)).cloned().collect();
    for (key, effect) in &wanted {
        if !taints.iter().any(|t| t.key == *key && t.effect == *effect) {
            taints.push(Taint {
                key: (*key).to_owned(),
                effect: (*effect).to_owned(),
                value: None,
                time_added: Some(Time(now)),
            });
        }
    }
    (taints != present).then_some(taints)
}

/// Whether a toleration tolerates a taint.
pub(super) fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    if toleration.effect.as_ref().is_some_and(|e| !e.is_empty() && *e != taint.effect) {
        return false;
    }
    let key = toleration.key.as_deref().unwrap_or_default();
    if !key.is_empty() && key != taint.key {
        return false;
    }
    match toleration.operator.as_deref().unwrap_or("Equal") {
        "Exists" => true,
        _ => {
            !key.is_empty()
                && toleration.value.as_deref().unwrap_or_default()
                    == taint.value.as_deref().unwrap_or_default()
        }
    }
}

/// When the pod must leave a node with these taints: never, or after a while that may be over.
pub(super) fn leaves(pod: &Pod, taints: &[Taint], now: Timestamp) -> Option<Duration> {
    let tolerations = pod.spec.as_ref().and_then(|s| s.tolerations.as_deref()).unwrap_or_default();
    let mut earliest: Option<Duration> = None;
    for taint in taints.iter().filter(|t| t.effect == "NoExecute") {
        let mut tolerating = tolerations.iter().filter(|t| tolerates(t, taint)).peekable();
        let stay = if tolerating.peek().is_none() {
            Some(Duration::ZERO)
        } else {
            let seconds = tolerating.filter_map(|t| t.toleration_seconds).min();
            seconds.map(|seconds| {
                let since = taint.time_added.as_ref().map_or(now, |t| t.0);
                let at = since.saturating_add(SignedDuration::from_secs(seconds.max(0))).unwrap_or(now);
                until(at, now)
            })
        };
        earliest = match (earliest, stay) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
    earliest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(ready: &str, unschedulable: bool, taints: serde_json::Value) -> Node {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "n"},
            "spec": {"unschedulable": unschedulable, "taints": taints},
            "status": {"conditions": [{"type": "Ready", "status": ready}]},
        }))
        .unwrap()
    }

    fn keys(taints: Option<Vec<Taint>>) -> Vec<String> {
        taints.unwrap_or_default().iter().map(|t| format!("{}:{}", t.key, t.effect)).collect()
    }

    #[test]
    fn conditions_taint_and_untaint() {
        let now = Timestamp::UNIX_EPOCH;
        let other = serde_json::json!([{"key": "mine", "effect": "NoSchedule"}]);
        assert_eq!(wanted(&node("True", false, other.clone()), true, now), None);
        assert_eq!(
            keys(wanted(&node("Unknown", true, other), true, now)),
            [
                "mine:NoSchedule",
                "node.kubernetes.io/unreachable:NoSchedule",
                "node.kubernetes.io/unreachable:NoExecute",
                "node.kubernetes.io/unschedulable:NoSchedule",
            ]
        );
        let late = serde_json::json!([{"key": NOT_READY, "effect": "NoSchedule"}, {"key": NOT_READY, "effect": "NoExecute"}]);
        assert_eq!(wanted(&node("True", false, late.clone()), true, now), Some(vec![]));
        let kept = keys(wanted(&node("False", false, late), false, now));
        assert_eq!(
            kept,
            ["node.kubernetes.io/not-ready:NoSchedule"],
            "nobody is driven away when all are down"
        );
    }

    #[test]
    fn pods_leave_at_once_later_or_never() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let taint = Taint {
            key: UNREACHABLE.into(),
            effect: "NoExecute".into(),
            time_added: Some(Time("2026-01-01T00:00:00Z".parse().unwrap())),
            value: None,
        };
        let pod = |tolerations: serde_json::Value| -> Pod {
            serde_json::from_value(
                serde_json::json!({"metadata": {}, "spec": {"containers": [], "tolerations": tolerations}}),
            )
            .unwrap()
        };
        let with = |seconds: Option<i64>| {
            pod(
                serde_json::json!([{"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}]),
            )
        };
        let taints = [taint];
        assert_eq!(leaves(&pod(serde_json::json!([])), &taints, now), Some(Duration::ZERO));
        assert_eq!(leaves(&with(Some(300)), &taints, now), Some(Duration::from_secs(240)));
        assert_eq!(leaves(&with(Some(10)), &taints, now), Some(Duration::ZERO));
        assert_eq!(leaves(&with(None), &taints, now), None);
        assert_eq!(leaves(&pod(serde_json::json!([{"operator": "Exists"}])), &taints, now), None);
    }
}
