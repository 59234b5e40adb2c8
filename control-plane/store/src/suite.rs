//! What any [`Store`] must do, as functions that panic when it does not.
//!
//! A store's own tests call [`all`] with a way to make empty stores; it then behaves as the API server needs.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;

use crate::{Batch, Committed, Compare, EventKind, Op, Range, Revision, Store, StoreError, Txn, WatchStream};

/// Runs every test, each on a store of its own.
pub async fn all<S, F, Fut>(empty: F)
where
    S: Store,
    F: Fn() -> Fut,
    Fut: Future<Output = Arc<S>>,
{
    revisions_and_versions(&*empty().await).await;
    compare_and_swap(&*empty().await).await;
    transactions_are_whole(&*empty().await).await;
    ranges(&*empty().await).await;
    older_revisions(&*empty().await).await;
    watch_from_now_and_from_before(&*empty().await).await;
    watch_sees_whole_revisions(&*empty().await).await;
    compaction(&*empty().await).await;
    one_winner(empty().await).await;
    many_writers_one_order(empty().await).await;
    relaxed_writes_keep_the_order(&*empty().await).await;
    leases(&*empty().await).await;
}

async fn done(store: &impl Store, txn: Txn) -> Revision {
    match store.commit(txn).await {
        Ok(Committed::Succeeded { revision }) => revision,
        other => panic!("transaction was not applied: {other:?}"),
    }
}

fn put(key: &str, value: &str) -> Txn {
    let op = Op::Put { key: key.into(), value: value.to_owned().into(), lease: None };
    Txn { ops: vec![op], ..Txn::default() }
}

fn remove(key: &str) -> Txn {
    Txn { ops: vec![Op::Delete { key: key.into() }], ..Txn::default() }
}

async fn next(watch: &mut WatchStream) -> Batch {
    match tokio::time::timeout(Duration::from_secs(10), watch.next()).await {
        Ok(Some(Ok(batch))) => batch,
        other => panic!("no event came: {other:?}"),
    }
}

async fn names(store: &impl Store, range: Range) -> (String, u64) {
    match store.range(range).await {
        Ok(found) => {
            let items: Vec<String> = found
                .items
                .iter()
                .map(|kv| format!("{}={}", kv.key, String::from_utf8_lossy(&kv.value)))
                .collect();
            (items.join(" "), found.remaining)
        }
        Err(error) => panic!("range failed: {error}"),
    }
}

async fn get(store: &impl Store, key: &str) -> Option<crate::KeyValue> {
    match store.get(key).await {
        Ok((found, _)) => found,
        Err(error) => panic!("get failed: {error}"),
    }
}

async fn watch(store: &impl Store, prefix: &str, from: Revision) -> WatchStream {
    match store.watch(prefix, from).await {
        Ok(watch) => watch,
        Err(error) => panic!("watch failed: {error}"),
    }
}

/// Create, mod and version count as etcd counts; a deleted key starts anew.
pub async fn revisions_and_versions(store: &impl Store) {
    let start = store.revision().await.expect("tells");
    assert_eq!(done(store, Txn::create("/a", "1")).await, start + 1);
    assert_eq!(done(store, put("/b", "1")).await, start + 2);
    assert_eq!(done(store, Txn::update("/a", start + 1, "2")).await, start + 3);
    let a = get(store, "/a").await.expect("`/a` is there");
    assert_eq!(
        (a.create_revision, a.mod_revision, a.version, &a.value[..]),
        (start + 1, start + 3, 2, &b"2"[..])
    );
    assert_eq!(done(store, Txn::delete("/a", start + 3)).await, start + 4);
    assert_eq!(get(store, "/a").await, None);
    assert_eq!(done(store, put("/a", "3")).await, start + 5);
    let a = get(store, "/a").await.expect("`/a` is there again");
    assert_eq!((a.create_revision, a.version), (start + 5, 1));
    assert_eq!(done(store, remove("/nothing")).await, start + 5, "a deletion of nothing changes nothing");
    assert_eq!(store.revision().await.expect("tells"), start + 5);
}

/// A transaction whose comparison fails changes nothing and says what is there.
pub async fn compare_and_swap(store: &impl Store) {
    let first = done(store, Txn::create("/a", "1")).await;
    let Ok(Committed::Conflict { current }) = store.commit(Txn::create("/a", "2")).await else {
        panic!("a second create must not succeed");
    };
    assert_eq!(current.len(), 1);
    assert_eq!(current[0].as_ref().map(|kv| kv.mod_revision), Some(first));
    let Ok(Committed::Conflict { current }) = store.commit(Txn::update("/b", 7, "2")).await else {
        panic!("an update of nothing must not succeed");
    };
    assert_eq!(current, [None]);
    assert_eq!(store.revision().await.expect("tells"), first);
}

