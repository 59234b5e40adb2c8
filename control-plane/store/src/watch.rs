//! One watcher: a bounded buffer between the store, which never waits, and a reader; or what comes from a store elsewhere.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use futures::Stream;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::span::Span;
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
    waker: Option<Waker>,
}

/// The store's end of a watch.
pub(crate) struct Watcher {
    span: Span,
    from: Revision,
    limits: Limits,
    buffer: Weak<Mutex<Buffer>>,
}

fn size(batch: &Batch) -> usize {
    batch.events.iter().map(|event| event.kv.value.len()).sum()
}

impl Watcher {
    /// Both ends of a watch; `backlog` is what already happened and does not count against the limits.
    pub fn new(span: Span, from: Revision, backlog: VecDeque<Batch>, limits: Limits) -> (Self, WatchStream) {
        let buffer = Arc::new(Mutex::new(Buffer::default()));
        let watcher = Self { span, from, limits, buffer: Arc::downgrade(&buffer) };
        (watcher, WatchStream { source: Source::Local { backlog, buffer }, map: None, ended: false })
    }

    /// Hands over what of a revision it asked for. False: nobody listens any more.
    pub fn offer(&self, revision: Revision, events: &Arc<[Event]>) -> bool {
        let Some(buffer) = self.buffer.upgrade() else { return false };
        if revision < self.from {
            return true;
        }
        let Some(batch) = select(&self.span, revision, events) else { return true };
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

/// The events of a revision whose keys are in the span; none when there are none. Shares the slice when all are.
pub(crate) fn select(span: &Span, revision: Revision, events: &Arc<[Event]>) -> Option<Batch> {
    let wanted = events.iter().filter(|event| span.contains(&event.kv.key)).count();
    if wanted == 0 {
        return None;
    }
    let events = if wanted == events.len() {
        events.clone()
    } else {
        events.iter().filter(|event| span.contains(&event.kv.key)).cloned().collect()
    };
    Some(Batch { revision, events })
}

type Map = Arc<dyn Fn(Batch) -> Result<Batch, StoreError> + Send + Sync>;

enum Source {
    Local { backlog: VecDeque<Batch>, buffer: Arc<Mutex<Buffer>> },
    Remote(mpsc::Receiver<Result<Batch, StoreError>>),
}

/// A reader's end of a watch. After an error it ends. Dropping it ends the watch.
pub struct WatchStream {
    source: Source,
    map: Option<Map>,
    ended: bool,
}

impl WatchStream {
    /// A watch fed by whoever holds the other end of the channel; he should end when the channel is closed.
    pub fn remote(batches: mpsc::Receiver<Result<Batch, StoreError>>) -> Self {
        Self { source: Source::Remote(batches), map: None, ended: false }
    }

    /// The same watch with each batch changed on its way. For stores that lie over others.
    #[must_use]
    pub fn map<F>(mut self, change: F) -> Self
    where
        F: Fn(Batch) -> Result<Batch, StoreError> + Send + Sync + 'static,
    {
        self.map = Some(match self.map.take() {
            None => Arc::new(change),
            Some(first) => Arc::new(move |batch| first(batch).and_then(&change)),
        });
        self
    }

    /// The next batch if one waits already; none does not mean that the watch has ended.
    pub fn try_next(&mut self) -> Option<Result<Batch, StoreError>> {
        match self.take(&mut Context::from_waker(Waker::noop()), false) {
            Poll::Ready(found) => found,
            Poll::Pending => None,
        }
    }

    fn take(&mut self, cx: &mut Context<'_>, wake: bool) -> Poll<Option<Result<Batch, StoreError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let found = match &mut self.source {
            Source::Local { backlog, buffer } => match backlog.pop_front() {
                Some(batch) => Some(Ok(batch)),
                None => match buffer.lock().take(wake.then(|| cx.waker())) {
                    Poll::Ready(found) => found,
                    Poll::Pending => return Poll::Pending,
                },
            },
            Source::Remote(batches) if wake => match batches.poll_recv(cx) {
                Poll::Ready(found) => found,
                Poll::Pending => return Poll::Pending,
            },
            Source::Remote(batches) => match batches.try_recv() {
                Ok(found) => Some(found),
                Err(mpsc::error::TryRecvError::Empty) => return Poll::Pending,
                Err(mpsc::error::TryRecvError::Disconnected) => None,
            },
        };
        let found = match (found, &self.map) {
            (Some(Ok(batch)), Some(map)) => Some(map(batch)),
            (found, _) => found,
        };
        self.ended = !matches!(found, Some(Ok(_)));
        Poll::Ready(found)
    }
}

impl Buffer {
    fn take(&mut self, waker: Option<&Waker>) -> Poll<Option<Result<Batch, StoreError>>> {
        if let Some(batch) = self.batches.pop_front() {
            self.events -= batch.events.len();
            self.bytes -= size(&batch);
            return Poll::Ready(Some(Ok(batch)));
        }
        if let Some(error) = self.end.take() {
            return Poll::Ready(Some(Err(error)));
        }
        // A burst leaves a large buffer behind; an idle watcher should not keep it.
        if self.batches.capacity() > 64 {
            self.batches.shrink_to(8);
        }
        if let Some(waker) = waker {
            self.waker = Some(waker.clone());
        }
        Poll::Pending
    }
}

impl Stream for WatchStream {
    type Item = Result<Batch, StoreError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.take(cx, true)
    }
}

impl std::fmt::Debug for WatchStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WatchStream").field("ended", &self.ended).finish_non_exhaustive()
    }
}
