//! Objects in a map, for tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;

use super::{Objects, text};

type Key = (String, String, String, String);

/// Objects that a test puts there.
#[derive(Default)]
pub(crate) struct Fake(Mutex<(BTreeMap<Key, Arc<Value>>, u64)>);

fn key(group: &str, plural: &str, namespace: &str, name: &str) -> Key {
    (group.to_owned(), plural.to_owned(), namespace.to_owned(), name.to_owned())
}

impl Fake {
    pub fn put(&self, group: &str, plural: &str, object: Value) {
        let (namespace, name) = (text(&object, "/metadata/namespace"), text(&object, "/metadata/name"));
        let key = key(group, plural, namespace, name);
        let mut inner = self.0.lock();
        inner.0.insert(key, Arc::new(object));
        inner.1 += 1;
    }

    pub fn remove(&self, group: &str, plural: &str, namespace: &str, name: &str) {
        let mut inner = self.0.lock();
        inner.0.remove(&key(group, plural, namespace, name));
        inner.1 += 1;
    }

    /// With all roles and bindings a cluster starts with.
    pub fn with_roles() -> Arc<Self> {
        let fake = Self::default();
        for seed in crate::bootstrap::rbac::seeds() {
            fake.put(seed.group, seed.plural, seed.object);
        }
        Arc::new(fake)
    }
}

impl Objects for Fake {
    fn get(&self, group: &str, plural: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.0.lock().0.get(&key(group, plural, namespace, name)).cloned()
    }

    fn list(&self, group: &str, plural: &str, namespace: Option<&str>) -> Vec<Arc<Value>> {
        let inner = self.0.lock();
        let fits =
            |key: &&Key| key.0 == group && key.1 == plural && namespace.is_none_or(|wanted| key.2 == wanted);
        inner.0.iter().filter(|(key, _)| fits(key)).map(|(_, object)| object.clone()).collect()
    }

    fn version(&self, _: &str, _: &str) -> u64 {
        self.0.lock().1
    }
}
