//! What the embedded store can beyond [`Store`](crate::Store): all that etcd's own interface needs.

use std::sync::Arc;
use std::time::Duration;

use super::Embedded;
use super::lease::Lease;
use super::transaction::Transaction;
use crate::span::Span;
use crate::types::{Committed, Durability, LeaseId, RangeResult, Revision, StoreError};
use crate::watch::{Limits, WatchStream};

/// A lease as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseState {
    /// How long it lives when it was just granted or renewed.
    pub granted: Duration,
    /// How long it lives from now.
    pub remaining: Duration,
    /// The keys that live with it, in order.
    pub keys: Vec<Arc<str>>,
}

/// The longest life of a lease, in seconds: etcd's limit.
pub const LEASE_MAX_S: u64 = 9_000_000_000;

impl Embedded {
    /// Runs `make` between all other transactions and applies what it did as one; gives what it returned, and the revision
    /// of its changes, or the newest one when it made none. When it fails, nothing is changed.
    ///
    /// The function must be quick: all writers wait for it. What it read and did is on the disk when this returns, unless
    /// `durability` is relaxed.
    ///
    /// # Errors
    /// The function's own, or the store's.
    pub async fn transact<T, E, F>(&self, durability: Durability, make: F) -> Result<(T, Revision), E>
    where
        F: FnOnce(&mut Transaction<'_>) -> Result<T, E>,
        E: From<StoreError>,
    {
        let (value, submitted) = self.begin(durability, make)?;
        match Self::answered(submitted).await? {
            Committed::Succeeded { revision } => Ok((value, revision)),
            Committed::Conflict { .. } => Err(StoreError::Closed.into()),
        }
    }

    fn begin<T, E, F>(&self, durability: Durability, make: F) -> Result<(T, super::Submitted), E>
    where
        F: FnOnce(&mut Transaction<'_>) -> Result<T, E>,
        E: From<StoreError>,
    {
        let mut core = self.core.lock();
        core.accepts()?;
        let visible = self.visible.read();
        let mut transaction = Transaction::new(&core, &visible);
        let value = make(&mut transaction)?;
        let effect = transaction.finish();
        let (entry, submitted) = core.accept(effect, Default::default(), durability, &visible);
        drop(visible);
        if let Some(entry) = entry {
            self.take(&mut core, entry);
        }
        Ok((value, submitted))
    }

    /// Reads what of a span comes after a key; a limit of 0 is none.
    ///
    /// # Errors
    /// When the revision asked for is forgotten or has not happened.
    pub fn scan(
        &self,
        span: &Span,
        start_after: Option<&str>,
        limit: usize,
        revision: Option<Revision>,
    ) -> Result<RangeResult, StoreError> {
        self.visible.read().scan(span, start_after, limit, revision)
    }

    /// Every change to keys of a span from revision `from` on; see [`Store::watch`](crate::Store::watch).
    ///
    /// # Errors
    /// When the past asked for is forgotten.
    pub fn watch_span(&self, span: Span, from: Revision) -> Result<WatchStream, StoreError> {
        let limits = Limits { events: self.options.watcher_events, bytes: self.options.watcher_bytes };
        self.visible.write().watch(span, from, limits)
    }

    /// The newest revision, and the oldest that can be read.
    pub fn revisions(&self) -> (Revision, Revision) {
        let visible = self.visible.read();
        (visible.revision(), visible.compacted())
    }

    /// Whether writing to the disk has failed: reads go on, writes are refused until the store is opened again.
    pub fn is_poisoned(&self) -> bool {
        self.core.lock().poisoned
    }

    /// A lease with this number, or the next free one.
    ///
    /// # Errors
    /// When there is one with this number, or the store accepts no writes.
    pub fn grant(&self, id: Option<LeaseId>, ttl: Duration) -> Result<LeaseId, StoreError> {
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).min(LEASE_MAX_S * 1000);
        let lease = Lease { ttl_ms, ends_ms: self.now_ms().saturating_add_unsigned(ttl_ms) };
        let id = {
            let mut core = self.core.lock();
            core.accepts()?;
            let id = match id {
                Some(id) if core.leases.all.contains_key(&id) => return Err(StoreError::LeaseExists(id)),
                Some(id) => id,
                None => core.leases.next_id(),
            };
            core.leases.all.insert(id, lease);
            core.unsaved.leases.insert(id, Some(lease));
            self.arm_relaxed_timer(&mut core);
            id
        };
        self.arm_lease_timer();
        Ok(id)
    }

    /// A lease lives its whole time again from now; gives that time.
    ///
    /// # Errors
    /// When there is none, or the store accepts no writes.
    pub fn renew(&self, id: LeaseId) -> Result<Duration, StoreError> {
        let mut core = self.core.lock();
        core.accepts()?;
        let now_ms = self.now_ms();
        let lease = core.leases.all.get_mut(&id).ok_or(StoreError::LeaseNotFound(id))?;
        lease.ends_ms = now_ms.saturating_add_unsigned(lease.ttl_ms);
        let lease = *lease;
        core.unsaved.leases.insert(id, Some(lease));
        self.arm_relaxed_timer(&mut core);
        Ok(Duration::from_millis(lease.ttl_ms))
    }

    /// A lease as it is.
    pub fn lease(&self, id: LeaseId) -> Option<LeaseState> {
        let core = self.core.lock();
        let lease = core.leases.all.get(&id)?;
        let remaining_ms = u64::try_from(lease.ends_ms - self.now_ms()).unwrap_or(0);
        Some(LeaseState {
            granted: Duration::from_millis(lease.ttl_ms),
            remaining: Duration::from_millis(remaining_ms),
            keys: core.leases.keys(id),
        })
    }

    /// The numbers of all leases, in order.
    pub fn leases(&self) -> Vec<LeaseId> {
        self.core.lock().leases.all.keys().copied().collect()
    }
}
