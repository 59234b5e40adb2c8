//! A queue of keys: each waits at most once, and never two runs of one key at once.
//!
//! A key added while it runs is run again afterwards. A failed key comes back after a pause that doubles
//! from [`Backoff::first`] to [`Backoff::last`] and is forgotten at the first success. Nothing polls: an
//! idle queue has one timer at most.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use kit::Tasks;

/// What a reconciler says at the end of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The world is as it should be; look again when somebody adds the key.
    Rest,
    /// Look again after this time, even if nobody adds the key.
    After(Duration),
    /// It failed (the reconciler has said why); look again after the backoff.
    Retry,
}

/// How long a failed key waits.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// After the first failure.
    pub first: Duration,
    /// At most.
    pub last: Duration,
}

impl Default for Backoff {
    /// 5 ms doubling to 1,000 s, as Kubernetes' controllers have it.
    fn default() -> Self {
        Self { first: Duration::from_millis(5), last: Duration::from_secs(1000) }
    }
}

/// The queue. Cheap to clone; clones are the same queue.
pub struct KeyedQueue<K> {
    inner: Arc<Inner<K>>,
}

impl<K> Clone for KeyedQueue<K> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

struct Inner<K> {
    state: Mutex<State<K>>,
    changed: Notify,
    backoff: Backoff,
}

struct State<K> {
    ready: VecDeque<K>,
    waiting: HashSet<K>,
    running: HashSet<K>,
    again: HashSet<K>,
    later: BTreeMap<(Instant, u64), K>,
    later_of: HashMap<K, (Instant, u64)>,
    failures: HashMap<K, u32>,
    serial: u64,
}

impl<K: Eq + Hash + Clone + Send + Display + Debug + 'static> Default for KeyedQueue<K> {
    fn default() -> Self {
        Self::new(Backoff::default())
    }
}

impl<K: Eq + Hash + Clone + Send + Display + Debug + 'static> KeyedQueue<K> {
    /// An empty queue.
    pub fn new(backoff: Backoff) -> Self {
        let state = State {
            ready: VecDeque::new(),
            waiting: HashSet::new(),
            running: HashSet::new(),
            again: HashSet::new(),
            later: BTreeMap::new(),
            later_of: HashMap::new(),
            failures: HashMap::new(),
            serial: 0,
        };
        Self { inner: Arc::new(Inner { state: Mutex::new(state), changed: Notify::new(), backoff }) }
    }

    /// Adds a key, to be run as soon as a worker is free.
    pub fn add(&self, key: K) {
        self.inner.state.lock().add(key);
        self.inner.changed.notify_one();
    }

    /// Adds a key after a time; an earlier time that is already set stays.
    pub fn add_after(&self, key: K, pause: Duration) {
        if pause.is_zero() {
            return self.add(key);
        }
        self.inner.state.lock().add_at(key, Instant::now() + pause);
        self.inner.changed.notify_one();
    }

    /// How many keys wait for a worker now.
    pub fn len(&self) -> usize {
        self.inner.state.lock().ready.len()
    }

    /// Whether nothing waits, runs or is set for later.
    pub fn is_idle(&self) -> bool {
        let state = self.inner.state.lock();
        state.ready.is_empty() && state.running.is_empty() && state.later.is_empty()
    }

    /// Whether no key waits for a worker now.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Runs keys, at most `workers` at once, until the group is told to stop. A panic in `reconcile` is
    /// the key's own failure: it is logged and the key comes back after its backoff.
    pub fn drive<F, Fut>(&self, name: &'static str, workers: usize, tasks: &Tasks, reconcile: F)
    where
        F: Fn(K) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Next> + Send + 'static,
    {
        let (queue, group) = (self.clone(), tasks.clone());
        let (reconcile, limit) = (Arc::new(reconcile), Arc::new(Semaphore::new(workers.max(1))));
        tasks.spawn(name, async move {
            loop {
                let Ok(permit) = limit.clone().acquire_owned().await else { return };
                let key = queue.next().await;
                let (queue, reconcile) = (queue.clone(), reconcile.clone());
                group.spawn(name, async move {
                    let running = Running { queue: &queue, key: Some(key.clone()) };
                    let next = std::panic::AssertUnwindSafe(reconcile(key.clone()));
                    let next = match futures::FutureExt::catch_unwind(next).await {
                        Ok(next) => next,
                        Err(_) => {
                            tracing::error!(controller = name, %key, "a reconciler panicked");
                            Next::Retry
                        }
                    };
                    running.end(next);
                    drop(permit);
                });
            }
        });
    }

    async fn next(&self) -> K {
        loop {
            let changed = self.inner.changed.notified();
            let due = {
                let mut state = self.inner.state.lock();
                state.promote(Instant::now());
                if let Some(key) = state.take() {
                    return key;
                }
                state.later.keys().next().map(|(at, _)| *at)
            };
            match due {
                Some(at) => tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep_until(at) => {}
                },
                None => changed.await,
            }
        }
    }

    fn done(&self, key: K, next: Next) {
        self.inner.state.lock().done(key, next, self.inner.backoff);
        self.inner.changed.notify_one();
    }
}

