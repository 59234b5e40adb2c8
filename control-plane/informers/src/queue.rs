//! A keyed work queue: each key at most once in it, never handed out twice at one time, with backoff.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// First delay after a failure; it doubles with each further one.
const BACKOFF_FIRST: Duration = Duration::from_millis(5);
/// Longest delay after failures.
const BACKOFF_MAX: Duration = Duration::from_secs(1000);

struct State<K> {
    ready: VecDeque<K>,
    queued: HashSet<K>,
    running: HashSet<K>,
    later: BTreeSet<(Instant, K)>,
    later_at: HashMap<K, Instant>,
    failures: HashMap<K, u32>,
}

/// The queue. Clones are the same queue.
pub struct Queue<K>(Arc<(Mutex<State<K>>, Notify)>);

impl<K> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Hash + Ord + Clone> Default for Queue<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Hash + Ord + Clone> Queue<K> {
    /// An empty queue.
    pub fn new() -> Self {
        let state = State {
            ready: VecDeque::new(),
            queued: HashSet::new(),
            running: HashSet::new(),
            later: BTreeSet::new(),
            later_at: HashMap::new(),
            failures: HashMap::new(),
        };
        Self(Arc::new((Mutex::new(state), Notify::new())))
    }

    /// The key wants attention now. If it is being worked on, it is handed out again afterwards.
    pub fn add(&self, key: K) {
        let mut state = self.0.0.lock();
        if !state.queued.insert(key.clone()) {
            return;
        }
        if !state.running.contains(&key) {
            state.ready.push_back(key);
            drop(state);
            self.0.1.notify_one();
        }
    }

    /// The key wants attention after `delay`; of several such wishes the earliest counts.
    pub fn add_after(&self, key: K, delay: Duration) {
        if delay.is_zero() {
            return self.add(key);
        }
        let at = Instant::now() + delay;
        {
            let mut state = self.0.0.lock();
            match state.later_at.get(&key).copied() {
                Some(known) if known <= at => return,
                Some(known) => {
                    state.later.remove(&(known, key.clone()));
                }
                None => {}
            }
            state.later_at.insert(key.clone(), at);
            state.later.insert((at, key));
        }
        self.0.1.notify_one();
    }

    /// The key failed: it comes again after its own growing delay.
    pub fn add_failed(&self, key: K) -> Duration {
        let delay = {
            let mut state = self.0.0.lock();
            let failures = state.failures.entry(key.clone()).or_insert(0);
            let delay = BACKOFF_FIRST.saturating_mul(1 << (*failures).min(20)).min(BACKOFF_MAX);
            *failures += 1;
            delay
        };
        self.add_after(key, delay);
        delay
    }

    /// The key succeeded: its failures are forgotten.
    pub fn forget(&self, key: &K) {
        self.0.0.lock().failures.remove(key);
    }

    /// How many keys wait now.
    pub fn waiting(&self) -> usize {
        self.0.0.lock().queued.len()
    }

    fn take(&self) -> Result<K, Option<Instant>> {
        let mut state = self.0.0.lock();
        let now = Instant::now();
        while let Some((at, _)) = state.later.first()
            && *at <= now
        {
            let Some((_, key)) = state.later.pop_first() else { break };
            state.later_at.remove(&key);
            if state.queued.insert(key.clone()) && !state.running.contains(&key) {
                state.ready.push_back(key);
            }
        }
        match state.ready.pop_front() {
            Some(key) => {
                state.queued.remove(&key);
                state.running.insert(key.clone());
                if !state.ready.is_empty() {
                    self.0.1.notify_one();
                }
                Ok(key)
            }
            None => Err(state.later.first().map(|(at, _)| *at)),
        }
    }

    /// Waits for the next key. Nobody else gets it until [`done`](Self::done).
    pub async fn next(&self) -> K {
        loop {
            let notified = self.0.1.notified();
            match self.take() {
                Ok(key) => return key,
                Err(None) => notified.await,
                Err(Some(at)) => {
                    tokio::select! {
                        () = notified => {}
                        () = tokio::time::sleep_until(at) => {}
                    }
                }
            }
        }
    }

    /// The work on the key has ended.
    pub fn done(&self, key: &K) {
        let mut state = self.0.0.lock();
        state.running.remove(key);
        if state.queued.contains(key) {
            state.ready.push_back(key.clone());
            drop(state);
            self.0.1.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_is_queued_once_and_runs_alone() {
        let queue = Queue::new();
        queue.add("a");
        queue.add("a");
        assert_eq!(queue.next().await, "a");
        queue.add("a");
        queue.add("b");
        assert_eq!(queue.next().await, "b", "a is being worked on");
        queue.done(&"a");
        assert_eq!(queue.next().await, "a");
        assert_eq!(queue.waiting(), 0);
    }

    #[tokio::test]
    async fn failures_wait_longer_each_time() {
        let queue = Queue::new();
        let delays: Vec<_> = (0..3).map(|_| queue.add_failed("a").as_millis()).collect();
        assert_eq!(delays, [5, 10, 20]);
        assert_eq!((0..40).map(|_| queue.add_failed("a")).fold(Duration::ZERO, |_, last| last), BACKOFF_MAX);
        queue.forget(&"a");
        assert_eq!(queue.add_failed("a").as_millis(), 5);
        assert_eq!(queue.next().await, "a", "the shortest of the waits counts");
    }

    #[tokio::test]
    async fn the_earlier_of_two_delays_counts() {
        let queue = Queue::new();
        let start = Instant::now();
        queue.add_after("a", Duration::from_secs(60));
        queue.add_after("a", Duration::from_millis(20));
        queue.add_after("a", Duration::from_secs(30));
        assert_eq!(queue.next().await, "a");
        assert!(start.elapsed() >= Duration::from_millis(20));
        assert!(start.elapsed() < Duration::from_secs(30));
    }
}
