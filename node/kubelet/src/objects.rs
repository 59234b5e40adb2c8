//! The config maps and secrets that pods of this node refer to: watched one by one, only while referred to.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

/// What both kinds have in common.
pub trait Kind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + DeserializeOwned
    + std::fmt::Debug
    + Send
    + Sync
    + 'static
{
    /// As messages write it.
    const NAME: &'static str;
}

impl Kind for ConfigMap {
    const NAME: &'static str = "configmap";
}

impl Kind for Secret {
    const NAME: &'static str = "secret";
}

type Key = (String, String);

struct Entry<K> {
    /// `None` until the first list is in.
    known: Option<Option<Arc<K>>>,
    users: BTreeMap<String, Arc<Notify>>,
    watch: kit::Tasks,
}

/// Objects of one kind.
pub struct Watched<K: Kind> {
    client: Client,
    tasks: kit::Tasks,
    entries: Arc<Mutex<HashMap<Key, Entry<K>>>>,
}

impl<K: Kind> Watched<K> {
    fn new(client: Client, tasks: kit::Tasks) -> Self {
        Self { client, tasks, entries: Arc::default() }
    }

    fn api(&self, namespace: &str) -> Api<K> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// The object now; `Ok(None)`: there is none. An error is a message for an event.
    pub async fn get(&self, namespace: &str, name: &str) -> Result<Option<Arc<K>>, String> {
        let key = (namespace.to_owned(), name.to_owned());
        if let Some(known) = self.entries.lock().get(&key).and_then(|entry| entry.known.clone())
            && known.is_some()
        {
            return Ok(known);
        }
        match self.api(namespace).get_opt(name).await {
            Ok(found) => Ok(found.map(Arc::new)),
            Err(error) => {
                Err(format!("failed to get {} \"{namespace}/{name}\": {}", K::NAME, kit::Chain(&error)))
            }
        }
    }

    /// The object now, or the message `configmap "x" not found`.
    pub async fn need(&self, namespace: &str, name: &str) -> Result<Arc<K>, String> {
        self.get(namespace, name).await?.ok_or_else(|| format!("{} {name:?} not found", K::NAME))
    }

    /// From now on `wake` is notified when one of these objects changes; others are no longer watched for
    /// this pod.
    pub fn refer(&self, pod: &str, namespace: &str, names: &[String], wake: &Arc<Notify>) {
        let mut entries = self.entries.lock();
        for name in names {
            let key = (namespace.to_owned(), name.clone());
            let entry = entries.entry(key.clone()).or_insert_with(|| self.watch(key));
            entry.users.insert(pod.to_owned(), wake.clone());
        }
        entries.retain(|(_, name), entry| {
            if !names.contains(name) {
                entry.users.remove(pod);
            }
            let kept = !entry.users.is_empty();
            if !kept {
                entry.watch.stop();
            }
            kept
        });
    }

    /// Forgets a pod.
    pub fn forget(&self, pod: &str) {
        self.entries.lock().retain(|_, entry| {
            entry.users.remove(pod);
            let kept = !entry.users.is_empty();
            if !kept {
                entry.watch.stop();
            }
            kept
        });
    }

    fn watch(&self, key: Key) -> Entry<K> {
        let tasks = self.tasks.child();
        let config = watcher::Config::default().fields(&format!("metadata.name={}", key.1));
        let mut events = watcher(self.api(&key.0), config).backoff(crate::client::watches()).boxed();
        let entries = self.entries.clone();
        tasks.spawn("watch object", async move {
            let mut listed = None;
            while let Some(event) = events.next().await {
                match event {
                    Ok(watcher::Event::Init) => listed = None,
                    Ok(watcher::Event::InitApply(object)) => listed = Some(object),
                    Ok(watcher::Event::InitDone) => update(&entries, &key, listed.take()),
                    Ok(watcher::Event::Apply(object)) => update(&entries, &key, Some(object)),
                    Ok(watcher::Event::Delete(_)) => update(&entries, &key, None),
                    Err(error) => {
                        tracing::debug!(error = %kit::Chain(&error), kind = K::NAME, name = %key.1, "watch broke");
                    }
                }
            }
        });
        Entry { known: None, users: BTreeMap::new(), watch: tasks }
    }
}

fn update<K: Kind>(entries: &Mutex<HashMap<Key, Entry<K>>>, key: &Key, object: Option<K>) {
    let mut entries = entries.lock();
    let Some(entry) = entries.get_mut(key) else { return };
    let version = |object: &K| object.meta().resource_version.clone();
    let before = entry.known.as_ref().and_then(|known| known.as_deref().and_then(version));
    let first = entry.known.is_none();
    let changed = before != object.as_ref().and_then(version);
    let missing = object.is_none();
    entry.known = Some(object.map(Arc::new));
    // The first sight of what the pod read a moment ago is no change.
    if changed && !(first && missing) {
        entry.users.values().for_each(|wake| wake.notify_one());
    }
}

/// Both kinds.
pub struct Objects {
    /// Config maps.
    pub config_maps: Watched<ConfigMap>,
    /// Secrets.
    pub secrets: Watched<Secret>,
}

impl Objects {
    /// Watches nothing yet.
    pub fn new(client: &Client, tasks: &kit::Tasks) -> Self {
        Self {
            config_maps: Watched::new(client.clone(), tasks.clone()),
            secrets: Watched::new(client.clone(), tasks.clone()),
        }
    }
}
