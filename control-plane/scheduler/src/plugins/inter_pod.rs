//! Pods that want to be near each other, or far.

use std::collections::HashMap;

use super::{Plugin, Refusal};
use crate::core::Cluster;
use crate::node::NodeInfo;
use crate::pod::PodInfo;
use crate::terms::{ByValue, Counts};

/// What is known for one pod and all nodes: counts per term, by topology value.
#[derive(Default)]
pub(crate) struct Prepared {
    with: Vec<(String, Counts)>,
    /// No running pod meets any of the terms, and the pod meets them all itself: the first of its kind.
    first: bool,
    against: Vec<(String, Counts)>,
    /// Where running pods do not want this one.
    unwanted: HashMap<String, Vec<Counts>>,
    preferred: Vec<(String, i64, Counts)>,
    /// Where running pods would like (or rather not) this one.
    liked: Vec<(String, Counts)>,
}

pub(crate) fn prepare(pod: &PodInfo, cluster: &mut Cluster) -> Prepared {
    let mut prepared = Prepared::default();
    for term in &pod.affinity {
        prepared.with.push((term.topology_key.clone(), cluster.count(term)));
    }
    for term in &pod.anti_affinity {
        prepared.against.push((term.topology_key.clone(), cluster.count(term)));
    }
    for (weight, term) in &pod.preferred {
        prepared.preferred.push((term.topology_key.clone(), *weight, cluster.count(term)));
    }
    prepared.first = !pod.affinity.is_empty()
        && prepared.with.iter().all(|(_, counts)| counts.is_empty())
        && pod.affinity.iter().all(|t| t.selects(&pod.namespace, &pod.labels, &cluster.namespaces));
    let (namespace, labels, namespaces) = (&pod.namespace, &pod.labels, &cluster.namespaces);
    for (key, counts) in cluster.repelling.selecting(namespace, labels, namespaces) {
        prepared.unwanted.entry(key.to_owned()).or_default().push(counts.clone());
    }
    for (key, counts) in cluster.attracting.selecting(namespace, labels, namespaces) {
        prepared.liked.push((key.to_owned(), counts.clone()));
    }
    prepared
}

fn at(counts: &ByValue, node: &NodeInfo, key: &str) -> i64 {
    node.labels.get(key).and_then(|value| counts.get(value)).copied().unwrap_or(0)
}

pub(crate) fn filter(prepared: &Prepared, node: &NodeInfo) -> Result<(), Refusal> {
    for (key, counts) in &prepared.with {
        let here = node.labels.contains_key(key) && (prepared.first || at(counts, node, key) > 0);
        if !here {
            return Err(Refusal::hard(Plugin::InterPod, "node(s) didn't match pod affinity rules"));
        }
    }
    if prepared.against.iter().any(|(key, counts)| at(counts, node, key) > 0) {
        return Err(Refusal::soft(Plugin::InterPod, "node(s) didn't match pod anti-affinity rules"));
    }
    let unwanted = |(key, all): (&String, &Vec<Counts>)| all.iter().any(|counts| at(counts, node, key) > 0);
    if prepared.unwanted.iter().any(unwanted) {
        let text = "node(s) didn't satisfy existing pods anti-affinity rules";
        return Err(Refusal::soft(Plugin::InterPod, text));
    }
    Ok(())
}

/// Whether the plugin has an opinion about where the pod would rather be.
pub(crate) fn has_opinion(prepared: &Prepared) -> bool {
    !prepared.preferred.is_empty() || !prepared.liked.is_empty()
}

/// The weights of the preferences met at the node; may be negative.
pub(crate) fn liking(prepared: &Prepared, node: &NodeInfo) -> i64 {
    let own: i64 =
        prepared.preferred.iter().map(|(key, weight, counts)| weight * at(counts, node, key)).sum();
    let theirs: i64 = prepared.liked.iter().map(|(key, counts)| at(counts, node, key)).sum();
    own + theirs
}
