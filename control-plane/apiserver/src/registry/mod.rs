//! The one registry that serves all kinds.
//!
//! A write reads the object, changes it, lets admission and validation judge it and stores it if nobody else
//! was faster; else it begins again with what is there now. Reads never touch the store, except for pages of
//! lists of the past.

mod addresses;
pub mod admit;
pub mod convert;
pub mod create;
pub mod custom;
pub mod evict;
pub mod kinds;
pub mod leases;
pub mod manage;
pub mod modify;
pub mod object;
pub mod read;
pub mod remove;
pub mod scale;
pub mod seed;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde_json::Value;
use store::{Committed, Compare, Durability, KeyValue, Op, Store, Txn};

use crate::allocation::Allocator;
use crate::attributes::{ApiError, Follow, Followed, Notes, Objects, UserInfo, VersionReader};
use crate::watch::{Entry, Filter, Hub, Kind, Start, Subscription};
pub use kinds::{Kinds, Served};

/// The largest object that is stored, in bytes; as etcd takes by default.
pub const OBJECT_BYTES_MAX: usize = 3 * 512 * 1024;
/// How often a write begins again when others are faster.
const ATTEMPTS_MAX: usize = 8;

/// All objects of a cluster, and the rules for changing them.
pub struct Registry {
    /// The built-in kinds.
    pub model: Arc<api_model::Model>,
    /// Where the objects are.
    pub store: Arc<dyn Store>,
    /// The caches.
    pub hub: Arc<Hub>,
    /// What is served.
    pub kinds: Kinds,
    /// Now.
    pub clock: Arc<dyn kit::Clock>,
    /// Addresses and ports.
    pub allocator: Allocator,
    /// Leases of objects that vanish.
    pub leases: leases::Leases,
    /// What registries need to make sure that a definition's objects go with it.
    pub tasks: kit::Tasks,
    gate: OnceLock<Arc<dyn admit::Gate>>,
    /// Writes need not be on the disk yet: what is written while starting is made again if it is lost.
    starting: AtomicBool,
    custom: custom::Synced,
}

/// Which object, through which version and subresource, for whom.
#[derive(Clone)]
pub struct Target {
    /// The resource.
    pub served: Arc<Served>,
    /// Namespace; empty when there is none.
    pub namespace: String,
    /// Name; empty for a collection.
    pub name: String,
    /// Subresource; empty for the object itself.
    pub subresource: String,
    /// On whose behalf.
    pub user: Arc<UserInfo>,
    /// Where warnings and audit annotations go.
    pub notes: Arc<Notes>,
    /// The write is a consequence of one that admission has judged, and is not judged itself.
    pub judged: bool,
}

impl Target {
    /// An object, or a collection when there is no name.
    pub fn new(served: Arc<Served>, namespace: &str, name: &str, user: Arc<UserInfo>) -> Self {
        Self {
            served,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            subresource: String::new(),
            user,
            notes: Arc::default(),
            judged: false,
        }
    }

    /// The same, for a write that follows from one that admission has judged.
    pub fn judged(&self) -> Self {
        Self { judged: true, ..self.clone() }
    }

    /// The object's key.
    pub fn key(&self) -> String {
        self.served.key(&self.namespace, &self.name)
    }

    /// That it is not there.
    pub fn not_found(&self) -> ApiError {
        ApiError::not_found(&self.served.resource.group, &self.served.resource.plural, &self.name)
    }

    /// That somebody else changed it.
    pub fn modified(&self) -> ApiError {
        ApiError::modified(&self.served.resource.group, &self.served.resource.plural, &self.name)
    }

    /// That it is not the object with the uid that the caller has in mind, as a write says it.
    pub fn another(&self, wanted_uid: &str, uid: &str) -> ApiError {
        let namespace =
            if self.namespace.is_empty() { String::new() } else { format!("{}/", self.namespace) };
        self.conflict(&format!(
            "StorageError: invalid object, Code: 4, Key: /registry/{}/{namespace}{}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {wanted_uid}, UID in object meta: {uid}",
            self.served.upstream_key(), self.name
        ))
    }

    /// That it cannot be done to it as it is.
    pub fn conflict(&self, why: &str) -> ApiError {
        ApiError::conflict(&self.served.resource.group, &self.served.resource.plural, &self.name, why)
    }

