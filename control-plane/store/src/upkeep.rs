//! What a store needs now and then: history forgotten, the file kept small, snapshots taken and old ones removed.
//!
//! Each schedule is one task that sleeps; a store that did not change is left alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kit::{Clock, Tasks};

use crate::embedded::snapshot::{self, Snapshot};
use crate::{Embedded, Revision, Store, StoreError};

/// How often history is forgotten, and how long it is kept at least: upstream's five minutes.
pub const COMPACT_EVERY: Duration = Duration::from_secs(300);
/// A file is rewritten when it is larger than this and so many times what it holds.
const RECLAIM_MIN_BYTES: u64 = 8 * 1024 * 1024;
const RECLAIM_FACTOR: u64 = 4;

/// Forgets, each time, what was history the time before. Several servers may do so over one store: what is younger than `every` stays.
pub fn compact(store: Arc<dyn Store>, every: Duration, tasks: &Tasks) {
    tasks.spawn("store compaction", async move {
        let mut before: Option<Revision> = None;
        let mut done: Revision = 0;
        loop {
            tokio::time::sleep(every).await;
            let now = match store.revision().await {
                Ok(now) => now,
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::warn!(error = %kit::Chain(&error), "failed to ask the store for its revision");
                    continue;
                }
            };
            if let Some(at) = before.filter(|at| *at > done) {
                match store.compact(at).await {
                    Ok(()) => done = at,
                    Err(error) => {
                        tracing::warn!(at, error = %kit::Chain(&error), "failed to compact the store")
                    }
                }
            }
            before = Some(now);
        }
    });
}

/// Rewrites the file of an embedded store when most of it is not in use any more.
pub fn reclaim(store: &Arc<Embedded>, every: Duration, tasks: &Tasks) {
    let weak = Arc::downgrade(store);
    tasks.spawn("store file", async move {
        let mut seen: Revision = 0;
        loop {
            tokio::time::sleep(every).await;
            let Some(store) = weak.upgrade() else { return };
            let (revision, _) = store.revisions();
            if revision == seen {
                continue;
            }
            seen = revision;
            let done = tokio::task::spawn_blocking(move || {
                let size = store.size();
                let wasteful =
                    size.file_bytes > RECLAIM_MIN_BYTES && size.file_bytes / RECLAIM_FACTOR > size.used_bytes;
                if wasteful { store.reclaim() } else { Ok(()) }
            });
            if let Ok(Err(error)) = done.await {
                tracing::warn!(error = %kit::Chain(&error), "failed to make the store's file smaller");
            }
        }
    });
}

/// When snapshots are taken, and which are kept.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Where; made when missing, for its owner only.
    pub folder: PathBuf,
    /// How often, if the store has changed.
    pub every: Duration,
    /// How many of the newest stay.
    pub keep: usize,
}

const SUFFIX: &str = ".snapshot";

/// Takes snapshots of an embedded store.
pub fn snapshots(store: &Arc<Embedded>, schedule: Schedule, clock: Arc<dyn Clock>, tasks: &Tasks) {
    let weak = Arc::downgrade(store);
    tasks.spawn("store snapshots", async move {
        let mut last: Option<Revision> = newest(&schedule.folder).map(|(_, revision)| revision);
        loop {
            tokio::time::sleep(schedule.every).await;
            let Some(store) = weak.upgrade() else { return };
            if last == Some(store.revisions().0) {
                continue;
            }
            let (schedule, clock) = (schedule.clone(), clock.clone());
            match tokio::task::spawn_blocking(move || take(&store, &schedule, &*clock)).await {
                Ok(Ok(snapshot)) => {
                    tracing::debug!(path = %snapshot.path.display(), revision = snapshot.revision, "snapshot taken");
                    last = Some(snapshot.revision);
                }
                Ok(Err(error)) => tracing::error!(error = %kit::Chain(&error), "failed to take a snapshot"),
                Err(_) => return,
            }
        }
    });
}

/// Takes one snapshot into the schedule's folder now, proves that it can be restored, and removes those too many. Blocks.
///
/// # Errors
/// When it cannot be written, or is not whole.
pub fn take(store: &Embedded, schedule: &Schedule, clock: &dyn Clock) -> Result<Snapshot, StoreError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&schedule.folder);
    made.map_err(StoreError::engine("make a folder for snapshots of"))?;
    let (revision, _) = store.revisions();
    let name = format!("{}-{revision:020}{SUFFIX}", clock.now().strftime("%Y%m%dT%H%M%SZ"));
    let path = schedule.folder.join(name);
    store.snapshot(&path)?;
    let taken = snapshot::verify(&path)?;
    let mut all = list(&schedule.folder);
    all.sort();
    let surplus = all.len().saturating_sub(schedule.keep.max(1));
    for old in all.drain(..surplus) {
        std::fs::remove_file(old).map_err(StoreError::engine("remove an old snapshot of"))?;
    }
    Ok(taken)
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let is_snapshot = |path: &PathBuf| path.to_string_lossy().ends_with(SUFFIX);
    entries.map(|entry| entry.path()).filter(is_snapshot).collect()
}

/// The newest snapshot in a folder, and the revision its name tells.
pub fn newest(folder: &Path) -> Option<(PathBuf, Revision)> {
    all(folder).into_iter().next()
}

/// The snapshots in a folder, newest first, with the revisions their names tell.
pub fn all(folder: &Path) -> Vec<(PathBuf, Revision)> {
    let mut paths = list(folder);
    paths.sort();
    let told = |path: PathBuf| {
        let name = path.file_name()?.to_string_lossy().into_owned();
        let revision = name.strip_suffix(SUFFIX)?.rsplit('-').next()?.parse().ok()?;
        Some((path, revision))
    };
    paths.into_iter().rev().filter_map(told).collect()
}
