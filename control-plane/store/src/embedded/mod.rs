//! The store that needs nothing beside a file.
//!
//! ```text
//! commit ─ compare against overlay+visible ─ assign revision ─ queue ─┐
//!                                                                     ▼  one blocking task, only while there is work
//! readers, watchers ◄─ visible ◄─ publish, acknowledge ◄─ fsync ◄─ group of all that queued meanwhile
//! ```
//!
//! A durable write becomes visible after its fsync, so nobody sees what a crash could take back. A relaxed write becomes
//! visible as soon as no durable write is under way before it, and reaches the disk with the next group or within
//! [`Options::relaxed_delay`]. An idle store has no thread and no timer.
//!
//! Reading order: [`visible`](self) state, then `group` (what is under way), then this file.

mod disk;
mod engine;
mod group;
mod lease;
pub mod snapshot;
mod transaction;
mod visible;

pub use engine::LeaseState;
pub use transaction::Transaction;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use kit::{Clock, SystemClock, Tasks};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use self::disk::{Change, Disk};
use self::group::{Core, Submitted};
use self::lease::{Lease, Leases};
use self::visible::{Visible, Window};
use crate::types::{Committed, KeyValue, LeaseId, Range, RangeResult, Revision, StoreError, Txn};
use crate::watch::WatchStream;
use crate::{Span, Store};

/// How a store behaves.
#[derive(Clone)]
pub struct Options {
    /// Events of the past kept for watches and older reads.
    pub history_events: usize,
    /// Bytes of replaced values kept for them.
    pub history_bytes: usize,
    /// How long they are kept, at least until the next write.
    pub history_age: Duration,
    /// Events a watcher may fall behind before it is closed.
    pub watcher_events: usize,
    /// Bytes of values a watcher may fall behind.
    pub watcher_bytes: usize,
    /// How long a relaxed write may wait for its way to the disk.
    pub relaxed_delay: Duration,
    /// The time, for leases and the age of history.
    pub clock: Arc<dyn Clock>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            history_events: 100_000,
            history_bytes: 16 * 1024 * 1024,
            history_age: Duration::from_secs(300),
            watcher_events: 10_000,
            watcher_bytes: 16 * 1024 * 1024,
            relaxed_delay: Duration::from_secs(1),
            clock: Arc::new(SystemClock),
        }
    }
}

/// A store in a file, or in memory only.
pub struct Embedded {
    core: Mutex<Core>,
    visible: RwLock<Visible>,
    /// Taken when the store is closed; only the flush task locks it for long.
    disk: Mutex<Option<Disk>>,
    on_disk: bool,
    path: Option<PathBuf>,
    options: Options,
    window: Window,
    tasks: Tasks,
    /// A lease was granted: the timer looks again.
    lease_granted: Arc<Notify>,
    /// The flush task has ended.
    flushed: Notify,
    myself: Weak<Self>,
}

impl Embedded {
    /// Opens the store in the file at `path`, which is made when missing. Reads the whole file, so call it where blocking is
    /// allowed. Fails when another process has it open.
    ///
    /// When `tasks` are told to stop, what waits for the disk is written.
    pub fn open(path: &Path, options: Options, tasks: &Tasks) -> Result<Arc<Self>, StoreError> {
        let (disk, loaded) = disk::open(path)?;
        Ok(Self::build(Some(disk), Some(path.to_owned()), loaded, options, tasks))
    }

    /// The same in other storage than a file: tests make it fail.
    ///
    /// # Errors
    /// When it cannot be read, or holds something else.
    pub fn open_on(
        storage: impl redb::StorageBackend,
        options: Options,
        tasks: &Tasks,
    ) -> Result<Arc<Self>, StoreError> {
        let (disk, loaded) = disk::open_on(storage)?;
        Ok(Self::build(Some(disk), None, loaded, options, tasks))
    }

    /// A store that ends with the process, for tests.
    pub fn memory(options: Options, tasks: &Tasks) -> Arc<Self> {
        let loaded = disk::Loaded { index: Default::default(), leases: Default::default(), revision: 1 };
        Self::build(None, None, loaded, options, tasks)
    }

