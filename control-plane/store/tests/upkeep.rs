//! Snapshots, their restoration, and the other things done on a schedule.

#![allow(clippy::unwrap_used, reason = "a test that fails here says so")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kit::{SystemClock, Tasks};
use store::upkeep::{self, Schedule};
use store::{Committed, Embedded, Op, Options, RESTORE_BUMP, Range, Store, StoreError, Txn, restore, verify};

fn open(path: &Path) -> Arc<Embedded> {
    Embedded::open(path, Options::default(), &Tasks::new()).unwrap()
}

fn put(key: &str, bytes: usize) -> Txn {
    let op = Op::Put { key: key.into(), value: vec![b'x'; bytes].into(), lease: None };
    Txn { ops: vec![op], ..Txn::default() }
}

async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    for _ in 0..2_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never came: {what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_store_has_all_and_its_clients_list_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("store.redb"));
    let lease = store.grant_lease(Duration::from_secs(3600)).await.unwrap();
    for number in 0..500 {
        store.commit(put(&format!("/{number}"), 300)).await.unwrap();
    }
    let leased = Op::Put { key: "/leased".into(), value: "1".into(), lease: Some(lease) };
    store.commit(Txn { ops: vec![leased], ..Txn::default() }.relaxed()).await.unwrap();
    let before = store.range(Range::default()).await.unwrap();
    let file = folder.path().join("one.snapshot");
    let taken = store.snapshot(&file).unwrap();
    assert_eq!((taken.keys, taken.revision), (501, before.revision));
    assert_eq!(verify(&file).unwrap(), taken);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    // What happens after it is lost with the store.
    store.commit(put("/later", 1)).await.unwrap();
    store.close().await;

    let path = folder.path().join("restored.redb");
    assert_eq!(restore(&file, &path).unwrap().revision, before.revision + RESTORE_BUMP);
    let again = open(&path);
    let after = again.range(Range::default()).await.unwrap();
    assert_eq!((after.items, after.revision), (before.items, before.revision + RESTORE_BUMP));
    assert!(again.watch("/", before.revision + 2).await.is_err_and(|error| error.compacted()));
    let Ok(Committed::Succeeded { revision }) = again.commit(put("/new", 1)).await else {
        panic!("it takes writes")
    };
    assert_eq!(revision, before.revision + RESTORE_BUMP + 1);
    again.revoke_lease(lease).await.unwrap();
    assert!(again.get("/leased").await.unwrap().0.is_none());
    assert!(restore(&file, &path).is_err(), "a store that is there is not replaced");
}

#[tokio::test]
async fn a_damaged_snapshot_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("store.redb"));
    store.commit(put("/a", 5_000)).await.unwrap();
    let file = folder.path().join("one.snapshot");
    store.snapshot(&file).unwrap();
    let whole = std::fs::read(&file).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for (damage, bytes) in
        [("flipped", flipped), ("cut", whole[..whole.len() - 100].to_vec()), ("empty", Vec::new())]
    {
        std::fs::write(&file, bytes).unwrap();
        assert!(matches!(verify(&file), Err(StoreError::Engine { .. })), "{damage}");
        let to = folder.path().join("restored.redb");
        assert!(restore(&file, &to).is_err(), "{damage}");
        assert!(!to.exists(), "{damage}");
    }
    let names: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(names.len(), 2, "nothing is left behind: {names:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshots_come_on_a_schedule_and_old_ones_go() {
    let folder = tempfile::tempdir().unwrap();
    let tasks = Tasks::new();
    let store = Embedded::open(&folder.path().join("store.redb"), Options::default(), &tasks).unwrap();
    let schedule =
        Schedule { folder: folder.path().join("snapshots"), every: Duration::from_millis(20), keep: 3 };
    upkeep::snapshots(&store, schedule.clone(), Arc::new(SystemClock), &tasks);
    let newest = || upkeep::newest(&schedule.folder).map_or(0, |(_, revision)| revision);
    for number in 0..6 {
        store.commit(put(&format!("/{number}"), 10)).await.unwrap();
        let (revision, _) = store.revisions();
        until("a snapshot of the newest revision", async || newest() == revision).await;
    }
    let count = || std::fs::read_dir(&schedule.folder).unwrap().count();
    until("three are kept", async || count() == 3).await;
    let (path, revision) = upkeep::newest(&schedule.folder).unwrap();
    assert_eq!((verify(&path).unwrap().revision, verify(&path).unwrap().keys), (revision, 6));
    tasks.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn history_is_forgotten_on_a_schedule() {
    let tasks = Tasks::new();
    let store = Embedded::memory(Options::default(), &tasks);
    for number in 0..10 {
        store.commit(put("/a", number)).await.unwrap();
    }
    upkeep::compact(store.clone(), Duration::from_millis(20), &tasks);
    until("the past is gone", async || store.watch("/", 5).await.is_err_and(|error| error.compacted())).await;
    assert_eq!(store.revisions(), (11, 11));
    tasks.drain(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_shrinks_when_most_of_it_is_not_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let tasks = Tasks::new();
    let path = folder.path().join("store.redb");
    let store = Embedded::open(&path, Options::default(), &tasks).unwrap();
    let many = |bytes| Txn {
        ops: (0..300)
            .map(|number| Op::Put {
                key: format!("/{number}").into(),
                value: vec![b'x'; bytes].into(),
                lease: None,
            })
            .collect(),
        ..Txn::default()
    };
    store.commit(many(60_000)).await.unwrap();
    store.commit(many(10)).await.unwrap();
    let before = store.size();
    assert!(before.file_bytes > 16_000_000 && before.used_bytes < 100_000, "{before:?}");
    upkeep::reclaim(&store, Duration::from_millis(20), &tasks);
    until("the file is small", async || store.size().file_bytes < 2_000_000).await;
    // It is still the store.
    store.commit(put("/new", 10)).await.unwrap();
    let seen = store.range(Range::default()).await.unwrap();
    tasks.drain(Duration::from_secs(5)).await;
    store.close().await;
    assert_eq!(open(&path).range(Range::default()).await.unwrap(), seen);
}
