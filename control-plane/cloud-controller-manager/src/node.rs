//! Nodes and their instances: new ones are introduced, vanished ones removed, sleeping ones marked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use informers::objects::{is_deleting, reference};
use informers::{Change, Error, Informer, Informers, Key, Loops, Next, Queue, Recorder};
use k8s_openapi::api::core::v1::{Node, NodeAddress, Taint};
use kube::api::{Api, DeleteParams, Patch, PatchParams};

use crate::arm::Arm;
use crate::instances::{Instance, Instances};

const UNINITIALIZED: &str = "node.cloudprovider.kubernetes.io/uninitialized";
const SHUTDOWN: &str = "node.cloudprovider.kubernetes.io/shutdown";
/// Nodes others look after.
const MANAGED: &str = "kubernetes.azure.com/managed";
/// How often the instance of a node that is not ready is looked for. The cloud tells nobody of deletions.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

struct Controller {
    client: kube::Client,
    nodes: Informer<Node>,
    instances: Instances,
    location: String,
    events: Recorder,
}

/// Starts the loops.
pub(crate) fn start(client: &kube::Client, arm: &Arm, informers: &Informers, loops: &Loops) {
    let controller = Arc::new(Controller {
        client: client.clone(),
        nodes: informers.of(),
        instances: Instances::new(arm),
        location: arm.config.location.to_lowercase(),
        events: Recorder::new(client.clone(), "cloud-node-controller", loops.tasks()),
    });
    let queue = Queue::new();
    let c = controller.clone();
    controller.nodes.enqueue_to(&queue);
    loops.run("cloud-node-controller", 4, queue, async move { c.nodes.synced().await }, {
        let controller = controller.clone();
        move |key| {
            let controller = controller.clone();
            async move { controller.introduce(key).await }
        }
    });
    let queue = Queue::new();
    let waiting = queue.clone();
    controller.nodes.subscribe(move |change| {
        let node = change.object();
        let id = |n: &Node| n.spec.as_ref().and_then(|s| s.provider_id.clone());
        let turned = change.old().is_none_or(|old| is_ready(old) != is_ready(node) || id(old) != id(node));
        if !matches!(change, Change::Deleted(_)) && (turned || has_taint(node, SHUTDOWN)) {
            waiting.add(Key::of(node.as_ref()));
        }
    });
    let c = controller.clone();
    loops.run(
        "cloud-node-lifecycle-controller",
        2,
        queue,
        async move { c.nodes.synced().await },
        move |key| {
            let controller = controller.clone();
            async move { controller.look_after(key).await }
        },
    );
}

fn taints(node: &Node) -> Vec<Taint> {
    node.spec.as_ref().and_then(|s| s.taints.clone()).unwrap_or_default()
}

fn has_taint(node: &Node, key: &str) -> bool {
    node.spec.iter().flat_map(|s| s.taints.iter().flatten()).any(|t| t.key == key)
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|s| s.conditions.iter().flatten());
    conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True")
}

fn is_unmanaged(node: &Node) -> bool {
    informers::objects::label(&node.metadata, MANAGED) == Some("false")
}

