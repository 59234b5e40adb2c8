//! Disks that fail: a full one, one whose flush fails, and a real file system without room. What was acknowledged stays, what was not is
//! whole or absent, the store says that it takes no writes, and goes on reading.

#![allow(clippy::unwrap_used, reason = "a test that fails here says so")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use redb::StorageBackend;
use redb::backends::FileBackend;
use store::{Committed, Embedded, Op, Options, Range, Store, StoreError, Txn};

/// A file that can be told to fail.
#[derive(Debug, Clone, Default)]
struct Faults {
    flush: Arc<AtomicBool>,
    /// Bytes there is room for; 0 is no limit.
    room: Arc<AtomicU64>,
    /// Writes that still succeed, then none; 0 is no limit.
    writes: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Failing {
    file: FileBackend,
    faults: Faults,
}

type Done<T> = std::io::Result<T>;

fn fail(kind: std::io::ErrorKind) -> std::io::Error {
    kind.into()
}

impl Failing {
    fn room_for(&self, bytes: u64) -> Done<()> {
        let room = self.faults.room.load(Ordering::Relaxed);
        if room != 0 && bytes > room { Err(fail(std::io::ErrorKind::StorageFull)) } else { Ok(()) }
    }
}

impl StorageBackend for Failing {
    fn len(&self) -> Done<u64> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> Done<()> {
        self.file.read(offset, out)
    }
    fn set_len(&self, len: u64) -> Done<()> {
        self.room_for(len)?;
        self.file.set_len(len)
    }
    fn sync_data(&self) -> Done<()> {
        if self.faults.flush.load(Ordering::Relaxed) {
            return Err(fail(std::io::ErrorKind::Other));
        }
        self.file.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> Done<()> {
        self.room_for(offset + data.len() as u64)?;
        match self.faults.writes.load(Ordering::Relaxed) {
            0 => {}
            1 => return Err(fail(std::io::ErrorKind::StorageFull)),
            more => self.faults.writes.store(more - 1, Ordering::Relaxed),
        }
        self.file.write(offset, data)
    }
    fn close(&self) -> Done<()> {
        self.file.close()
    }
}

fn open(path: &Path, faults: &Faults) -> Arc<Embedded> {
    let file =
        std::fs::File::options().read(true).write(true).create(true).truncate(false).open(path).unwrap();
    let storage = Failing { file: FileBackend::new(file).unwrap(), faults: faults.clone() };
    Embedded::open_on(storage, Options::default(), &kit::Tasks::new()).unwrap()
}

fn pair(number: u64) -> Txn {
    let op = |half: &str| Op::Put {
        key: format!("/{number}/{half}").into(),
        value: vec![b'x'; 3_000].into(),
        lease: None,
    };
    Txn { ops: vec![op("a"), op("b")], ..Txn::default() }
}

/// Writes pairs until one fails; gives what was acknowledged.
async fn write_until_it_fails(store: &Embedded, from: u64) -> BTreeMap<u64, u64> {
    let mut acknowledged = BTreeMap::new();
    for number in from..from + 100_000 {
        match store.commit(pair(number)).await {
            Ok(Committed::Succeeded { revision }) => drop(acknowledged.insert(number, revision)),
            Err(StoreError::Engine { .. }) => return acknowledged,
            other => panic!("it failed as it must not: {other:?}"),
        }
    }
    panic!("the disk never failed");
}

/// It reads what was acknowledged, refuses writes, and its watchers live on.
async fn is_poisoned_and_reads(store: &Embedded, acknowledged: &BTreeMap<u64, u64>) {
    assert!(store.is_poisoned());
    assert!(matches!(store.commit(pair(u64::MAX)).await, Err(StoreError::Poisoned)));
    assert!(matches!(store.grant_lease(std::time::Duration::from_secs(60)).await, Err(StoreError::Poisoned)));
    let found = store.range(Range::default()).await.unwrap();
    assert_eq!(
        found.items.len(),
        2 * acknowledged.len(),
        "readers see what was acknowledged and nothing else"
    );
    let mut watch = store.watch("/", 0).await.unwrap();
    assert!(watch.try_next().is_none());
}

/// All that was acknowledged is there; of what was not, both halves or none; and writes are taken again.
async fn is_whole(store: &Embedded, acknowledged: &BTreeMap<u64, u64>) {
    let found = store.range(Range::default()).await.unwrap();
    let mut pairs: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for kv in &found.items {
        let number = kv.key.split('/').nth(1).unwrap().parse().unwrap();
        pairs.entry(number).or_default().push(kv.mod_revision);
    }
    for (number, revision) in acknowledged {
        assert_eq!(pairs.get(number), Some(&vec![*revision; 2]), "pair {number} was acknowledged");
    }
    assert!(
        pairs.values().all(|halves| halves.len() == 2 && halves[0] == halves[1]),
        "half of a pair is there"
    );
    assert!(pairs.len() <= acknowledged.len() + 1, "one write was under way");
    assert!(matches!(store.commit(pair(u64::MAX)).await, Ok(Committed::Succeeded { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_flush_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let faults = Faults::default();
    let store = open(&path, &faults);
    for number in 0..50 {
        store.commit(pair(number)).await.unwrap();
    }
    faults.flush.store(true, Ordering::Relaxed);
    let none = write_until_it_fails(&store, 50).await;
    assert!(none.is_empty(), "what is not flushed is not acknowledged");
    let acknowledged = (0..50).map(|number| (number, number + 2)).collect();
    is_poisoned_and_reads(&store, &acknowledged).await;
    // The disk is well again: only opening anew tells what it holds.
    faults.flush.store(false, Ordering::Relaxed);
    is_poisoned_and_reads(&store, &acknowledged).await;
    store.close().await;
    drop(store);
    is_whole(&open(&path, &faults), &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_without_room_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let faults = Faults::default();
    faults.room.store(3_000_000, Ordering::Relaxed);
    let store = open(&path, &faults);
    let acknowledged = write_until_it_fails(&store, 0).await;
    assert!(acknowledged.len() > 20, "there was room for some");
    is_poisoned_and_reads(&store, &acknowledged).await;
    store.close().await;
    drop(store);
    faults.room.store(0, Ordering::Relaxed);
    is_whole(&open(&path, &faults), &acknowledged).await;
}

/// The disk fails at each single write of a group in turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wherever_in_a_group_the_disk_fails_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let faults = Faults::default();
    let mut acknowledged = BTreeMap::new();
    let mut next = 0;
    for writes in 1..60 {
        let store = open(&path, &faults);
        faults.writes.store(writes, Ordering::Relaxed);
        let more = write_until_it_fails(&store, next).await;
        next += more.len() as u64 + 1;
        acknowledged.extend(more);
        store.close().await;
        drop(store);
        faults.writes.store(0, Ordering::Relaxed);
        let store = open(&path, &faults);
        let found = store.range(Range::default()).await.unwrap();
        for (number, revision) in &acknowledged {
            let of = |half: &str| found.items.iter().find(|kv| *kv.key == *format!("/{number}/{half}"));
            assert_eq!(of("a").map(|kv| kv.mod_revision), Some(*revision), "after {writes} writes");
            assert_eq!(of("b").map(|kv| kv.mod_revision), Some(*revision), "after {writes} writes");
        }
        assert_eq!(found.items.len() % 2, 0, "half of a pair is there");
        store.close().await;
    }
    assert!(!acknowledged.is_empty());
}

/// The same with a file system that is really full. SKIPPED when none can be mounted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_file_system_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=4m,mode=0700", "lazurite-test"])
        .arg(folder.path())
        .stderr(std::process::Stdio::null())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        println!("SKIPPED: no file system can be mounted; that needs root");
        assert!(std::env::var_os("CI").is_none(), "a skip is a failure in CI");
        return;
    }
    let unmount = Unmount(folder.path().to_owned());
    let path = folder.path().join("store.redb");
    let ballast = folder.path().join("ballast");
    std::fs::write(&ballast, vec![0; 1_000_000]).unwrap();
    let store = Embedded::open(&path, Options::default(), &kit::Tasks::new()).unwrap();
    let acknowledged = write_until_it_fails(&store, 0).await;
    assert!(acknowledged.len() > 20, "there was room for some");
    is_poisoned_and_reads(&store, &acknowledged).await;
    store.close().await;
    drop(store);
    std::fs::remove_file(&ballast).unwrap();
    let store = Embedded::open(&path, Options::default(), &kit::Tasks::new()).unwrap();
    is_whole(&store, &acknowledged).await;
    store.close().await;
    drop(store);
    drop(unmount);
}

struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