/// All comparisons count, all operations get one revision, a key may occur once.
pub async fn transactions_are_whole(store: &impl Store) {
    let first = done(store, Txn::create("/a", "1")).await;
    let op = |key: &str| Op::Put { key: key.into(), value: "x".into(), lease: None };
    let compares = vec![
        Compare { key: "/a".into(), mod_revision: first },
        Compare { key: "/b".into(), mod_revision: 9 },
    ];
    let failing = Txn { compares, ops: vec![op("/a"), op("/c")], ..Txn::default() };
    assert!(matches!(store.commit(failing).await, Ok(Committed::Conflict { current }) if current.len() == 2));
    assert_eq!(get(store, "/c").await, None);
    let whole = Txn { ops: vec![op("/b"), op("/c"), Op::Delete { key: "/a".into() }], ..Txn::default() };
    let revision = done(store, whole).await;
    assert_eq!(revision, first + 1);
    assert_eq!(names(store, Range::prefix("/")).await.0, "/b=x /c=x");
    assert_eq!(get(store, "/c").await.map(|kv| kv.mod_revision), Some(revision));
    let twice = Txn { ops: vec![op("/b"), op("/b")], ..Txn::default() };
    assert!(matches!(store.commit(twice).await, Err(StoreError::DuplicateKey(_))));
}

/// Prefix, order, limit and going on after a key.
pub async fn ranges(store: &impl Store) {
    for key in ["/p/b", "/p/a", "/p0", "/p/c/x", "/o", "/p/c"] {
        done(store, put(key, "1")).await;
    }
    let at = |start_after: Option<&str>, limit| Range {
        prefix: "/p/".into(),
        start_after: start_after.map(str::to_owned),
        limit,
        revision: None,
    };
    assert_eq!(names(store, at(None, 0)).await, ("/p/a=1 /p/b=1 /p/c=1 /p/c/x=1".into(), 0));
    assert_eq!(names(store, at(None, 2)).await, ("/p/a=1 /p/b=1".into(), 2));
    assert_eq!(names(store, at(Some("/p/b"), 2)).await, ("/p/c=1 /p/c/x=1".into(), 0));
    assert_eq!(names(store, at(Some("/p/bb"), 1)).await, ("/p/c=1".into(), 1));
    assert_eq!(names(store, at(Some("/p/z"), 0)).await, (String::new(), 0));
    assert_eq!(names(store, at(Some("/a"), 1)).await, ("/p/a=1".into(), 3));
}

/// A list goes on at the revision it began at, whatever happened since.
pub async fn older_revisions(store: &impl Store) {
    done(store, put("/a", "1")).await;
    let then = done(store, put("/c", "1")).await;
    done(store, put("/b", "new")).await;
    done(store, put("/a", "2")).await;
    done(store, remove("/c")).await;
    let now = done(store, put("/a", "3")).await;
    let at = |revision, start_after: Option<&str>, limit| Range {
        prefix: "/".into(),
        start_after: start_after.map(str::to_owned),
        limit,
        revision: Some(revision),
    };
    assert_eq!(names(store, at(then, None, 0)).await, ("/a=1 /c=1".into(), 0));
    assert_eq!(names(store, at(then, None, 1)).await, ("/a=1".into(), 1));
    assert_eq!(names(store, at(then, Some("/a"), 1)).await, ("/c=1".into(), 0));
    assert_eq!(names(store, at(then + 2, None, 0)).await, ("/a=2 /b=new /c=1".into(), 0));
    assert_eq!(names(store, at(now, None, 0)).await, ("/a=3 /b=new".into(), 0));
    assert!(
        matches!(store.range(at(now + 1, None, 0)).await, Err(StoreError::Future { newest }) if newest == now)
    );
}

/// A watch begins with exactly the revision asked for; events carry what was before.
pub async fn watch_from_now_and_from_before(store: &impl Store) {
    let first = done(store, put("/p/a", "1")).await;
    done(store, put("/q/a", "1")).await;
    let mut from_now = watch(store, "/p/", 0).await;
    let mut from_first = watch(store, "/p/", first).await;
    let mut after_first = watch(store, "/p/", first + 1).await;
    let mut future = watch(store, "/p/", first + 3).await;
    let second = done(store, put("/p/a", "2")).await;
    let third = done(store, remove("/p/a")).await;

    let batch = next(&mut from_first).await;
    assert_eq!((batch.revision, batch.events.len()), (first, 1));
    assert_eq!(batch.events[0].previous, None);
    for (watch, name) in
        [(&mut from_first, "first"), (&mut after_first, "after first"), (&mut from_now, "now")]
    {
        let batch = next(watch).await;
        assert_eq!(batch.revision, second, "watch from {name}");
        assert_eq!(batch.events[0].kind, EventKind::Put);
        assert_eq!(&batch.events[0].kv.value[..], b"2");
        assert_eq!(batch.events[0].previous.as_ref().map(|kv| &kv.value[..]), Some(&b"1"[..]));
        let batch = next(watch).await;
        assert_eq!((batch.revision, batch.events[0].kind), (third, EventKind::Delete));
        assert_eq!(batch.events[0].kv.mod_revision, third);
        assert_eq!(batch.events[0].previous.as_ref().map(|kv| &kv.value[..]), Some(&b"2"[..]));
        assert!(watch.try_next().is_none(), "watch from {name} has seen all");
    }
    assert_eq!(next(&mut future).await.revision, third);
}