/// What the cloud says of the node, as labels.
fn labels(instance: &Instance, location: &str) -> BTreeMap<String, String> {
    let zone = instance.zone_label();
    [
        ("node.kubernetes.io/instance-type", instance.vm_size.as_str()),
        ("beta.kubernetes.io/instance-type", &instance.vm_size),
        ("topology.kubernetes.io/region", location),
        ("failure-domain.beta.kubernetes.io/region", location),
        ("topology.kubernetes.io/zone", &zone),
        ("failure-domain.beta.kubernetes.io/zone", &zone),
        ("topology.disk.csi.azure.com/zone", if instance.zone.is_some() { &zone } else { "" }),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

fn addresses(name: &str, found: Vec<String>) -> Vec<NodeAddress> {
    let internal = found.into_iter().map(|address| NodeAddress { type_: "InternalIP".into(), address });
    internal.chain([NodeAddress { type_: "Hostname".into(), address: name.to_owned() }]).collect()
}

impl Controller {
    fn api(&self) -> Api<Node> {
        Api::all(self.client.clone())
    }

    /// Gives a new node what only the cloud knows, then lets pods in.
    async fn introduce(&self, key: Key) -> Result<Next, Error> {
        let Some(node) = self.nodes.get(&key).filter(|n| !is_deleting(&n.metadata)) else { return Ok(None) };
        let has_address =
            node.status.iter().flat_map(|s| s.addresses.iter().flatten()).any(|a| a.type_ == "InternalIP");
        let is_new = has_taint(&node, UNINITIALIZED);
        if is_unmanaged(&node) || (!is_new && has_address) {
            return Ok(None);
        }
        let found = self
            .instances
            .of_node(&key.name, true)
            .await
            .map_err(|e| Error::other(kit::Chain(&e).to_string()))?;
        let Some(instance) = found else {
            return Err(Error::other(format!(
                "no instance of the node resource group is called `{}`",
                key.name
            )));
        };
        let found = self
            .instances
            .addresses(&instance)
            .await
            .map_err(|e| Error::other(kit::Chain(&e).to_string()))?;
        let wanted = addresses(&key.name, found);
        let known = node.status.as_ref().and_then(|s| s.addresses.clone()).unwrap_or_default();
        if wanted.iter().any(|a| !known.contains(a)) {
            let patch = serde_json::json!({"status": {"addresses": wanted}});
            let changed =
                self.api().patch_status(&key.name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
            self.nodes.observe(changed);
        }
        if !is_new {
            return Ok(None);
        }
        let node = self.nodes.get(&key).unwrap_or(node);
        let rest: Vec<Taint> = taints(&node).into_iter().filter(|t| t.key != UNINITIALIZED).collect();
        let patch = serde_json::json!({
            "metadata": {
                "resourceVersion": node.metadata.resource_version,
                "labels": labels(&instance, &self.location),
            },
            "spec": {"providerID": instance.provider_id(), "taints": rest},
        });
        self.nodes
            .observe(self.api().patch(&key.name, &PatchParams::default(), &Patch::Merge(&patch)).await?);
        self.events.normal(reference(node.as_ref()), "Synced", "Node synced successfully");
        Ok(None)
    }

    /// A node that is not ready: perhaps its instance is gone, or asleep.
    async fn look_after(&self, key: Key) -> Result<Next, Error> {
        let Some(node) = self.nodes.get(&key).filter(|n| !is_deleting(&n.metadata)) else { return Ok(None) };
        let has_id = node.spec.as_ref().is_some_and(|s| s.provider_id.is_some());
        if is_unmanaged(&node) || !has_id {
            return Ok(None);
        }
        if is_ready(&node) {
            self.set_shutdown(&node, false).await?;
            return Ok(None);
        }
        let found = self
            .instances
            .of_node(&key.name, false)
            .await
            .map_err(|e| Error::other(kit::Chain(&e).to_string()))?;
        match found {
            Some(instance) => {
                self.set_shutdown(&node, instance.is_off).await?;
                Ok(Some(LOOK_AGAIN))
            }
            None => {
                let text =
                    format!("Deleting node {} because it does not exist in the cloud provider", key.name);
                self.events.normal(reference(node.as_ref()), "DeletingNode", text);
                self.nodes.delete(&self.api(), &node, DeleteParams::default()).await?;
                Ok(None)
            }
        }
    }

    async fn set_shutdown(&self, node: &Node, is_off: bool) -> Result<(), Error> {
        if has_taint(node, SHUTDOWN) == is_off {
            return Ok(());
        }
        let mut taints: Vec<Taint> = taints(node).into_iter().filter(|t| t.key != SHUTDOWN).collect();
        if is_off {
            taints.push(Taint { key: SHUTDOWN.into(), effect: "NoSchedule".into(), ..Default::default() });
        }
        let patch = serde_json::json!({
            "metadata": {"resourceVersion": node.metadata.resource_version}, "spec": {"taints": taints},
        });
        let name = node.metadata.name.as_deref().unwrap_or_default();
        self.nodes.observe(self.api().patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_labelled_with_size_region_and_zone() {
        let instance = Instance {
            id: String::new(),
            computer_name: "n".into(),
            vm_size: "Standard_DS2_v2".into(),
            location: "eastus".into(),
            zone: None,
            is_off: false,
        };
        let labels = labels(&instance, "eastus");
        assert_eq!(labels["node.kubernetes.io/instance-type"], "Standard_DS2_v2");
        assert_eq!(labels["topology.kubernetes.io/region"], "eastus");
        assert_eq!(labels["topology.kubernetes.io/zone"], "0");
        let addresses = addresses("n", vec!["10.224.0.4".into()]);
        let kinds: Vec<_> = addresses.iter().map(|a| (a.type_.as_str(), a.address.as_str())).collect();
        assert_eq!(kinds, [("InternalIP", "10.224.0.4"), ("Hostname", "n")]);
    }
}
