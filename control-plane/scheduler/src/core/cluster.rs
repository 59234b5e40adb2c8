//! Nodes with their pods, and the counts kept beside them.

use std::collections::HashMap;
use std::sync::Arc;

use informers::selector::Labels;
use k8s_openapi::api::core::v1::Node;

use crate::node::NodeInfo;
use crate::pod::PodInfo;
use crate::terms::{ByValue, Carried, Counted, Counts, Term};
use crate::volumes::Volumes;

/// What running pods' own required affinity weighs for others, as upstream's `hardPodAffinityWeight`.
const REQUIRED_WEIGHT: i64 = 1;

/// A budget of disruptions: namespace, selector, how many pods may go.
pub(crate) type Budget = (String, k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector, i64);

/// Everything a decision reads.
#[derive(Default)]
pub struct Cluster {
    pub(crate) nodes: Vec<NodeInfo>,
    by_name: HashMap<String, usize>,
    placed: HashMap<String, String>,
    pub(crate) namespaces: HashMap<String, Labels>,
    counted: Counted,
    domains: HashMap<String, HashMap<String, usize>>,
    pub(crate) repelling: Carried,
    pub(crate) attracting: Carried,
    /// Pods that hope for a node: uid to node and pod.
    pub(crate) nominated: HashMap<String, (String, Arc<PodInfo>)>,
    pub(crate) volumes: Volumes,
    pub(crate) budgets: Vec<Budget>,
}

impl Cluster {
    /// How many nodes there are.
    pub fn size(&self) -> usize {
        self.nodes.iter().filter(|n| n.known).count()
    }

    fn slot(&mut self, name: &str) -> usize {
        if let Some(at) = self.by_name.get(name) {
            return *at;
        }
        self.nodes.push(NodeInfo { name: name.to_owned(), ..NodeInfo::default() });
        self.by_name.insert(name.to_owned(), self.nodes.len() - 1);
        self.nodes.len() - 1
    }

    /// Where a node is, by name.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// Takes in a node; returns whether anything that matters is new.
    pub(crate) fn node(&mut self, node: &Node) -> bool {
        let name = node.metadata.name.clone().unwrap_or_default();
        let at = self.slot(&name);
        let mut new = self.nodes[at].clone();
        new.update(node);
        let old = &self.nodes[at];
        let same_labels = old.known && old.labels == new.labels;
        let same = same_labels
            && old.taints == new.taints
            && old.unschedulable == new.unschedulable
            && old.allocatable == new.allocatable
            && old.pods_max == new.pods_max;
        if !same_labels {
            self.relabel(at, new);
        } else {
            self.nodes[at] = new;
        }
        !same
    }

    fn relabel(&mut self, at: usize, new: NodeInfo) {
        let pods: Vec<Arc<PodInfo>> = self.nodes[at].pods.values().cloned().collect();
        for pod in &pods {
            self.carry(pod, at, -1);
        }
        self.nodes[at] = new;
        for pod in &pods {
            self.carry(pod, at, 1);
        }
        self.counted.clear();
        self.domains.clear();
    }

    /// A node is gone; its pods may be shown for a while longer.
    pub(crate) fn node_gone(&mut self, name: &str) {
        let Some(at) = self.position(name) else { return };
        self.counted.clear();
        self.domains.clear();
        if self.nodes[at].pods.is_empty() {
            self.free(at);
        } else {
            let gone = NodeInfo { known: false, labels: Labels::new(), ..self.nodes[at].clone() };
            self.relabel(at, gone);
        }
    }

    fn free(&mut self, at: usize) {
        let gone = self.nodes.swap_remove(at);
        self.by_name.remove(&gone.name);
        if let Some(moved) = self.nodes.get(at) {
            self.by_name.insert(moved.name.clone(), at);
        }
    }

    /// The pod runs on the node (or is about to). Returns whether that is news.
    pub(crate) fn place(&mut self, pod: Arc<PodInfo>, node: &str) -> bool {
        let before = self.placed.get(&pod.uid).cloned();
        let old = if before.is_some() { self.displace(&pod.uid) } else { None };
        let news = before.as_deref() != Some(node) || old.is_none_or(|o| o.labels != pod.labels);
        let at = self.slot(node);
        self.placed.insert(pod.uid.clone(), node.to_owned());
        self.carry(&pod, at, 1);
        self.recount(&pod, at, 1);
        self.nodes[at].add(pod);
        news
    }

    /// The pod does not run any more.
    pub(crate) fn displace(&mut self, uid: &str) -> Option<Arc<PodInfo>> {
        let node = self.placed.remove(uid)?;
        let at = self.position(&node)?;
        let pod = self.nodes[at].remove(uid)?;
        self.carry(&pod, at, -1);
        self.recount(&pod, at, -1);
        if !self.nodes[at].known && self.nodes[at].pods.is_empty() {
            self.free(at);
        }
        Some(pod)
    }

    fn carry(&mut self, pod: &PodInfo, at: usize, by: i64) {
        let labels = &self.nodes[at].labels;
        for term in &pod.anti_affinity {
            self.repelling.change(term, 1, labels, by);
        }
        for term in &pod.affinity {
            self.attracting.change(term, REQUIRED_WEIGHT, labels, by);
        }
        for (weight, term) in &pod.preferred {
            self.attracting.change(term, *weight, labels, by);
        }
    }

    fn recount(&mut self, pod: &PodInfo, at: usize, by: i64) {
        self.counted.change((&pod.namespace, &pod.labels), &self.nodes[at].labels, &self.namespaces, by);
    }

    /// How many running pods a term selects, by value of its topology label.
    pub(crate) fn count(&mut self, term: &Term) -> Counts {
        if let Some(counts) = self.counted.get(term) {
            return counts;
        }
        let mut counts = ByValue::new();
        for node in &self.nodes {
            let Some(value) = node.labels.get(&term.topology_key) else { continue };
            let here = node
                .pods
                .values()
                .filter(|p| term.selects(&p.namespace, &p.labels, &self.namespaces))
                .count();
            if here > 0 {
                *counts.entry(value.clone()).or_default() += i64::try_from(here).unwrap_or(i64::MAX);
            }
        }
        let counts = Counts::new(counts);
        self.counted.begin(term.clone(), counts.clone());
        counts
    }

    /// The values that a label has among the nodes.
    pub(crate) fn domains(&mut self, key: &str) -> impl Iterator<Item = &String> {
        if !self.domains.contains_key(key) {
            let mut values: HashMap<String, usize> = HashMap::new();
            for node in self.nodes.iter().filter(|n| n.known) {
                if let Some(value) = node.labels.get(key) {
                    *values.entry(value.clone()).or_default() += 1;
                }
            }
            self.domains.insert(key.to_owned(), values);
        }
        self.domains.get(key).into_iter().flat_map(HashMap::keys)
    }

    /// A namespace's labels; terms may select namespaces by them.
    pub fn namespace(&mut self, name: &str, labels: Option<Labels>) {
        let changed = match labels {
            Some(labels) => self.namespaces.insert(name.to_owned(), labels.clone()).as_ref() != Some(&labels),
            None => self.namespaces.remove(name).is_some(),
        };
        if changed {
            self.counted.clear();
        }
    }
}
