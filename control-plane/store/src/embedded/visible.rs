//! What readers see: the newest value of every key, and the changes that led to it as far back as they are kept.
//!
//! There is no history by key. The state at an older revision is the newest one with later events undone.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use jiff::Timestamp;

use crate::span::Span;
use crate::types::{Batch, Event, EventKind, KeyValue, Range, RangeResult, Revision, StoreError};
use crate::watch::{Limits, WatchStream, Watcher, select};

struct Past {
    at: Timestamp,
    bytes: usize,
    revision: Revision,
    events: Arc<[Event]>,
}

/// How much of the past is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub events: usize,
    pub bytes: usize,
    pub age: jiff::SignedDuration,
}

/// The state that readers see.
pub(super) struct Visible {
    index: BTreeMap<Arc<str>, KeyValue>,
    revision: Revision,
    compacted: Revision,
    past: VecDeque<Past>,
    past_events: usize,
    past_bytes: usize,
    watchers: Vec<Watcher>,
}

/// What an event costs beside the bytes it keeps alive.
const EVENT_OVERHEAD_BYTES: usize = 256;

impl Visible {
    /// A state without a past.
    pub fn new(index: BTreeMap<Arc<str>, KeyValue>, revision: Revision) -> Self {
        Self {
            index,
            revision,
            compacted: revision,
            past: VecDeque::new(),
            past_events: 0,
            past_bytes: 0,
            watchers: Vec::new(),
        }
    }

    pub fn revision(&self) -> Revision {
        self.revision
    }

    pub fn get(&self, key: &str) -> Option<&KeyValue> {
        self.index.get(key)
    }

    pub fn keys(&self) -> impl Iterator<Item = &KeyValue> {
        self.index.values()
    }

    /// The newest keys of a span, in order.
    pub fn newest<'a>(
        &'a self,
        span: &'a Span,
        start_after: Option<&'a str>,
    ) -> impl Iterator<Item = &'a KeyValue> {
        let bounds = (span.start(start_after), Bound::Unbounded);
        self.index.range::<str, _>(bounds).map(|(_, kv)| kv).take_while(|kv| span.contains(&kv.key))
    }

    /// The oldest revision that can be read.
    pub fn compacted(&self) -> Revision {
        self.compacted
    }

    /// Makes a transaction visible to readers and watchers.
    pub fn apply(&mut self, revision: Revision, events: Arc<[Event]>, now: Timestamp, window: &Window) {
        for event in events.iter() {
            match event.kind {
                EventKind::Put => {
                    self.index.insert(event.kv.key.clone(), event.kv.clone());
                }
                EventKind::Delete => {
                    self.index.remove(&event.kv.key);
                }
            }
        }
        self.revision = revision;
        self.watchers.retain(|watcher| watcher.offer(revision, &events));
        let bytes = events
            .iter()
            .map(|event| EVENT_OVERHEAD_BYTES + event.previous.as_ref().map_or(0, |kv| kv.value.len()))
            .sum();
        self.past_events += events.len();
        self.past_bytes += bytes;
        self.past.push_back(Past { at: now, bytes, revision, events });
        self.trim(now, window);
    }

    fn trim(&mut self, now: Timestamp, window: &Window) {
        while let Some(oldest) = self.past.front() {
            let too_much = self.past_events > window.events || self.past_bytes > window.bytes;
            if !too_much && now.duration_since(oldest.at) <= window.age {
                break;
            }
            self.compacted = oldest.revision;
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.past.pop_front() {
            self.past_events -= oldest.events.len();
            self.past_bytes -= oldest.bytes;
        }
    }

    /// Forgets the past up to and including revision `at`.
    pub fn compact(&mut self, at: Revision) -> Result<(), StoreError> {
        if at > self.revision {
            return Err(StoreError::Future { newest: self.revision });
        }
        while self.past.front().is_some_and(|oldest| oldest.revision <= at) {
            self.forget_oldest();
        }
        self.past.shrink_to(64);
        self.compacted = self.compacted.max(at);
        Ok(())
    }

    /// Starts a watch; see [`Store::watch`](crate::Store::watch).
    pub fn watch(&mut self, span: Span, from: Revision, limits: Limits) -> Result<WatchStream, StoreError> {
        if from != 0 && from <= self.compacted {
            return Err(StoreError::Compacted { at: self.compacted });
        }
        let backlog: VecDeque<Batch> = if from == 0 {
            VecDeque::new()
        } else {
            let first = self.past.partition_point(|past| past.revision < from);
            self.past.range(first..).filter_map(|past| select(&span, past.revision, &past.events)).collect()
        };
        let (watcher, stream) = Watcher::new(span, from, backlog, limits);
        self.watchers.push(watcher);
        Ok(stream)
    }

    /// Ends every watch.
    pub fn close(&mut self, error: &StoreError) {
        for watcher in self.watchers.drain(..) {
            watcher.close(error.clone());
        }
    }

    /// Reads a range; see [`Store::range`](crate::Store::range).
    pub fn range(&self, range: &Range) -> Result<RangeResult, StoreError> {
        let span = Span::Prefix(range.prefix.clone());
        self.scan(&span, range.start_after.as_deref(), range.limit, range.revision)
    }

    /// Reads what of a span comes after a key; a limit of 0 is none.
    pub fn scan(
        &self,
        span: &Span,
        start_after: Option<&str>,
        limit: usize,
        revision: Option<Revision>,
    ) -> Result<RangeResult, StoreError> {
        let revision = revision.unwrap_or(self.revision);
        if revision > self.revision {
            return Err(StoreError::Future { newest: self.revision });
        }
        if revision < self.compacted {
            return Err(StoreError::Compacted { at: self.compacted });
        }
        let undone = self.undone(span, revision);
        let bounds = (span.start(start_after), Bound::Unbounded);
        let mut now = self.newest(span, start_after).filter(|kv| !undone.contains_key(&kv.key)).peekable();
        let mut then = undone.range::<str, _>(bounds).filter_map(|(_, kv)| kv.as_ref()).peekable();
        let mut merged = std::iter::from_fn(|| match (now.peek(), then.peek()) {
            (Some(left), Some(right)) if right.key < left.key => then.next(),
            (Some(_), _) => now.next(),
            (None, _) => then.next(),
        });
        let limit = if limit == 0 { usize::MAX } else { limit };
        let items: Vec<KeyValue> = merged.by_ref().take(limit).cloned().collect();
        let remaining = merged.count() as u64;
        Ok(RangeResult { items, revision, remaining })
    }

    /// The keys of a span that changed after `revision`, as they were then.
    fn undone(&self, span: &Span, revision: Revision) -> BTreeMap<Arc<str>, Option<KeyValue>> {
        let mut undone = BTreeMap::new();
        for past in self.past.iter().rev().take_while(|past| past.revision > revision) {
            for event in past.events.iter().filter(|event| span.contains(&event.kv.key)) {
                undone.insert(event.kv.key.clone(), event.previous.clone());
            }
        }
        undone
    }
}
