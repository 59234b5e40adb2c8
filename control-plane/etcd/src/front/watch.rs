//! Watches: many on one stream, each resumed by itself when the store found it too slow.

use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt};
use prost::Message;
use store::{Batch, EventKind, Revision, Span, StoreError, WatchStream};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::StreamMap;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::errors::Fault;
use super::{Front, keys, range, signed};
use crate::proto::event::EventType;
use crate::proto::watch_create_request::FilterType;
use crate::proto::watch_request::Request as Asked;
use crate::proto::watch_server::Watch;
use crate::proto::{self, WatchCreateRequest, WatchRequest, WatchResponse};

/// Responses that wait for the client; then the store's own buffers fill.
const RESPONSES_WAITING: usize = 64;
/// The number of a watch that could not be made, and of progress for a whole stream.
const NO_WATCH: i64 = -1;

/// What a watcher asked for, and how far it is.
struct Watching {
    span: Span,
    no_put: bool,
    no_delete: bool,
    previous: bool,
    fragment: bool,
    progress: bool,
    /// The next revision it has not been sent.
    next: Revision,
    /// When it was last sent anything.
    heard: Instant,
}

/// One client's stream.
struct Session {
    front: Front,
    out: mpsc::Sender<Result<WatchResponse, Status>>,
    streams: StreamMap<i64, WatchStream>,
    watching: std::collections::HashMap<i64, Watching>,
    next_id: i64,
}

/// The client has gone.
struct Gone;

impl Session {
    async fn send(&self, response: WatchResponse) -> Result<(), Gone> {
        self.out.send(Ok(response)).await.map_err(|_| Gone)
    }

    async fn run(mut self, mut requests: Streaming<WatchRequest>) -> Result<(), Gone> {
        let mut progress =
            tokio::time::interval(self.front.options.progress_every.max(Duration::from_millis(10)));
        progress.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.out.closed() => return Err(Gone),
                request = requests.next() => match request {
                    Some(Ok(request)) => self.asked(request).await?,
                    Some(Err(_)) | None => return Err(Gone),
                },
                Some((id, batch)) = self.streams.next(), if !self.streams.is_empty() => self.came(id, batch).await?,
                _ = progress.tick() => self.tell_progress().await?,
            }
        }
    }

    async fn asked(&mut self, request: WatchRequest) -> Result<(), Gone> {
        match request.request {
            Some(Asked::Create(create)) => self.create(create).await,
            Some(Asked::Cancel(cancel)) => self.cancel(cancel.watch_id).await,
            Some(Asked::Progress(_)) => {
                let revision = self.flush().await?;
                let header = self.front.header(revision);
                self.send(WatchResponse { header, watch_id: NO_WATCH, ..WatchResponse::default() }).await
            }
            None => Ok(()),
        }
    }

    /// Sends all that happened up to the revision it gives.
    async fn flush(&mut self) -> Result<Revision, Gone> {
        // Watchers are handed a revision before readers see it: what is not in the buffers now is newer.
        let (revision, _) = self.front.store.revisions();
        let ids: Vec<i64> = self.streams.keys().copied().collect();
        for id in ids {
            loop {
                let waiting =
                    self.streams.iter_mut().find(|(one, _)| *one == id).and_then(|(_, one)| one.try_next());
                match waiting {
                    Some(batch) => self.came(id, batch).await?,
                    None => break,
                }
            }
        }
        Ok(revision)
    }

    async fn tell_progress(&mut self) -> Result<(), Gone> {
        let every = self.front.options.progress_every;
        let idle = |one: &Watching| one.progress && one.heard.elapsed() >= every / 2;
        if !self.watching.values().any(idle) {
            return Ok(());
        }
        let revision = self.flush().await?;
        let header = self.front.header(revision);
        let ids: Vec<i64> = self.watching.iter().filter(|(_, one)| idle(one)).map(|(id, _)| *id).collect();
        for id in ids {
            if let Some(one) = self.watching.get_mut(&id) {
                one.heard = Instant::now();
            }
            self.send(WatchResponse { header, watch_id: id, ..WatchResponse::default() }).await?;
        }
        Ok(())
    }

    async fn create(&mut self, request: WatchCreateRequest) -> Result<(), Gone> {
        let refuse = |reason: &str, front: &Front| WatchResponse {
            header: front.header_now(),
            watch_id: NO_WATCH,
            created: true,
            canceled: true,
            cancel_reason: reason.to_owned(),
            ..WatchResponse::default()
        };
        // No key is the least key, as for etcd.
        let key = if request.key.is_empty() { &[0][..] } else { &request.key[..] };
        let Some(span) = keys::span(key, &request.range_end) else {
            return self.send(refuse("mvcc: watcher range is empty", &self.front)).await;
        };
        let id = match request.watch_id {
            0 => {
                while self.watching.contains_key(&self.next_id) {
                    self.next_id += 1;
                }
                self.next_id
            }
            taken if self.watching.contains_key(&taken) => {
                let reason = "mvcc: duplicate watch ID provided on the WatchStream";
                return self.send(refuse(reason, &self.front)).await;
            }
            wanted => wanted,
        };
        let filters: Vec<FilterType> = request.filters().collect();
        let from = u64::try_from(request.start_revision).unwrap_or(0);
        let (opened, now) = {
            // Nothing comes between: from is what comes after the revision that is told.
            let (now, _) = self.front.store.revisions();
            let from = if from == 0 { now + 1 } else { from };
            (self.front.store.watch_span(span.clone(), from).map(|stream| (stream, from)), now)
        };
        let header = self.front.header(now);
        self.send(WatchResponse { header, watch_id: id, created: true, ..WatchResponse::default() }).await?;
        match opened {
            Ok((stream, next)) => {
                let watching = Watching {
                    span,
                    no_put: filters.contains(&FilterType::Noput),
                    no_delete: filters.contains(&FilterType::Nodelete),
                    previous: request.prev_kv,
                    fragment: request.fragment,
                    progress: request.progress_notify,
                    next,
                    heard: Instant::now(),
                };
                self.watching.insert(id, watching);
                self.streams.insert(id, stream);
                if request.watch_id == 0 {
                    self.next_id += 1;
                }
                Ok(())
            }
            Err(error) => self.end(id, &error).await,
        }
    }

    async fn cancel(&mut self, id: i64) -> Result<(), Gone> {
        self.streams.remove(&id);
        if self.watching.remove(&id).is_none() {
            return Ok(());
        }
        let header = self.front.header_now();
        self.send(WatchResponse { header, watch_id: id, canceled: true, ..WatchResponse::default() }).await
    }

    /// Tells that a watch has ended and why.
    async fn end(&mut self, id: i64, error: &StoreError) -> Result<(), Gone> {
        self.streams.remove(&id);
        self.watching.remove(&id);
        let mut response = WatchResponse {
            header: self.front.header_now(),
            watch_id: id,
            canceled: true,
            ..WatchResponse::default()
        };
        let Fault(status) = match error {
            StoreError::Compacted { at } => {
                response.compact_revision = signed(*at);
                Fault::compacted()
            }
            error => Fault::from(error.clone()),
        };
        response.cancel_reason = status.message().to_owned();
        self.send(response).await
    }

    async fn came(&mut self, id: i64, batch: Result<Batch, StoreError>) -> Result<(), Gone> {
        let Some(watching) = self.watching.get_mut(&id) else { return Ok(()) };
        match batch {
            Ok(batch) => {
                watching.next = batch.revision + 1;
                let events: Vec<proto::Event> =
                    batch.events.iter().filter_map(|event| watching.shown(event)).collect();
                if events.is_empty() {
                    return Ok(());
                }
                watching.heard = Instant::now();
                let most = if watching.fragment { self.front.options.fragment_bytes } else { usize::MAX };
                for response in fragments(events, most) {
                    let header = self.front.header(batch.revision);
                    self.send(WatchResponse { header, watch_id: id, ..response }).await?;
                }
                Ok(())
            }
            // The client could not keep up: it goes on from the past, if that is still there.
            Err(StoreError::Slow { .. }) => {
                match self.front.store.watch_span(watching.span.clone(), watching.next) {
                    Ok(stream) => {
                        self.streams.insert(id, stream);
                        Ok(())
                    }
                    Err(error) => self.end(id, &error).await,
                }
            }
            Err(error) => self.end(id, &error).await,
        }
    }
}

