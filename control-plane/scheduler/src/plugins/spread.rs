//! Even spreading over zones, hosts or whatever a label divides nodes into.

use std::collections::HashMap;

use super::{Plugin, Refusal, node_affinity, taints};
use crate::core::Cluster;
use crate::node::NodeInfo;
use crate::pod::{PodInfo, Spread};
use crate::terms::ByValue;

/// A rule with its counts, for one pod and all nodes.
pub(crate) struct Prepared<'a> {
    rule: &'a Spread,
    counts: ByValue,
    least: i64,
    /// Whether the pod itself will be counted.
    own: i64,
}

fn is_eligible(rule: &Spread, pod: &PodInfo, node: &NodeInfo) -> bool {
    node.known
        && (!rule.honor_affinity || node_affinity::accepts(pod, node))
        && (!rule.honor_taints || taints::untolerated(pod, node).is_none())
}

/// Counts for the rules of a pod.
pub(crate) fn prepare<'a>(pod: &'a PodInfo, cluster: &mut Cluster) -> Vec<Prepared<'a>> {
    let rules: Vec<&Spread> = pod.spread.iter().collect();
    rules.into_iter().map(|rule| prepare_one(rule, pod, cluster)).collect()
}

fn prepare_one<'a>(rule: &'a Spread, pod: &PodInfo, cluster: &mut Cluster) -> Prepared<'a> {
    let key = &rule.term.topology_key;
    let own = i64::from(rule.term.selects(&pod.namespace, &pod.labels, &cluster.namespaces));
    let particular = (rule.honor_affinity && node_affinity::is_particular(pod)) || rule.honor_taints;
    let mut domains: HashMap<String, i64> = HashMap::new();
    if particular {
        for node in cluster.nodes.iter().filter(|n| is_eligible(rule, pod, n)) {
            let Some(value) = node.labels.get(key) else { continue };
            let here = node
                .pods
                .values()
                .filter(|p| p.pod.metadata.deletion_timestamp.is_none())
                .filter(|p| rule.term.selects(&p.namespace, &p.labels, &cluster.namespaces))
                .count();
            *domains.entry(value.clone()).or_default() += i64::try_from(here).unwrap_or(i64::MAX);
        }
    } else {
        let counts = cluster.count(&rule.term);
        for value in cluster.domains(key) {
            let count = counts.get(value).copied().unwrap_or(0);
            domains.insert(value.clone(), count);
        }
    }
    let enough = i64::try_from(domains.len()).unwrap_or(i64::MAX) >= rule.min_domains;
    let least = if enough { domains.values().min().copied().unwrap_or(0) } else { 0 };
    Prepared { rule, counts: domains, least, own }
}

pub(crate) fn filter(rules: &[Prepared<'_>], node: &NodeInfo) -> Result<(), Refusal> {
    for p in rules.iter().filter(|p| p.rule.hard) {
        let Some(value) = node.labels.get(&p.rule.term.topology_key) else {
            let text = "node(s) didn't match pod topology spread constraints (missing required label)";
            return Err(Refusal::hard(Plugin::Spread, text));
        };
        let here = p.counts.get(value).copied().unwrap_or(0);
        if here + p.own - p.least > p.rule.max_skew {
            return Err(Refusal::soft(
                Plugin::Spread,
                "node(s) didn't match pod topology spread constraints",
            ));
        }
    }
    Ok(())
}

/// How crowded the node's domains are by the soft rules; fewer is better.
pub(crate) fn crowd(rules: &[Prepared<'_>], node: &NodeInfo) -> i64 {
    rules
        .iter()
        .filter(|p| !p.rule.hard)
        .map(|p| match node.labels.get(&p.rule.term.topology_key) {
            Some(value) => p.counts.get(value).copied().unwrap_or(0) * 10 + (p.rule.max_skew - 1),
            None => i64::from(i32::MAX),
        })
        .sum()
}
