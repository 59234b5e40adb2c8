//! What goes into a store and comes out of it.

use std::sync::Arc;

use bytes::Bytes;

/// A point in a store's history. The first transaction makes revision 2, as in etcd an empty store is at 1.
pub type Revision = u64;
/// Names a lease; never 0.
pub type LeaseId = u64;

/// A key with its value and its history in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    /// The key.
    pub key: Arc<str>,
    /// The value, shared, never copied.
    pub value: Bytes,
    /// The revision that made the key.
    pub create_revision: Revision,
    /// The revision that last changed it.
    pub mod_revision: Revision,
    /// How many puts since it was made; 1 for a new key.
    pub version: u64,
    /// The lease it lives with.
    pub lease: Option<LeaseId>,
}

/// What to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Range {
    /// What keys begin with; empty means all keys.
    pub prefix: String,
    /// Only keys greater than this one.
    pub start_after: Option<String>,
    /// At most so many keys; 0 means all.
    pub limit: usize,
    /// As of this revision; none means now.
    pub revision: Option<Revision>,
}

impl Range {
    /// All keys with a prefix, now.
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..Self::default() }
    }
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeResult {
    /// The keys in order.
    pub items: Vec<KeyValue>,
    /// The revision they were read at: the one asked for, or the newest.
    pub revision: Revision,
    /// How many more keys there are behind the limit.
    pub remaining: u64,
}

/// What must hold for a transaction to be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compare {
    /// The key.
    pub key: Arc<str>,
    /// The revision that last changed it; 0 means that the key must not exist.
    pub mod_revision: Revision,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Makes a key or replaces its value.
    Put {
        /// The key.
        key: Arc<str>,
        /// Its new value.
        value: Bytes,
        /// The lease it lives with from now on.
        lease: Option<LeaseId>,
    },
    /// Removes a key; nothing happens when there is none.
    Delete {
        /// The key.
        key: Arc<str>,
    },
}

impl Op {
    /// The key it changes.
    pub fn key(&self) -> &Arc<str> {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

/// When a write is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// After it is on the disk.
    #[default]
    Durable,
    /// At once: a crash may take the last second of such writes, never one from the middle. For Events and Leases.
    Relaxed,
}

/// A transaction: comparisons, and changes that are made when all of them hold.
#[derive(Debug, Clone, Default)]
pub struct Txn {
    /// What must hold.
    pub compares: Vec<Compare>,
    /// What to change; a key may occur once.
    pub ops: Vec<Op>,
    /// When to acknowledge.
    pub durability: Durability,
}

impl Txn {
    /// Makes `key`, which must not exist.
    pub fn create(key: impl Into<Arc<str>>, value: impl Into<Bytes>) -> Self {
        Self::update(key, 0, value)
    }

    /// Replaces the value of `key`, last changed by `mod_revision`.
    pub fn update(key: impl Into<Arc<str>>, mod_revision: Revision, value: impl Into<Bytes>) -> Self {
        let key = key.into();
        Self {
            compares: vec![Compare { key: key.clone(), mod_revision }],
            ops: vec![Op::Put { key, value: value.into(), lease: None }],
            durability: Durability::Durable,
        }
    }

    /// Removes `key`, last changed by `mod_revision`.
    pub fn delete(key: impl Into<Arc<str>>, mod_revision: Revision) -> Self {
        let key = key.into();
        Self {
            compares: vec![Compare { key: key.clone(), mod_revision }],
            ops: vec![Op::Delete { key }],
            durability: Durability::Durable,
        }
    }

    /// The same transaction, acknowledged at once.
    #[must_use]
    pub fn relaxed(mut self) -> Self {
        self.durability = Durability::Relaxed;
        self
    }
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// It was applied.
    Succeeded {
        /// Its revision; the newest one when nothing was changed.
        revision: Revision,
    },
    /// A comparison failed and nothing was changed.
    Conflict {
        /// The compared keys as they are, in the order of the comparisons.
        current: Vec<Option<KeyValue>>,
    },
}

/// What happened to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// It was made or its value replaced.
    Put,
    /// It was removed.
    Delete,
}

/// One change that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The key after it; of a deletion the last value, with the deletion's revision as `mod_revision`.
    pub kv: KeyValue,
    /// The key before it; none when it was made.
    pub previous: Option<KeyValue>,
}

/// All changes of one revision that a watcher asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The revision.
    pub revision: Revision,
    /// The changes, in the order of the transaction's operations; never empty.
    pub events: Arc<[Event]>,
}

/// Why a store could not do it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The revision asked for is forgotten; list again.
    #[error("required revision has been compacted; the oldest is {at}")]
    Compacted {
        /// The oldest revision that can be read.
        at: Revision,
    },
    /// The revision asked for has not happened yet.
    #[error("required revision is a future one; the newest is {newest}")]
    Future {
        /// The newest revision.
        newest: Revision,
    },
    /// A watcher did not read as fast as events came; watch again from the last revision seen.
    #[error("watcher fell behind by more than {limit_events} events or {limit_bytes} bytes")]
    Slow {
        /// The limit in events.
        limit_events: usize,
        /// The limit in bytes of values.
        limit_bytes: usize,
    },
    /// No such lease, or it has ended.
    #[error("lease {0} not found")]
    LeaseNotFound(LeaseId),
    /// A transaction names a key twice.
    #[error("key `{0}` is given twice in one transaction")]
    DuplicateKey(Arc<str>),
    /// Writing to the disk failed before: nothing is written any more until the store is opened again.
    #[error("store accepts no writes since writing to its disk failed")]
    Poisoned,
    /// The disk, or the engine on it, failed.
    #[error("failed to {doing} the store's file")]
    Engine {
        /// The deed.
        doing: &'static str,
        /// Its failure.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The store was closed while the call was under way.
    #[error("store is closed")]
    Closed,
    /// A lease was asked for by a number that another has.
    #[error("lease {0} exists already")]
    LeaseExists(LeaseId),
    /// A store elsewhere did not answer. Of a write nobody knows whether it was applied.
    #[error("store did not answer")]
    Unavailable {
        /// What went wrong on the way.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// A store elsewhere refused what it was asked, and did nothing.
    #[error("store refused the request")]
    Refused {
        /// Its answer.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// A value cannot be sealed or opened.
    #[error("failed to {doing} the value of `{key}`")]
    Sealed {
        /// `encrypt` or `decrypt`.
        doing: &'static str,
        /// The key.
        key: Arc<str>,
        /// Why not.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
}

impl From<kit::files::FileError> for StoreError {
    fn from(error: kit::files::FileError) -> Self {
        Self::Engine { doing: error.deed, source: Arc::new(error.source) }
    }
}

impl StoreError {
    pub(crate) fn engine<E>(doing: &'static str) -> impl FnOnce(E) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        move |source| Self::Engine { doing, source: Arc::new(source) }
    }

    /// Whether reading again from a newer revision helps.
    pub fn compacted(&self) -> bool {
        matches!(self, Self::Compacted { .. })
    }
}