impl Watching {
    fn shown(&self, event: &store::Event) -> Option<proto::Event> {
        let prev_kv = event.previous.as_ref().filter(|_| self.previous).map(range::shown);
        match event.kind {
            EventKind::Put if self.no_put => None,
            EventKind::Delete if self.no_delete => None,
            EventKind::Put => Some(proto::Event {
                r#type: EventType::Put.into(),
                kv: Some(range::shown(&event.kv)),
                prev_kv,
            }),
            EventKind::Delete => {
                // Of a deleted key only its name and the revision are told.
                let kv = proto::KeyValue {
                    key: keys::key(&event.kv.key),
                    mod_revision: signed(event.kv.mod_revision),
                    ..proto::KeyValue::default()
                };
                Some(proto::Event { r#type: EventType::Delete.into(), kv: Some(kv), prev_kv })
            }
        }
    }
}

/// Events as one response, or several of at most so many bytes; all but the last say that more belongs to it.
fn fragments(events: Vec<proto::Event>, most_bytes: usize) -> Vec<WatchResponse> {
    let mut responses = vec![WatchResponse::default()];
    let mut bytes = 0;
    for event in events {
        let size = event.encoded_len();
        if bytes > 0 && bytes + size > most_bytes {
            if let Some(full) = responses.last_mut() {
                full.fragment = true;
            }
            responses.push(WatchResponse::default());
            bytes = 0;
        }
        bytes += size;
        if let Some(last) = responses.last_mut() {
            last.events.push(event);
        }
    }
    responses
}

#[tonic::async_trait]
impl Watch for Front {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

    async fn watch(
        &self,
        requests: Request<Streaming<WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (out, responses) = mpsc::channel(RESPONSES_WAITING);
        let session = Session {
            front: self.clone(),
            out,
            streams: StreamMap::new(),
            watching: Default::default(),
            next_id: 0,
        };
        self.tasks.spawn("etcd watch session", async move {
            let _ = session.run(requests.into_inner()).await;
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(responses))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_answers_come_in_parts() {
        let event = || proto::Event {
            kv: Some(proto::KeyValue { value: vec![0; 100].into(), ..Default::default() }),
            ..Default::default()
        };
        let parts = fragments((0..5).map(|_| event()).collect(), 250);
        let shape: Vec<_> = parts.iter().map(|part| (part.events.len(), part.fragment)).collect();
        assert_eq!(shape, [(2, true), (2, true), (1, false)]);
        assert_eq!(fragments(vec![event()], 10).len(), 1, "one event is never split");
    }
}
