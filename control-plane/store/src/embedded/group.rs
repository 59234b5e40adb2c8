//! What is under way: transactions that were accepted and wait for their fsync.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::disk::Change;
use super::lease::{Lease, Leases};
use super::visible::Visible;
use crate::types::{
    Committed, Durability, Event, EventKind, KeyValue, LeaseId, Op, Revision, StoreError, Txn,
};

/// How a transaction is answered.
pub(super) enum Submitted {
    /// At once.
    Done(Committed),
    /// When its group is on the disk.
    Waits(oneshot::Receiver<Result<Committed, StoreError>>),
}

enum Outcome {
    Succeeded,
    /// The keys to read again: they were compared with values that are not on the disk yet.
    Conflict(Vec<Arc<str>>),
}

/// One accepted transaction.
pub(super) struct Entry {
    pub revision: Revision,
    pub relaxed: bool,
    pub events: Arc<[Event]>,
    leases: HashMap<LeaseId, Option<Lease>>,
    outcome: Outcome,
    reply: oneshot::Sender<Result<Committed, StoreError>>,
}

impl Entry {
    /// Adds it to what the disk is to be told.
    pub fn record(&self, change: &mut Change) {
        for event in self.events.iter() {
            let value = (event.kind == EventKind::Put).then(|| event.kv.clone());
            change.objects.insert(event.kv.key.clone(), value);
        }
        change.leases.extend(self.leases.iter().map(|(id, lease)| (*id, *lease)));
        change.revision = change.revision.max(self.revision);
    }

    /// Tells the caller; he may have gone.
    pub fn answer(self, visible: &Visible) {
        let committed = match self.outcome {
            Outcome::Succeeded => Committed::Succeeded { revision: self.revision },
            Outcome::Conflict(keys) => {
                Committed::Conflict { current: keys.iter().map(|key| visible.get(key).cloned()).collect() }
            }
        };
        drop(self.reply.send(Ok(committed)));
    }

    pub fn fail(self, error: StoreError) {
        drop(self.reply.send(Err(error)));
    }
}

/// The writers' side of a store, behind one lock. Whoever takes this lock and the readers' takes this one first.
pub(super) struct Core {
    /// The last revision given out.
    last: Revision,
    /// Accepted, not visible: what the next transaction is compared with.
    overlay: HashMap<Arc<str>, (Revision, Option<KeyValue>)>,
    pub queue: Vec<Entry>,
    /// Visible, not on the disk.
    pub unsaved: Change,
    pub leases: Leases,
    pub flushing: bool,
    pub relaxed_timer: bool,
    pub poisoned: bool,
    pub closed: bool,
}

impl Core {
    pub fn new(last: Revision, leases: Leases) -> Self {
        Self {
            last,
            overlay: HashMap::new(),
            queue: Vec::new(),
            unsaved: Change::default(),
            leases,
            flushing: false,
            relaxed_timer: false,
            poisoned: false,
            closed: false,
        }
    }

    pub fn has_work(&self) -> bool {
        !self.poisoned && (!self.queue.is_empty() || !self.unsaved.is_empty())
    }

    /// Whether writes are taken.
    pub fn accepts(&self) -> Result<(), StoreError> {
        match (self.closed, self.poisoned) {
            (true, _) => Err(StoreError::Closed),
            (_, true) => Err(StoreError::Poisoned),
            (false, false) => Ok(()),
        }
    }

    fn current<'a>(&'a self, key: &str, visible: &'a Visible) -> Option<&'a KeyValue> {
        match self.overlay.get(key) {
            Some((_, pending)) => pending.as_ref(),
            None => visible.get(key),
        }
    }

