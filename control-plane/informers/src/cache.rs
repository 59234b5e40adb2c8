//! The objects of one kind, with two indices: by namespace and by controlling owner.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use kube::ResourceExt;

use crate::objects::controller_of;

/// Names one object of a kind; the namespace is empty for cluster-scoped kinds.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Namespace, or empty.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Key {
    /// A key of its parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The key of an object.
    pub fn of<K: kube::Resource>(object: &K) -> Self {
        Self::new(
            object.meta().namespace.clone().unwrap_or_default(),
            object.meta().name.clone().unwrap_or_default(),
        )
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// What happened to an object.
#[derive(Debug, Clone)]
pub enum Change<K> {
    /// It is there now.
    Added(Arc<K>),
    /// It is another now.
    Updated(Arc<K>, Arc<K>),
    /// It is gone; this is its last known state.
    Deleted(Arc<K>),
}

impl<K> Change<K> {
    /// The newest known state.
    pub fn object(&self) -> &Arc<K> {
        match self {
            Self::Added(new) | Self::Updated(_, new) | Self::Deleted(new) => new,
        }
    }

    /// The state before, when there was one.
    pub fn old(&self) -> Option<&Arc<K>> {
        match self {
            Self::Added(_) => None,
            Self::Updated(old, _) | Self::Deleted(old) => Some(old),
        }
    }
}

/// How many deletions are remembered so that a late answer to a write cannot bring an object back.
const TOMBSTONES: usize = 4096;

pub(crate) struct Cache<K> {
    objects: BTreeMap<Key, Arc<K>>,
    by_owner: HashMap<String, BTreeSet<Key>>,
    tombstones: VecDeque<String>,
    buried: HashSet<String>,
    relist: Option<HashSet<Key>>,
    written: HashSet<Key>,
}

impl<K> Default for Cache<K> {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            by_owner: HashMap::new(),
            tombstones: VecDeque::new(),
            buried: HashSet::new(),
            relist: None,
            written: HashSet::new(),
        }
    }
}

fn version<K: kube::Resource>(object: &K) -> u64 {
    object.meta().resource_version.as_deref().and_then(|v| v.parse().ok()).unwrap_or(0)
}

