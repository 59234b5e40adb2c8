//! Leases: when they end, and which keys live with them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::types::{Event, EventKind, LeaseId};

/// A lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lease {
    pub ttl_ms: u64,
    /// Milliseconds since 1970.
    pub ends_ms: i64,
}

/// All leases of a store.
#[derive(Default)]
pub(super) struct Leases {
    pub all: BTreeMap<LeaseId, Lease>,
    keys: HashMap<LeaseId, HashSet<Arc<str>>>,
    /// Whether a task waits for the next end.
    pub timer: bool,
}

impl Leases {
    /// The leases a file held.
    pub fn new(all: BTreeMap<LeaseId, Lease>) -> Self {
        Self { all, ..Self::default() }
    }

    /// The next free number, in the range that etcd's clients can name.
    pub fn next_id(&self) -> LeaseId {
        match self.all.last_key_value() {
            None => 1,
            Some((last, _)) if *last < i64::MAX as LeaseId => last + 1,
            Some(_) => (1..).find(|id| !self.all.contains_key(id)).unwrap_or(1),
        }
    }

    /// The keys that live with a lease, in order.
    pub fn keys(&self, lease: LeaseId) -> Vec<Arc<str>> {
        let mut keys: Vec<Arc<str>> = self.keys.get(&lease).into_iter().flatten().cloned().collect();
        keys.sort();
        keys
    }

    /// Remembers which keys live with which lease.
    pub fn follow(&mut self, event: &Event) {
        if let Some(old) = event.previous.as_ref().and_then(|kv| kv.lease)
            && let Some(keys) = self.keys.get_mut(&old)
        {
            keys.remove(&event.kv.key);
        }
        if event.kind == EventKind::Put
            && let Some(lease) = event.kv.lease
        {
            self.attach(lease, event.kv.key.clone());
        }
    }

    /// Says that a key lives with a lease.
    pub fn attach(&mut self, lease: LeaseId, key: Arc<str>) {
        self.keys.entry(lease).or_default().insert(key);
    }

    /// Removes a lease and gives its keys.
    pub fn remove(&mut self, lease: LeaseId) -> Option<Vec<Arc<str>>> {
        self.all.remove(&lease)?;
        Some(self.keys.remove(&lease).unwrap_or_default().into_iter().collect())
    }

    /// When the next lease ends, in milliseconds since 1970.
    pub fn next_end_ms(&self) -> Option<i64> {
        self.all.values().map(|lease| lease.ends_ms).min()
    }

    /// The leases that have ended.
    pub fn ended(&self, now_ms: i64) -> Vec<LeaseId> {
        self.all.iter().filter(|(_, lease)| lease.ends_ms <= now_ms).map(|(id, _)| *id).collect()
    }
}
