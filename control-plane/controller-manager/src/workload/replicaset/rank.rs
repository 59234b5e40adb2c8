//! Which pod goes first when there are too many.

use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;
use std::sync::Arc;

use informers::objects::{annotation, is_ready, node_name, phase, pod_condition};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

fn phase_rank(pod: &Pod) -> u8 {
    match phase(pod) {
        "Pending" | "" => 0,
        "Unknown" => 1,
        _ => 2,
    }
}

fn cost(pod: &Pod) -> i64 {
    annotation(&pod.metadata, DELETION_COST).and_then(|v| v.parse().ok()).unwrap_or(0)
}

fn restarts(pod: &Pod) -> i32 {
    pod.status
        .iter()
        .flat_map(|s| s.container_statuses.iter().flatten())
        .map(|c| c.restart_count)
        .max()
        .unwrap_or(0)
}

/// Ages compare by order of magnitude, so that old pods are not all kept for a second's difference.
fn magnitude(since: Option<Timestamp>, now: Timestamp) -> u32 {
    let seconds = since.map_or(0, |at| now.duration_since(at).as_secs().max(0));
    u64::try_from(seconds).unwrap_or(0).checked_ilog2().map_or(0, |log| log + 1)
}

fn ready_since(pod: &Pod) -> Option<Timestamp> {
    pod_condition(pod, "Ready")?.last_transition_time.as_ref().map(|t| t.0)
}

/// The pods in the order in which they may go: unbound before bound, pending before running, unready before
/// ready, cheap before dear, crowded nodes before others, recently ready, often restarted and young before
/// their opposites. `neighbours` counts the related pods per node.
pub(crate) fn by_expendability(
    mut pods: Vec<Arc<Pod>>,
    neighbours: &HashMap<String, usize>,
    now: Timestamp,
) -> Vec<Arc<Pod>> {
    let crowd = |pod: &Pod| neighbours.get(node_name(pod)).copied().unwrap_or(0);
    pods.sort_by(|a, b| {
        let created = |p: &Pod| p.metadata.creation_timestamp.as_ref().map(|t| t.0);
        (!node_name(a).is_empty())
            .cmp(&!node_name(b).is_empty())
            .then_with(|| phase_rank(a).cmp(&phase_rank(b)))
            .then_with(|| is_ready(a).cmp(&is_ready(b)))
            .then_with(|| cost(a).cmp(&cost(b)))
            .then_with(|| Reverse(crowd(a)).cmp(&Reverse(crowd(b))))
            .then_with(|| {
                if is_ready(a) && is_ready(b) {
                    magnitude(ready_since(a), now).cmp(&magnitude(ready_since(b), now))
                } else {
                    Ordering::Equal
                }
            })
            .then_with(|| Reverse(restarts(a)).cmp(&Reverse(restarts(b))))
            .then_with(|| magnitude(created(a), now).cmp(&magnitude(created(b), now)))
            .then_with(|| a.metadata.name.cmp(&b.metadata.name))
    });
    pods
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, node: &str, phase: &str, ready: bool, cost: Option<&str>) -> Arc<Pod> {
        let value = serde_json::json!({
            "metadata": {"name": name, "annotations": cost.map(|c| serde_json::json!({DELETION_COST: c}))},
            "spec": {"nodeName": (!node.is_empty()).then_some(node), "containers": []},
            "status": {"phase": phase, "conditions": [{"type": "Ready", "status": if ready {"True"} else {"False"}}]},
        });
        Arc::new(serde_json::from_value(value).unwrap())
    }

    #[test]
    fn the_least_useful_goes_first() {
        let pods = vec![
            pod("dear", "n1", "Running", true, Some("10")),
            pod("ready", "n2", "Running", true, None),
            pod("crowded", "n1", "Running", true, None),
            pod("unready", "n1", "Running", false, None),
            pod("pending", "n1", "Pending", false, None),
            pod("unbound", "", "Pending", false, None),
        ];
        let neighbours = HashMap::from([("n1".to_owned(), 4), ("n2".to_owned(), 1)]);
        let names: Vec<_> = by_expendability(pods, &neighbours, Timestamp::UNIX_EPOCH)
            .iter()
            .map(|p| p.metadata.name.clone().unwrap())
            .collect();
        assert_eq!(names, ["unbound", "pending", "unready", "crowded", "ready", "dear"]);
    }
}
