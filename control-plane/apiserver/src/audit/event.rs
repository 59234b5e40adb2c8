//! One request's record, and the events made of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use jiff::Timestamp;
use kit::Clock;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::policy::{Level, Stage, Verdict};
use super::{AuditSink, Recorded, Users};
use crate::flow::Digest;

/// Of a `User-Agent` so much is recorded.
const AGENT_BYTES_MAX: usize = 1024;
/// Bodies larger than this are not recorded; the event says so.
const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;

/// What is known of a request when it comes.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its id.
    pub id: String,
    /// When it came.
    pub received: Timestamp,
    /// Path and query.
    pub uri: String,
    /// Who and as whom.
    pub users: Users,
    /// Addresses it came through, the client's first.
    pub source_ips: Vec<String>,
    /// `User-Agent`.
    pub user_agent: String,
    /// API version of the resource.
    pub api_version: String,
}

/// How it ended.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// HTTP status.
    pub code: u16,
    /// The `Status` that was answered, when one was.
    pub status: Option<Value>,
    /// The object that was answered, when the policy wants it.
    pub object: Option<Value>,
}

/// Decodes a body that came as this media type; none when it cannot be read.
pub type Decode = Box<dyn Fn(&str, &Bytes) -> Option<Value> + Send + Sync>;

/// The record of a request.
pub struct Record {
    base: Map<String, Value>,
    received: Timestamp,
    verdict: Verdict,
    admin: bool,
    annotations: Mutex<Map<String, Value>>,
    request_body: Mutex<Option<(String, Bytes)>>,
    decode: Mutex<Option<Decode>>,
    sinks: Vec<Arc<dyn AuditSink>>,
    clock: Arc<dyn Clock>,
    complete: AtomicBool,
}

fn micro(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

fn cut(agent: &str) -> String {
    const MARK: &str = "...TRUNCATED";
    if agent.len() <= AGENT_BYTES_MAX {
        return agent.to_owned();
    }
    let mut end = AGENT_BYTES_MAX - MARK.len();
    while !agent.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{MARK}", &agent[..end])
}

fn object_reference(digest: &Digest<'_>, api_version: &str) -> Value {
    let fields = [
        ("resource", digest.resource),
        ("namespace", digest.namespace),
        ("name", digest.name),
        ("apiGroup", digest.group),
        ("apiVersion", api_version),
        ("subresource", digest.subresource),
    ];
    let given = fields.into_iter().filter(|(_, value)| !value.is_empty());
    Value::Object(given.map(|(field, value)| (field.to_owned(), json!(value))).collect())
}

/// Takes `managedFields` out of an object and of the items of a list.
fn strip_managed_fields(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    for item in object.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten() {
        strip_managed_fields(item);
    }
}

impl Record {
    pub(super) fn new(
        request: Request,
        digest: &Digest<'_>,
        verdict: Verdict,
        sinks: Vec<Arc<dyn AuditSink>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let mut base = Map::new();
        let mut put = |field: &str, value: Value| base.insert(field.to_owned(), value);
        put("kind", json!("Event"));
        put("apiVersion", json!("audit.k8s.io/v1"));
        put("level", json!(verdict.level.as_str()));
        put("auditID", json!(request.id));
        put("requestURI", json!(request.uri));
        put("verb", json!(digest.verb));
        put("user", request.users.user.to_value());
        if let Some(impersonated) = &request.users.impersonated {
            put("impersonatedUser", impersonated.to_value());
        }
        if !request.source_ips.is_empty() {
            put("sourceIPs", json!(request.source_ips));
        }
        if !request.user_agent.is_empty() {
            put("userAgent", json!(cut(&request.user_agent)));
        }
        if digest.is_resource {
            put("objectRef", object_reference(digest, &request.api_version));
        }
        put("requestReceivedTimestamp", json!(micro(request.received)));
        Self {
            base,
            received: request.received,
            verdict,
            admin: !matches!(digest.verb, "get" | "list"),
            annotations: Mutex::default(),
            request_body: Mutex::default(),
            decode: Mutex::default(),
            sinks,
            clock,
            complete: AtomicBool::new(false),
        }
    }

    /// How much is recorded.
    pub fn level(&self) -> Level {
        self.verdict.level
    }

    /// How bodies are read.
    pub fn set_decoder(&self, decode: Decode) {
        *self.decode.lock() = Some(decode);
    }

    /// Adds an annotation; the first to say something about a key is right.
    pub fn annotate(&self, key: &str, value: String) {
        self.annotations.lock().entry(key.to_owned()).or_insert(Value::String(value));
    }

    /// Keeps the request's body, when the policy wants it.
    pub fn note_request_body(&self, media: &str, body: &Bytes) {
        if self.verdict.level >= Level::Request && !body.is_empty() {
            *self.request_body.lock() = Some((media.to_owned(), body.clone()));
        }
    }

    /// Reads a body; what cannot be read is left out.
    pub fn decoded(&self, media: &str, body: &Bytes) -> Option<Value> {
        if body.len() > BODY_BYTES_MAX {
            self.annotate("audit.k8s.io/truncated", "true".to_owned());
            return None;
        }
        let decode = self.decode.lock();
        let mut object = decode.as_ref()?(media, body)?;
        if self.verdict.omit_managed_fields {
            strip_managed_fields(&mut object);
        }
        Some(object)
    }

    /// Makes the event of a stage and hands it to the sinks, unless the policy omits the stage. The last stages happen once.
    pub fn reach(&self, stage: Stage, outcome: Option<&Outcome>) {
        let last = matches!(stage, Stage::ResponseComplete | Stage::Panic);
        if last && self.complete.swap(true, Ordering::Relaxed) {
            return;
        }
        if self.verdict.omit_stages.contains(&stage) {
            return;
        }
        let mut event = self.base.clone();
        event.insert("stage".to_owned(), json!(stage.as_str()));
        let now = if stage == Stage::RequestReceived { self.received } else { self.clock.now() };
        event.insert("stageTimestamp".to_owned(), json!(micro(now)));
        if let Some(outcome) = outcome {
            event.insert("responseStatus".to_owned(), response_status(outcome));
            if let Some(object) =
                outcome.object.as_ref().filter(|_| self.verdict.level >= Level::RequestResponse)
            {
                event.insert("responseObject".to_owned(), object.clone());
            }
        }
        if stage != Stage::RequestReceived {
            let body = self.request_body.lock().clone();
            if let Some(object) = body.and_then(|(media, body)| self.decoded(&media, &body)) {
                event.insert("requestObject".to_owned(), object);
            }
            let annotations = self.annotations.lock();
            if !annotations.is_empty() {
                event.insert("annotations".to_owned(), Value::Object(annotations.clone()));
            }
        }
        let Ok(line) = serde_json::to_vec(&Value::Object(event)) else { return };
        let recorded = Arc::new(Recorded { line: line.into(), admin: self.admin });
        for sink in &self.sinks {
            sink.accept(&recorded);
        }
    }
}

fn response_status(outcome: &Outcome) -> Value {
    let mut status = json!({"metadata": {}, "code": outcome.code});
    if let Some(given) = &outcome.status {
        for field in ["status", "message", "reason", "details"] {
            if let Some(value) = given.get(field).filter(|value| !value.is_null()) {
                status[field] = value.clone();
            }
        }
    }
    status
}