    /// That fields are wrong.
    pub fn invalid(&self, name: &str, causes: &[api_model::Cause]) -> ApiError {
        ApiError::invalid(&self.served.resource.group, &self.served.resource.kind, name, causes)
    }

    /// The same object through another subresource.
    pub fn through(&self, subresource: &str) -> Self {
        Self { subresource: subresource.to_owned(), ..self.clone() }
    }
}

/// What became of a write to the store.
pub(crate) enum Stored {
    /// Done, at this revision.
    At(u64),
    /// Somebody was faster; the key is this now.
    Lost(Option<KeyValue>),
}

/// A store's failure, for a caller.
pub fn store_failed(error: &store::StoreError) -> ApiError {
    match error {
        store::StoreError::Compacted { at } => {
            ApiError::expired(format!("The provided resource version is too old: the oldest is {at}"))
        }
        store::StoreError::Closed => ApiError::unavailable("the server is shutting down"),
        store::StoreError::Unavailable { .. } => {
            tracing::warn!(error = %kit::Chain(error), "the store did not answer");
            ApiError::unavailable("the store did not answer")
        }
        error => {
            tracing::error!(error = %kit::Chain(error), "the store failed");
            ApiError::internal("the store failed")
        }
    }
}

/// The caches did not get there in time, for a caller.
pub fn behind(behind: crate::watch::hub::Behind) -> ApiError {
    let (wanted, reached) = match behind {
        crate::watch::hub::Behind::Late { wanted, reached } => (wanted, reached),
        crate::watch::hub::Behind::Store(error) => return store_failed(&error),
    };
    let mut error = ApiError::timeout(format!("Too large resource version: {wanted}, current: {reached}"));
    error.details = Some(serde_json::json!({
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1
    }));
    error
}

impl Registry {
    /// A registry over caches that are loaded.
    pub fn new(
        model: Arc<api_model::Model>,
        store: Arc<dyn Store>,
        hub: Arc<Hub>,
        clock: Arc<dyn kit::Clock>,
        allocator: Allocator,
        tasks: kit::Tasks,
    ) -> Self {
        let kinds = Kinds::new(&model);
        Self {
            model,
            store,
            hub,
            kinds,
            clock,
            allocator,
            leases: leases::Leases::default(),
            tasks,
            gate: OnceLock::new(),
            starting: AtomicBool::new(true),
            custom: custom::Synced::default(),
        }
    }

    /// Sets who judges writes. Before that, all writes are refused.
    pub fn set_gate(&self, gate: Arc<dyn admit::Gate>) {
        let _ = self.gate.set(gate);
    }

    /// From now on writes are on the disk when they are acknowledged.
    pub fn started(&self) {
        self.starting.store(false, Ordering::Relaxed);
    }

    pub(crate) fn gate(&self) -> Result<&Arc<dyn admit::Gate>, ApiError> {
        self.gate.get().ok_or_else(|| ApiError::unavailable("the server is starting"))
    }

    /// The entry as it is in the store now.
    pub(crate) async fn current(&self, target: &Target) -> Result<Option<Arc<Entry>>, ApiError> {
        self.hub.fresh().await.map_err(behind)?;
        Ok(self.hub.cache(&target.served.storage).get(&target.key()))
    }

    /// An entry of what the store answered.
    pub(crate) fn entry_of(&self, served: &Served, kv: &KeyValue) -> Arc<Entry> {
        let cache = self.hub.cache(&served.storage);
        Arc::new(cache.entry(kv.key.clone(), kv.value.clone(), kv.mod_revision))
    }

    /// Stores or removes a key that was last changed at `expected` (0: must not exist), and with it what `beside` says.
    pub(crate) async fn commit(
        &self,
        served: &Served,
        key: &str,
        expected: u64,
        value: Option<Bytes>,
        beside: Vec<Op>,
    ) -> Result<Stored, ApiError> {
        self.commit_allocated(served, key, expected, value, None, beside).await
    }