    /// Checks a transaction, gives it a revision and notes its effects. Without an entry it is answered already.
    pub fn prepare(
        &mut self,
        txn: Txn,
        leases: HashMap<LeaseId, Option<Lease>>,
        visible: &Visible,
    ) -> Result<(Option<Entry>, Submitted), StoreError> {
        self.accepts()?;
        self.check(&txn)?;
        let holds = txn.compares.iter().all(|compare| {
            self.current(&compare.key, visible).map_or(0, |kv| kv.mod_revision) == compare.mod_revision
        });
        if !holds {
            return Ok(self.conflict(&txn, visible));
        }
        let pending = txn.ops.iter().any(|op| self.overlay.contains_key(op.key()));
        let events = self.events(&txn.ops, visible);
        if events.is_empty() && leases.is_empty() && !pending {
            return Ok((None, Submitted::Done(Committed::Succeeded { revision: visible.revision() })));
        }
        if !events.is_empty() {
            self.last += 1;
        }
        for event in events.iter() {
            let value = (event.kind == EventKind::Put).then(|| event.kv.clone());
            self.overlay.insert(event.kv.key.clone(), (self.last, value));
            self.leases.follow(event);
        }
        let (reply, waits) = oneshot::channel();
        let entry = Entry {
            revision: self.last,
            relaxed: txn.durability == Durability::Relaxed && !events.is_empty(),
            events,
            leases,
            outcome: Outcome::Succeeded,
            reply,
        };
        Ok((Some(entry), Submitted::Waits(waits)))
    }

    fn check(&self, txn: &Txn) -> Result<(), StoreError> {
        let mut seen = HashSet::with_capacity(txn.ops.len());
        for op in &txn.ops {
            if !seen.insert(op.key()) {
                return Err(StoreError::DuplicateKey(op.key().clone()));
            }
            if let Op::Put { lease: Some(lease), .. } = op
                && !self.leases.all.contains_key(lease)
            {
                return Err(StoreError::LeaseNotFound(*lease));
            }
        }
        Ok(())
    }

    fn conflict(&self, txn: &Txn, visible: &Visible) -> (Option<Entry>, Submitted) {
        let keys = txn.compares.iter().map(|compare| compare.key.clone());
        if txn.compares.iter().any(|compare| self.overlay.contains_key(&compare.key)) {
            let (reply, waits) = oneshot::channel();
            let entry = Entry {
                revision: self.last,
                relaxed: false,
                events: Arc::new([]),
                leases: HashMap::new(),
                outcome: Outcome::Conflict(keys.collect()),
                reply,
            };
            return (Some(entry), Submitted::Waits(waits));
        }
        let current = keys.map(|key| visible.get(&key).cloned()).collect();
        (None, Submitted::Done(Committed::Conflict { current }))
    }

    fn events(&self, ops: &[Op], visible: &Visible) -> Arc<[Event]> {
        let revision = self.last + 1;
        ops.iter()
            .filter_map(|op| {
                let previous = self.current(op.key(), visible).cloned();
                match op {
                    Op::Put { key, value, lease } => {
                        let kv = KeyValue {
                            // One allocation of the key for as long as it lives.
                            key: previous.as_ref().map_or_else(|| key.clone(), |old| old.key.clone()),
                            value: value.clone(),
                            create_revision: previous.as_ref().map_or(revision, |old| old.create_revision),
                            mod_revision: revision,
                            version: previous.as_ref().map_or(1, |old| old.version + 1),
                            lease: *lease,
                        };
                        Some(Event { kind: EventKind::Put, kv, previous })
                    }
                    Op::Delete { .. } => previous.map(|old| Event {
                        kind: EventKind::Delete,
                        kv: KeyValue { mod_revision: revision, ..old.clone() },
                        previous: Some(old),
                    }),
                }
            })
            .collect()
    }

    /// A transaction is about to become visible: later ones are compared with what is visible again.
    pub fn settle(&mut self, entry: &Entry) {
        for event in entry.events.iter() {
            if self.overlay.get(&event.kv.key).is_some_and(|(revision, _)| *revision == entry.revision) {
                self.overlay.remove(&event.kv.key);
            }
        }
        if self.overlay.is_empty() && self.overlay.capacity() > 256 {
            self.overlay.shrink_to(32);
        }
    }
}
