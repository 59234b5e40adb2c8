//! Claims and volumes: whether the pod's volumes can be where the node is.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;

use crate::core::Cluster;
use crate::node::NodeInfo;
use crate::plugins::node_affinity::selects;
use crate::plugins::{Plugin, Refusal};
use crate::pod::PodInfo;

/// An annotation on a claim: the node its volume is wanted for.
pub(crate) const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// What is known of storage.
#[derive(Default)]
pub(crate) struct Volumes {
    /// By namespace and name.
    pub claims: HashMap<(String, String), Arc<PersistentVolumeClaim>>,
    pub volumes: HashMap<String, Arc<PersistentVolume>>,
    pub classes: HashMap<String, Arc<StorageClass>>,
}

enum State<'a> {
    Missing,
    Bound(&'a str),
    /// Its volume is made when the pod's node is known; perhaps it is being made for this one.
    Waits(Option<&'a str>),
    Unbound,
}

fn state<'a>(pod: &PodInfo, claim: &str, cluster: &'a Cluster) -> State<'a> {
    let volumes = &cluster.volumes;
    let Some(claim) = volumes.claims.get(&(pod.namespace.clone(), claim.to_owned())) else {
        return State::Missing;
    };
    if claim.metadata.deletion_timestamp.is_some() {
        return State::Missing;
    }
    let spec = claim.spec.as_ref();
    if let Some(volume) = spec.and_then(|s| s.volume_name.as_deref()).filter(|v| !v.is_empty()) {
        return State::Bound(volume);
    }
    let class = spec.and_then(|s| s.storage_class_name.as_ref()).and_then(|c| volumes.classes.get(c));
    match class {
        Some(class) if class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer") => {
            State::Waits(informers::objects::annotation(&claim.metadata, SELECTED_NODE))
        }
        _ => State::Unbound,
    }
}

/// What no node could mend.
pub(crate) fn precheck(pod: &PodInfo, cluster: &Cluster) -> Result<(), Refusal> {
    for name in &pod.claims {
        match state(pod, name, cluster) {
            State::Missing => {
                let text = format!("persistentvolumeclaim \"{name}\" not found");
                return Err(Refusal::hard(Plugin::Volumes, text));
            }
            State::Unbound => {
                let text = "pod has unbound immediate PersistentVolumeClaims";
                return Err(Refusal::hard(Plugin::Volumes, text));
            }
            State::Bound(_) | State::Waits(_) => {}
        }
    }
    Ok(())
}

pub(crate) fn filter(pod: &PodInfo, node: &NodeInfo, cluster: &Cluster) -> Result<(), Refusal> {
    for name in &pod.claims {
        match state(pod, name, cluster) {
            State::Bound(volume) => {
                let Some(volume) = cluster.volumes.volumes.get(volume) else {
                    let text = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";
                    return Err(Refusal::hard(Plugin::Volumes, text));
                };
                let required = volume
                    .spec
                    .as_ref()
                    .and_then(|s| s.node_affinity.as_ref())
                    .and_then(|a| a.required.as_ref());
                if required.is_some_and(|r| !selects(r, &node.labels, &node.name)) {
                    let text = "node(s) didn't match PersistentVolume's node affinity";
                    return Err(Refusal::hard(Plugin::Volumes, text));
                }
            }
            // Its volume is being made for another node: only that one will do.
            State::Waits(Some(chosen)) if chosen != node.name && cluster.position(chosen).is_some() => {
                let text = "node(s) didn't match the node selected for the pod's volumes";
                return Err(Refusal::hard(Plugin::Volumes, text));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The claims that must be told their node before the pod can be bound.
pub(crate) fn to_provision(pod: &PodInfo, cluster: &Cluster) -> Vec<String> {
    let waits = |name: &&String| matches!(state(pod, name, cluster), State::Waits(_));
    pod.claims.iter().filter(waits).cloned().collect()
}
