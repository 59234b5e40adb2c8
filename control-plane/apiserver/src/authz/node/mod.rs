//! The node authoriser: a kubelet reads only what the pods on its node refer to, and writes only what is its own.
//!
//! Relations come from a [`Graph`]. Who is no node is nobody's business here. Texts are upstream's.

mod graph;
mod references;

use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;

use self::graph::{Graph, join};
use self::references::Kind;
use super::Rule;
use crate::attributes::{Attributes, Decision, Objects, text};

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
    graph: Mutex<Graph>,
}

fn allow() -> Decision {
    Decision::Allow { reason: String::new() }
}

fn no_opinion(reason: impl Into<String>) -> Decision {
    Decision::NoOpinion { reason: reason.into() }
}

fn related_or_not(related: bool, node: &str) -> Decision {
    if related {
        return allow();
    }
    no_opinion(format!("no relationship found between node '{node}' and this object"))
}

/// Whether the request is limited to objects whose field has this value.
fn selects(attributes: &Attributes, field: &str, value: &str) -> bool {
    attributes.fields.iter().any(|one| one.equal && one.field == field && one.value == value)
}

impl NodeAuthorizer {
    /// Over these objects.
    pub fn new(objects: Arc<dyn Objects>) -> Self {
        Self { objects, graph: Mutex::new(Graph::new()) }
    }

    /// Decides for nodes; has no opinion about others.
    pub fn authorize(&self, attributes: &Attributes) -> Decision {
        let Some(node) = node_name(&attributes.user) else { return no_opinion("") };
        if attributes.is_resource {
            let specific = match (attributes.group.as_str(), attributes.resource.as_str()) {
                ("", "secrets") => Some(self.read(attributes, node, Kind::Secret)),
                ("", "configmaps") => Some(self.read(attributes, node, Kind::ConfigMap)),
                ("", "persistentvolumeclaims") => Some(self.claim(attributes, node)),
                ("", "persistentvolumes") => Some(self.volume(attributes, node)),
                ("resource.k8s.io", "resourceclaims") => {
                    Some(self.get(attributes, node, Kind::ResourceClaim))
                }
                ("storage.k8s.io", "volumeattachments") => Some(self.attachment(attributes, node)),
                ("", "serviceaccounts") => Some(self.service_account(attributes, node)),
                ("coordination.k8s.io", "leases") => Some(lease(attributes, node)),
                ("storage.k8s.io", "csinodes") => Some(csi_node(attributes, node)),
                ("resource.k8s.io", "resourceslices") => Some(self.slice(attributes, node)),
                ("", "nodes") => Some(own_node(attributes, node)),
                ("", "pods") => Some(self.pod(attributes, node)),
                _ => None,
            };
            if let Some(decision) = specific {
                return decision;
            }
        }
        if NODE_RULES.iter().any(|rule| rule.matches(attributes)) { allow() } else { no_opinion("") }
    }

    fn ask<T>(&self, question: impl FnOnce(&Graph) -> T) -> T {
        let mut graph = self.graph.lock();
        graph.refresh(&*self.objects);
        question(&graph)
    }

    fn related(&self, attributes: &Attributes, node: &str, kind: Kind) -> Decision {
        if attributes.name.is_empty() {
            return no_opinion("No Object name found");
        }
        let object = join(&attributes.namespace, &attributes.name);
        related_or_not(self.ask(|graph| graph.is_related(node, kind, &object)), node)
    }

    /// Reading, also by list and watch, of one namespaced object.
    fn read(&self, attributes: &Attributes, node: &str, kind: Kind) -> Decision {
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
        self.related(attributes, node, kind)
    }

    fn get(&self, attributes: &Attributes, node: &str, kind: Kind) -> Decision {
        may_only_get(attributes).unwrap_or_else(|| self.related(attributes, node, kind))
    }

    fn claim(&self, attributes: &Attributes, node: &str) -> Decision {
        if attributes.subresource != "status" {
            return self.get(attributes, node, Kind::Claim);
        }
        match attributes.verb.as_str() {
            "update" | "patch" => self.related(attributes, node, Kind::Claim),
            _ => no_opinion("can only get/update/patch this type"),
        }
    }

    fn volume(&self, attributes: &Attributes, node: &str) -> Decision {
        if let Some(refused) = may_only_get(attributes) {
            return refused;
        }
        if attributes.name.is_empty() {
            return no_opinion("No Object name found");
        }
        related_or_not(self.ask(|graph| graph.uses_volume(node, &attributes.name)), node)
    }

    fn service_account(&self, attributes: &Attributes, node: &str) -> Decision {
        let verb = attributes.verb.as_str();
        if verb == "get" && attributes.subresource.is_empty() {
            return self.related(attributes, node, Kind::ServiceAccount);
        }
        if verb != "create" || attributes.name.is_empty() {
            return no_opinion("can only create tokens for individual service accounts");
        }
        if attributes.subresource != "token" {
            return no_opinion("can only create token subresource of serviceaccount");
        }
        self.related(attributes, node, Kind::ServiceAccount)
    }

