//! What is under way: transactions that were accepted and wait for their fsync.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::disk::Change;
use super::lease::{Lease, Leases};
use super::transaction::{Effect, Transaction};
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
    pub last: Revision,
    /// Accepted, not visible: what the next transaction is compared with.
    pub overlay: HashMap<Arc<str>, (Revision, Option<KeyValue>)>,
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

    /// Checks a transaction, gives it a revision and notes its effects. Without an entry it is answered already.
    pub fn prepare(
        &mut self,
        txn: Txn,
        leases: HashMap<LeaseId, Option<Lease>>,
        visible: &Visible,
    ) -> Result<(Option<Entry>, Submitted), StoreError> {
        self.accepts()?;
        let mut change = Transaction::new(self, visible);
        let holds = txn
            .compares
            .iter()
            .all(|compare| change.get(&compare.key).map_or(0, |kv| kv.mod_revision) == compare.mod_revision);
        if holds {
            let mut seen = HashSet::with_capacity(txn.ops.len());
            for op in txn.ops {
                if !seen.insert(op.key().clone()) {
                    return Err(StoreError::DuplicateKey(op.key().clone()));
                }
                match op {
                    Op::Put { key, value, lease } => drop(change.put(key, value, lease)?),
                    Op::Delete { key } => drop(change.delete(&key)?),
                }
            }
            let effect = change.finish();
            return Ok(self.accept(effect, leases, txn.durability, visible));
        }
        if !change.saw_pending() {
            let current = txn.compares.iter().map(|compare| visible.get(&compare.key).cloned()).collect();
            return Ok((None, Submitted::Done(Committed::Conflict { current })));
        }
        let keys = txn.compares.iter().map(|compare| compare.key.clone()).collect();
        let (entry, waits) = self.entry(Arc::new([]), HashMap::new(), Outcome::Conflict(keys));
        Ok((Some(entry), Submitted::Waits(waits)))
    }

    /// Gives what a transaction did a revision. Without an entry it is answered already.
    pub fn accept(
        &mut self,
        effect: Effect,
        leases: HashMap<LeaseId, Option<Lease>>,
        durability: Durability,
        visible: &Visible,
    ) -> (Option<Entry>, Submitted) {
        let events: Arc<[Event]> = effect.events.into();
        if events.is_empty() && leases.is_empty() && !effect.saw_pending {
            return (None, Submitted::Done(Committed::Succeeded { revision: visible.revision() }));
        }
        if !events.is_empty() {
            self.last += 1;
        }
        for event in events.iter() {
            let value = (event.kind == EventKind::Put).then(|| event.kv.clone());
            self.overlay.insert(event.kv.key.clone(), (self.last, value));
            self.leases.follow(event);
        }
        let relaxed = durability == Durability::Relaxed && !events.is_empty();
        let (mut entry, waits) = self.entry(events, leases, Outcome::Succeeded);
        entry.relaxed = relaxed;
        (Some(entry), Submitted::Waits(waits))
    }

    fn entry(
        &self,
        events: Arc<[Event]>,
        leases: HashMap<LeaseId, Option<Lease>>,
        outcome: Outcome,
    ) -> (Entry, oneshot::Receiver<Result<Committed, StoreError>>) {
        let (reply, waits) = oneshot::channel();
        (Entry { revision: self.last, relaxed: false, events, leases, outcome, reply }, waits)
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