/// Gives the key back even when its run is dropped half way.
struct Running<'a, K: Eq + Hash + Clone + Send + Display + Debug + 'static> {
    queue: &'a KeyedQueue<K>,
    key: Option<K>,
}

impl<K: Eq + Hash + Clone + Send + Display + Debug + 'static> Running<'_, K> {
    fn end(mut self, next: Next) {
        if let Some(key) = self.key.take() {
            self.queue.done(key, next);
        }
    }
}

impl<K: Eq + Hash + Clone + Send + Display + Debug + 'static> Drop for Running<'_, K> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.queue.done(key, Next::Retry);
        }
    }
}

impl<K: Eq + Hash + Clone> State<K> {
    fn add(&mut self, key: K) {
        self.cancel_later(&key);
        if self.running.contains(&key) {
            self.again.insert(key);
        } else if self.waiting.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    fn add_at(&mut self, key: K, at: Instant) {
        if self.waiting.contains(&key) {
            return;
        }
        if let Some((set, _)) = self.later_of.get(&key) {
            if *set <= at {
                return;
            }
            self.cancel_later(&key);
        }
        self.serial += 1;
        self.later.insert((at, self.serial), key.clone());
        self.later_of.insert(key, (at, self.serial));
    }

    fn cancel_later(&mut self, key: &K) {
        if let Some(slot) = self.later_of.remove(key) {
            self.later.remove(&slot);
        }
    }

    fn promote(&mut self, now: Instant) {
        while let Some((slot, _)) = self.later.first_key_value() {
            if slot.0 > now {
                return;
            }
            if let Some((_, key)) = self.later.pop_first() {
                self.later_of.remove(&key);
                self.add(key);
            }
        }
    }

    fn take(&mut self) -> Option<K> {
        let key = self.ready.pop_front()?;
        self.waiting.remove(&key);
        self.running.insert(key.clone());
        Some(key)
    }

    fn done(&mut self, key: K, next: Next, backoff: Backoff) {
        self.running.remove(&key);
        let again = self.again.remove(&key);
        match next {
            Next::Retry => {
                let failures = self.failures.entry(key.clone()).or_insert(0);
                let pause = backoff.first.saturating_mul(1 << (*failures).min(30)).min(backoff.last);
                *failures = failures.saturating_add(1);
                if !again {
                    return self.add_at(key, Instant::now() + pause);
                }
            }
            Next::Rest => {
                self.failures.remove(&key);
            }
            Next::After(pause) => {
                self.failures.remove(&key);
                if !again {
                    return self.add_at(key, Instant::now() + pause);
                }
            }
        }
        if again {
            self.add(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test(start_paused = true)]
    async fn one_key_never_runs_twice_at_once_and_is_run_again_when_added_meanwhile() {
        let queue = KeyedQueue::<String>::default();
        let (runs, now) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let tasks = Tasks::new();
        let (counted, inside, adder) = (runs.clone(), now.clone(), queue.clone());
        queue.drive("test", 4, &tasks, move |key| {
            let (runs, now, queue) = (counted.clone(), inside.clone(), adder.clone());
            async move {
                assert_eq!(now.fetch_add(1, Ordering::SeqCst), 0);
                if runs.fetch_add(1, Ordering::SeqCst) == 0 {
                    queue.add(key);
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                Next::Rest
            }
        });
        queue.add("a".into());
        queue.add("a".into());
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(runs.load(Ordering::SeqCst), 2);
        assert!(queue.is_idle());
    }

    #[tokio::test(start_paused = true)]
    async fn failures_wait_longer_each_time_and_a_panic_is_one() {
        let queue = KeyedQueue::<u32>::new(Backoff {
            first: Duration::from_millis(100),
            last: Duration::from_secs(1),
        });
        let times = Arc::new(Mutex::new(Vec::new()));
        let (tasks, seen, start) = (Tasks::new(), times.clone(), Instant::now());
        queue.drive("test", 1, &tasks, move |_| {
            let seen = seen.clone();
            async move {
                seen.lock().push(start.elapsed().as_millis() / 100);
                let count = seen.lock().len();
                assert!(count != 2, "the second run panics");
                if count < 4 { Next::Retry } else { Next::Rest }
            }
        });
        queue.add(1);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(*times.lock(), [0, 1, 3, 7]);
    }
}