impl<K: kube::Resource> Cache<K> {
    pub fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.objects.get(key).cloned()
    }

    pub fn all(&self) -> Vec<Arc<K>> {
        self.objects.values().cloned().collect()
    }

    pub fn len(&self) -> usize {
        self.objects.len()
    }

    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        self.objects
            .range(Key::new(namespace, "")..)
            .take_while(|(key, _)| key.namespace == namespace)
            .map(|(_, object)| object.clone())
            .collect()
    }

    pub fn controlled_by(&self, uid: &str) -> Vec<Arc<K>> {
        let Some(keys) = self.by_owner.get(uid) else { return Vec::new() };
        keys.iter().filter_map(|key| self.objects.get(key).cloned()).collect()
    }

    fn unindex(&mut self, key: &Key, object: &K) {
        if let Some(owner) = controller_of(object.meta())
            && let Some(keys) = self.by_owner.get_mut(&owner.uid)
        {
            keys.remove(key);
            if keys.is_empty() {
                self.by_owner.remove(&owner.uid);
            }
        }
    }

    fn insert(&mut self, key: Key, object: K) -> Option<Change<K>> {
        let new = Arc::new(object);
        let old = self.objects.insert(key.clone(), new.clone());
        if let Some(old) = &old {
            self.unindex(&key, old);
        }
        if let Some(owner) = controller_of(new.meta()) {
            self.by_owner.entry(owner.uid.clone()).or_default().insert(key);
        }
        Some(match old {
            Some(old) => Change::Updated(old, new),
            None => Change::Added(new),
        })
    }

    /// An object as the watch or an answer to a write shows it; older states than the known one are ignored.
    pub fn apply(&mut self, object: K, written: bool) -> Option<Change<K>> {
        let key = Key::of(&object);
        if let Some(relist) = &mut self.relist
            && !written
        {
            relist.insert(key.clone());
        }
        if let Some(known) = self.objects.get(&key) {
            let same = known.meta().uid == object.meta().uid;
            if same && version(&object) <= version(known.as_ref()) {
                return None;
            }
            if !same && version(&object) < version(known.as_ref()) {
                return None;
            }
        }
        if written {
            if object.meta().uid.as_ref().is_some_and(|uid| self.buried.contains(uid)) {
                return None;
            }
            self.written.insert(key.clone());
        }
        self.insert(key, object)
    }

    /// An object is gone. With a uid, only if the known object has it.
    pub fn remove(&mut self, key: &Key, uid: Option<&str>) -> Option<Change<K>> {
        if let Some(uid) = uid {
            self.bury(uid);
        }
        let known = self.objects.get(key)?;
        if uid.is_some() && known.meta().uid.as_deref() != uid {
            return None;
        }
        let old = self.objects.remove(key)?;
        self.unindex(key, &old);
        Some(Change::Deleted(old))
    }

    fn bury(&mut self, uid: &str) {
        if self.buried.insert(uid.to_owned()) {
            self.tombstones.push_back(uid.to_owned());
            if self.tombstones.len() > TOMBSTONES
                && let Some(oldest) = self.tombstones.pop_front()
            {
                self.buried.remove(&oldest);
            }
        }
    }

    /// A new full list begins.
    pub fn list_begins(&mut self) {
        self.relist = Some(HashSet::new());
        self.written.clear();
    }

    /// The list is complete: what was neither in it nor written since it began is gone.
    pub fn list_ends(&mut self) -> Vec<Change<K>> {
        let Some(listed) = self.relist.take() else { return Vec::new() };
        let written = std::mem::take(&mut self.written);
        let gone: Vec<Key> = self
            .objects
            .keys()
            .filter(|key| !listed.contains(key) && !written.contains(key))
            .cloned()
            .collect();
        gone.iter()
            .filter_map(|key| {
                let uid = self.objects.get(key).and_then(|o| o.uid());
                self.remove(key, uid.as_deref())
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

    use super::*;

    fn pod(name: &str, uid: &str, version: u64, owner: Option<&str>) -> Pod {
        Pod {
            metadata: ObjectMeta {
                name: Some(name.into()),
                namespace: Some("default".into()),
                uid: Some(uid.into()),
                resource_version: Some(version.to_string()),
                owner_references: owner.map(|uid| {
                    vec![OwnerReference { uid: uid.into(), controller: Some(true), ..Default::default() }]
                }),
                ..Default::default()
            },
            ..Default::default()
        }
    }

    #[test]
    fn older_states_do_not_come_back() {
        let mut cache = Cache::default();
        assert!(matches!(cache.apply(pod("a", "1", 5, None), true), Some(Change::Added(_))));
        assert!(cache.apply(pod("a", "1", 4, None), false).is_none());
        assert!(matches!(cache.apply(pod("a", "1", 6, None), false), Some(Change::Updated(..))));
        assert!(matches!(cache.remove(&Key::new("default", "a"), Some("1")), Some(Change::Deleted(_))));
        assert!(cache.apply(pod("a", "1", 6, None), true).is_none(), "a late answer is no resurrection");
        assert!(cache.apply(pod("a", "2", 9, None), false).is_some());
    }

    #[test]
    fn owners_are_indexed_and_follow_changes() {
        let mut cache = Cache::default();
        cache.apply(pod("a", "1", 1, Some("x")), false);
        assert_eq!(cache.controlled_by("x").len(), 1);
        cache.apply(pod("a", "1", 2, Some("y")), false);
        assert!(cache.controlled_by("x").is_empty());
        assert_eq!(cache.controlled_by("y").len(), 1);
    }

    #[test]
    fn a_relist_removes_what_vanished_but_not_what_was_written_meanwhile() {
        let mut cache = Cache::default();
        cache.apply(pod("old", "1", 1, None), false);
        cache.list_begins();
        cache.apply(pod("listed", "2", 2, None), false);
        cache.apply(pod("written", "3", 3, None), true);
        let gone = cache.list_ends();
        assert_eq!(gone.len(), 1);
        assert_eq!(cache.in_namespace("default").len(), 2);
        assert!(cache.in_namespace("defaul").is_empty());
    }
}