    fn pod(&self, attributes: &Attributes, node: &str) -> Decision {
        match (attributes.subresource.as_str(), attributes.verb.as_str()) {
            ("", "get") => self.own_pod(attributes, node),
            ("", "list" | "watch") if selects(attributes, "spec.nodeName", node) => allow(),
            ("", "list" | "watch") if !attributes.name.is_empty() => self.own_pod(attributes, node),
            ("", "list" | "watch") => {
                no_opinion("can only list/watch pods with spec.nodeName field selector")
            }
            // NodeRestriction limits these to mirror pods and pods of the node.
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => allow(),
            _ => no_opinion(""),
        }
    }

    fn own_pod(&self, attributes: &Attributes, node: &str) -> Decision {
        if attributes.name.is_empty() {
            return no_opinion("No Object name found");
        }
        let key = join(&attributes.namespace, &attributes.name);
        let at = self.ask(|graph| graph.node_of(&key).map(|at| at == node));
        // A pod that is gone may be asked for, and the 404 tells nothing; upstream's 403 would keep a kubelet from learning that it is.
        let gone = || self.objects.get("", "pods", &attributes.namespace, &attributes.name).is_none();
        related_or_not(at.unwrap_or_else(gone), node)
    }

    fn attachment(&self, attributes: &Attributes, node: &str) -> Decision {
        may_only_get(attributes)
            .unwrap_or_else(|| self.named_for(attributes, node, ("storage.k8s.io", "volumeattachments")))
    }

    fn slice(&self, attributes: &Attributes, node: &str) -> Decision {
        if !attributes.subresource.is_empty() {
            return no_opinion("cannot authorize ResourceSlice subresources");
        }
        match attributes.verb.as_str() {
            // NodeRestriction sees the object.
            "create" => allow(),
            "get" | "update" | "patch" | "delete" => {
                self.named_for(attributes, node, ("resource.k8s.io", "resourceslices"))
            }
            "watch" | "list" | "deletecollection" if selects(attributes, "spec.nodeName", node) => allow(),
            "watch" | "list" | "deletecollection" => {
                no_opinion("can only list/watch/deletecollection resourceslices with nodeName field selector")
            }
            _ => no_opinion(
                "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection",
            ),
        }
    }

    /// Objects that say themselves which node they belong to.
    fn named_for(&self, attributes: &Attributes, node: &str, (group, plural): (&str, &str)) -> Decision {
        if attributes.name.is_empty() {
            return no_opinion("No Object name found");
        }
        let found = self.objects.get(group, plural, "", &attributes.name);
        related_or_not(found.is_some_and(|one| text(&one, "/spec/nodeName") == node), node)
    }
}

fn may_only_get(attributes: &Attributes) -> Option<Decision> {
    if attributes.verb != "get" {
        return Some(no_opinion("can only get individual resources of this type"));
    }
    (!attributes.subresource.is_empty()).then(|| no_opinion("cannot get subresource"))
}

fn is_own_deed(verb: &str) -> bool {
    matches!(verb, "get" | "create" | "update" | "patch" | "delete")
}

fn lease(attributes: &Attributes, node: &str) -> Decision {
    if !is_own_deed(&attributes.verb) {
        return no_opinion("can only get, create, update, patch, or delete a node lease");
    }
    if attributes.namespace != "kube-node-lease" {
        return no_opinion("can only access leases in the \"kube-node-lease\" system namespace");
    }
    // A create leaves the name to the body, which NodeRestriction sees.
    if attributes.verb != "create" && attributes.name != node {
        return no_opinion("can only access node lease with the same name as the requesting node");
    }
    allow()
}

fn csi_node(attributes: &Attributes, node: &str) -> Decision {
    if !is_own_deed(&attributes.verb) {
        return no_opinion("can only get, create, update, patch, or delete a CSINode");
    }
    if !attributes.subresource.is_empty() {
        return no_opinion("cannot authorize CSINode subresources");
    }
    if attributes.verb != "create" && attributes.name != node {
        return no_opinion("can only access CSINode with the same name as the requesting node");
    }
    allow()
}

fn own_node(attributes: &Attributes, node: &str) -> Decision {
    match (attributes.subresource.as_str(), attributes.verb.as_str()) {
        // NodeRestriction limits these to the node's own object.
        ("", "create" | "update" | "patch") | ("status", "update" | "patch") => allow(),
        ("", "get" | "list" | "watch") => match attributes.name.as_str() {
            name if name == node => allow(),
            "" => no_opinion(format!("node '{node}' cannot read all nodes, only its own Node object")),
            name => no_opinion(format!("node '{node}' cannot read '{name}', only its own Node object")),
        },
        _ => no_opinion(""),
    }
}
