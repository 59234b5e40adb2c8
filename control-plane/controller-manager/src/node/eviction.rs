//! Pods that do not tolerate their node's `NoExecute` taints leave when their time is up.

use std::sync::Arc;
use std::time::Duration;

use informers::objects::{is_deleting, is_terminal, node_name, reference};
use informers::{Error, Informer, Key, Next, Queue, Recorder};
use k8s_openapi::api::core::v1::{Node, Pod, Taint};
use kube::api::{Api, DeleteParams};

use super::pod_gc::mark_disrupted;
use super::taints::leaves;
use crate::context::Context;

struct Controller {
    client: kube::Client,
    nodes: Informer<Node>,
    pods: Informer<Pod>,
    events: Recorder,
    clock: Arc<dyn kit::Clock>,
}

fn no_execute(node: &Node) -> Vec<Taint> {
    let taints = node.spec.as_ref().and_then(|s| s.taints.clone()).unwrap_or_default();
    taints.into_iter().filter(|t| t.effect == "NoExecute").collect()
}

/// Starts the loop.
pub(crate) fn start(context: &Context) {
    let controller = Arc::new(Controller {
        client: context.client("node-controller"),
        nodes: context.informer(),
        pods: context.informer(),
        events: context.recorder_called("node-controller", "taint-eviction-controller"),
        clock: context.clock(),
    });
    let queue = Queue::new();
    let (nodes, waiting) = (controller.nodes.clone(), queue.clone());
    controller.pods.subscribe(move |change| {
        let pod = change.object();
        if nodes.find("", node_name(pod)).is_some_and(|n| !no_execute(&n).is_empty()) {
            waiting.add(Key::of(pod.as_ref()));
        }
    });
    let (pods, waiting) = (controller.pods.clone(), queue.clone());
    controller.nodes.subscribe(move |change| {
        let before = change.old().map(|n| no_execute(n)).unwrap_or_default();
        if before != no_execute(change.object()) {
            let name = change.object().metadata.name.as_deref().unwrap_or_default();
            pods.list()
                .iter()
                .filter(|p| node_name(p) == name)
                .for_each(|p| waiting.add(Key::of(p.as_ref())));
        }
    });
    let c = controller.clone();
    let ready = async move {
        c.nodes.synced().await;
        c.pods.synced().await;
    };
    context.loops.run("taint-eviction-controller", 4, queue, ready, move |key| {
        let controller = controller.clone();
        async move { controller.sync(key).await }
    });
}

impl Controller {
    async fn sync(&self, key: Key) -> Result<Next, Error> {
        let Some(pod) = self.pods.get(&key) else { return Ok(None) };
        if is_deleting(&pod.metadata) || is_terminal(&pod) {
            return Ok(None);
        }
        let Some(node) = self.nodes.find("", node_name(&pod)) else { return Ok(None) };
        let Some(stay) = leaves(&pod, &no_execute(&node), self.clock.now()) else { return Ok(None) };
        if !stay.is_zero() {
            return Ok(Some(stay + Duration::from_millis(10)));
        }
        self.events.normal(
            reference(pod.as_ref()),
            "TaintManagerEviction",
            format!("Marking for deletion Pod {key}"),
        );
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        let text = "Taint manager: deleting due to NoExecute taint";
        mark_disrupted(&api, &pod, "DeletionByTaintManager", text, false, self.clock.now()).await?;
        self.pods.delete(&api, &pod, DeleteParams::default()).await?;
        Ok(None)
    }
}
