//! Emptying a node before its machine goes: cordon, evict, wait.

use std::time::Duration;

use container_service::ControlPlaneError;
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, DeleteParams, EvictParams, ListParams, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::json;

use super::failed;

const EVICT_PAUSE: Duration = Duration::from_secs(1);

/// Cordons and empties a node; a missing one is empty. Waits for ever: the caller has the deadline.
pub(super) async fn drain(client: kube::Client, node: &str) -> Result<(), ControlPlaneError> {
    let nodes: Api<Node> = Api::all(client.clone());
    let cordon = json!({"spec": {"unschedulable": true}});
    match nodes.patch(node, &PatchParams::default(), &Patch::Merge(&cordon)).await {
        Err(error) if is_gone(&error) => return Ok(()),
        result => result.map_err(failed("cordon a node"))?,
    };
    let pods: Api<Pod> = Api::all(client.clone());
    let on_node = format!("spec.nodeName={node}");
    let listed =
        pods.list(&ListParams::default().fields(&on_node)).await.map_err(failed("list a node's pods"))?;
    for pod in listed.items.iter().filter(|pod| must_leave(pod)) {
        evict(&client, node, pod).await?;
    }
    let changes = watcher(pods, watcher::Config::default().fields(&on_node)).default_backoff();
    let mut changes = std::pin::pin!(changes);
    let mut left = std::collections::BTreeSet::new();
    let mut complete = false;
    while let Some(event) = changes.next().await {
        match event {
            Ok(watcher::Event::Init) => left.clear(),
            Ok(watcher::Event::InitDone) => complete = true,
            Ok(watcher::Event::InitApply(pod) | watcher::Event::Apply(pod)) => {
                if must_leave(&pod) {
                    left.insert(identity(&pod));
                } else {
                    left.remove(&identity(&pod));
                }
            }
            Ok(watcher::Event::Delete(pod)) => {
                left.remove(&identity(&pod));
            }
            Err(error) => tracing::debug!(error = %kit::Chain(&error), "a watch of pods broke"),
        }
        if complete && left.is_empty() {
            return Ok(());
        }
    }
    Ok(())
}

async fn evict(client: &kube::Client, node: &str, pod: &Pod) -> Result<(), ControlPlaneError> {
    let (namespace, name) = identity(pod);
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    loop {
        match pods.evict(&name, &EvictParams::default()).await {
            Ok(_) => return Ok(()),
            Err(error) if is_gone(&error) => return Ok(()),
            // 429: a disruption budget says not now. The budget's state changes without an event we
            // could wait for here, so ask again as kubectl drain does.
            Err(kube::Error::Api(status)) if status.code == 429 => {
                tracing::info!(%node, pod = %name, reason = %status.message, "an eviction has to wait");
                tokio::time::sleep(EVICT_PAUSE).await;
            }
            Err(error) => {
                let reason = kit::Chain(&error).to_string();
                return Err(ControlPlaneError::Drain { node: node.to_owned(), reason });
            }
        }
    }
}

/// Deletes a Node object; a missing one is deleted.
pub(super) async fn delete_node(client: kube::Client, node: &str) -> Result<(), ControlPlaneError> {
    let nodes: Api<Node> = Api::all(client);
    match nodes.delete(node, &DeleteParams::default()).await {
        Err(error) if !is_gone(&error) => Err(failed("delete a node")(error)),
        _ => Ok(()),
    }
}

fn identity(pod: &Pod) -> (String, String) {
    (pod.metadata.namespace.clone().unwrap_or_default(), pod.metadata.name.clone().unwrap_or_default())
}

/// Daemons stay (their controller would only make them again), mirror pods cannot leave, and what has
/// ended does not hold a node.
fn must_leave(pod: &Pod) -> bool {
    let owners = pod.metadata.owner_references.as_ref();
    let daemon = owners.into_iter().flatten().any(|owner| owner.kind == "DaemonSet");
    let annotations = pod.metadata.annotations.as_ref();
    let mirror = annotations.is_some_and(|all| all.contains_key("kubernetes.io/config.mirror"));
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    !daemon && !mirror && !matches!(phase, Some("Succeeded" | "Failed"))
}

fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}
