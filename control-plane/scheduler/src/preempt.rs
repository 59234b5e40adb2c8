//! Who must go so that a pod that matters more can run.

use std::sync::Arc;

use informers::selector;

use crate::core::Cluster;
use crate::cycle::{self, Failure};
use crate::pod::PodInfo;

/// Nodes that are tried at most.
const CANDIDATES_MAX: usize = 100;

/// Pods to remove and where they run.
#[derive(Debug)]
pub struct Preemption {
    /// The node.
    pub node: String,
    /// The pods, most important first.
    pub victims: Vec<Arc<PodInfo>>,
}

/// Why nobody is removed.
#[derive(Debug, PartialEq, Eq)]
pub enum NoPreemption {
    /// The pod asks not to.
    Never,
    /// Somebody is leaving for it already.
    Terminating,
    /// It would not help.
    None {
        /// Nodes where nobody matters less, or not enough of them.
        without_victims: usize,
        /// Nodes that could not be used even if empty.
        not_helpful: usize,
    },
}

struct Candidate {
    node: String,
    victims: Vec<Arc<PodInfo>>,
    violations: usize,
}

/// Looks for the node where removing the fewest and least important pods makes room.
pub(crate) fn attempt(
    pod: &PodInfo,
    failure: &Failure,
    cluster: &mut Cluster,
) -> Result<Preemption, NoPreemption> {
    if pod.never_preempts {
        return Err(NoPreemption::Never);
    }
    if let Some(at) = pod.nominated.as_deref().and_then(|n| cluster.position(n)) {
        let leaving =
            |p: &Arc<PodInfo>| p.priority < pod.priority && p.pod.metadata.deletion_timestamp.is_some();
        if cluster.nodes[at].pods.values().any(leaving) {
            return Err(NoPreemption::Terminating);
        }
    }
    let mut candidates = Vec::new();
    let (mut without_victims, mut not_helpful) = (0, 0);
    let names: Vec<(String, bool)> = failure
        .nodes
        .iter()
        .map(|(at, refusals)| (cluster.nodes[*at].name.clone(), refusals.iter().any(|r| r.final_)))
        .collect();
    for (name, is_final) in names {
        if is_final {
            not_helpful += 1;
            continue;
        }
        if candidates.len() >= CANDIDATES_MAX {
            break;
        }
        match on_node(pod, &name, cluster) {
            Some(candidate) => candidates.push(candidate),
            None => without_victims += 1,
        }
    }
    let best = candidates.into_iter().min_by_key(|c| {
        let highest = c.victims.iter().map(|v| v.priority).max().unwrap_or(i32::MIN);
        let sum: i64 = c.victims.iter().map(|v| i64::from(v.priority) + (1 << 32)).sum();
        (c.violations, highest, sum, c.victims.len(), c.node.clone())
    });
    best.map(|c| Preemption { node: c.node, victims: c.victims })
        .ok_or(NoPreemption::None { without_victims, not_helpful })
}

fn fits(pod: &PodInfo, node: &str, cluster: &mut Cluster) -> bool {
    let prepared = cycle::prepare(pod, cluster);
    let Some(at) = cluster.position(node) else { return false };
    cycle::filter(pod, &cluster.nodes[at], &prepared, cluster).is_ok()
}

/// Tries a node without all lesser pods, then takes back as many as possible, the most important first. The
/// cluster is as before when it returns.
fn on_node(pod: &PodInfo, node: &str, cluster: &mut Cluster) -> Option<Candidate> {
    let at = cluster.position(node)?;
    let mut lesser: Vec<Arc<PodInfo>> =
        cluster.nodes[at].pods.values().filter(|p| p.priority < pod.priority).cloned().collect();
    if lesser.is_empty() {
        return None;
    }
    let age = |p: &PodInfo| p.pod.status.as_ref().and_then(|s| s.start_time.as_ref()).map(|t| t.0);
    lesser.sort_by(|a, b| {
        b.priority.cmp(&a.priority).then_with(|| age(a).cmp(&age(b))).then(a.uid.cmp(&b.uid))
    });
    for victim in &lesser {
        cluster.displace(&victim.uid);
    }
    if !fits(pod, node, cluster) {
        for victim in lesser {
            cluster.place(victim, node);
        }
        return None;
    }
    let (protected, free) = by_budget(&lesser, cluster);
    let mut victims = Vec::new();
    let mut violations = 0;
    for (victim, is_protected) in
        protected.into_iter().map(|v| (v, true)).chain(free.into_iter().map(|v| (v, false)))
    {
        cluster.place(victim.clone(), node);
        if !fits(pod, node, cluster) {
            cluster.displace(&victim.uid);
            violations += usize::from(is_protected);
            victims.push(victim);
        }
    }
    for victim in &victims {
        cluster.place(victim.clone(), node);
    }
    victims.sort_by_key(|v| std::cmp::Reverse(v.priority));
    (!victims.is_empty()).then(|| Candidate { node: node.to_owned(), victims, violations })
}

/// Splits pods into those whose removal would break a disruption budget and the others.
fn by_budget(pods: &[Arc<PodInfo>], cluster: &Cluster) -> (Vec<Arc<PodInfo>>, Vec<Arc<PodInfo>>) {
    let mut allowed: Vec<i64> = cluster.budgets.iter().map(|b| b.2).collect();
    pods.iter().cloned().partition(|pod| {
        let mut breaks = false;
        for ((namespace, budget, _), left) in cluster.budgets.iter().zip(&mut allowed) {
            if *namespace == pod.namespace
                && !selector::is_empty(budget)
                && selector::matches(budget, &pod.labels)
            {
                *left -= 1;
                breaks |= *left < 0;
            }
        }
        breaks
    })
}