    fn build(
        disk: Option<Disk>,
        path: Option<PathBuf>,
        loaded: disk::Loaded,
        options: Options,
        tasks: &Tasks,
    ) -> Arc<Self> {
        let visible = Visible::new(loaded.index, loaded.revision);
        let mut leases = Leases::new(loaded.leases);
        for kv in visible.keys() {
            if let Some(lease) = kv.lease {
                leases.attach(lease, kv.key.clone());
            }
        }
        let core = Core::new(loaded.revision, leases);
        let window = Window {
            events: options.history_events,
            bytes: options.history_bytes,
            age: jiff::SignedDuration::try_from(options.history_age).unwrap_or(jiff::SignedDuration::MAX),
        };
        let store = Arc::new_cyclic(|myself| Self {
            core: Mutex::new(core),
            visible: RwLock::new(visible),
            on_disk: disk.is_some(),
            path,
            disk: Mutex::new(disk),
            options,
            window,
            tasks: tasks.clone(),
            lease_granted: Arc::default(),
            flushed: Notify::new(),
            myself: myself.clone(),
        });
        let (weak, until) = (Arc::downgrade(&store), tasks.clone());
        if tokio::runtime::Handle::try_current().is_ok() {
            tasks.spawn_careful("store close", async move {
                until.stopped().await;
                if let Some(store) = weak.upgrade() {
                    store.kick();
                }
            });
            store.arm_lease_timer();
        }
        store
    }

    /// Writes what waits and gives the file back, whoever still holds the store: they get [`StoreError::Closed`].
    pub async fn close(&self) {
        self.core.lock().closed = true;
        self.kick();
        loop {
            let flushed = self.flushed.notified();
            if !self.core.lock().flushing {
                break;
            }
            flushed.await;
        }
        drop(self.disk.lock().take());
        self.visible.write().close(&StoreError::Closed);
    }

    /// Starts writing what waits, unless that is under way.
    fn kick(&self) {
        let mut core = self.core.lock();
        if core.has_work() {
            self.start_flush(&mut core);
        }
    }

    fn start_flush(&self, core: &mut Core) {
        if core.flushing {
            return;
        }
        let Some(store) = self.myself.upgrade() else { return };
        core.flushing = true;
        tokio::task::spawn_blocking(move || store.flush());
    }

    /// Runs on a blocking thread until nothing waits.
    fn flush(&self) {
        let guard = PoisonOnPanic(self);
        loop {
            let (mut groups, mut change) = {
                let mut core = self.core.lock();
                if !core.has_work() {
                    core.flushing = false;
                    break;
                }
                (std::mem::take(&mut core.queue), std::mem::take(&mut core.unsaved))
            };
            let first_durable = groups.iter().position(|entry| !entry.relaxed).unwrap_or(groups.len());
            let rest = groups.split_off(first_durable);
            for entry in groups.iter().chain(&rest) {
                entry.record(&mut change);
            }
            change.revision = change.revision.max(self.visible.read().revision());
            self.publish(groups);
            let written = match &*self.disk.lock() {
                Some(disk) if !change.is_empty() => disk.write(&change),
                _ => Ok(()),
            };
            match written {
                Ok(()) => self.publish(rest),
                Err(error) => {
                    tracing::error!(error = %kit::Chain(&error), "store accepts no writes any more");
                    self.poison(&error, rest);
                    break;
                }
            }
        }
        std::mem::forget(guard);
        self.flushed.notify_waiters();
    }

    fn publish(&self, entries: Vec<group::Entry>) {
        if entries.is_empty() {
            return;
        }
        let now = self.options.clock.now();
        let mut core = self.core.lock();
        let mut visible = self.visible.write();
        for entry in &entries {
            core.settle(entry);
            if !entry.events.is_empty() {
                visible.apply(entry.revision, entry.events.clone(), now, &self.window);
            }
        }
        drop(core);
        for entry in entries {
            entry.answer(&visible);
        }
    }

    fn poison(&self, error: &StoreError, entries: Vec<group::Entry>) {
        let mut core = self.core.lock();
        core.flushing = false;
        core.poisoned = true;
        let waiting = std::mem::take(&mut core.queue);
        drop(core);
        for entry in entries.into_iter().chain(waiting) {
            entry.fail(error.clone());
        }
    }

    /// Brings a relaxed write to the disk later, together with its successors.
    fn arm_relaxed_timer(&self, core: &mut Core) {
        if core.relaxed_timer || !self.on_disk {
            return;
        }
        core.relaxed_timer = true;
        let (weak, delay) = (self.myself.clone(), self.options.relaxed_delay);
        self.tasks.spawn("store relaxed writes", async move {
            tokio::time::sleep(delay).await;
            if let Some(store) = weak.upgrade() {
                store.core.lock().relaxed_timer = false;
                store.kick();
            }
        });
    }

    fn submit(&self, txn: Txn, leases: HashMap<LeaseId, Option<Lease>>) -> Result<Submitted, StoreError> {
        let mut core = self.core.lock();
        let visible = self.visible.read();
        let (entry, reply) = core.prepare(txn, leases, &visible)?;
        drop(visible);
        if let Some(entry) = entry {
            self.take(&mut core, entry);
        }
        Ok(reply)
    }