    /// The same for what was given addresses: [`Stored::Lost`] with the key as expected says that another server allocated meanwhile.
    pub(crate) async fn commit_allocated(
        &self,
        served: &Served,
        key: &str,
        expected: u64,
        value: Option<Bytes>,
        allocation: Option<&crate::allocation::Allocation>,
        beside: Vec<Op>,
    ) -> Result<Stored, ApiError> {
        if value.as_ref().is_some_and(|value| value.len() > OBJECT_BYTES_MAX) {
            // Upstream passes etcd's words on, with 500; it is the caller's object.
            return Err(ApiError::new(413, "RequestEntityTooLarge", "etcdserver: request is too large"));
        }
        let key: Arc<str> = key.into();
        let op = match value {
            Some(value) => {
                let lease = match served.rules.ttl_s {
                    Some(ttl_s) => Some(self.leases.for_ttl(&*self.store, ttl_s, self.clock.now()).await?),
                    None => None,
                };
                Op::Put { key: key.clone(), value, lease }
            }
            None => Op::Delete { key: key.clone() },
        };
        let starting = self.starting.load(Ordering::Relaxed);
        let durability =
            if served.rules.relaxed || starting { Durability::Relaxed } else { Durability::Durable };
        let ops = std::iter::once(op).chain(beside).collect();
        let mut txn = Txn { compares: vec![Compare { key, mod_revision: expected }], ops, durability };
        if let Some((compare, op)) = allocation.map(crate::allocation::Allocation::guard) {
            txn.compares.push(compare);
            txn.ops.push(op);
        }
        match self.store.commit(txn).await {
            Ok(Committed::Succeeded { revision }) => {
                // What was acknowledged is seen by the next request's authorisation and admission, which read
                // the caches without asking the store.
                if let Err(behind) = self.hub.reach(revision).await {
                    tracing::warn!(%behind, "a write is stored but not yet visible");
                }
                Ok(Stored::At(revision))
            }
            Ok(Committed::Conflict { current }) => Ok(Stored::Lost(current.into_iter().next().flatten())),
            Err(error) => Err(store_failed(&error)),
        }
    }

    /// The resource in its storage version.
    pub fn served(&self, group: &str, plural: &str) -> Option<Arc<Served>> {
        self.kinds.any_version(group, plural)
    }
}

fn storage_name(group: &str, plural: &str) -> String {
    match (group, plural) {
        ("" | "events.k8s.io", "events") => "core/events".to_owned(),
        ("", plural) => ["core/", plural].concat(),
        (group, plural) => [group, "/", plural].concat(),
    }
}

impl Objects for Registry {
    fn get(&self, group: &str, plural: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let cache = self.hub.cache(&storage_name(group, plural));
        let key = if namespace.is_empty() {
            [&*cache.prefix, name].concat()
        } else {
            [&*cache.prefix, namespace, "/", name].concat()
        };
        cache.get(&key).map(|entry| entry.value())
    }

    fn list(&self, group: &str, plural: &str, namespace: Option<&str>) -> Vec<Arc<Value>> {
        let filter = namespace.map(Filter::namespace).unwrap_or_default();
        let (page, _) = self.hub.cache(&storage_name(group, plural)).list(&filter, None, 0);
        page.entries.iter().map(|entry| entry.value()).collect()
    }

    fn version(&self, group: &str, plural: &str) -> u64 {
        self.hub.cache(&storage_name(group, plural)).changed()
    }

    fn version_reader(&self, group: &str, plural: &str) -> Option<VersionReader> {
        let cache = self.hub.cache(&storage_name(group, plural));
        Some(Box::new(move || cache.changed()))
    }

    fn follow(&self, group: &str, plural: &str) -> Option<Box<dyn Follow>> {
        let cache = self.hub.cache(&storage_name(group, plural));
        let subscription = cache.subscribe(Filter::default(), Start::Snapshot, self.hub.progress()).ok()?;
        Some(Box::new(Following(subscription)))
    }
}

struct Following(Subscription);

impl Follow for Following {
    fn next(&mut self) -> Followed {
        match self.0.ready() {
            Some((kind, change)) => {
                let exists = kind != Kind::Deleted;
                let entry = if exists { change.now.as_ref() } else { change.before.as_ref() };
                match entry {
                    Some(entry) => Followed::Changed { object: entry.value(), exists },
                    None => Followed::Lost,
                }
            }
            None if self.0.has_ended() => Followed::Lost,
            None => Followed::Nothing,
        }
    }
}
