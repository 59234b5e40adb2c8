//! The node authoriser: a kubelet reads only what the pods on its node refer to, and writes only what is its own.
//!
//! Relations are looked up in the pods of the one namespace in question, so there is no graph to go stale.

use std::sync::{Arc, LazyLock};

use serde_json::Value;

use super::Rule;
use crate::attributes::{Attributes, Decision, Objects, items, text};

/// What every node may do, as ClusterRole `system:node` says.
static NODE_RULES: LazyLock<Vec<Rule>> =
    LazyLock::new(|| crate::bootstrap::rbac::cluster_role_rules("system:node"));

/// Who asks, when it is a node.
pub fn node_name(user: &crate::attributes::UserInfo) -> Option<&str> {
    user.name.strip_prefix("system:node:").filter(|name| !name.is_empty() && user.is_in("system:nodes"))
}

/// The authoriser for kubelets.
pub struct NodeAuthorizer {
    objects: Arc<dyn Objects>,
}

fn allow() -> Decision {
    Decision::Allow { reason: String::new() }
}

fn no_opinion(reason: impl Into<String>) -> Decision {
    Decision::NoOpinion { reason: reason.into() }
}

impl NodeAuthorizer {
    /// Over these objects.
    pub fn new(objects: Arc<dyn Objects>) -> Self {
        Self { objects }
    }

    /// Decides for nodes; has no opinion about others.
    pub fn authorize(&self, attributes: &Attributes) -> Decision {
        let Some(node) = node_name(&attributes.user) else { return no_opinion("") };
        if attributes.is_resource {
            let specific = match (attributes.group.as_str(), attributes.resource.as_str()) {
                ("", "secrets") => Some(self.read(attributes, node, refers_to_secret)),
                ("", "configmaps") => Some(self.read(attributes, node, refers_to_config_map)),
                ("", "persistentvolumeclaims") if attributes.subresource.is_empty() => {
                    Some(self.read(attributes, node, refers_to_claim))
                }
                ("", "persistentvolumes") => Some(self.read_volume(attributes, node)),
                ("", "serviceaccounts") => Some(self.service_account(attributes, node)),
                ("", "pods") if attributes.verb == "get" && !attributes.name.is_empty() => {
                    Some(self.own_pod(attributes, node))
                }
                ("storage.k8s.io", "volumeattachments") => Some(self.attachment(attributes, node)),
                ("coordination.k8s.io", "leases") => Some(lease(attributes, node)),
                ("storage.k8s.io", "csinodes") => Some(own_object(attributes, node)),
                _ => None,
            };
            if let Some(decision) = specific {
                return decision;
            }
        }
        if NODE_RULES.iter().any(|rule| rule.matches(attributes)) { allow() } else { no_opinion("") }
    }

    /// Reading a namespaced object that a pod on the node must refer to.
    fn read(&self, attributes: &Attributes, node: &str, refers: fn(&Value, &str) -> bool) -> Decision {
        match attributes.verb.as_str() {
            "get" | "list" | "watch" => {}
            _ => return no_opinion("can only read resources of this type"),
        }
        if !attributes.subresource.is_empty() {
            return no_opinion("cannot read subresource");
        }
        if attributes.namespace.is_empty() {
            return no_opinion("can only read namespaced object of this type");
        }
        if attributes.name.is_empty() {
            return no_opinion("No Object name found");
        }
        let related = self.pods_on(&attributes.namespace, node).any(|pod| refers(&pod, &attributes.name));
        related_or_not(related, node)
    }

    fn pods_on(&self, namespace: &str, node: &str) -> impl Iterator<Item = Arc<Value>> {
        let pods = self.objects.list("", "pods", Some(namespace));
        pods.into_iter().filter(move |pod| text(pod, "/spec/nodeName") == node)
    }

    fn read_volume(&self, attributes: &Attributes, node: &str) -> Decision {
        if attributes.verb != "get" || !attributes.subresource.is_empty() {
            return no_opinion("can only get individual resources of this type");
        }
        let Some(volume) = self.objects.get("", "persistentvolumes", "", &attributes.name) else {
            return no_opinion(unrelated(node));
        };
        let namespace = text(&volume, "/spec/claimRef/namespace");
        let claim = text(&volume, "/spec/claimRef/name");
        let related =
            !claim.is_empty() && self.pods_on(namespace, node).any(|pod| refers_to_claim(&pod, claim));
        related_or_not(related, node)
    }

    fn service_account(&self, attributes: &Attributes, node: &str) -> Decision {
        match (attributes.verb.as_str(), attributes.subresource.as_str()) {
            ("create", "token") | ("get", "") => {}
            (_, "token") => return no_opinion("only creation of tokens is allowed"),
            _ => return no_opinion("can only get individual resources of this type"),
        }
        let related = self.pods_on(&attributes.namespace, node).any(|pod| {
            let name = text(&pod, "/spec/serviceAccountName");
            !name.is_empty() && name == attributes.name
        });
        related_or_not(related, node)
    }

