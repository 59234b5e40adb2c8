//! A node that falls silent becomes `Unknown`; conditions become taints.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use informers::objects::{is_deleting, is_ready, node_name, reference, until};
use informers::{Change, Error, Informer, Key, Next, Queue, Recorder};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, Patch, PatchParams, PostParams};
use parking_lot::Mutex;

use super::health::Pulse;
use super::taints::{self, condition};
use crate::context::Context;

const LEASES: &str = "kube-node-lease";
const WATCHED: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

struct Controller {
    client: kube::Client,
    nodes: Informer<Node>,
    pods: Informer<Pod>,
    events: Recorder,
    clock: Arc<dyn kit::Clock>,
    grace: Duration,
    pulse: Mutex<Pulse>,
}

/// Starts the loop.
pub(crate) fn start(context: &Context) {
    let name = "node-lifecycle-controller";
    let leases = context.informer::<Lease>();
    let controller = Arc::new(Controller {
        client: context.client("node-controller"),
        nodes: context.informer(),
        pods: context.informer(),
        events: context.recorder("node-controller"),
        clock: context.clock(),
        grace: context.config.node_grace,
        pulse: Mutex::default(),
    });
    let queue = Queue::new();
    let c = controller.clone();
    leases.subscribe(move |change| {
        let lease = change.object();
        if lease.metadata.namespace.as_deref() == Some(LEASES) && !matches!(change, Change::Deleted(_)) {
            let renewed = lease.spec.as_ref().and_then(|s| s.renew_time.as_ref()).map(|t| t.0);
            let node = lease.metadata.name.as_deref().unwrap_or_default();
            c.pulse.lock().lease(node, renewed, c.clock.now());
        }
    });
    let (c, waiting) = (controller.clone(), queue.clone());
    controller.nodes.subscribe(move |change| {
        let node = change.object();
        let name = node.metadata.name.as_deref().unwrap_or_default();
        match change {
            Change::Deleted(_) => c.pulse.lock().forget(name),
            _ => c.pulse.lock().status(name, heartbeat(node), c.clock.now()),
        }
        waiting.add(Key::of(node.as_ref()));
    });
    let c = controller.clone();
    let ready = async move {
        c.nodes.synced().await;
        c.pods.synced().await;
        leases.synced().await;
    };
    context.loops.run(name, 4, queue, ready, move |key| {
        let controller = controller.clone();
        async move { controller.sync(key).await }
    });
}

fn heartbeat(node: &Node) -> Option<Timestamp> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|c| c.type_ == "Ready")?.last_heartbeat_time.as_ref().map(|t| t.0)
}

/// The conditions of a silent node.
fn silent(node: &Node, now: Timestamp) -> Vec<NodeCondition> {
    let mut conditions = node.status.as_ref().and_then(|s| s.conditions.clone()).unwrap_or_default();
    for kind in WATCHED {
        match conditions.iter_mut().find(|c| c.type_ == kind) {
            Some(known) if known.status != "Unknown" => {
                known.status = "Unknown".into();
                known.reason = Some("NodeStatusUnknown".into());
                known.message = Some("Kubelet stopped posting node status.".into());
                known.last_transition_time = Some(Time(now));
            }
            Some(_) => {}
            None => conditions.push(NodeCondition {
                type_: kind.into(),
                status: "Unknown".into(),
                reason: Some("NodeStatusNeverUpdated".into()),
                message: Some("Kubelet never posted node status.".into()),
                last_heartbeat_time: node.metadata.creation_timestamp.clone(),
                last_transition_time: Some(Time(now)),
            }),
        }
    }
    conditions
}

impl Controller {
    async fn sync(&self, key: Key) -> Result<Next, Error> {
        let Some(mut node) = self.nodes.get(&key).filter(|n| !is_deleting(&n.metadata)) else {
            return Ok(None);
        };
        let api: Api<Node> = Api::all(self.client.clone());
        let now = self.clock.now();
        let grace = SignedDuration::try_from(self.grace).unwrap_or(SignedDuration::from_secs(40));
        let last = self.pulse.lock().last(&key.name, now);
        let deadline = last.saturating_add(grace).unwrap_or(now);
        let next =
            if deadline > now { Some(until(deadline, now) + Duration::from_millis(100)) } else { None };
        if next.is_none() && WATCHED.iter().any(|kind| condition(&node, kind) != "Unknown") {
            let was_ready = condition(&node, "Ready") == "True";
            let mut changed = node.as_ref().clone();
            changed.status.get_or_insert_default().conditions = Some(silent(&node, now));
            let changed = api.replace_status(&key.name, &PostParams::default(), &changed).await?;
            self.nodes.observe(changed.clone());
            node = Arc::new(changed);
            if was_ready {
                let text = format!("Node {} status is now: NodeNotReady", key.name);
                self.events.normal(reference(node.as_ref()), "NodeNotReady", text);
            }
        }
        // When every node is down, the fault is more likely here than there: nobody is driven away.
        let evict = self.nodes.list().iter().any(|n| condition(n, "Ready") == "True");
        if let Some(taints) = taints::wanted(&node, evict, now) {
            let patch = serde_json::json!({
                "metadata": {"resourceVersion": node.metadata.resource_version}, "spec": {"taints": taints},
            });
            self.nodes.observe(api.patch(&key.name, &PatchParams::default(), &Patch::Merge(&patch)).await?);
        }
        if matches!(condition(&node, "Ready"), "False" | "Unknown") {
            self.mark_pods(&key.name, now).await?;
        }
        Ok(next)
    }

    /// Pods on a node that is not ready are not ready either, so that services stop sending to them.
    async fn mark_pods(&self, node: &str, now: Timestamp) -> Result<(), Error> {
        let ready: Vec<Arc<Pod>> =
            self.pods.list().into_iter().filter(|p| node_name(p) == node && is_ready(p)).collect();
        let marks = ready.iter().map(|pod| async move {
            let mut changed = pod.as_ref().clone();
            let conditions = changed.status.get_or_insert_default().conditions.get_or_insert_default();
            for condition in conditions.iter_mut().filter(|c| c.type_ == "Ready") {
                condition.status = "False".into();
                condition.last_transition_time = Some(Time(now));
            }
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
            match api.replace_status(name, &PostParams::default(), &changed).await {
                Ok(changed) => {
                    self.pods.observe(changed);
                    self.events.warning(reference(pod.as_ref()), "NodeNotReady", "Node is not ready");
                    Ok(())
                }
                Err(kube::Error::Api(s)) if matches!(s.code, 404 | 409) => Ok(()),
                Err(error) => Err(Error::from(error)),
            }
        });
        join_all(marks).await.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_node_knows_nothing_of_itself() {
        let node: Node = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "n"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }))
        .unwrap();
        let conditions = silent(&node, Timestamp::UNIX_EPOCH);
        assert_eq!(conditions.len(), 4);
        assert!(conditions.iter().all(|c| c.status == "Unknown"));
        assert_eq!(conditions[0].message.as_deref(), Some("Kubelet stopped posting node status."));
        assert_eq!(conditions[1].reason.as_deref(), Some("NodeStatusNeverUpdated"));
    }
}
