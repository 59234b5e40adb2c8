//! Registers the Node: makes it, or brings the labels of one that is there up to date.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, NodeSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::Patch;

use crate::config::Config;
use crate::events::Level;
use crate::shared::Shared;

const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(7);

/// Labels of `kubernetes.io` and `k8s.io` a kubelet may set on itself (NodeRestriction's list).
const ALLOWED: [&str; 12] = [
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "node.kubernetes.io/windows-build",
];

fn allowed(label: &str) -> bool {
    let Some((domain, _)) = label.split_once('/') else { return true };
    let below = |root: &str| domain == root || domain.ends_with(&format!(".{root}"));
    let reserved = below("kubernetes.io") || below("k8s.io");
    let own = |root: &str| domain == root || domain.ends_with(&format!(".{root}"));
    !reserved || ALLOWED.contains(&label) || own("kubelet.kubernetes.io") || own("node.kubernetes.io")
}

fn labels(config: &Config) -> BTreeMap<String, String> {
    let mut labels: BTreeMap<String, String> = BTreeMap::new();
    for (label, value) in &config.labels {
        if allowed(label) {
            labels.insert(label.clone(), value.clone());
        } else {
            tracing::warn!(label, "a kubelet may not set this label on its node; left out");
        }
    }
    for (label, value) in [
        ("kubernetes.io/hostname", config.hostname.as_str()),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", super::status::architecture()),
        ("beta.kubernetes.io/os", "linux"),
        ("beta.kubernetes.io/arch", super::status::architecture()),
    ] {
        labels.insert(label.to_owned(), value.to_owned());
    }
    labels
}

/// Registers; tries until it succeeds.
pub async fn register(shared: &Shared) {
    shared.events.node(Level::Normal, "Starting", "Starting kubelet.");
    let mut wait = RETRY_FIRST;
    while let Err(error) = once(shared).await {
        tracing::warn!(error = %kit::Chain(&error), "failed to register the node");
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY_MAX);
    }
    tracing::info!(node = shared.config.node_name, "node registered");
}

async fn once(shared: &Shared) -> Result<(), kube::Error> {
    let config = &shared.config;
    let api: Api<Node> = Api::all(config.client.clone());
    let labels = labels(config);
    let annotations = BTreeMap::from([(
        "volumes.kubernetes.io/controller-managed-attach-detach".to_owned(),
        "true".to_owned(),
    )]);
    let node = Node {
        metadata: ObjectMeta {
            name: Some(config.node_name.clone()),
            labels: Some(labels.clone()),
            annotations: Some(annotations.clone()),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            provider_id: config.provider_id.clone(),
            taints: Some(config.taints.clone()).filter(|taints| !taints.is_empty()),
            ..NodeSpec::default()
        }),
        status: Some(super::status::compute(shared, None).await),
    };
    match api.create(&crate::client::post(), &node).await {
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let patch = serde_json::json!({"metadata": {"labels": labels, "annotations": annotations}});
            api.patch(&config.node_name, &crate::client::patch(), &Patch::Merge(patch)).await.map(drop)
        }
        other => other.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::allowed;

    #[test]
    fn a_kubelet_keeps_to_its_own_labels() {
        for label in [
            "agentpool",
            "kubernetes.azure.com/mode",
            "kubernetes.io/hostname",
            "node.kubernetes.io/x",
            "topology.kubernetes.io/zone",
        ] {
            assert!(allowed(label), "{label}");
        }
        for label in [
            "node-role.kubernetes.io/agent",
            "kubernetes.io/role",
            "node-restriction.kubernetes.io/x",
            "a.k8s.io/b",
        ] {
            assert!(!allowed(label), "{label}");
        }
    }
}
