//! The objects of one resource, the window of their recent changes, and who follows them.

use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::{Arc, Weak};

use parking_lot::RwLock;
use store::{Event, EventKind};
use tokio::time::Instant;

use super::change::{Change, Kind};
use super::counts::Counts;
use super::entry::Entry;
use super::filter::Filter;
use super::header::Paths;
use super::index::{Indexes, OBJECTS_MIN, Objects};
use super::subscribers::{Queue, Subscribers, Trigger};

/// Changes kept at most.
const WINDOW_CHANGES_MAX: usize = 8192;
/// How many of the newest changes keep the events that were made of them: more than any crowd is behind.
const FRAMED_CHANGES_MAX: usize = 256;
/// Changes kept however old they are.
const WINDOW_CHANGES_MIN: usize = 64;
/// Younger changes are kept up to the maximum, so that a watch can resume after a short break.
const WINDOW_FRESH_S: i64 = 75;

/// The cache of one resource.
pub struct Cache {
    /// `/registry/<group>/<plural>/`.
    pub prefix: String,
    /// The resource's selectable fields.
    pub paths: RwLock<Arc<Paths>>,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    objects: Objects,
    counts: Counts,
    indexes: Indexes,
    window: VecDeque<(i64, Arc<Change>)>,
    /// Changes at or before this revision are no longer in the window.
    forgotten: u64,
    /// The revision of the last change of this resource.
    changed: u64,
    subscribers: Subscribers,
}

/// From where a subscription starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With all objects that are there.
    Snapshot,
    /// With the changes after this revision.
    After(u64),
}

/// Changes as they happen. Dropping it ends it.
pub struct Subscription {
    /// What happened before: the snapshot, or the changes since the revision asked for.
    pub backlog: VecDeque<(Kind, Arc<Change>)>,
    /// The revision up to which the backlog is complete.
    pub revision: u64,
    queue: Arc<Queue>,
    cache: Weak<Cache>,
    trigger: Trigger,
    id: u64,
}

impl Subscription {
    /// The next change; none when the watcher fell too far behind or the cache was reloaded.
    pub async fn next(&mut self) -> Option<(Kind, Arc<Change>)> {
        match self.backlog.pop_front() {
            Some(first) => Some(first),
            None => std::future::poll_fn(|context| self.queue.poll(context)).await,
        }
    }

    /// The next change if it is there already.
    pub fn ready(&mut self) -> Option<(Kind, Arc<Change>)> {
        self.backlog.pop_front().or_else(|| self.queue.ready())
    }

    /// Whether nothing more will come: the watcher fell too far behind or the cache was reloaded.
    pub fn has_ended(&self) -> bool {
        self.backlog.is_empty() && self.queue.has_ended()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(cache) = self.cache.upgrade() {
            cache.state.write().subscribers.remove(&self.trigger, self.id);
        }
    }
}

/// A part of a list.
pub struct Page {
    /// The objects, in key order.
    pub entries: Vec<Arc<Entry>>,
    /// Whether more follow.
    pub more: bool,
    /// How many more there are; 0 when the filter selects, since nobody is told then.
    pub remaining: usize,
}

impl Cache {
    /// An empty cache.
    pub fn new(prefix: String, paths: Paths) -> Self {
        Self { prefix, paths: RwLock::new(Arc::new(paths)), state: RwLock::new(State::default()) }
    }

    /// Sets which fields may be selected by; what is there is read again.
    pub fn select_by(&self, paths: Paths) {
        let paths = Arc::new(paths);
        if self.paths.read().same_as(&paths) {
            return;
        }
        *self.paths.write() = paths.clone();
        let mut state = self.state.write();
        for entry in state.objects.values_mut() {
            *entry = Arc::new(entry.selected_by(&paths));
        }
        state.indexes.clear();
    }

    /// The entry of a stored value of this resource.
    pub fn entry(&self, key: Arc<str>, value: bytes::Bytes, revision: u64) -> Entry {
        let paths = self.paths.read().clone();
        Entry::new(key, self.prefix.len(), value, revision, &paths)
    }

    /// Replaces everything by what was read at `revision` and ends all subscriptions.
    pub fn load(&self, entries: Vec<Entry>, revision: u64) {
        let mut state = self.state.write();
        state.objects = entries.into_iter().map(|entry| (entry.key.clone(), Arc::new(entry))).collect();
        state.counts = Counts::of(&state.objects);
        state.window.clear();
        state.forgotten = revision;
        state.changed = revision;
        state.indexes.clear();
        state.subscribers.end();
    }

    /// Sets from where changes are known, for a cache made when its first object came.
    pub fn start_at(&self, revision: u64) {
        let mut state = self.state.write();
        state.forgotten = revision;
        state.changed = revision;
    }

    /// Takes over a change from the store. `now_s` is the wall clock. Who follows is told by [`Cache::wake`].
    pub fn apply(&self, event: &Event, now_s: i64) {
        let revision = event.kv.mod_revision;
        let paths = self.paths.read().clone();
        let now = match event.kind {
            EventKind::Put => {
                Some(Arc::new(self.entry(event.kv.key.clone(), event.kv.value.clone(), revision)))
            }
            EventKind::Delete => None,
        };
        let mut state = self.state.write();
        let before = match &now {
            Some(now) => state.objects.insert(now.key.clone(), now.clone()),
            None => state.objects.remove(&event.kv.key),
        };
        if now.is_none() && before.is_none() {
            return;
        }
        let State { objects, counts, indexes, .. } = &mut *state;
        match (&now, &before) {
            (Some(now), None) => counts.added(&now.key, objects),
            (None, Some(before)) => counts.removed(&before.key),
            _ => {}
        }
        indexes.apply(now.as_ref(), before.as_ref());
        let change = Arc::new(Change::new(now, before, revision));
        state.changed = revision;
        state.window.push_back((now_s, change.clone()));
        let aged = state.window.len().checked_sub(FRAMED_CHANGES_MAX + 1);
        if let Some((_, old)) = aged.and_then(|at| state.window.get(at)) {
            old.forget_frames();
        }
        trim(&mut state, now_s);
        state.subscribers.offer(&change, &paths);
    }