    fn own_pod(&self, attributes: &Attributes, node: &str) -> Decision {
        if !attributes.subresource.is_empty() {
            return no_opinion("cannot read subresource");
        }
        match self.objects.get("", "pods", &attributes.namespace, &attributes.name) {
            // Upstream's rules let a node ask for a pod that is gone; it learns nothing by the 404.
            None => allow(),
            Some(pod) => related_or_not(text(&pod, "/spec/nodeName") == node, node),
        }
    }

    fn attachment(&self, attributes: &Attributes, node: &str) -> Decision {
        if attributes.verb != "get" || !attributes.subresource.is_empty() {
            return no_opinion("can only get individual resources of this type");
        }
        let found = self.objects.get("storage.k8s.io", "volumeattachments", "", &attributes.name);
        related_or_not(found.is_some_and(|one| text(&one, "/spec/nodeName") == node), node)
    }
}

fn unrelated(node: &str) -> String {
    format!("no relationship found between node '{node}' and this object")
}

fn related_or_not(related: bool, node: &str) -> Decision {
    if related { allow() } else { no_opinion(unrelated(node)) }
}

fn lease(attributes: &Attributes, node: &str) -> Decision {
    if attributes.namespace != "kube-node-lease" {
        return no_opinion("can only access leases in the \"kube-node-lease\" system namespace");
    }
    own_object(attributes, node)
}

fn own_object(attributes: &Attributes, node: &str) -> Decision {
    match attributes.verb.as_str() {
        "get" | "create" | "update" | "patch" | "delete" => {}
        _ => return no_opinion("can only get, create, update, patch, or delete a node's own object"),
    }
    if !attributes.subresource.is_empty() {
        return no_opinion("cannot authorize subresources");
    }
    // A create may leave the name to the body, which admission (NodeRestriction) checks.
    if attributes.verb != "create" && attributes.name != node {
        return no_opinion("can only access the node's own object of this type");
    }
    allow()
}

fn volumes(pod: &Value) -> impl Iterator<Item = &Value> {
    items(pod, "/spec/volumes").iter()
}

fn projected<'a>(pod: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    volumes(pod)
        .flat_map(|volume| items(volume, "/projected/sources"))
        .filter_map(move |source| source.get(kind))
}

/// Every container's reference of this kind in `env` and `envFrom`.
fn in_environment<'a>(
    pod: &'a Value,
    reference: &'a str,
    key_reference: &'a str,
) -> impl Iterator<Item = &'a str> {
    let containers = ["/spec/containers", "/spec/initContainers", "/spec/ephemeralContainers"];
    containers.into_iter().flat_map(|list| items(pod, list)).flat_map(move |container| {
        let from = items(container, "/envFrom").iter().filter_map(move |one| one.get(reference));
        let keys =
            items(container, "/env").iter().filter_map(move |one| one.get("valueFrom")?.get(key_reference));
        from.chain(keys).map(|one| text(one, "/name"))
    })
}

fn refers_to_secret(pod: &Value, name: &str) -> bool {
    items(pod, "/spec/imagePullSecrets").iter().any(|one| text(one, "/name") == name)
        || volumes(pod).any(|volume| volume_names_secret(volume, name))
        || projected(pod, "secret").any(|one| text(one, "/name") == name)
        || in_environment(pod, "secretRef", "secretKeyRef").any(|one| one == name)
}

fn volume_names_secret(volume: &Value, name: &str) -> bool {
    const POINTERS: [&str; 8] = [
        "/secret/secretName",
        "/azureFile/secretName",
        "/csi/nodePublishSecretRef/name",
        "/cephfs/secretRef/name",
        "/flexVolume/secretRef/name",
        "/iscsi/secretRef/name",
        "/rbd/secretRef/name",
        "/scaleIO/secretRef/name",
    ];
    POINTERS.iter().any(|pointer| text(volume, pointer) == name)
}

fn refers_to_config_map(pod: &Value, name: &str) -> bool {
    volumes(pod).any(|volume| text(volume, "/configMap/name") == name)
        || projected(pod, "configMap").any(|one| text(one, "/name") == name)
        || in_environment(pod, "configMapRef", "configMapKeyRef").any(|one| one == name)
}

fn refers_to_claim(pod: &Value, name: &str) -> bool {
    let pod_name = text(pod, "/metadata/name");
    volumes(pod).any(|volume| {
        text(volume, "/persistentVolumeClaim/claimName") == name
            || volume.get("ephemeral").is_some()
                && name.strip_prefix(pod_name).and_then(|rest| rest.strip_prefix('-'))
                    == Some(text(volume, "/name"))
    })
}
