//! What the scheduler knows and what it does next. No I/O; time is milliseconds the caller passes in.

mod cluster;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use informers::objects::{is_deleting, is_terminal, node_name};
use k8s_openapi::api::core::v1::{Node, Pod};

pub use cluster::Cluster;

use crate::cycle::{self, Failure};
use crate::pod::PodInfo;
use crate::preempt::{self, Preemption};
use crate::queue::{Queue, Wake};
use crate::{explain, volumes};

/// What the caller must do.
#[derive(Debug)]
pub enum Decision {
    /// Bind the pod to the node. If that fails, tell [`Core::bind_failed`].
    Bind {
        /// The pod; it counts as running there from now on.
        pod: Arc<PodInfo>,
        /// The node.
        node: String,
    },
    /// Tell these claims which node their volume is wanted for; the pod is tried again when they are bound.
    Provision {
        /// The pod.
        pod: Arc<PodInfo>,
        /// The node.
        node: String,
        /// Names of claims in the pod's namespace.
        claims: Vec<String>,
    },
    /// No node fits.
    Fail {
        /// The pod.
        pod: Arc<PodInfo>,
        /// Why, for the event and the condition.
        message: String,
        /// Pods to remove and the node that is then hoped for.
        preemption: Option<Preemption>,
    },
    /// The pod has scheduling gates.
    Gated {
        /// The pod.
        pod: Arc<PodInfo>,
    },
}

/// The scheduler's memory and its queue.
pub struct Core {
    name: String,
    /// Nodes, pods and everything else that decides.
    pub cluster: Cluster,
    queue: Queue,
    assumed: HashMap<String, String>,
    start: usize,
    chance: u64,
}

impl Core {
    /// Knows nothing yet. `name` is the scheduler that pods ask for; `seed` decides among equals.
    pub fn new(name: &str, seed: u64) -> Self {
        Self {
            name: name.to_owned(),
            cluster: Cluster::default(),
            queue: Queue::default(),
            assumed: HashMap::new(),
            start: 0,
            chance: seed ^ 0x9e37_79b9_7f4a_7c15,
        }
    }

    /// How many pods wait: ready to be tried, backing off, without a node that fits.
    pub fn waiting(&self) -> (usize, usize, usize) {
        self.queue.counts()
    }

    /// A pod as the API shows it. Returns a decision when one follows at once.
    pub fn pod(&mut self, pod: Arc<Pod>, now_ms: u64) -> Option<Decision> {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        if is_terminal(&pod) {
            self.pod_gone(&uid, now_ms);
            return None;
        }
        let node = node_name(&pod).to_owned();
        if !node.is_empty() {
            self.assumed.remove(&uid);
            self.queue.remove(&uid);
            self.cluster.nominated.remove(&uid);
            let news = self.cluster.place(Arc::new(PodInfo::new(pod)), &node);
            if news {
                self.queue.wake(Wake::PodAdded, now_ms);
            }
            return None;
        }
        let spec = pod.spec.as_ref();
        let scheduler = spec.and_then(|s| s.scheduler_name.as_deref()).unwrap_or("default-scheduler");
        if scheduler != self.name || self.assumed.contains_key(&uid) {
            return None;
        }
        if is_deleting(&pod.metadata) {
            self.queue.remove(&uid);
            self.cluster.nominated.remove(&uid);
            return None;
        }
        let gated = spec.and_then(|s| s.scheduling_gates.as_ref()).is_some_and(|g| !g.is_empty());
        let info = Arc::new(PodInfo::new(pod));
        if let Some(node) = info.nominated.clone() {
            self.cluster.nominated.insert(uid, (node, info.clone()));
        } else {
            self.cluster.nominated.remove(&uid);
        }
        if gated {
            let news = self.queue.gate(info.clone());
            return news.then_some(Decision::Gated { pod: info });
        }
        self.queue.upsert(info, now_ms);
        None
    }

    /// A pod is gone or has ended.
    pub fn pod_gone(&mut self, uid: &str, now_ms: u64) {
        self.assumed.remove(uid);
        self.queue.remove(uid);
        self.cluster.nominated.remove(uid);
        if self.cluster.displace(uid).is_some() {
            self.queue.wake(Wake::PodRemoved, now_ms);
        }
    }

    /// A node as the API shows it.
    pub fn node(&mut self, node: &Node, now_ms: u64) {
        if self.cluster.node(node) {
            self.queue.wake(Wake::Node, now_ms);
        }
    }

    /// A node is gone.
    pub fn node_gone(&mut self, name: &str, now_ms: u64) {
        self.cluster.node_gone(name);
        self.queue.wake(Wake::PodRemoved, now_ms);
    }

    /// Claims, volumes or classes have changed.
    pub fn volumes_changed(&mut self, now_ms: u64) {
        self.queue.wake(Wake::Volume, now_ms);
    }

    /// A binding was refused: the pod is not on the node and is tried again.
    pub fn bind_failed(&mut self, pod: &Arc<PodInfo>, now_ms: u64) {
        if self.assumed.remove(&pod.uid).is_some() {
            self.cluster.displace(&pod.uid);
            self.queue.failed(pod.clone(), Vec::new(), now_ms, true);
            self.queue.wake(Wake::PodRemoved, now_ms);
        }
    }

    /// When [`next`](Self::next) must be asked again even if nothing happens.
    pub fn due(&self) -> Option<u64> {
        self.queue.due()
    }

    /// Takes the next pod from the queue and decides. `None`: nothing to do now.
    pub fn next(&mut self, now_ms: u64) -> Option<Decision> {
        let pod = self.queue.pop(now_ms)?;
        if let Err(refusal) = volumes::precheck(&pod, &self.cluster) {
            return Some(self.fail(pod, Failure::of_all(refusal), now_ms));
        }
        let choice = cycle::schedule(&pod, &mut self.cluster, &mut self.start, &mut self.chance);
        match choice {
            Ok(at) => Some(self.accept(pod, at, now_ms)),
            Err(failure) => Some(self.fail(pod, failure, now_ms)),
        }
    }

    fn accept(&mut self, pod: Arc<PodInfo>, at: usize, now_ms: u64) -> Decision {
        let node = self.cluster.nodes[at].name.clone();
        let claims = volumes::to_provision(&pod, &self.cluster);
        if !claims.is_empty() {
            self.queue.failed(pod.clone(), vec![crate::plugins::Plugin::Volumes], now_ms, false);
            return Decision::Provision { pod, node, claims };
        }
        self.cluster.nominated.remove(&pod.uid);
        self.cluster.place(pod.clone(), &node);
        self.assumed.insert(pod.uid.clone(), node.clone());
        self.queue.succeeded(&pod.uid);
        self.queue.wake(Wake::PodAdded, now_ms);
        Decision::Bind { pod, node }
    }

    fn fail(&mut self, pod: Arc<PodInfo>, failure: Failure, now_ms: u64) -> Decision {
        let attempt = preempt::attempt(&pod, &failure, &mut self.cluster);
        let message = explain::message(&failure, &self.cluster, &attempt);
        let preemption = attempt.ok();
        if let Some(p) = &preemption {
            self.cluster.nominated.insert(pod.uid.clone(), (p.node.clone(), pod.clone()));
        }
        let mut by: Vec<_> = failure.plugins();
        if preemption.is_some() {
            by.push(crate::plugins::Plugin::Fit);
        }
        self.queue.failed(pod.clone(), by, now_ms, false);
        Decision::Fail { pod, message, preemption }
    }
}
