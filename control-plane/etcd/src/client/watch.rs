//! A watch that goes on over lost connections.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kit::Tasks;
use store::{Batch, Event, EventKind, Revision, StoreError, WatchStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::connect::Endpoints;
use super::convert::{Keys, number, revision_of};
use crate::proto::watch_client::WatchClient;
use crate::proto::{self, WatchCreateRequest, WatchRequest, WatchResponse, watch_request};

/// Batches that wait for the reader; then etcd keeps the rest.
const BATCHES_WAITING: usize = 256;
/// Between two tries to connect.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// One connection's part of a watch.
struct Connected {
    responses: Streaming<WatchResponse>,
    /// Open as long as the watch.
    _requests: mpsc::Sender<WatchRequest>,
    /// Events of a response that came in parts.
    parts: Vec<proto::Event>,
    number: usize,
}

/// Follows etcd for one reader.
pub(super) struct Follower {
    endpoints: Arc<Endpoints>,
    keys: Arc<Keys>,
    key: Bytes,
    range_end: Bytes,
    /// The next revision the reader has not seen; 0 before it is known.
    next: Revision,
}

/// Why following ended.
enum End {
    /// Connect again.
    Lost,
    /// The reader has gone, or was told why there is nothing more.
    Over,
}

impl Follower {
    pub fn new(endpoints: Arc<Endpoints>, keys: Arc<Keys>, prefix: &str, from: Revision) -> Self {
        let (key, range_end) = keys.span(prefix);
        Self { endpoints, keys, key, range_end, next: from }
    }

    /// Begins; when this returns, etcd watches.
    pub async fn start(mut self, limit: Duration, tasks: &Tasks) -> Result<WatchStream, Status> {
        let until = tokio::time::Instant::now() + limit;
        let connected = loop {
            match self.connect().await {
                Ok(connected) => break connected,
                Err(status) if super::connect::is_lost(&status) && tokio::time::Instant::now() < until => {
                    tokio::time::sleep(RETRY_DELAY).await;
                }
                Err(status) => return Err(status),
            }
        };
        let (batches, reader) = mpsc::channel(BATCHES_WAITING);
        tasks.spawn("etcd watch", async move {
            tokio::select! {
                () = batches.closed() => {}
                () = self.follow(connected, &batches) => {}
            }
        });
        Ok(WatchStream::remote(reader))
    }

    async fn connect(&mut self) -> Result<Connected, Status> {
        let (number, channel) = self.endpoints.current();
        let connected = self.open(number, channel).await;
        if connected.is_err() {
            self.endpoints.avoid(number);
        }
        connected
    }

    async fn open(&mut self, member: usize, channel: Channel) -> Result<Connected, Status> {
        let create = WatchCreateRequest {
            key: self.key.clone(),
            range_end: self.range_end.clone(),
            start_revision: i64::try_from(self.next).unwrap_or(i64::MAX),
            progress_notify: true,
            prev_kv: true,
            fragment: true,
            ..WatchCreateRequest::default()
        };
        let (requests, mut responses) = open(channel, create).await?;
        let created =
            responses.message().await?.ok_or_else(|| Status::unavailable("the watch ended at once"))?;
        if !created.created || (created.canceled && created.compact_revision == 0) {
            return Err(Status::failed_precondition(created.cancel_reason));
        }
        if self.next == 0 {
            self.next = revision_of(created.header.as_ref()) + 1;
        }
        Ok(Connected { responses, _requests: requests, parts: Vec::new(), number: member })
    }

    async fn follow(&mut self, first: Connected, batches: &mpsc::Sender<Result<Batch, StoreError>>) {
        let mut connected = first;
        loop {
            let number = connected.number;
            if let End::Over = self.pump(connected, batches).await {
                return;
            }
            self.endpoints.avoid(number);
            connected = loop {
                match self.connect().await {
                    Ok(connected) => break connected,
                    Err(error) => {
                        tracing::debug!(error = %kit::Chain(&error), "failed to watch etcd");
                        tokio::time::sleep(RETRY_DELAY).await;
                    }
                }
            };
        }
    }

    async fn pump(&mut self, mut from: Connected, batches: &mpsc::Sender<Result<Batch, StoreError>>) -> End {
        loop {
            let mut response = match from.responses.message().await {
                Ok(Some(response)) => response,
                Ok(None) => return End::Lost,
                Err(error) => {
                    tracing::debug!(error = %kit::Chain(&error), "a watch of etcd broke");
                    return End::Lost;
                }
            };
            if response.compact_revision != 0 {
                let error = StoreError::Compacted { at: number(response.compact_revision) };
                let _ = batches.send(Err(error)).await;
                return End::Over;
            }
            if response.canceled {
                tracing::debug!(reason = response.cancel_reason, "etcd ended a watch");
                return End::Lost;
            }
            let progress = response.events.is_empty() && from.parts.is_empty() && !response.created;
            from.parts.append(&mut response.events);
            if response.fragment {
                continue;
            }
            for batch in self.batches(std::mem::take(&mut from.parts)) {
                self.next = batch.revision + 1;
                if batches.send(Ok(batch)).await.is_err() {
                    return End::Over;
                }
            }
            if progress {
                self.next = self.next.max(revision_of(response.header.as_ref()) + 1);
            }
        }
    }

    /// Events by revision; those seen before are left out.
    fn batches(&self, events: Vec<proto::Event>) -> Vec<Batch> {
        let mut batches: Vec<(Revision, Vec<Event>)> = Vec::new();
        for event in events.into_iter().filter_map(|event| self.event(event)) {
            let revision = event.kv.mod_revision;
            match batches.last_mut() {
                _ if revision < self.next => {}
                Some((last, events)) if *last == revision => events.push(event),
                _ => batches.push((revision, vec![event])),
            }
        }
        batches.into_iter().map(|(revision, events)| Batch { revision, events: events.into() }).collect()
    }

    fn event(&self, event: proto::Event) -> Option<Event> {
        let deleted = event.r#type() == proto::event::EventType::Delete;
        let kv = self.keys.value(event.kv?)?;
        let previous = event.prev_kv.and_then(|kv| self.keys.value(kv));
        if !deleted {
            return Some(Event { kind: EventKind::Put, kv, previous });
        }
        let last = previous.clone().map(|old| store::KeyValue { mod_revision: kv.mod_revision, ..old });
        Some(Event { kind: EventKind::Delete, kv: last.unwrap_or(kv), previous })
    }
}

async fn open(
    channel: Channel,
    create: WatchCreateRequest,
) -> Result<(mpsc::Sender<WatchRequest>, Streaming<WatchResponse>), Status> {
    let (requests, stream) = mpsc::channel(4);
    let create = WatchRequest { request: Some(watch_request::Request::Create(create)) };
    let gone = |_| Status::internal("a watch's requests have no reader");
    requests.send(create).await.map_err(gone)?;
    let mut client = WatchClient::new(channel).max_decoding_message_size(usize::MAX);
    let responses = client.watch(ReceiverStream::new(stream)).await?.into_inner();
    Ok((requests, responses))
}

/// The revision etcd was compacted at; 0 when it never was.
pub(super) async fn compacted_at(channel: Channel, key: Bytes) -> Result<Revision, Status> {
    let create = WatchCreateRequest { key, start_revision: 1, ..WatchCreateRequest::default() };
    let (_requests, mut responses) = open(channel, create).await?;
    // Created first; then either told that it was compacted, or the key's first event.
    for _ in 0..2 {
        let response = responses.message().await?.unwrap_or_default();
        if response.compact_revision != 0 {
            return Ok(number(response.compact_revision));
        }
    }
    Ok(0)
}
