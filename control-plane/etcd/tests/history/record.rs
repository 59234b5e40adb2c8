//! Clients that work at random and write down what they asked and were told, with the times.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use etcd::{Etcd, Options};
use futures::StreamExt;
use kit::Tasks;
use rand::Rng;
use store::{Committed, Compare, Event, EventKind, KeyValue, Op, Range, Store, StoreError, Txn};

use crate::Server;

/// A value that was put, and its revision.
pub type Put = (u64, String);

#[derive(Debug)]
pub enum Outcome {
    At(u64),
    Conflict(Vec<Option<Put>>),
    /// No answer came.
    Unknown,
}

#[derive(Debug)]
pub enum Did {
    /// Keys with their new values, or none to delete; keys with the revisions that were compared.
    Write { changes: Vec<(String, Option<String>)>, expected: Vec<(String, u64)>, outcome: Outcome },
    /// What was found of these keys, as of a revision.
    Read { keys: Vec<String>, found: BTreeMap<String, Put>, revision: u64 },
}

#[derive(Debug)]
pub struct Call {
    pub start: Duration,
    pub end: Duration,
    pub did: Did,
}

/// What a watcher saw, in order.
#[derive(Debug)]
pub enum Seen {
    /// It began at this revision.
    From(u64),
    /// Key, value or none, and what was before.
    Batch(u64, Vec<(String, Option<String>, Option<Put>)>),
}

#[derive(Debug, Default)]
pub struct History {
    pub calls: Vec<Call>,
    pub watchers: Vec<Vec<Seen>>,
    /// The last revision: all watchers have come there.
    pub last: u64,
    pub kills: usize,
}

const CLIENTS: usize = 5;
const KEYS: usize = 6;

fn key(number: usize) -> String {
    format!("/k/{number}")
}

fn put_of(kv: &KeyValue) -> Put {
    (kv.mod_revision, String::from_utf8_lossy(&kv.value).into_owned())
}

struct Shared {
    store: Arc<Etcd>,
    begun: Instant,
    stop: AtomicBool,
    acknowledged: AtomicU64,
}

/// One client: what it last saw of each key is what it compares with.
async fn client(shared: Arc<Shared>, number: usize) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut known: BTreeMap<String, u64> = BTreeMap::new();
    let mut count = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        let (kind, one, other) = {
            let mut chance = rand::rng();
            (chance.random_range(0..10), chance.random_range(0..KEYS), chance.random_range(1..KEYS))
        };
        let (one, other) = (key(one), key((one + other) % KEYS));
        count += 1;
        let value = |of: &str| format!("{number}-{count}-{of}");
        let start = shared.begun.elapsed();
        let did = match kind {
            0..=3 => write(&shared, &known, vec![(one.clone(), Some(value(&one)))]).await,
            4 => {
                write(
                    &shared,
                    &known,
                    vec![(one.clone(), Some(value(&one))), (other.clone(), Some(value(&other)))],
                )
                .await
            }
            5 if known.get(&one).is_some_and(|at| *at != 0) => {
                write(&shared, &known, vec![(one.clone(), None)]).await
            }
            5..=7 => get(&shared, &one).await,
            _ => list(&shared).await,
        };
        let end = shared.begun.elapsed();
        let Some(did) = did else { continue };
        learn(&did, &mut known);
        calls.push(Call { start, end, did });
    }
    calls
}

fn learn(did: &Did, known: &mut BTreeMap<String, u64>) {
    match did {
        Did::Read { keys, found, .. } => {
            for key in keys {
                known.insert(key.clone(), found.get(key).map_or(0, |(at, _)| *at));
            }
        }
        Did::Write { changes, outcome: Outcome::At(at), .. } => {
            for (key, value) in changes {
                known.insert(key.clone(), if value.is_some() { *at } else { 0 });
            }
        }
        Did::Write { expected, outcome: Outcome::Conflict(current), .. } => {
            for ((key, _), is) in expected.iter().zip(current) {
                known.insert(key.clone(), is.as_ref().map_or(0, |(at, _)| *at));
            }
        }
        Did::Write { .. } => {}
    }
}

async fn write(
    shared: &Shared,
    known: &BTreeMap<String, u64>,
    changes: Vec<(String, Option<String>)>,
) -> Option<Did> {
    let expected: Vec<(String, u64)> =
        changes.iter().map(|(key, _)| (key.clone(), known.get(key).copied().unwrap_or(0))).collect();
    let compares =
        expected.iter().map(|(key, at)| Compare { key: key.as_str().into(), mod_revision: *at }).collect();
    let op = |(key, value): &(String, Option<String>)| match value {
        Some(value) => Op::Put { key: key.as_str().into(), value: value.clone().into(), lease: None },
        None => Op::Delete { key: key.as_str().into() },
    };
    let txn = Txn { compares, ops: changes.iter().map(op).collect(), ..Txn::default() };
    let outcome = match shared.store.commit(txn).await {
        Ok(Committed::Succeeded { revision }) => {
            shared.acknowledged.fetch_add(1, Ordering::Relaxed);
            Outcome::At(revision)
        }
        Ok(Committed::Conflict { current }) => {
            Outcome::Conflict(current.iter().map(|kv| kv.as_ref().map(put_of)).collect())
        }
        Err(StoreError::Unavailable { .. }) => {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Outcome::Unknown
        }
        Err(error) => panic!("a write failed as it must not: {}", kit::Chain(&error)),
    };
    Some(Did::Write { changes, expected, outcome })
}

