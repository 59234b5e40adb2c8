//! A pod as the scheduler sees it: everything that matters for placing it, read once.

use std::collections::BTreeSet;
use std::sync::Arc;

use informers::objects;
use informers::selector::Labels;
use k8s_openapi::api::core::v1::{
    NodeSelector, Pod, PreferredSchedulingTerm, Toleration, TopologySpreadConstraint,
};

use crate::resources::{Amounts, of_pod};
use crate::terms::Term;

/// A port on the node's own address: address, protocol, number.
pub(crate) type HostPort = (String, String, i32);

/// A rule about spreading.
#[derive(Debug, Clone)]
pub(crate) struct Spread {
    pub term: Term,
    pub max_skew: i64,
    pub min_domains: i64,
    pub hard: bool,
    pub honor_affinity: bool,
    pub honor_taints: bool,
}

/// What matters of a pod.
#[derive(Debug)]
pub struct PodInfo {
    /// The pod itself.
    pub pod: Arc<Pod>,
    /// Its uid.
    pub uid: String,
    pub(crate) namespace: String,
    pub(crate) labels: Labels,
    pub(crate) owner: Option<String>,
    pub(crate) priority: i32,
    pub(crate) never_preempts: bool,
    pub(crate) requests: Amounts,
    /// Requests with defaults for missing ones, to compare nodes.
    pub(crate) weight: (i64, i64),
    pub(crate) tolerations: Vec<Toleration>,
    pub(crate) node_selector: Labels,
    pub(crate) node_required: Option<NodeSelector>,
    pub(crate) node_preferred: Vec<PreferredSchedulingTerm>,
    pub(crate) affinity: Vec<Term>,
    pub(crate) anti_affinity: Vec<Term>,
    /// Preferred terms; anti-affinity has negative weights.
    pub(crate) preferred: Vec<(i64, Term)>,
    pub(crate) spread: Vec<Spread>,
    pub(crate) ports: Vec<HostPort>,
    pub(crate) images: Vec<String>,
    pub(crate) claims: Vec<String>,
    pub(crate) nominated: Option<String>,
}

impl PodInfo {
    /// Reads a pod.
    pub fn new(pod: Arc<Pod>) -> Self {
        let spec = pod.spec.clone().unwrap_or_default();
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let labels = pod.metadata.labels.clone().unwrap_or_default();
        let affinity = spec.affinity.clone().unwrap_or_default();
        let node = affinity.node_affinity.unwrap_or_default();
        let with = affinity.pod_affinity.unwrap_or_default();
        let against = affinity.pod_anti_affinity.unwrap_or_default();
        let term = |t: &k8s_openapi::api::core::v1::PodAffinityTerm| Term::of_affinity(t, &namespace);
        let required = |list: &Option<Vec<_>>| list.iter().flatten().map(term).collect::<Vec<_>>();
        let weighed = |list: Option<Vec<k8s_openapi::api::core::v1::WeightedPodAffinityTerm>>, sign: i64| {
            let list = list.unwrap_or_default();
            list.iter().map(|w| (sign * i64::from(w.weight), term(&w.pod_affinity_term))).collect::<Vec<_>>()
        };
        let filled = of_pod(&spec, true);
        let constraints = spec.topology_spread_constraints.clone().unwrap_or_default();
        Self {
            uid: objects::uid(&pod.metadata).to_owned(),
            owner: objects::controller_of(&pod.metadata).map(|o| o.uid.clone()),
            priority: spec.priority.unwrap_or(0),
            never_preempts: spec.preemption_policy.as_deref() == Some("Never"),
            requests: of_pod(&spec, false),
            weight: (filled.cpu, filled.memory),
            node_selector: spec.node_selector.clone().unwrap_or_default(),
            node_required: node.required_during_scheduling_ignored_during_execution,
            node_preferred: node.preferred_during_scheduling_ignored_during_execution.unwrap_or_default(),
            affinity: required(&with.required_during_scheduling_ignored_during_execution),
            anti_affinity: required(&against.required_during_scheduling_ignored_during_execution),
            preferred: [
                weighed(with.preferred_during_scheduling_ignored_during_execution, 1),
                weighed(against.preferred_during_scheduling_ignored_during_execution, -1),
            ]
            .concat(),
            spread: constraints.iter().map(|c| spread(c, &namespace, &labels)).collect(),
            ports: host_ports(&pod),
            images: spec.containers.iter().filter_map(|c| c.image.clone()).collect(),
            claims: claims(&pod),
            nominated: pod
                .status
                .as_ref()
                .and_then(|s| s.nominated_node_name.clone())
                .filter(|n| !n.is_empty()),
            tolerations: spec.tolerations.unwrap_or_default(),
            namespace,
            labels,
            pod,
        }
    }

    /// `namespace/name`, for people.
    pub fn name(&self) -> String {
        format!("{}/{}", self.namespace, self.pod.metadata.name.as_deref().unwrap_or_default())
    }
}

fn spread(constraint: &TopologySpreadConstraint, namespace: &str, labels: &Labels) -> Spread {
    let mut selector = constraint.label_selector.clone();
    if let Some(selector) = &mut selector {
        for key in constraint.match_label_keys.iter().flatten() {
            if let Some(value) = labels.get(key) {
                selector.match_labels.get_or_insert_default().insert(key.clone(), value.clone());
            }
        }
    }
    let namespaces = BTreeSet::from([namespace.to_owned()]);
    Spread {
        term: Term::new(&constraint.topology_key, namespaces, None, selector),
        max_skew: i64::from(constraint.max_skew),
        min_domains: i64::from(constraint.min_domains.unwrap_or(1)),
        hard: constraint.when_unsatisfiable == "DoNotSchedule",
        honor_affinity: constraint.node_affinity_policy.as_deref() != Some("Ignore"),
        honor_taints: constraint.node_taints_policy.as_deref() == Some("Honor"),
    }
}

fn host_ports(pod: &Pod) -> Vec<HostPort> {
    let containers = pod.spec.iter().flat_map(|s| {
        let sidecars =
            s.init_containers.iter().flatten().filter(|c| c.restart_policy.as_deref() == Some("Always"));
        s.containers.iter().chain(sidecars)
    });
    containers
        .flat_map(|c| c.ports.iter().flatten())
        .filter_map(|p| {
            let port = p.host_port.filter(|port| *port > 0)?;
            let ip = p.host_ip.clone().filter(|ip| !ip.is_empty()).unwrap_or_else(|| "0.0.0.0".into());
            Some((ip, p.protocol.clone().unwrap_or_else(|| "TCP".into()), port))
        })
        .collect()
}

fn claims(pod: &Pod) -> Vec<String> {
    let volumes = pod.spec.iter().flat_map(|s| s.volumes.iter().flatten());
    volumes
        .filter_map(|v| {
            if let Some(claim) = &v.persistent_volume_claim {
                return Some(claim.claim_name.clone());
            }
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            v.ephemeral.as_ref().map(|_| format!("{name}-{}", v.name))
        })
        .collect()
}
