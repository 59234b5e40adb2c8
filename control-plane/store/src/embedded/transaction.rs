//! One transaction while it is made: it reads the newest state with its own changes, and nobody else's come between.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::group::Core;
use super::visible::Visible;
use crate::span::Span;
use crate::types::{Event, EventKind, KeyValue, LeaseId, RangeResult, Revision, StoreError};

/// What a transaction sees and does; given to the function of [`Embedded::transact`](crate::Embedded::transact).
pub struct Transaction<'a> {
    core: &'a Core,
    visible: &'a Visible,
    own: BTreeMap<Arc<str>, Option<KeyValue>>,
    events: Vec<Event>,
    /// It has read what is not on the disk yet: its answer waits until that is.
    saw_pending: Cell<bool>,
}

/// What a transaction did.
pub(super) struct Effect {
    pub events: Vec<Event>,
    pub saw_pending: bool,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(core: &'a Core, visible: &'a Visible) -> Self {
        Self { core, visible, own: BTreeMap::new(), events: Vec::new(), saw_pending: Cell::new(false) }
    }

    /// The revision it was begun at.
    pub fn revision(&self) -> Revision {
        self.core.last
    }

    /// The revision of its changes, if it makes any.
    pub fn next_revision(&self) -> Revision {
        self.core.last + 1
    }

    /// Whether it has changed anything.
    pub fn has_changed(&self) -> bool {
        !self.events.is_empty()
    }

    /// A key now.
    pub fn get(&self, key: &str) -> Option<&KeyValue> {
        if let Some(own) = self.own.get(key) {
            return own.as_ref();
        }
        match self.core.overlay.get(key) {
            Some((_, pending)) => {
                self.saw_pending.set(true);
                pending.as_ref()
            }
            None => self.visible.get(key),
        }
    }

    /// The keys of a span now, in order.
    pub fn range(&self, span: &Span) -> Vec<KeyValue> {
        if let Span::One(key) = span {
            return self.get(key).cloned().into_iter().collect();
        }
        let pending: Vec<_> = self
            .core
            .overlay
            .iter()
            .filter(|(key, _)| span.contains(key))
            .map(|(key, (_, kv))| (key, kv))
            .collect();
        let own = self.own.iter().filter(|(key, _)| span.contains(key));
        if !pending.is_empty() {
            self.saw_pending.set(true);
        }
        let newest = self.visible.newest(span, None);
        let mut found: BTreeMap<&Arc<str>, &KeyValue> = newest.map(|kv| (&kv.key, kv)).collect();
        for (key, kv) in pending.into_iter().chain(own) {
            match kv {
                Some(kv) => found.insert(key, kv),
                None => found.remove(key),
            };
        }
        found.into_values().cloned().collect()
    }

    /// The keys of a span as they were at an older revision.
    ///
    /// # Errors
    /// When that revision is forgotten or has not happened.
    pub fn range_at(&self, span: &Span, revision: Revision) -> Result<RangeResult, StoreError> {
        self.visible.scan(span, None, 0, Some(revision))
    }

    /// Makes a key or replaces its value; gives what was there.
    ///
    /// # Errors
    /// When the transaction has changed the key already, or the lease does not exist.
    pub fn put(
        &mut self,
        key: Arc<str>,
        value: Bytes,
        lease: Option<LeaseId>,
    ) -> Result<Option<KeyValue>, StoreError> {
        if self.own.contains_key(&key) {
            return Err(StoreError::DuplicateKey(key));
        }
        if let Some(lease) = lease
            && !self.core.leases.all.contains_key(&lease)
        {
            return Err(StoreError::LeaseNotFound(lease));
        }
        let revision = self.next_revision();
        let previous = self.get(&key).cloned();
        let kv = KeyValue {
            // One allocation of the key for as long as it lives.
            key: previous.as_ref().map_or(key, |old| old.key.clone()),
            value,
            create_revision: previous.as_ref().map_or(revision, |old| old.create_revision),
            mod_revision: revision,
            version: previous.as_ref().map_or(1, |old| old.version + 1),
            lease,
        };
        self.own.insert(kv.key.clone(), Some(kv.clone()));
        self.events.push(Event { kind: EventKind::Put, kv, previous: previous.clone() });
        Ok(previous)
    }

    /// Removes a key; gives what was there.
    ///
    /// # Errors
    /// When the transaction has put the key itself.
    pub fn delete(&mut self, key: &str) -> Result<Option<KeyValue>, StoreError> {
        if let Some((own, Some(_))) = self.own.get_key_value(key) {
            return Err(StoreError::DuplicateKey(own.clone()));
        }
        let Some(old) = self.get(key).cloned() else { return Ok(None) };
        let kv = KeyValue { mod_revision: self.next_revision(), ..old.clone() };
        self.own.insert(old.key.clone(), None);
        self.events.push(Event { kind: EventKind::Delete, kv, previous: Some(old.clone()) });
        Ok(Some(old))
    }

    /// Whether it has read what is not on the disk yet.
    pub(super) fn saw_pending(&self) -> bool {
        self.saw_pending.get()
    }

    pub(super) fn finish(self) -> Effect {
        Effect { saw_pending: self.saw_pending.get(), events: self.events }
    }
}
