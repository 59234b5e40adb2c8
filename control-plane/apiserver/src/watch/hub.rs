//! Follows the store and feeds the caches.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use parking_lot::RwLock;
use store::{Batch, Range, Store, StoreError, WatchStream};
use tokio::sync::watch;
use tokio::time::Instant;

use super::cache::Cache;
use super::header::Paths;

/// What all keys of objects begin with.
pub const ROOT: &str = "/registry/";
/// Keys read at once when loading.
const LOAD_PAGE: usize = 2000;
/// Batches taken over before anybody is told.
const TOGETHER_MAX: usize = 256;
/// How long a reader waits for the caches to reach a revision.
const PROGRESS_LIMIT: Duration = Duration::from_secs(3);

/// The caches of one control plane, and how far they are.
pub struct Hub {
    store: Arc<dyn Store>,
    caches: RwLock<HashMap<Box<str>, Arc<Cache>>>,
    progress: watch::Sender<u64>,
    clock: Arc<dyn kit::Clock>,
}

/// Why the caches are not known to hold a revision.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Behind {
    /// They did not reach it in time.
    #[error("too large resource version: {wanted}, current: {reached}")]
    Late {
        /// The revision waited for.
        wanted: u64,
        /// Where the caches are.
        reached: u64,
    },
    /// The store did not say what its newest one is.
    #[error("failed to ask the store for its newest revision")]
    Store(#[source] StoreError),
}

/// `<group or core>/<plural>` of a key.
fn resource_of(key: &str) -> Option<&str> {
    let rest = key.strip_prefix(ROOT)?;
    let group = rest.find('/')?;
    let plural = rest[group + 1..].find('/')?;
    Some(&rest[..group + 1 + plural])
}

