//! Enough of everything; and the emptier and more evenly used, the better.

use super::{Plugin, Refusal};
use crate::node::NodeInfo;
use crate::pod::PodInfo;

pub(crate) fn filter(pod: &PodInfo, node: &NodeInfo, refusals: &mut Vec<Refusal>) {
    let pods = i64::try_from(node.pods.len()).unwrap_or(i64::MAX);
    if pods + 1 > node.pods_max {
        refusals.push(Refusal::soft(Plugin::Fit, "Too many pods"));
    }
    let mut check = |name: &str, need: i64, have: i64, used: i64| {
        if need > 0 && need > have - used {
            let text = format!("Insufficient {name}");
            refusals.push(if need > have {
                Refusal::hard(Plugin::Fit, text)
            } else {
                Refusal::soft(Plugin::Fit, text)
            });
        }
    };
    let (need, have, used) = (&pod.requests, &node.allocatable, &node.requested);
    check("cpu", need.cpu, have.cpu, used.cpu);
    check("memory", need.memory, have.memory, used.memory);
    check("ephemeral-storage", need.storage, have.storage, used.storage);
    for (name, need) in &need.other {
        check(name, *need, have.other(name), used.other(name));
    }
}

fn free_share(need: i64, have: i64, used: i64) -> i64 {
    if have <= 0 { 0 } else { (have - used - need).max(0) * 100 / have }
}

/// 0 to 100: the share of CPU and memory that would be left.
pub(crate) fn least_allocated(pod: &PodInfo, node: &NodeInfo) -> i64 {
    let cpu = free_share(pod.weight.0, node.allocatable.cpu, node.weight.0);
    let memory = free_share(pod.weight.1, node.allocatable.memory, node.weight.1);
    (cpu + memory) / 2
}

/// 0 to 100: how alike the used shares of CPU and memory would be.
pub(crate) fn balanced(pod: &PodInfo, node: &NodeInfo) -> i64 {
    let share = |need: i64, have: i64, used: i64| {
        if have <= 0 { 1000 } else { ((used + need).saturating_mul(1000) / have).min(1000) }
    };
    let cpu = share(pod.requests.cpu, node.allocatable.cpu, node.requested.cpu);
    let memory = share(pod.requests.memory, node.allocatable.memory, node.requested.memory);
    // The standard deviation of two numbers is half their distance.
    (1000 - (cpu - memory).abs() / 2) / 10
}
