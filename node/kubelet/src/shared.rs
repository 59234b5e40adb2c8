//! What all parts of a kubelet lean on.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::runtime::reflector::Store;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};

use crate::config::Config;
use crate::events::Recorder;
use crate::image::Puller;
use crate::node::capacity;
use crate::objects::Objects;
use crate::pod::env::Facts;
use crate::runtime::Readiness;
use crate::volume::Volumes;

/// What a pod's worker is to bring about.
#[derive(Clone)]
pub struct Desired {
    /// The newest object.
    pub pod: Arc<Pod>,
    /// The API has no such pod any more.
    pub gone: bool,
}

/// A worker from outside.
#[derive(Clone)]
pub struct Handle {
    /// What it is to bring about.
    pub desired: watch::Sender<Desired>,
    /// Makes it look again.
    pub wake: Arc<Notify>,
}

/// The parts.
pub struct Shared {
    /// What the kubelet was told.
    pub config: Config,
    /// Tells events.
    pub events: Recorder,
    /// Config maps and secrets.
    pub objects: Arc<Objects>,
    /// Services, for the environment.
    pub services: Store<Service>,
    /// Images.
    pub images: Puller,
    /// Volumes.
    pub volumes: Volumes,
    /// `containerd`.
    pub runtime_name: String,
    /// `containerd://1.6.20`.
    pub runtime_version: String,
    /// Whether pods can run now.
    pub readiness: watch::Sender<Readiness>,
    /// Whether the runtime tells of ends by itself.
    pub told: AtomicBool,
    /// Which pod a container or sandbox belongs to.
    pub owners: Mutex<HashMap<String, String>>,
    /// The workers, by UID.
    pub pods: RwLock<BTreeMap<String, Handle>>,
    /// The kubelet's tasks.
    pub tasks: kit::Tasks,
}

impl Shared {
    /// The node's address as text.
    pub fn host_ip(&self) -> String {
        self.config.node_address.to_string()
    }

    /// What the pod's own fields cannot say.
    pub fn facts(&self, addresses: &[String]) -> Facts {
        let allocatable = capacity::allocatable(&self.config);
        Facts {
            pod_ips: addresses.to_vec(),
            host_ip: self.host_ip(),
            node_milli_cpu: i128::from(allocatable.cpu_milli),
            node_memory_bytes: i128::from(allocatable.memory_bytes),
        }
    }

    /// The pod of this name, if it is on the node.
    pub fn find(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        let pods = self.pods.read();
        let mut of_name: Vec<Desired> = pods
            .values()
            .map(|handle| handle.desired.borrow().clone())
            .filter(|desired| {
                let meta = &desired.pod.metadata;
                meta.name.as_deref() == Some(name) && meta.namespace.as_deref() == Some(namespace)
            })
            .collect();
        // A pod of the same name that is still going away comes last.
        of_name.sort_by_key(|desired| desired.gone);
        of_name.first().map(|desired| desired.pod.clone())
    }

    /// Makes every worker look again.
    pub fn wake_all(&self) {
        self.pods.read().values().for_each(|handle| handle.wake.notify_one());
    }
}
