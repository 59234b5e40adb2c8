//! Streams of changes.
//!
//! The stream ends when the client goes away (it is dropped with the response's body), when its time is up,
//! or when the client is too slow. What waits is sent together; the response's head goes out at once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures::{SinkExt, Stream, StreamExt};
use http::{HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use kit::http::{Body, BoxError, Response};
use serde_json::{Value, json};
use tokio::time::{Instant, Sleep};
use tokio_tungstenite::tungstenite::Message;

use super::Asked;
use super::negotiate::{Encoding, Form, Shape};
use super::render::{partial, table_of};
use crate::ApiError;
use crate::registry::read::version;
use crate::registry::{Registry, Served};
use crate::streaming::websocket;
use crate::watch::change::frame;
use crate::watch::{Change, Entry, Filter, Hub, Kind, Start, Subscription};
use api_model::table::IncludeObject;
use api_model::{Cause, FieldPath};

/// How often a quiet watch is told where it stands.
const BOOKMARK_S: u64 = 60;
/// How long before its end a watch is told where it stands.
const LAST_BOOKMARK_S: u64 = 2;
/// The shortest time a watch lasts when the client does not say; as upstream, up to twice as long.
const TIMEOUT_MIN_S: u64 = 1800;
/// Events sent in one piece are at most about so many bytes.
const CHUNK_BYTES_MAX: usize = 64 * 1024;

/// What a watch is asked for.
#[derive(Debug, Default)]
pub struct WatchOptions {
    /// Which objects.
    pub filter: Filter,
    /// From where.
    pub resource_version: Option<String>,
    /// Whether bookmarks are welcome.
    pub bookmarks: bool,
    /// Whether to begin with what is there and to mark its end.
    pub initial_events: Option<bool>,
    /// What the version means.
    pub version_match: Option<String>,
    /// Whether it carries a continue token, which only lists do.
    pub continued: bool,
    /// How long, in seconds; less than nothing ends at once.
    pub timeout_s: Option<i64>,
}

/// Starts a watch.
///
/// # Errors
/// When the options contradict each other or the version lies in the future.
pub async fn watch(
    registry: &Arc<Registry>,
    served: Arc<Served>,
    form: Form,
    include: IncludeObject,
    options: WatchOptions,
) -> Result<Response, ApiError> {
    check(&options)?;
    let wanted = wanted_version(&served, options.resource_version.as_deref())?;
    let cache = registry.hub.cache(&served.storage);
    let (start, progress) = match (options.initial_events, wanted) {
        (Some(true), wanted) => (Start::Snapshot, registry.reach(wanted).await?),
        (Some(false), None | Some(0)) => {
            let progress = registry.reach(wanted).await?;
            (Start::After(progress), progress)
        }
        (_, None | Some(0)) => (Start::Snapshot, registry.reach(wanted).await?),
        // A version that is not there yet is no error: its changes are waited for.
        (_, Some(version)) => (Start::After(version), registry.hub.progress().max(version)),
    };
    let mark_end = options.initial_events == Some(true) && options.bookmarks;
    let timeout_s = options.timeout_s.map(|seconds| u64::try_from(seconds).unwrap_or(0));
    let timeout_s = timeout_s.unwrap_or_else(|| TIMEOUT_MIN_S + rand::random_range(0..TIMEOUT_MIN_S));
    let end = Instant::now() + Duration::from_secs(timeout_s);
    let mut stream = WatchStream {
        subscription: None,
        first: VecDeque::new(),
        encoder: Encoder { served, form, include, headers_sent: false, registry: registry.clone() },
        hub: registry.hub.clone(),
        bookmark: options.bookmarks.then(|| Box::pin(tokio::time::sleep_until(next_bookmark(end)))),
        deadline: Box::pin(tokio::time::sleep_until(end)),
        end,
        end_mark: None,
        after: if let Start::After(version) = start { version } else { 0 },
        sent: progress,
    };
    match cache.subscribe(options.filter, start, progress) {
        Ok(subscription) => {
            if mark_end {
                stream.end_mark = Some((subscription.backlog.len(), subscription.revision));
            }
            stream.subscription = Some(subscription);
        }
        Err(oldest) => {
            let wanted = wanted.unwrap_or_default();
            let error = ApiError::expired(format!("too old resource version: {wanted} ({oldest})"));
            stream.first.push_back(stream.encoder.frame("ERROR", &error.status()));
        }
    }
    Ok(response(stream, form))
}

/// The version to watch from; a watch refuses what is none as a field of the kind.
fn wanted_version(served: &Served, text: Option<&str>) -> Result<Option<u64>, ApiError> {
    version(text).map_err(|_| {
        let path = FieldPath::new("resourceVersion");
        let given = text.unwrap_or_default();
        let why = format!("strconv.ParseUint: parsing {given:?}: invalid syntax");
        let cause = Cause::invalid(&path, &json!(given), &why);
        ApiError::invalid(&served.resource.group, &served.resource.plural, "", &[cause])
    })
}

/// About every minute, and once more shortly before the end.
fn next_bookmark(end: Instant) -> Instant {
    let now = Instant::now();
    let last = end - Duration::from_secs(LAST_BOOKMARK_S);
    let next = now + Duration::from_secs(BOOKMARK_S);
    if last > now && last < next { last } else { next }
}

fn response(stream: WatchStream, form: Form) -> Response {
    let body: Body = kit::http::boxed(http_body_util::StreamBody::new(stream.into_frames()));
    let mut response = http::Response::new(body);
    *response.status_mut() = StatusCode::OK;
    let content_type = match form.encoding {
        Encoding::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
        _ => "application/json",
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// The same stream as messages of a WebSocket, an event each.
///
/// # Errors
/// When the handshake is not one.
pub fn over_socket(asked: &mut Asked, answer: Response) -> Result<Response, ApiError> {
    let binary = answer.headers().get(header::CONTENT_TYPE).is_some_and(|value| value != "application/json");
    let (response, socket) = websocket::accept(&mut asked.take_request(), None)?.split();
    // Ends with the client, the watch or the connection, whichever is first.
    tokio::spawn(async move {
        match socket.await {
            Ok(socket) => send_events(socket, answer.into_body(), binary).await,
            Err(error) => tracing::debug!(%error, "a connection was not upgraded"),
        }
    });
    Ok(response)
}

async fn send_events(socket: websocket::Socket, mut events: Body, binary: bool) {
    let (mut to_client, mut from_client) = socket.split();
    let send = async {
        while let Some(Ok(frame)) = events.frame().await {
            let Ok(bytes) = frame.into_data() else { continue };
            let messages: Vec<Message> = if binary {
                vec![Message::Binary(bytes)]
            } else {
                let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
                lines.map(|line| Message::text(String::from_utf8_lossy(line).into_owned())).collect()
            };
            for message in messages {
                if to_client.send(message).await.is_err() {
                    return;
                }
            }
        }
        let _ = to_client.send(Message::Close(None)).await;
    };
    let gone = async { while let Some(Ok(_)) = from_client.next().await {} };
    tokio::select! {
        () = send => {}
        () = gone => {}
    }
}

/// Refuses options that go with nothing.
fn check(options: &WatchOptions) -> Result<(), ApiError> {
    let path = FieldPath::new("resourceVersionMatch");
    let how = options.version_match.as_deref();
    let mut causes = Vec::new();
    if options.initial_events.is_some() && how != Some("NotOlderThan") {
        let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        causes.push(Cause::forbidden(&path, why));
    }
    if let Some(how) = how {
        if options.initial_events.is_none() {
            let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
            causes.push(Cause::forbidden(&path, why));
        }
        if how != "NotOlderThan" {
            causes.push(Cause::unsupported(&path, &json!(how), &["NotOlderThan"]));
        }
        if options.continued {
            causes
                .push(Cause::forbidden(&path, "resourceVersionMatch is forbidden when continue is provided"));
        }
    }
    if causes.is_empty() { Ok(()) } else { Err(ApiError::invalid("meta.k8s.io", "ListOptions", "", &causes)) }
}

/// An event about an object given as its JSON.
fn framed(event: &str, object: &[u8]) -> Bytes {
    frame(event, object.len(), |out| out.put_slice(object))
}

struct Encoder {
    served: Arc<Served>,
    form: Form,
    include: IncludeObject,
    headers_sent: bool,
    registry: Arc<Registry>,
}

impl Encoder {
    fn event(&mut self, kind: Kind, change: &Change) -> Bytes {
        let plain = self.form.shape == Shape::Object && self.form.encoding != Encoding::Protobuf;
        // Changes of custom kinds are in the version of the request already.
        if plain && (self.served.is_storage_version() || self.served.custom.is_some()) {
            return change.frame(kind);
        }
        let Some(entry) = change.entry(kind) else { return Bytes::new() };
        match self.form.shape {
            Shape::Metadata if self.form.encoding != Encoding::Protobuf => {
                framed(kind.text(), &partial(&entry.bytes(), self.form.meta_version()))
            }
            Shape::Metadata => {
                let partial = partial(&entry.bytes(), self.form.meta_version());
                let object = serde_json::from_slice(&partial).unwrap_or_default();
                self.frame(kind.text(), &object)
            }
            Shape::Object => self.frame(kind.text(), &self.parsed(entry)),
            Shape::Table => {
                let object = self.parsed(entry);
                let mut made = table_of(
                    &self.served.resource,
                    &[object],
                    (self.include, self.registry.clock.now(), self.form),
                );
                made["metadata"] = json!({"resourceVersion": entry.revision.to_string()});
                if self.headers_sent {
                    made["columnDefinitions"] = Value::Null;
                }
                self.headers_sent = true;
                framed(kind.text(), made.to_string().as_bytes())
            }
        }
    }

    fn parsed(&self, entry: &Entry) -> Value {
        if self.served.custom.is_some() { entry.parse() } else { self.served.from_storage(entry.parse()) }
    }

    /// The change as this version of a custom kind shows it.
    async fn shown(&self, kind: Kind, change: Arc<Change>) -> Result<Arc<Change>, ApiError> {
        let source = if kind == Kind::Deleted { &change.before } else { &change.now };
        let Some(source) = source.as_ref().filter(|_| self.served.custom.is_some()) else {
            return Ok(change);
        };
        if self.served.is_as_stored(source) {
            return Ok(change);
        }
        let shown = self.registry.shown(&self.served, vec![source.clone()]).await?.pop();
        let (now, before) = if kind == Kind::Deleted { (None, shown) } else { (shown, None) };
        Ok(Arc::new(Change::new(now, before, change.revision)))
    }

    fn bookmark(&self, revision: u64, end_of_initial: bool) -> Bytes {
        let mut meta = json!({"resourceVersion": revision.to_string()});
        if end_of_initial {
            meta["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let (kind, version) = match self.form.shape {
            Shape::Object => (self.served.resource.kind.clone(), self.served.api_version()),
            Shape::Metadata => ("PartialObjectMetadata".to_owned(), self.form.meta_version().to_owned()),
            Shape::Table => ("Table".to_owned(), self.form.meta_version().to_owned()),
        };
        let mut object = json!({"kind": kind, "apiVersion": version, "metadata": meta});
        if self.form.shape == Shape::Table {
            let row = json!({"kind": "PartialObjectMetadata", "apiVersion": self.form.meta_version(), "metadata": meta});
            object["rows"] = json!([{"cells": [], "object": row}]);
            object["columnDefinitions"] = Value::Null;
        }
        self.frame("BOOKMARK", &object)
    }

    /// An event in the encoding asked for.
    fn frame(&self, event: &str, object: &Value) -> Bytes {
        if self.form.encoding != Encoding::Protobuf {
            return framed(event, object.to_string().as_bytes());
        }
        let model = &self.registry.model;
        let made = api_model::protobuf::watch_event(model, event, object).or_else(|error| {
            tracing::warn!(%error, "an event could not be written in the binary form");
            let status = ApiError::internal("an event could not be written in the binary form").status();
            api_model::protobuf::watch_event(model, "ERROR", &status)
        });
        made.unwrap_or_default().into()
    }
}

struct WatchStream {
    subscription: Option<Subscription>,
    first: VecDeque<Bytes>,
    encoder: Encoder,
    hub: Arc<Hub>,
    bookmark: Option<std::pin::Pin<Box<Sleep>>>,
    deadline: std::pin::Pin<Box<Sleep>>,
    /// When it ends.
    end: Instant,
    /// How many events of the snapshot are still to come before its end is marked, and its revision.
    end_mark: Option<(usize, u64)>,
    /// Changes up to this revision are not asked for.
    after: u64,
    sent: u64,
}

type Frame = Result<http_body::Frame<Bytes>, BoxError>;

impl WatchStream {
    fn into_frames(self) -> impl Stream<Item = Frame> + Send {
        futures::stream::unfold(self, |mut stream| async move {
            let bytes = stream.next().await?;
            Some((Ok(http_body::Frame::data(bytes)), stream))
        })
    }

    /// The next bytes to send; none at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.pop_front() {
            return Some(first);
        }
        if let Some((0, revision)) = self.end_mark {
            self.end_mark = None;
            return Some(self.encoder.bookmark(revision, true));
        }
        loop {
            // Where the caches stand before it is known that nothing waits, also of what is told in rounds: so a bookmark never
            // runs ahead.
            let reached = self.hub.progress();
            let subscription = self.subscription.as_mut()?;
            tokio::select! {
                biased;
                change = subscription.next() => {
                    let (kind, change) = change?;
                    if change.revision > self.after {
                        return Some(self.chunk(kind, change).await);
                    }
                }
                () = &mut self.deadline => return None,
                () = tick(&mut self.bookmark) => {
                    if let Some(bookmark) = &mut self.bookmark {
                        bookmark.as_mut().reset(next_bookmark(self.end));
                    }
                    if self.end_mark.is_none() && reached >= self.sent {
                        self.sent = reached;
                        return Some(self.encoder.bookmark(reached, false));
                    }
                }
            }
        }
    }

    /// This change and those that wait behind it, as one piece.
    async fn chunk(&mut self, kind: Kind, change: Arc<Change>) -> Bytes {
        let first = self.encode(kind, change).await;
        let ended = |mark: &Option<(usize, u64)>| matches!(mark, Some((0, _)));
        if ended(&self.end_mark) {
            return first;
        }
        let Some((kind, change)) = self.subscription.as_mut().and_then(Subscription::ready) else {
            return first;
        };
        let mut out = BytesMut::with_capacity(first.len() * 2);
        out.put_slice(&first);
        let mut next = Some((kind, change));
        while let Some((kind, change)) = next.take() {
            out.put_slice(&self.encode(kind, change).await);
            if out.len() < CHUNK_BYTES_MAX && !ended(&self.end_mark) {
                next = self.subscription.as_mut().and_then(Subscription::ready);
            }
        }
        out.freeze()
    }

    async fn encode(&mut self, kind: Kind, change: Arc<Change>) -> Bytes {
        if change.revision <= self.after {
            return Bytes::new();
        }
        self.sent = self.sent.max(change.revision);
        if let Some((left, _)) = &mut self.end_mark {
            *left = left.saturating_sub(1);
        }
        match self.encoder.shown(kind, change).await {
            Ok(change) => self.encoder.event(kind, &change),
            // What cannot be shown ends the watch, as a list would fail.
            Err(error) => {
                self.subscription = None;
                self.encoder.frame("ERROR", &error.status())
            }
        }
    }
}

async fn tick(timer: &mut Option<std::pin::Pin<Box<Sleep>>>) {
    match timer {
        Some(timer) => timer.as_mut().await,
        None => std::future::pending().await,
    }
}
