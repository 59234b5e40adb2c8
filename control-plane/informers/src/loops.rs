//! Workers: take a key, reconcile it, say when to look again. And what they say about themselves.

use std::fmt::Display;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::FutureExt;
use parking_lot::Mutex;

use crate::{Error, Queue};

/// When a key wants to be looked at again without any change: never, or after a while.
pub type Next = Option<Duration>;

/// What one loop has done so far, for a debug page.
#[derive(Debug, Clone, serde::Serialize)]
pub struct LoopStatus {
    /// The loop's name.
    pub name: &'static str,
    /// Runs that succeeded.
    pub succeeded: u64,
    /// Runs that failed.
    pub failed: u64,
    /// Keys waiting now.
    pub waiting: usize,
    /// The last failure: key and reason.
    pub last_error: Option<String>,
}

struct Stats {
    name: &'static str,
    succeeded: AtomicU64,
    failed: AtomicU64,
    last_error: Mutex<Option<String>>,
    waiting: Box<dyn Fn() -> usize + Send + Sync>,
}

/// The loops of one control plane: spawns their workers and keeps their statistics.
#[derive(Clone)]
pub struct Loops {
    tasks: kit::Tasks,
    stats: Arc<Mutex<Vec<Arc<Stats>>>>,
}

impl Loops {
    /// No loop yet; workers end with `tasks`.
    pub fn new(tasks: kit::Tasks) -> Self {
        Self { tasks, stats: Arc::default() }
    }

    /// The group the workers belong to.
    pub fn tasks(&self) -> &kit::Tasks {
        &self.tasks
    }

    /// What each loop has done.
    pub fn status(&self) -> Vec<LoopStatus> {
        let stats = self.stats.lock().clone();
        stats
            .iter()
            .map(|s| LoopStatus {
                name: s.name,
                succeeded: s.succeeded.load(Ordering::Relaxed),
                failed: s.failed.load(Ordering::Relaxed),
                waiting: (s.waiting)(),
                last_error: s.last_error.lock().clone(),
            })
            .collect()
    }

    /// Starts `workers` workers on `queue` once `ready` ends. A run that fails or panics is repeated with
    /// the key's backoff; a run that says when to look next is repeated then.
    pub fn run<K, F, Fut>(
        &self,
        name: &'static str,
        workers: usize,
        queue: Queue<K>,
        ready: impl Future<Output = ()> + Send + 'static,
        reconcile: F,
    ) where
        K: Hash + Ord + Clone + Display + Send + Sync + 'static,
        F: Fn(K) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Next, Error>> + Send + 'static,
    {
        let waiting = queue.clone();
        let stats = Arc::new(Stats {
            name,
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            last_error: Mutex::new(None),
            waiting: Box::new(move || waiting.waiting()),
        });
        self.stats.lock().push(stats.clone());
        let reconcile = Arc::new(reconcile);
        let tasks = self.tasks.clone();
        self.tasks.spawn(name, async move {
            ready.await;
            for _ in 0..workers {
                let (queue, reconcile, stats) = (queue.clone(), reconcile.clone(), stats.clone());
                tasks.spawn(name, work(queue, reconcile, stats));
            }
        });
    }
}

async fn work<K, F, Fut>(queue: Queue<K>, reconcile: Arc<F>, stats: Arc<Stats>)
where
    K: Hash + Ord + Clone + Display + Send + Sync + 'static,
    F: Fn(K) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Next, Error>> + Send + 'static,
{
    loop {
        let key = queue.next().await;
        let run = AssertUnwindSafe(async { reconcile(key.clone()).await }).catch_unwind().await;
        let result = run.unwrap_or_else(|_| Err(Error::other("the loop panicked")));
        match result {
            Ok(next) => {
                stats.succeeded.fetch_add(1, Ordering::Relaxed);
                queue.forget(&key);
                if let Some(delay) = next {
                    queue.add_after(key.clone(), delay);
                }
            }
            Err(error) => {
                let text = kit::Chain(&error).to_string();
                let again = queue.add_failed(key.clone());
                if error.is_conflict() || error.is_not_found() {
                    tracing::debug!(controller = stats.name, %key, error = text, ?again, "lost a race");
                } else {
                    tracing::warn!(controller = stats.name, %key, error = text, ?again, "failed to reconcile");
                    *stats.last_error.lock() = Some(format!("{key}: {text}"));
                }
                stats.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
        queue.done(&key);
    }
}
