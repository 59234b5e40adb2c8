//! Pods nobody will ever end: on nodes that are gone, deleted before they were bound, or too many ended ones.

use std::sync::Arc;
use std::time::Duration;

use informers::objects::{is_deleting, is_terminal, node_name};
use informers::{Change, Error, Informer, Key, Next, Queue};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, DeleteParams, Patch, PatchParams};

use crate::context::Context;

/// How long a node must be missing before its pods are: a node may be made anew under its name.
const QUARANTINE: Duration = Duration::from_secs(5);
/// How long ended pods are counted after one more has ended.
const COUNT_AFTER: Duration = Duration::from_secs(20);

struct Controller {
    client: kube::Client,
    nodes: Informer<Node>,
    pods: Informer<Pod>,
    clock: Arc<dyn kit::Clock>,
    terminated_max: usize,
}

/// Starts the loop.
pub(crate) fn start(context: &Context) {
    let controller = Arc::new(Controller {
        client: context.client("pod-garbage-collector"),
        nodes: context.informer(),
        pods: context.informer(),
        clock: context.clock(),
        terminated_max: context.config.terminated_pods_max,
    });
    let queue: Queue<Key> = Queue::new();
    let (nodes, waiting) = (controller.nodes.clone(), queue.clone());
    controller.pods.subscribe(move |change| {
        let pod = change.object();
        if matches!(change, Change::Deleted(_)) {
            return;
        }
        let node = node_name(pod);
        if node.is_empty() && is_deleting(&pod.metadata) {
            waiting.add(Key::of(pod.as_ref()));
        } else if !node.is_empty() && nodes.find("", node).is_none() {
            waiting.add_after(Key::of(pod.as_ref()), QUARANTINE);
        }
        if is_terminal(pod) && change.old().is_none_or(|old| !is_terminal(old)) {
            waiting.add_after(Key::new("", ""), COUNT_AFTER);
        }
    });
    let (pods, waiting) = (controller.pods.clone(), queue.clone());
    controller.nodes.subscribe(move |change| {
        if let Change::Deleted(node) = change {
            let name = node.metadata.name.as_deref().unwrap_or_default();
            for pod in pods.list().iter().filter(|p| node_name(p) == name) {
                waiting.add_after(Key::of(pod.as_ref()), QUARANTINE);
            }
        }
    });
    let c = controller.clone();
    let ready = async move {
        c.nodes.synced().await;
        c.pods.synced().await;
    };
    context.loops.run("pod-garbage-collector-controller", 2, queue, ready, move |key| {
        let controller = controller.clone();
        async move { controller.sync(key).await }
    });
}

/// Says in the pod's status why it was ended by somebody else, and if `fail`, that it has failed.
pub(super) async fn mark_disrupted(
    api: &Api<Pod>,
    pod: &Pod,
    reason: &str,
    message: &str,
    fail: bool,
    now: Timestamp,
) -> Result<(), Error> {
    let status = pod.status.as_ref();
    let mut conditions = status.and_then(|status| status.conditions.clone()).unwrap_or_default();
    conditions.retain(|c| c.type_ != "DisruptionTarget");
    conditions.push(PodCondition {
        type_: "DisruptionTarget".into(),
        status: "True".into(),
        reason: Some(reason.into()),
        message: Some(message.into()),
        last_transition_time: Some(Time(now)),
        ..Default::default()
    });
    let mut patch = serde_json::json!({
        "metadata": {"resourceVersion": pod.metadata.resource_version}, "status": {"conditions": conditions},
    });
    if fail && !is_terminal(pod) {
        patch["status"]["phase"] = "Failed".into();
    }
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    match api.patch_status(name, &PatchParams::default(), &Patch::Merge(&patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(s)) if s.code == 404 => Ok(()),
        Err(error) => Err(error.into()),
    }
}

impl Controller {
    async fn sync(&self, key: Key) -> Result<Next, Error> {
        if key.name.is_empty() {
            return self.thin_out().await;
        }
        let Some(pod) = self.pods.get(&key) else { return Ok(None) };
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        let node = node_name(&pod);
        if node.is_empty() {
            if is_deleting(&pod.metadata) {
                self.pods.delete(&api, &pod, DeleteParams::default().grace_period(0)).await?;
            }
            return Ok(None);
        }
        let nodes: Api<Node> = Api::all(self.client.clone());
        if self.nodes.find("", node).is_some() || nodes.get_opt(node).await?.is_some() {
            return Ok(None);
        }
        if !is_terminal(&pod) {
            let text = "PodGC: node no longer exists";
            mark_disrupted(&api, &pod, "DeletionByPodGC", text, true, self.clock.now()).await?;
        }
        self.pods.delete(&api, &pod, DeleteParams::default().grace_period(0)).await?;
        Ok(None)
    }

    /// Removes the oldest ended pods beyond the limit.
    async fn thin_out(&self) -> Result<Next, Error> {
        let mut ended: Vec<Arc<Pod>> = self.pods.list().into_iter().filter(|p| is_terminal(p)).collect();
        let surplus = ended.len().saturating_sub(self.terminated_max);
        ended.sort_by_key(|p| p.metadata.creation_timestamp.as_ref().map(|t| t.0));
        for pod in &ended[..surplus] {
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
            self.pods.delete(&api, pod, DeleteParams::default().grace_period(0)).await?;
        }
        Ok(None)
    }
}
