//! One watcher: a bounded buffer between the store, which never waits, and a reader.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use futures::Stream;
use parking_lot::Mutex;

use crate::types::{Batch, Event, Revision, StoreError};

/// How much a watcher may fall behind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub events: usize,
    pub bytes: usize,
}

#[derive(Default)]
struct Buffer {
    batches: VecDeque<Batch>,
    events: usize,
    bytes: usize,
    end: Option<StoreError>,
    ended: bool,
    waker: Option<Waker>,
}

/// The store's end of a watch.
pub(crate) struct Watcher {
    prefix: String,
    from: Revision,
    limits: Limits,
    buffer: Weak<Mutex<Buffer>>,
}

fn size(batch: &Batch) -> usize {
    batch.events.iter().map(|event| event.kv.value.len()).sum()
}

impl Watcher {
    /// Both ends of a watch; `backlog` is what already happened and does not count against the limits.
    pub fn new(
        prefix: &str,
        from: Revision,
        backlog: VecDeque<Batch>,
        limits: Limits,
    ) -> (Self, WatchStream) {
        let buffer = Arc::new(Mutex::new(Buffer::default()));
        let watcher = Self { prefix: prefix.to_owned(), from, limits, buffer: Arc::downgrade(&buffer) };
        (watcher, WatchStream { backlog, buffer })
    }

    /// Hands over what of a revision it asked for. False: nobody listens any more.
    pub fn offer(&self, revision: Revision, events: &Arc<[Event]>) -> bool {
        let Some(buffer) = self.buffer.upgrade() else { return false };
        if revision < self.from {
            return true;
        }
        let Some(batch) = select(&self.prefix, revision, events) else { return true };
        let mut buffer = buffer.lock();
        buffer.events += batch.events.len();
        buffer.bytes += size(&batch);
        // A single batch larger than the limits still passes when nothing waits.
        let full = !buffer.batches.is_empty()
            && (buffer.events > self.limits.events || buffer.bytes > self.limits.bytes);
        if full {
            buffer.end =
                Some(StoreError::Slow { limit_events: self.limits.events, limit_bytes: self.limits.bytes });
        } else {
            buffer.batches.push_back(batch);
        }
        if let Some(waker) = buffer.waker.take() {
            waker.wake();
        }
        !full
    }

    /// Ends the watch with an error, after what waits was read.
    pub fn close(&self, error: StoreError) {
        if let Some(buffer) = self.buffer.upgrade() {
            let mut buffer = buffer.lock();
            buffer.end = Some(error);
            if let Some(waker) = buffer.waker.take() {
                waker.wake();
            }
        }
    }
}

/// The events of a revision whose keys have the prefix; none when there are none. Shares the slice when all have it.
pub(crate) fn select(prefix: &str, revision: Revision, events: &Arc<[Event]>) -> Option<Batch> {
    let wanted = events.iter().filter(|event| event.kv.key.starts_with(prefix)).count();
    if wanted == 0 {
        return None;
    }
    let events = if wanted == events.len() {
        events.clone()
    } else {
        events.iter().filter(|event| event.kv.key.starts_with(prefix)).cloned().collect()
    };
    Some(Batch { revision, events })
}

/// A reader's end of a watch. After an error it ends. Dropping it ends the watch.
pub struct WatchStream {
    backlog: VecDeque<Batch>,
    buffer: Arc<Mutex<Buffer>>,
}

impl WatchStream {
    /// The next batch if one waits already; none does not mean that the watch has ended.
    pub fn try_next(&mut self) -> Option<Result<Batch, StoreError>> {
        match self.take(None) {
            Poll::Ready(found) => found,
            Poll::Pending => None,
        }
    }

    fn take(&mut self, waker: Option<&Waker>) -> Poll<Option<Result<Batch, StoreError>>> {
        if let Some(batch) = self.backlog.pop_front() {
            return Poll::Ready(Some(Ok(batch)));
        }
        let mut buffer = self.buffer.lock();
        if buffer.ended {
            return Poll::Ready(None);
        }
        if let Some(batch) = buffer.batches.pop_front() {
            buffer.events -= batch.events.len();
            buffer.bytes -= size(&batch);
            return Poll::Ready(Some(Ok(batch)));
        }
        if let Some(error) = buffer.end.take() {
            buffer.ended = true;
            return Poll::Ready(Some(Err(error)));
        }
        // A burst leaves a large buffer behind; an idle watcher should not keep it.
        if buffer.batches.capacity() > 64 {
            buffer.batches.shrink_to(8);
        }
        if let Some(waker) = waker {
            buffer.waker = Some(waker.clone());
        }
        Poll::Pending
    }
}

impl Stream for WatchStream {
    type Item = Result<Batch, StoreError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.take(Some(cx.waker()))
    }
}

impl std::fmt::Debug for WatchStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WatchStream").field("backlog", &self.backlog.len()).finish_non_exhaustive()
    }
}
