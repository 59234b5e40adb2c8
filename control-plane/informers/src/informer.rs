//! Caches that follow the API by list and watch, one per kind, shared by all loops.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use kube::api::{Api, DeleteParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use parking_lot::{Mutex, RwLock};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::cache::{Cache, Change, Key};
use crate::objects::owner_key;

/// A typed Kubernetes object.
pub trait Object:
    kube::Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
}
impl<K> Object for K where
    K: kube::Resource<DynamicType = ()>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
        + Send
        + Sync
        + 'static
{
}

type Handler<K> = Arc<dyn Fn(&Change<K>) + Send + Sync>;

struct Shared<K> {
    cache: RwLock<Cache<K>>,
    handlers: RwLock<Vec<Handler<K>>>,
    synced: watch::Sender<bool>,
}

/// The cache of one kind. Clones are the same cache.
///
/// Objects are shared and must never be changed in place. `managedFields` are dropped to save memory.
/// Whoever writes an object hands the answer to [`observe`](Self::observe), so that its next look at the
/// cache is not older than its own write.
pub struct Informer<K>(Arc<Shared<K>>);

impl<K> Clone for Informer<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Object> Default for Informer<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Object> Informer<K> {
    /// A cache that follows nothing: for tests, which fill it with [`observe`](Self::observe).
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            cache: RwLock::new(Cache::default()),
            handlers: RwLock::default(),
            synced: watch::channel(false).0,
        }))
    }

    /// One object by key.
    pub fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.0.cache.read().get(key)
    }

    /// One object by namespace (empty for cluster-scoped kinds) and name.
    pub fn find(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.get(&Key::new(namespace, name))
    }

    /// All objects, by key.
    pub fn list(&self) -> Vec<Arc<K>> {
        self.0.cache.read().all()
    }

    /// How many objects there are.
    pub fn count(&self) -> usize {
        self.0.cache.read().len()
    }

    /// All objects of a namespace, by name.
    pub fn list_in(&self, namespace: &str) -> Vec<Arc<K>> {
        self.0.cache.read().in_namespace(namespace)
    }

    /// All objects whose controlling owner has this uid.
    pub fn controlled_by(&self, uid: &str) -> Vec<Arc<K>> {
        self.0.cache.read().controlled_by(uid)
    }

    /// Calls `handler` for each object there is (as added) and for each change from now on. It runs on the
    /// informer's task: it must be quick and must not block; usually it adds a key to a queue.
    pub fn subscribe(&self, handler: impl Fn(&Change<K>) + Send + Sync + 'static) {
        let handler: Handler<K> = Arc::new(handler);
        let present = {
            let mut handlers = self.0.handlers.write();
            handlers.push(handler.clone());
            self.0.cache.read().all()
        };
        for object in present {
            handler(&Change::Added(object));
        }
    }

    /// Adds the key of every changed object to a queue.
    pub fn enqueue_to(&self, queue: &crate::Queue<Key>) {
        let queue = queue.clone();
        self.subscribe(move |change| queue.add(Key::of(change.object().as_ref())));
    }

    /// Adds the key of the controlling owner, if its kind is `kind`, of every changed object to a queue;
    /// for an owner that changed, both.
    pub fn enqueue_owner_to(&self, kind: &'static str, queue: &crate::Queue<Key>) {
        let queue = queue.clone();
        self.subscribe(move |change| {
            for object in change.old().into_iter().chain([change.object()]) {
                if let Some(key) = owner_key(object.meta(), kind) {
                    queue.add(key);
                }
            }
        });
    }

    /// Ends when the first list is complete.
    pub async fn synced(&self) {
        let mut synced = self.0.synced.subscribe();
        let _closed = synced.wait_for(|done| *done).await;
    }

    /// Takes the answer to a write into the cache, unless the cache knows better.
    pub fn observe(&self, mut object: K) {
        object.meta_mut().managed_fields = None;
        let change = self.0.cache.write().apply(object, true);
        self.tell(change);
    }

    /// Takes note of a deletion that the API confirmed.
    pub fn observe_deleted(&self, key: &Key, uid: Option<&str>) {
        let change = self.0.cache.write().remove(key, uid);
        self.tell(change);
    }

    fn tell(&self, changes: impl IntoIterator<Item = Change<K>>) {
        for change in changes {
            let handlers = self.0.handlers.read().clone();
            for handler in handlers {
                handler(&change);
            }
        }
    }

    fn event(&self, event: watcher::Event<K>) {
        match event {
            watcher::Event::Init => self.0.cache.write().list_begins(),
            watcher::Event::Apply(mut object) | watcher::Event::InitApply(mut object) => {
                object.meta_mut().managed_fields = None;
                let change = self.0.cache.write().apply(object, false);
                self.tell(change);
            }
            watcher::Event::Delete(object) => {
                let change = self.0.cache.write().remove(&Key::of(&object), object.meta().uid.as_deref());
                self.tell(change);
            }
            watcher::Event::InitDone => {
                let gone = self.0.cache.write().list_ends();
                self.tell(gone);
                self.0.synced.send_replace(true);
            }
        }
    }

    async fn follow(self, api: Api<K>, config: watcher::Config) {
        let mut events = watcher(api, config).default_backoff().boxed();
        loop {
            match events.try_next().await {
                Ok(Some(event)) => self.event(event),
                Ok(None) => return,
                Err(error) => {
                    tracing::debug!(kind = %K::kind(&()), error = %kit::Chain(&error), "watch broke, trying again");
                }
            }
        }
    }

    /// Creates an object and takes it into the cache.
    pub async fn create(&self, api: &Api<K>, object: &K) -> Result<K, kube::Error> {
        let made = api.create(&PostParams::default(), object).await?;
        self.observe(made.clone());
        Ok(made)
    }

    /// Deletes the object with this uid and takes note; that it is gone already is a success.
    pub async fn delete(&self, api: &Api<K>, object: &K, params: DeleteParams) -> Result<(), kube::Error> {
        let key = Key::of(object);
        let uid = object.meta().uid.clone();
        let preconditions = Some(kube::api::Preconditions { uid: uid.clone(), resource_version: None });
        match api.delete(&key.name, &DeleteParams { preconditions, ..params }).await {
            Ok(answer) => match answer.left() {
                Some(left) if left.meta().deletion_timestamp.is_some() => self.observe(left),
                _ => self.observe_deleted(&key, uid.as_deref()),
            },
            Err(error) if crate::error::code(&error) == Some(404) => {
                self.observe_deleted(&key, uid.as_deref());
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// The informers of one control plane, one per kind, started when first asked for.
#[derive(Clone)]
pub struct Informers {
    client: kube::Client,
    tasks: kit::Tasks,
    running: Arc<Mutex<HashMap<TypeId, Box<dyn Any + Send + Sync>>>>,
}

impl Informers {
    /// No informer yet.
    pub fn new(client: kube::Client, tasks: kit::Tasks) -> Self {
        Self { client, tasks, running: Arc::default() }
    }

    /// The informer of a kind, over all namespaces.
    pub fn of<K: Object>(&self) -> Informer<K> {
        let mut running = self.running.lock();
        let entry = running.entry(TypeId::of::<K>()).or_insert_with(|| {
            let informer = Informer::<K>::new();
            let api = Api::<K>::all(self.client.clone());
            self.tasks.spawn("informer", informer.clone().follow(api, watcher::Config::default()));
            Box::new(informer)
        });
        // The map's key is the type, so the value has it.
        entry.downcast_ref::<Informer<K>>().cloned().unwrap_or_default()
    }
}
