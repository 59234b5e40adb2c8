//! Who owns whom, as far as the watches have told. Pure: events in, work out.

use std::collections::{BTreeSet, HashMap, HashSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

/// A finalizer: the object goes after its dependents.
pub(super) const FOREGROUND: &str = "foregroundDeletion";
/// A finalizer: the object goes after its dependents have been told to live without it.
pub(super) const ORPHAN: &str = "orphan";

/// What is known of one object.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Node {
    pub api_version: String,
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub owners: Vec<OwnerReference>,
    pub deleting: bool,
    pub finalizers: Vec<String>,
    /// Whether a watch has shown it; otherwise only somebody's reference speaks of it.
    pub seen: bool,
}

impl Node {
    /// A node from an object's metadata.
    pub fn of(api_version: &str, kind: &str, meta: &ObjectMeta) -> Self {
        Self {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            owners: meta.owner_references.clone().unwrap_or_default(),
            deleting: meta.deletion_timestamp.is_some(),
            finalizers: meta.finalizers.clone().unwrap_or_default(),
            seen: true,
        }
    }

    /// Whether it is being deleted and waits for its dependents to go.
    pub fn waits_for_dependents(&self) -> bool {
        self.deleting && self.finalizers.iter().any(|f| f == FOREGROUND)
    }

    /// Whether it is being deleted and its dependents must be orphaned.
    pub fn orphans_dependents(&self) -> bool {
        self.deleting && self.finalizers.iter().any(|f| f == ORPHAN)
    }

    fn blocks(&self, owner: &str) -> bool {
        self.owners.iter().any(|o| o.uid == owner && o.block_owner_deletion == Some(true))
    }
}

/// Which uids want a closer look.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Work {
    pub delete: BTreeSet<String>,
    pub orphan: BTreeSet<String>,
}

/// The graph.
#[derive(Default)]
pub(super) struct Graph {
    nodes: HashMap<String, Node>,
    dependents: HashMap<String, BTreeSet<String>>,
}

impl Graph {
    /// What is known of a uid.
    pub fn get(&self, uid: &str) -> Option<&Node> {
        self.nodes.get(uid)
    }

    /// Uids of the objects that name `uid` as an owner.
    pub fn dependents(&self, uid: &str) -> Vec<(String, Node)> {
        let uids = self.dependents.get(uid).into_iter().flatten();
        uids.filter_map(|d| self.nodes.get(d).map(|n| (d.clone(), n.clone()))).collect()
    }

    /// Dependents that keep a foreground deletion waiting.
    pub fn blocking(&self, uid: &str) -> Vec<(String, Node)> {
        self.dependents(uid).into_iter().filter(|(_, node)| node.blocks(uid)).collect()
    }

    /// A watch shows an object.
    pub fn upsert(&mut self, uid: &str, node: Node) -> Work {
        let mut work = Work::default();
        let old = self.nodes.get(uid).cloned();
        for owner in old.iter().flat_map(|o| &o.owners) {
            let still = node.owners.iter().find(|o| o.uid == owner.uid);
            let unblocked = owner.block_owner_deletion == Some(true)
                && still.is_none_or(|o| o.block_owner_deletion != Some(true));
            if still.is_none()
                && let Some(dependents) = self.dependents.get_mut(&owner.uid)
            {
                dependents.remove(uid);
            }
            if unblocked && self.nodes.get(&owner.uid).is_some_and(Node::waits_for_dependents) {
                work.delete.insert(owner.uid.clone());
            }
        }
        for owner in &node.owners {
            self.dependents.entry(owner.uid.clone()).or_default().insert(uid.to_owned());
            match self.nodes.get(&owner.uid) {
                None => {
                    self.nodes.insert(owner.uid.clone(), Self::supposed(owner, &node));
                    work.delete.insert(owner.uid.clone());
                }
                // The owner was seen at other coordinates than the reference says: look again.
                Some(known) if known.kind != owner.kind || known.name != owner.name => {
                    work.delete.insert(uid.to_owned());
                }
                Some(known) if known.waits_for_dependents() => {
                    work.delete.insert(uid.to_owned());
                }
                Some(_) => {}
            }
        }
        let was = old.unwrap_or_default();
        if node.orphans_dependents() && !was.orphans_dependents() {
            work.orphan.insert(uid.to_owned());
        }
        if node.waits_for_dependents() && !was.waits_for_dependents() {
            work.delete.insert(uid.to_owned());
            work.delete.extend(self.dependents.get(uid).into_iter().flatten().cloned());
        }
        self.nodes.insert(uid.to_owned(), node);
        work
    }