/// Several events of one transaction come as one batch, without those of other prefixes.
pub async fn watch_sees_whole_revisions(store: &impl Store) {
    let mut watch = watch(store, "/p/", 0).await;
    let op = |key: &str| Op::Put { key: key.into(), value: "x".into(), lease: None };
    let txn = Txn { ops: vec![op("/p/b"), op("/q"), op("/p/a")], ..Txn::default() };
    let revision = done(store, txn).await;
    let batch = next(&mut watch).await;
    let keys: Vec<&str> = batch.events.iter().map(|event| &*event.kv.key).collect();
    assert_eq!((batch.revision, keys), (revision, vec!["/p/b", "/p/a"]));
}

/// What was forgotten is refused, the present is not.
pub async fn compaction(store: &impl Store) {
    let first = done(store, put("/a", "1")).await;
    let second = done(store, put("/a", "2")).await;
    let third = done(store, put("/a", "3")).await;
    store.compact(second).await.expect("compacts");
    store.compact(first).await.expect("less than before is fine");
    let at = |revision| Range { prefix: "/".into(), revision: Some(revision), ..Range::default() };
    assert!(matches!(store.range(at(first)).await, Err(StoreError::Compacted { at }) if at == second));
    assert_eq!(names(store, at(second)).await.0, "/a=2");
    assert_eq!(names(store, at(third)).await.0, "/a=3");
    assert!(store.watch("/", first).await.is_err_and(|error| error.compacted()));
    assert_eq!(next(&mut watch(store, "/", third).await).await.revision, third);
    assert!(store.compact(third + 1).await.is_err(), "the future cannot be forgotten");
}

/// Of many that create one key, one succeeds.
pub async fn one_winner(store: Arc<impl Store>) {
    let mut tries = tokio::task::JoinSet::new();
    for number in 0..50 {
        let store = store.clone();
        tries.spawn(async move { store.commit(Txn::create("/leader", number.to_string())).await });
    }
    let outcomes = tries.join_all().await;
    let won = outcomes.iter().filter(|one| matches!(one, Ok(Committed::Succeeded { .. }))).count();
    let lost = outcomes
        .iter()
        .filter(|one| matches!(one, Ok(Committed::Conflict { current }) if current[0].is_some()))
        .count();
    assert_eq!((won, lost), (1, 49));
}

/// Concurrent writers: revisions without gap, and every watcher sees the same order.
pub async fn many_writers_one_order(store: Arc<impl Store>) {
    const WRITERS: u64 = 20;
    const WRITES: u64 = 20;
    let start = store.revision().await.expect("tells");
    let mut watch = watch(&*store, "/", 0).await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let store = store.clone();
        writers.spawn(async move {
            let mut last = 0;
            for number in 0..WRITES {
                let key = format!("/counter/{writer}");
                let seen = get(&*store, &key).await.map_or(0, |kv| kv.mod_revision);
                assert_eq!(seen, last, "a writer reads its own last write");
                last = done(&*store, Txn::update(key, seen, number.to_string())).await;
            }
        });
    }
    for revision in start + 1..=start + WRITERS * WRITES {
        assert_eq!(next(&mut watch).await.revision, revision);
    }
    writers.join_all().await;
    assert_eq!(store.revision().await.expect("tells"), start + WRITERS * WRITES);
}

/// Relaxed and durable writes share one order and are read at once.
pub async fn relaxed_writes_keep_the_order(store: &impl Store) {
    let mut watch = watch(store, "/", 0).await;
    let mut wanted = Vec::new();
    for number in 0..20 {
        let txn = put("/a", &number.to_string());
        let txn = if number % 3 == 0 { txn } else { txn.relaxed() };
        let revision = done(store, txn).await;
        assert_eq!(get(store, "/a").await.map(|kv| kv.mod_revision), Some(revision));
        wanted.push(revision);
    }
    for revision in wanted {
        assert_eq!(next(&mut watch).await.revision, revision);
    }
}

/// Keys live as long as their lease.
pub async fn leases(store: &impl Store) {
    let lease = store.grant_lease(Duration::from_secs(3600)).await.expect("grants");
    let with = |key: &str, lease| Txn {
        ops: vec![Op::Put { key: key.into(), value: "1".into(), lease }],
        ..Txn::default()
    };
    done(store, with("/a", Some(lease))).await;
    done(store, with("/b", Some(lease))).await;
    done(store, with("/b", None)).await;
    store.revoke_lease(lease).await.expect("revokes");
    assert_eq!(names(store, Range::prefix("/")).await.0, "/b=1");
    assert!(matches!(store.revoke_lease(lease).await, Err(StoreError::LeaseNotFound(_))));
    assert!(matches!(store.commit(with("/c", Some(lease))).await, Err(StoreError::LeaseNotFound(_))));

    let mut watch = watch(store, "/short", 0).await;
    let lease = store.grant_lease(Duration::from_millis(300)).await.expect("grants");
    done(store, with("/short", Some(lease))).await;
    assert_eq!(next(&mut watch).await.events[0].kind, EventKind::Put);
    assert_eq!(next(&mut watch).await.events[0].kind, EventKind::Delete);
}