impl Hub {
    /// Loads all objects and follows the store until `tasks` stop. `fields` gives the selectable fields per
    /// `<group or core>/<plural>`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn start(
        store: Arc<dyn Store>,
        fields: HashMap<String, Vec<String>>,
        clock: Arc<dyn kit::Clock>,
        tasks: &kit::Tasks,
    ) -> Result<Arc<Self>, StoreError> {
        let caches = fields
            .into_iter()
            .map(|(name, fields)| {
                let cache = Cache::new(format!("{ROOT}{name}/"), Paths::built_in(fields));
                (name.into_boxed_str(), Arc::new(cache))
            })
            .collect();
        let hub =
            Arc::new(Self { store, caches: RwLock::new(caches), progress: watch::Sender::new(0), clock });
        hub.load().await?;
        let follower = hub.clone();
        tasks.spawn("watch-cache", async move { follower.follow().await });
        Ok(hub)
    }

    /// The cache of `<group or core>/<plural>`; made when it is not there.
    pub fn cache(&self, name: &str) -> Arc<Cache> {
        if let Some(cache) = self.caches.read().get(name) {
            return cache.clone();
        }
        let mut caches = self.caches.write();
        if let Some(cache) = caches.get(name) {
            return cache.clone();
        }
        let cache = Arc::new(Cache::new(format!("{ROOT}{name}/"), Paths::default()));
        // Before this revision the resource had no objects, or they would have made the cache.
        cache.start_at(*self.progress.borrow());
        caches.insert(name.into(), cache.clone());
        cache
    }

    /// The store that the caches follow.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// How far the caches are.
    pub fn progress(&self) -> u64 {
        *self.progress.borrow()
    }

    /// Waits until the caches hold all that is in the store now; gives that revision.
    ///
    /// # Errors
    /// When they do not get there in time, or the store does not answer.
    pub async fn fresh(&self) -> Result<u64, Behind> {
        let revision = self.store.revision().await.map_err(Behind::Store)?;
        self.reach(revision).await?;
        Ok(self.progress().max(revision))
    }

    /// Waits until the caches have reached `revision`.
    ///
    /// # Errors
    /// When they do not get there in time.
    pub async fn reach(&self, revision: u64) -> Result<(), Behind> {
        if self.progress() >= revision {
            return Ok(());
        }
        let mut progress = self.progress.subscribe();
        let wait = progress.wait_for(|reached| *reached >= revision);
        match tokio::time::timeout(PROGRESS_LIMIT, wait).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Behind::Late { wanted: revision, reached: self.progress() }),
        }
    }

    /// Follows how far the caches are.
    pub fn follow_progress(&self) -> watch::Receiver<u64> {
        self.progress.subscribe()
    }

    async fn load(&self) -> Result<(), StoreError> {
        let mut found: HashMap<Box<str>, Vec<store::KeyValue>> = HashMap::new();
        let mut range = Range { prefix: ROOT.to_owned(), limit: LOAD_PAGE, ..Range::default() };
        let revision = loop {
            let page = self.store.range(range.clone()).await?;
            range.start_after = page.items.last().map(|item| item.key.to_string());
            range.revision = Some(page.revision);
            for item in page.items {
                if let Some(name) = resource_of(&item.key) {
                    found.entry(name.into()).or_default().push(item);
                }
            }
            if page.remaining == 0 {
                break page.revision;
            }
        };
        for name in found.keys() {
            self.cache(name);
        }
        let caches = self.caches.read();
        for (name, cache) in caches.iter() {
            let items = found.remove(name).unwrap_or_default();
            let entries =
                items.into_iter().map(|item| cache.entry(item.key, item.value, item.mod_revision)).collect();
            cache.load(entries, revision);
        }
        self.progress.send_replace(revision);
        Ok(())
    }

    async fn follow(&self) {
        let mut rounds = Rounds::default();
        loop {
            let from = self.progress() + 1;
            match self.store.watch("", from).await {
                Ok(mut batches) => loop {
                    let batch = tokio::select! {
                        batch = batches.next() => batch,
                        () = rounds.end() => {
                            rounds.wake();
                            continue;
                        }
                    };
                    let Some(batch) = batch else { break };
                    if let Err(error) = self.apply_ready(batch, &mut batches, &mut rounds) {
                        tracing::warn!(error = %kit::Chain(&error), "the store's watch ended");
                        break;
                    }
                },
                Err(StoreError::Closed) => return,
                Err(error) => tracing::warn!(error = %kit::Chain(&error), "failed to watch the store"),
            }
            if let Err(error) = self.recover(from).await {
                tracing::error!(error = %kit::Chain(&error), "failed to read the store");
            }
        }
    }

    /// After a broken watch: wait a moment; when history is lost, load everything anew.
    async fn recover(&self, from: u64) -> Result<(), StoreError> {
        tokio::time::sleep(Duration::from_millis(100)).await;
        match self.store.watch("", from.max(self.progress() + 1)).await {
            Err(StoreError::Compacted { .. }) => self.load().await,
            _ => Ok(()),
        }
    }

    /// Takes over a batch and those that are there behind it, as after a group commit; then tells everybody once.
    fn apply_ready(
        &self,
        first: Result<Batch, StoreError>,
        rest: &mut WatchStream,
        rounds: &mut Rounds,
    ) -> Result<(), StoreError> {
        let now_s = self.clock.now().as_second();
        let mut touched: Vec<Arc<Cache>> = Vec::new();
        let mut next = Some(first);
        let mut outcome = Ok(());
        let mut reached = 0;
        let mut left = TOGETHER_MAX;
        while let Some(batch) = next.take() {
            match batch {
                Ok(batch) => {
                    self.apply(&batch, now_s, &mut touched);
                    reached = batch.revision;
                }
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
            left -= 1;
            next = if left > 0 { rest.try_next() } else { None };
        }
        if reached > 0 {
            self.progress.send_replace(reached);
        }
        touched.into_iter().for_each(|cache| rounds.told(cache));
        outcome
    }

    fn apply(&self, batch: &Batch, now_s: i64, touched: &mut Vec<Arc<Cache>>) {
        for event in batch.events.iter() {
            let Some(name) = resource_of(&event.kv.key) else { continue };
            let known = touched.iter().find(|cache| event.kv.key.starts_with(cache.prefix.as_str()));
            if let Some(cache) = known {
                cache.apply(event, now_s);
                continue;
            }
            let cache = self.cache(name);
            cache.apply(event, now_s);
            touched.push(cache);
        }
    }
}

/// Caches whose followers are so many that they are told in rounds, each with the end of the one that goes on.
#[derive(Default)]
struct Rounds(Vec<(Instant, Arc<Cache>)>);

impl Rounds {
    /// Wakes who follows the cache, at once or at the end of the round.
    fn told(&mut self, cache: Arc<Cache>) {
        let end = cache.wake(Instant::now());
        match (end, self.0.iter_mut().find(|(_, known)| Arc::ptr_eq(known, &cache))) {
            (Some(end), Some((known, _))) => *known = end,
            (Some(end), None) => self.0.push((end, cache)),
            // It is taken out at its end.
            (None, _) => {}
        }
    }

    /// The end of the first round; never, when there is none.
    async fn end(&self) {
        match self.0.iter().map(|(end, _)| *end).min() {
            Some(end) => tokio::time::sleep_until(end).await,
            None => std::future::pending().await,
        }
    }

    /// Wakes those whose rounds are over.
    fn wake(&mut self) {
        let now = Instant::now();
        let (over, going) = std::mem::take(&mut self.0).into_iter().partition(|(end, _)| *end <= now);
        self.0 = going;
        let over: Vec<(Instant, Arc<Cache>)> = over;
        over.into_iter().for_each(|(_, cache)| self.told(cache));
    }
}
