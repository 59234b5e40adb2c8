//! A node as the scheduler sees it: what it has, what is taken, who is there.

use std::collections::HashMap;
use std::sync::Arc;

use informers::quantity;
use informers::selector::Labels;
use k8s_openapi::api::core::v1::{Node, Taint};

use crate::pod::PodInfo;
use crate::resources::Amounts;

/// What matters of a node.
#[derive(Debug, Clone, Default)]
pub struct NodeInfo {
    /// Its name.
    pub name: String,
    /// Whether the node object is known; pods may be seen before their node.
    pub(crate) known: bool,
    pub(crate) labels: Labels,
    pub(crate) taints: Vec<Taint>,
    pub(crate) unschedulable: bool,
    pub(crate) allocatable: Amounts,
    pub(crate) pods_max: i64,
    pub(crate) requested: Amounts,
    pub(crate) weight: (i64, i64),
    pub(crate) pods: HashMap<String, Arc<PodInfo>>,
    pub(crate) owners: HashMap<String, i64>,
    pub(crate) images: HashMap<String, i64>,
    pub(crate) host_ports: usize,
}

impl NodeInfo {
    pub(crate) fn update(&mut self, node: &Node) {
        let spec = node.spec.clone().unwrap_or_default();
        let status = node.status.clone().unwrap_or_default();
        self.name = node.metadata.name.clone().unwrap_or_default();
        self.known = true;
        self.labels = node.metadata.labels.clone().unwrap_or_default();
        self.taints = spec
            .taints
            .unwrap_or_default()
            .into_iter()
            .filter(|t| t.effect != "PreferNoSchedule" || !t.key.is_empty())
            .collect();
        self.unschedulable = spec.unschedulable.unwrap_or(false);
        self.allocatable = Amounts::of(status.allocatable.as_ref());
        self.pods_max =
            status.allocatable.as_ref().and_then(|a| a.get("pods")).map_or(0, |q| quantity::of("pods", q));
        self.images = status
            .images
            .unwrap_or_default()
            .into_iter()
            .flat_map(|image| {
                let size = image.size_bytes.unwrap_or(0);
                image.names.unwrap_or_default().into_iter().map(move |name| (name, size))
            })
            .collect();
    }

    pub(crate) fn add(&mut self, pod: Arc<PodInfo>) {
        self.requested.add(&pod.requests);
        self.weight = (self.weight.0 + pod.weight.0, self.weight.1 + pod.weight.1);
        self.host_ports += pod.ports.len();
        if let Some(owner) = &pod.owner {
            *self.owners.entry(owner.clone()).or_default() += 1;
        }
        self.pods.insert(pod.uid.clone(), pod);
    }

    pub(crate) fn remove(&mut self, uid: &str) -> Option<Arc<PodInfo>> {
        let pod = self.pods.remove(uid)?;
        self.requested.sub(&pod.requests);
        self.weight = (self.weight.0 - pod.weight.0, self.weight.1 - pod.weight.1);
        self.host_ports -= pod.ports.len();
        if let Some(owner) = &pod.owner
            && let Some(count) = self.owners.get_mut(owner)
        {
            *count -= 1;
            if *count == 0 {
                self.owners.remove(owner);
            }
        }
        Some(pod)
    }
}