    /// Makes an accepted transaction visible at once when that is allowed, or queues it for the disk.
    fn take(&self, core: &mut Core, entry: group::Entry) {
        if entry.relaxed && !core.flushing && core.queue.is_empty() {
            entry.record(&mut core.unsaved);
            core.settle(&entry);
            let mut visible = self.visible.write();
            visible.apply(entry.revision, entry.events.clone(), self.options.clock.now(), &self.window);
            entry.answer(&visible);
            drop(visible);
            if !self.on_disk {
                core.unsaved = Change::default();
            }
            self.arm_relaxed_timer(core);
        } else {
            core.queue.push(entry);
            self.start_flush(core);
        }
    }

    async fn apply(
        &self,
        txn: Txn,
        leases: HashMap<LeaseId, Option<Lease>>,
    ) -> Result<Committed, StoreError> {
        Self::answered(self.submit(txn, leases)?).await
    }

    async fn answered(submitted: Submitted) -> Result<Committed, StoreError> {
        match submitted {
            Submitted::Done(committed) => Ok(committed),
            Submitted::Waits(reply) => reply.await.unwrap_or(Err(StoreError::Closed)),
        }
    }

    fn now_ms(&self) -> i64 {
        self.options.clock.now().as_millisecond()
    }

    /// One task waits for the next end of a lease, while there are leases.
    fn arm_lease_timer(&self) {
        let mut core = self.core.lock();
        if core.leases.timer || core.leases.all.is_empty() {
            self.lease_granted.notify_one();
            return;
        }
        core.leases.timer = true;
        let (weak, granted) = (self.myself.clone(), self.lease_granted.clone());
        self.tasks.spawn("store leases", async move {
            loop {
                let Some(wait) = weak.upgrade().and_then(|store| store.lease_wait()) else { return };
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = granted.notified() => continue,
                }
                let Some(store) = weak.upgrade() else { return };
                let ended = store.core.lock().leases.ended(store.now_ms());
                for lease in ended {
                    if let Err(error) = store.revoke_lease(lease).await {
                        tracing::warn!(lease, error = %kit::Chain(&error), "failed to end a lease");
                    }
                }
            }
        });
    }

    /// How long to wait for the next end; none when there is no lease, and then the timer is off.
    fn lease_wait(&self) -> Option<Duration> {
        let mut core = self.core.lock();
        let Some(next) = core.leases.next_end_ms().filter(|_| !core.poisoned) else {
            core.leases.timer = false;
            return None;
        };
        // The clock may be moved: look again at least each minute. Ends are rounded up to half a second, so that
        // many leases end in one go.
        Some(Duration::from_millis((next - self.now_ms()).clamp(500, 60_000).unsigned_abs()))
    }
}

struct PoisonOnPanic<'a>(&'a Embedded);

impl Drop for PoisonOnPanic<'_> {
    fn drop(&mut self) {
        self.0.poison(&StoreError::Poisoned, Vec::new());
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        let core = self.core.get_mut();
        let mut change = std::mem::take(&mut core.unsaved);
        if let Some(disk) = self.disk.get_mut()
            && !change.is_empty()
            && !core.poisoned
        {
            change.revision = self.visible.get_mut().revision();
            if let Err(error) = disk.write(&change) {
                tracing::error!(error = %kit::Chain(&error), "failed to write the last relaxed writes");
            }
        }
        self.visible.get_mut().close(&StoreError::Closed);
    }
}

#[async_trait]
impl Store for Embedded {
    async fn get(&self, key: &str) -> Result<(Option<KeyValue>, Revision), StoreError> {
        let visible = self.visible.read();
        Ok((visible.get(key).cloned(), visible.revision()))
    }

    async fn range(&self, range: Range) -> Result<RangeResult, StoreError> {
        self.visible.read().range(&range)
    }

    async fn commit(&self, txn: Txn) -> Result<Committed, StoreError> {
        self.apply(txn, HashMap::new()).await
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<WatchStream, StoreError> {
        self.watch_span(Span::Prefix(prefix.to_owned()), from)
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        Ok(self.visible.read().revision())
    }

    async fn compact(&self, at: Revision) -> Result<(), StoreError> {
        self.visible.write().compact(at)
    }

    async fn grant_lease(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        self.grant(None, ttl)
    }

    async fn revoke_lease(&self, lease: LeaseId) -> Result<(), StoreError> {
        let keys = self.core.lock().leases.remove(lease).ok_or(StoreError::LeaseNotFound(lease))?;
        let ops = keys.into_iter().map(|key| crate::Op::Delete { key }).collect();
        let txn = Txn { ops, ..Txn::default() };
        self.apply(txn, HashMap::from([(lease, None)])).await.map(|_| ())
    }
}

#[cfg(test)]
mod tests;