    /// Wakes those who follow and have been given something. Tells when to come again for a crowd that is told in rounds.
    pub fn wake(&self, now: Instant) -> Option<Instant> {
        self.state.write().subscribers.wake(now)
    }

    /// One object.
    pub fn get(&self, key: &str) -> Option<Arc<Entry>> {
        self.state.read().objects.get(key).cloned()
    }

    /// The revision of the last change of this resource.
    pub fn changed(&self) -> u64 {
        self.state.read().changed
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.state.read().objects.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Objects that pass the filter, at most `limit` (0: all), after `start_after`. Gives also the revision
    /// of the last change.
    pub fn list(&self, filter: &Filter, start_after: Option<&str>, limit: usize) -> (Page, u64) {
        let paths = self.paths.read().clone();
        let prefix = filter.key_prefix(&self.prefix);
        let from = match start_after {
            Some(key) if key >= prefix.as_str() => Bound::Excluded(key),
            _ => Bound::Included(prefix.as_str()),
        };
        self.index(filter, &paths);
        let state = self.state.read();
        let mut page = Page { entries: Vec::new(), more: false, remaining: 0 };
        let named = filter.exact_key(&self.prefix).and_then(|key| state.objects.get(key.as_str()));
        if let Some(entry) = named {
            page.entries.extend(Some(entry).filter(|entry| filter.matches(entry, &paths)).cloned());
            return (page, state.changed);
        }
        let found = state.indexes.find(filter, &paths).unwrap_or(&state.objects);
        let all = found
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix.as_str()));
        for (_, entry) in all {
            if !filter.matches(entry, &paths) {
                continue;
            }
            if limit > 0 && page.entries.len() == limit {
                page.more = true;
                break;
            }
            page.entries.push(entry.clone());
        }
        if let Some(last) = page.entries.last().filter(|_| page.more && !filter.selective()) {
            page.remaining = state.counts.after(&last.key, &prefix, &state.objects);
        }
        (page, state.changed)
    }

    /// Makes an index for a filter that would use one, when there is much to look at without it.
    fn index(&self, filter: &Filter, paths: &Paths) {
        let state = self.state.read();
        if state.objects.len() < OBJECTS_MIN {
            return;
        }
        let Some(by) = state.indexes.missing(filter, paths) else { return };
        drop(state);
        let mut state = self.state.write();
        let State { objects, indexes, .. } = &mut *state;
        indexes.add(by, objects);
    }

    /// Follows the changes that pass `filter`. Snapshot and subscription are one step: nothing is lost
    /// between them. `progress` is a revision that the cache is known to have reached.
    ///
    /// # Errors
    /// The oldest revision from which changes are known, when `start` is before it.
    pub fn subscribe(
        self: &Arc<Self>,
        filter: Filter,
        start: Start,
        progress: u64,
    ) -> Result<Subscription, u64> {
        let paths = self.paths.read().clone();
        let mut state = self.state.write();
        let backlog = match start {
            Start::Snapshot => {
                let prefix = filter.key_prefix(&self.prefix);
                let found = state.indexes.find(&filter, &paths).unwrap_or(&state.objects);
                found
                    .range::<str, _>((Bound::Included(prefix.as_str()), Bound::Unbounded))
                    .take_while(|(key, _)| key.starts_with(prefix.as_str()))
                    .filter(|(_, entry)| filter.matches(entry, &paths))
                    .map(|(_, entry)| (Kind::Added, Arc::new(Change::present(entry.clone()))))
                    .collect()
            }
            Start::After(revision) if revision < state.forgotten => return Err(state.forgotten),
            Start::After(revision) => state
                .window
                .iter()
                .filter(|(_, change)| change.revision > revision)
                .filter_map(|(_, change)| Some((filter.sees(change, &paths)?, change.clone())))
                .collect(),
        };
        let revision = state.changed.max(progress);
        let queue = Arc::<Queue>::default();
        let trigger = filter.trigger(&self.prefix, &paths);
        let id = state.subscribers.add(trigger.clone(), filter, queue.clone());
        Ok(Subscription { backlog, revision, queue, cache: Arc::downgrade(self), trigger, id })
    }

    /// Ends all subscriptions, as when the resource is no longer served.
    pub fn end_subscriptions(&self) {
        self.state.write().subscribers.end();
    }

    /// How many follow.
    pub fn subscribers(&self) -> usize {
        self.state.read().subscribers.len()
    }
}

fn trim(state: &mut State, now_s: i64) {
    while state.window.len() > WINDOW_CHANGES_MIN {
        let Some((at, oldest)) = state.window.front() else { return };
        if state.window.len() <= WINDOW_CHANGES_MAX && now_s - at < WINDOW_FRESH_S {
            return;
        }
        state.forgotten = oldest.revision;
        state.window.pop_front();
    }
}