async fn get(shared: &Shared, key: &str) -> Option<Did> {
    match shared.store.get(key).await {
        Ok((found, revision)) => Some(Did::Read {
            keys: vec![key.to_owned()],
            found: found.iter().map(|kv| (kv.key.to_string(), put_of(kv))).collect(),
            revision,
        }),
        Err(StoreError::Unavailable { .. }) => None,
        Err(error) => panic!("a get failed as it must not: {}", kit::Chain(&error)),
    }
}

async fn list(shared: &Shared) -> Option<Did> {
    match shared.store.range(Range::prefix("/k/")).await {
        Ok(found) => Some(Did::Read {
            keys: (0..KEYS).map(key).collect(),
            found: found.items.iter().map(|kv| (kv.key.to_string(), put_of(kv))).collect(),
            revision: found.revision,
        }),
        Err(StoreError::Unavailable { .. }) => None,
        Err(error) => panic!("a list failed as it must not: {}", kit::Chain(&error)),
    }
}

fn seen(event: &Event) -> (String, Option<String>, Option<Put>) {
    let value = (event.kind == EventKind::Put).then(|| String::from_utf8_lossy(&event.kv.value).into_owned());
    (event.kv.key.to_string(), value, event.previous.as_ref().map(put_of))
}

/// Watches from `from` on until it has seen `last`; one that is `restless` breaks off and resumes again and again.
async fn watcher(
    shared: Arc<Shared>,
    from: u64,
    restless: bool,
    mut last: tokio::sync::watch::Receiver<u64>,
) -> Vec<Seen> {
    let mut record = vec![Seen::From(from)];
    let mut next = from;
    'watch: loop {
        let mut stream = match shared.store.watch("/k/", next).await {
            Ok(stream) => stream,
            // The past did not outlive the store: go on from a list, as every client does.
            Err(StoreError::Compacted { .. }) => {
                if let Ok(found) = shared.store.range(Range::prefix("/k/")).await {
                    next = found.revision + 1;
                    record.push(Seen::From(next));
                }
                continue;
            }
            Err(StoreError::Unavailable { .. }) => continue,
            Err(error) => panic!("a watch failed as it must not: {}", kit::Chain(&error)),
        };
        let mut left = if restless { rand::random_range(1..40) } else { usize::MAX };
        loop {
            let end = *last.borrow();
            if end != 0 && next > end {
                return record;
            }
            tokio::select! {
                batch = stream.next() => match batch {
                    Some(Ok(batch)) => {
                        next = batch.revision + 1;
                        record.push(Seen::Batch(batch.revision, batch.events.iter().map(seen).collect()));
                        left -= 1;
                        if left == 0 {
                            continue 'watch;
                        }
                    }
                    Some(Err(StoreError::Compacted { .. })) => continue 'watch,
                    other => panic!("a watch ended as it must not: {other:?}"),
                },
                _ = last.changed() => {}
            }
        }
    }
}

/// Lets clients work until the store was killed so many times.
pub async fn record(mut server: Server, kills: usize) -> History {
    let tasks = Tasks::new();
    let options =
        Options { request_limit: Duration::from_secs(20), ..Options::new([server.url()], "/history") };
    let until = Instant::now() + Duration::from_secs(30);
    let store = loop {
        match Etcd::open(options.clone(), &tasks).await {
            Ok(store) => break store,
            Err(error) => assert!(Instant::now() < until, "{}", kit::Chain(&error)),
        }
    };
    let from = store.revision().await.unwrap() + 1;
    let shared = Arc::new(Shared {
        store,
        begun: Instant::now(),
        stop: AtomicBool::new(false),
        acknowledged: AtomicU64::new(0),
    });
    let (last, ends) = tokio::sync::watch::channel(0);
    let watchers: Vec<_> = [false, true]
        .map(|restless| tokio::spawn(watcher(shared.clone(), from, restless, ends.clone())))
        .into_iter()
        .collect();
    let clients: Vec<_> = (0..CLIENTS).map(|number| tokio::spawn(client(shared.clone(), number))).collect();
    for _ in 0..kills {
        worked(&shared, rand::random_range(20..200)).await;
        server.kill_and_start().await;
    }
    worked(&shared, 100).await;
    shared.stop.store(true, Ordering::Relaxed);
    let mut history = History { kills, ..History::default() };
    for client in clients {
        history.calls.extend(client.await.unwrap());
    }
    history.last = shared.store.revision().await.unwrap();
    last.send_replace(history.last);
    for watcher in watchers {
        let seen = tokio::time::timeout(Duration::from_secs(30), watcher).await;
        history.watchers.push(seen.expect("a watcher comes to the store's last revision").unwrap());
    }
    tasks.stop();
    history
}

/// Waits until so many more writes were acknowledged.
async fn worked(shared: &Shared, more: u64) {
    let until = shared.acknowledged.load(Ordering::Relaxed) + more;
    let limit = Instant::now() + Duration::from_secs(60);
    while shared.acknowledged.load(Ordering::Relaxed) < until {
        assert!(Instant::now() < limit, "the clients are stuck");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