    fn supposed(owner: &OwnerReference, dependent: &Node) -> Node {
        Node {
            api_version: owner.api_version.clone(),
            kind: owner.kind.clone(),
            namespace: dependent.namespace.clone(),
            name: owner.name.clone(),
            ..Node::default()
        }
    }

    /// An object is gone: a watch said so, or a look found nothing.
    pub fn remove(&mut self, uid: &str) -> Work {
        let mut work = Work::default();
        let Some(node) = self.nodes.remove(uid) else { return work };
        for owner in &node.owners {
            if let Some(dependents) = self.dependents.get_mut(&owner.uid) {
                dependents.remove(uid);
                if dependents.is_empty() {
                    self.dependents.remove(&owner.uid);
                }
            }
            if self.nodes.get(&owner.uid).is_some_and(Node::waits_for_dependents) {
                work.delete.insert(owner.uid.clone());
            }
        }
        work.delete.extend(self.dependents.get(uid).into_iter().flatten().cloned());
        work
    }

    /// A full list of a kind is complete: what it does not hold is gone.
    pub fn relisted(&mut self, api_version: &str, kind: &str, present: &HashSet<String>) -> Work {
        let gone: Vec<String> = self
            .nodes
            .iter()
            .filter(|(uid, n)| {
                n.seen && n.kind == kind && n.api_version == api_version && !present.contains(*uid)
            })
            .map(|(uid, _)| uid.clone())
            .collect();
        let mut work = Work::default();
        for uid in gone {
            work.delete.extend(self.remove(&uid).delete);
        }
        work
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, owner: Option<&str>) -> Node {
        Node {
            kind: "Thing".into(),
            api_version: "v1".into(),
            name: name.into(),
            seen: true,
            owners: owner
                .map(|uid| OwnerReference {
                    uid: uid.into(),
                    name: uid.into(),
                    kind: "Thing".into(),
                    block_owner_deletion: Some(true),
                    ..Default::default()
                })
                .into_iter()
                .collect(),
            ..Node::default()
        }
    }

    fn set(uids: &[&str]) -> BTreeSet<String> {
        uids.iter().map(|u| (*u).to_owned()).collect()
    }

    #[test]
    fn an_owner_nobody_has_seen_is_looked_for() {
        let mut graph = Graph::default();
        assert_eq!(graph.upsert("child", node("child", Some("parent"))).delete, set(&["parent"]));
        assert!(!graph.get("parent").unwrap().seen);
        assert_eq!(graph.remove("parent").delete, set(&["child"]), "a look found nothing");
    }

    #[test]
    fn foreground_deletion_wakes_dependents_and_then_the_owner() {
        let mut graph = Graph::default();
        graph.upsert("parent", node("parent", None));
        assert_eq!(graph.upsert("child", node("child", Some("parent"))), Work::default());
        let deleting = Node { deleting: true, finalizers: vec![FOREGROUND.into()], ..node("parent", None) };
        assert_eq!(graph.upsert("parent", deleting).delete, set(&["child", "parent"]));
        assert_eq!(graph.blocking("parent").len(), 1);
        assert_eq!(graph.remove("child").delete, set(&["parent"]));
        assert!(graph.blocking("parent").is_empty());
    }

    #[test]
    fn orphaning_is_asked_for_once() {
        let mut graph = Graph::default();
        graph.upsert("parent", node("parent", None));
        let deleting = Node { deleting: true, finalizers: vec![ORPHAN.into()], ..node("parent", None) };
        assert_eq!(graph.upsert("parent", deleting.clone()).orphan, set(&["parent"]));
        assert_eq!(graph.upsert("parent", deleting), Work::default());
    }

    #[test]
    fn letting_go_of_an_owner_takes_the_edge_away() {
        let mut graph = Graph::default();
        graph.upsert("parent", node("parent", None));
        graph.upsert("child", node("child", Some("parent")));
        graph.upsert("child", node("child", None));
        assert!(graph.dependents("parent").is_empty());
        assert_eq!(graph.remove("parent"), Work::default());
    }

    #[test]
    fn a_relist_finds_what_vanished() {
        let mut graph = Graph::default();
        graph.upsert("parent", node("parent", None));
        graph.upsert("child", node("child", Some("parent")));
        let work = graph.relisted("v1", "Thing", &["child".to_owned()].into());
        assert_eq!(work.delete, set(&["child"]));
    }
}
