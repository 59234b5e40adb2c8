use super::*;
use crate::{Op, StoreError, suite};
use futures::StreamExt;

fn put(key: &str, value: String) -> Txn {
    let op = Op::Put { key: key.into(), value: value.into(), lease: None };
    Txn { ops: vec![op], ..Txn::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let tasks = Tasks::new();
    let number = std::sync::atomic::AtomicUsize::new(0);
    suite::all(|| async {
        let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Embedded::open(&folder.path().join(format!("{number}.redb")), Options::default(), &tasks).unwrap()
    })
    .await;
}

#[tokio::test]
async fn conforms_in_memory() {
    let tasks = Tasks::new();
    suite::all(|| async { Embedded::memory(Options::default(), &tasks) }).await;
}

#[tokio::test]
async fn reopened_it_is_what_it_was_and_the_past_is_compacted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/store.redb");
    let tasks = Tasks::new();
    let store = Embedded::open(&path, Options::default(), &tasks).unwrap();
    assert!(Embedded::open(&path, Options::default(), &tasks).is_err(), "a file has one owner");
    store.commit(Txn::create("/a", "1")).await.unwrap();
    store.commit(Txn::create("/b", "1")).await.unwrap();
    store.commit(Txn::delete("/b", 3)).await.unwrap();
    store.commit(put("/relaxed", "1".into()).relaxed()).await.unwrap();
    let before = store.range(Range::default()).await.unwrap();
    store.close().await;
    assert!(matches!(store.commit(Txn::create("/c", "1")).await, Err(StoreError::Closed)));
    let store = Embedded::open(&path, Options::default(), &Tasks::new()).unwrap();
    assert_eq!(store.range(Range::default()).await.unwrap(), before);
    assert_eq!(store.revision().await.unwrap(), 5);
    assert!(store.watch("/", 5).await.is_err_and(|error| error.compacted()));
    assert!(store.watch("/", 6).await.is_ok());
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn relaxed_writes_reach_the_disk_by_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let options = Options { relaxed_delay: Duration::from_millis(1), ..Options::default() };
    let store = Embedded::open(&path, options, &Tasks::new()).unwrap();
    store.commit(put("/lease", "1".into()).relaxed()).await.unwrap();
    for _ in 0..1_000 {
        let saved = {
            let core = store.core.lock();
            !core.flushing && core.unsaved.is_empty()
        };
        if saved {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it still waits");
}

#[tokio::test]
async fn a_slow_watcher_is_told_and_closed() {
    let options = Options { watcher_events: 3, ..Options::default() };
    let store = Embedded::memory(options, &Tasks::new());
    let mut slow = store.watch("/", 0).await.unwrap();
    for number in 0..10 {
        store.commit(put("/a", number.to_string())).await.unwrap();
    }
    for _ in 0..3 {
        assert!(slow.next().await.unwrap().is_ok());
    }
    assert!(matches!(slow.next().await, Some(Err(StoreError::Slow { limit_events: 3, .. }))));
    assert!(slow.next().await.is_none());
}

#[tokio::test]
async fn the_window_is_bounded() {
    let options = Options { history_events: 5, ..Options::default() };
    let store = Embedded::memory(options, &Tasks::new());
    for number in 0..10 {
        store.commit(put("/a", number.to_string())).await.unwrap();
    }
    assert!(matches!(store.watch("/", 6).await, Err(StoreError::Compacted { at: 6 })));
    let watch = store.watch("/", 7).await.unwrap();
    assert_eq!(watch.take(5).count().await, 5);
}

#[tokio::test]
async fn a_closed_store_ends_its_watches() {
    let store = Embedded::memory(Options::default(), &Tasks::new());
    let mut watch = store.watch("/", 0).await.unwrap();
    drop(store);
    assert!(matches!(watch.next().await, Some(Err(StoreError::Closed))));
}

#[tokio::test]
async fn leases_outlive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let store = Embedded::open(&path, Options::default(), &Tasks::new()).unwrap();
    let lease = store.grant_lease(Duration::from_millis(50)).await.unwrap();
    let op = Op::Put { key: "/event".into(), value: "1".into(), lease: Some(lease) };
    store.commit(Txn { ops: vec![op], ..Txn::default() }).await.unwrap();
    store.close().await;
    let store = Embedded::open(&path, Options::default(), &Tasks::new()).unwrap();
    let mut watch = store.watch("/", 0).await.unwrap();
    if store.get("/event").await.unwrap().0.is_some() {
        assert!(watch.next().await.unwrap().is_ok());
    }
    assert_eq!(store.get("/event").await.unwrap().0, None);
}
