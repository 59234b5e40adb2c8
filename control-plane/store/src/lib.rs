//! Revisions, transactions, watches, leases and compaction with etcd's semantics.
//!
//! [`Store`] is the contract, [`suite`] its tests, [`Embedded`] the store that comes with Lazurite: the whole
//! key space in memory, every write in a redb file before it is acknowledged. The crate `etcd` holds the same contract over a
//! real etcd cluster, and etcd's interface over the embedded store.
//!
//! Guarantees: one revision counter, which grows by one with every transaction that changes something; a transaction is seen
//! whole or not at all; events arrive in the order of revisions, each once; an acknowledged durable write survives `kill -9`
//! and power loss; what a reader has seen of durable writes is never taken back.
//!
//! It does not know what the values mean. [`encrypted::Encrypted`] over any of them seals the values of chosen resources.

pub mod embedded;
pub mod encrypted;
mod span;
pub mod suite;
mod types;
pub mod upkeep;
mod watch;

pub use embedded::snapshot::{RESTORE_BUMP, Size, Snapshot, restore, verify};
pub use embedded::{Embedded, LeaseState, Options, Transaction};
pub use span::Span;
pub use types::{
    Batch, Committed, Compare, Durability, Event, EventKind, KeyValue, LeaseId, Op, Range, RangeResult,
    Revision, StoreError, Txn,
};
pub use watch::WatchStream;

use std::time::Duration;

use async_trait::async_trait;

/// Where a control plane keeps its objects.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The key now, and the revision at which that was so.
    async fn get(&self, key: &str) -> Result<(Option<KeyValue>, Revision), StoreError>;

    /// Keys with a prefix, in order, all of one revision.
    async fn range(&self, range: Range) -> Result<RangeResult, StoreError>;

    /// Applies all operations, or none when a comparison fails. When this returns, every watcher's buffer holds the events and
    /// every later read sees them; with [`Durability::Durable`] they are also on the disk.
    async fn commit(&self, txn: Txn) -> Result<Committed, StoreError>;

    /// Every change to keys with `prefix` from revision `from` on (that one included), in order. `from` 0 means what
    /// happens after this call returns.
    async fn watch(&self, prefix: &str, from: Revision) -> Result<WatchStream, StoreError>;

    /// The newest revision that every read begun from now on sees.
    async fn revision(&self) -> Result<Revision, StoreError>;

    /// Forgets what was before revision `at`: reads at an older one, and watches from `at` or older, then fail
    /// with [`StoreError::Compacted`]. Forgetting less than was forgotten already changes nothing.
    async fn compact(&self, at: Revision) -> Result<(), StoreError>;

    /// A lease that ends `ttl` from now; keys put with it are deleted then.
    async fn grant_lease(&self, ttl: Duration) -> Result<LeaseId, StoreError>;

    /// Ends a lease now and deletes its keys. An unknown lease is [`StoreError::LeaseNotFound`].
    async fn revoke_lease(&self, lease: LeaseId) -> Result<(), StoreError>;
}
