//! Which nodes are related to which objects, through the pods that run there.
//!
//! Brought up to date before each question from the changes since the last one, so an answer is as fresh as the caches and costs a look-up.
//! When the changes are lost (nobody asked for long), everything is read again.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::references::{self, Kind};
use crate::attributes::{Follow, Followed, Objects, text};

const PODS: &str = "pods";
const VOLUMES: &str = "persistentvolumes";

struct Pod {
    node: Arc<str>,
    references: Vec<(Kind, String)>,
}

struct Volume {
    /// `namespace/name` of its claim.
    claim: String,
    /// `namespace/name` each.
    secrets: Vec<String>,
}

/// How one resource is followed.
enum Source {
    Unread,
    Following(Box<dyn Follow>),
    /// Changes cannot be followed: read again when this number differs.
    Version(u64),
}

/// The relations of one cluster.
pub(super) struct Graph {
    pods_source: Source,
    volumes_source: Source,
    /// By `namespace/name`.
    pods: HashMap<String, Pod>,
    volumes: HashMap<String, Volume>,
    /// Object, as kind and `namespace/name`, to the nodes whose pods refer to it, and how many of them do.
    users: HashMap<(Kind, String), HashMap<Arc<str>, usize>>,
    /// Secret to the volumes that need it.
    secret_volumes: HashMap<String, Vec<String>>,
}

fn key(object: &Value) -> String {
    join(text(object, "/metadata/namespace"), text(object, "/metadata/name"))
}

/// `namespace/name`.
pub(super) fn join(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

impl Graph {
    /// Knows nothing until it is refreshed.
    pub(super) fn new() -> Self {
        Self {
            pods_source: Source::Unread,
            volumes_source: Source::Unread,
            pods: HashMap::new(),
            volumes: HashMap::new(),
            users: HashMap::new(),
            secret_volumes: HashMap::new(),
        }
    }

    /// Takes over what has changed.
    pub(super) fn refresh(&mut self, objects: &dyn Objects) {
        let source = std::mem::replace(&mut self.pods_source, Source::Unread);
        self.pods_source = self.advance(objects, PODS, source, Self::put_pod);
        let source = std::mem::replace(&mut self.volumes_source, Source::Unread);
        self.volumes_source = self.advance(objects, VOLUMES, source, Self::put_volume);
    }

    fn advance(
        &mut self,
        objects: &dyn Objects,
        plural: &str,
        source: Source,
        put: fn(&mut Self, &Value, bool),
    ) -> Source {
        match source {
            Source::Following(mut follow) => loop {
                match follow.next() {
                    Followed::Changed { object, exists } => put(self, &object, exists),
                    Followed::Nothing => return Source::Following(follow),
                    Followed::Lost => return self.begin(objects, plural, put),
                }
            },
            Source::Version(version) if version == objects.version("", plural) => Source::Version(version),
            _ => self.begin(objects, plural, put),
        }
    }

    /// Reads everything anew.
    fn begin(&mut self, objects: &dyn Objects, plural: &str, put: fn(&mut Self, &Value, bool)) -> Source {
        if plural == PODS {
            self.pods.clear();
            self.users.clear();
        } else {
            self.volumes.clear();
            self.secret_volumes.clear();
        }
        if let Some(mut follow) = objects.follow("", plural) {
            loop {
                match follow.next() {
                    Followed::Changed { object, exists } => put(self, &object, exists),
                    Followed::Nothing => return Source::Following(follow),
                    // The next question begins again.
                    Followed::Lost => return Source::Unread,
                }
            }
        }
        let version = objects.version("", plural);
        for object in objects.list("", plural, None) {
            put(self, &object, true);
        }
        Source::Version(version)
    }

    fn put_pod(&mut self, pod: &Value, exists: bool) {
        let key = key(pod);
        let namespace = text(pod, "/metadata/namespace");
        if let Some(old) = self.pods.remove(&key) {
            for (kind, name) in old.references {
                let object = (kind, join(namespace, &name));
                let Some(nodes) = self.users.get_mut(&object) else { continue };
                if let Some(count) = nodes.get_mut(&old.node) {
                    *count -= 1;
                    if *count == 0 {
                        nodes.remove(&old.node);
                    }
                }
                if nodes.is_empty() {
                    self.users.remove(&object);
                }
            }
        }
        let node = text(pod, "/spec/nodeName");
        if !exists || node.is_empty() {
            return;
        }
        let node: Arc<str> = node.into();
        let references = references::of_pod(pod);
        for (kind, name) in &references {
            let nodes = self.users.entry((*kind, join(namespace, name))).or_default();
            *nodes.entry(node.clone()).or_default() += 1;
        }
        self.pods.insert(key, Pod { node, references });
    }

    fn put_volume(&mut self, volume: &Value, exists: bool) {
        let name = text(volume, "/metadata/name").to_owned();
        if let Some(old) = self.volumes.remove(&name) {
            for secret in old.secrets {
                if let Some(volumes) = self.secret_volumes.get_mut(&secret) {
                    volumes.retain(|one| *one != name);
                    if volumes.is_empty() {
                        self.secret_volumes.remove(&secret);
                    }
                }
            }
        }
        let claim = text(volume, "/spec/claimRef/name");
        if !exists || claim.is_empty() {
            return;
        }
        let claim = join(text(volume, "/spec/claimRef/namespace"), claim);
        let secrets = references::of_volume(volume);
        for secret in &secrets {
            self.secret_volumes.entry(secret.clone()).or_default().push(name.clone());
        }
        self.volumes.insert(name, Volume { claim, secrets });
    }

    /// Whether a pod on the node refers to the object, directly or through a volume.
    pub(super) fn is_related(&self, node: &str, kind: Kind, object: &str) -> bool {
        let object = (kind, object.to_owned());
        if self.users.get(&object).is_some_and(|nodes| nodes.contains_key(node)) {
            return true;
        }
        kind == Kind::Secret
            && self
                .secret_volumes
                .get(&object.1)
                .is_some_and(|volumes| volumes.iter().any(|volume| self.uses_volume(node, volume)))
    }

    /// Whether a pod on the node uses the volume.
    pub(super) fn uses_volume(&self, node: &str, volume: &str) -> bool {
        let claim = self.volumes.get(volume).map(|volume| (Kind::Claim, volume.claim.clone()));
        claim.and_then(|claim| self.users.get(&claim)).is_some_and(|nodes| nodes.contains_key(node))
    }

    /// The node a pod runs on, when there is such a pod and it is bound.
    pub(super) fn node_of(&self, pod: &str) -> Option<&str> {
        self.pods.get(pod).map(|pod| &*pod.node)
    }
}
