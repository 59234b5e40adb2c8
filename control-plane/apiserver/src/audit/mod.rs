//! The audit log: who did what, as events of `audit.k8s.io/v1`.
//!
//! A [`Policy`] says how much is recorded of a request; sinks take the events ([`FileSink`] writes lines of JSON, others may keep them in
//! the process). Without a policy nothing is made and nothing costs. Layers below the handlers add to the record of the request they
//! work for with [`annotate`], without being handed it.
//!
//! Guarantees: an event never waits for a sink; objects are recorded only where the policy says so. Does not: judge what in an object is secret;
//! that is the policy's part.

mod event;
mod file;
mod policy;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use kit::Clock;
use parking_lot::Mutex;
use serde_json::Value;

pub use event::{Outcome, Record, Request};
pub use file::{FileError, FileSettings, FileSink};
pub use policy::{Level, Policy, PolicyError, Stage, Verdict};

use crate::attributes::UserInfo;
use crate::flow::Digest;

/// Names a request in the answer and in the log; a client may bring its own.
pub const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");
/// Of an id a client brings, so much counts.
const ID_BYTES_MAX: usize = 64;

/// Which events a log is for, as Azure Monitor names the categories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    /// `kube-audit`: all.
    All,
    /// `kube-audit-admin`: without gets and lists.
    Admin,
}

/// An event as sinks take it.
#[derive(Debug)]
pub struct Recorded {
    /// The event as JSON, without a line's end.
    pub line: Bytes,
    /// Whether it belongs to `kube-audit-admin` too.
    pub admin: bool,
}

/// Takes events.
pub trait AuditSink: Send + Sync + 'static {
    /// Takes one. Must not block.
    fn accept(&self, event: &Arc<Recorded>);

    /// How many it had to let go.
    fn lost(&self) -> u64 {
        0
    }
}

/// Keeps the newest events in the process.
pub struct MemorySink {
    kept_max: usize,
    events: Mutex<std::collections::VecDeque<Arc<Recorded>>>,
}

impl MemorySink {
    /// Keeps at most so many.
    pub fn new(kept_max: usize) -> Arc<Self> {
        Arc::new(Self { kept_max, events: Mutex::default() })
    }

    /// What is kept, oldest first.
    pub fn events(&self) -> Vec<Value> {
        self.events.lock().iter().filter_map(|event| serde_json::from_slice(&event.line).ok()).collect()
    }
}

impl AuditSink for MemorySink {
    fn accept(&self, event: &Arc<Recorded>) {
        let mut events = self.events.lock();
        events.push_back(event.clone());
        while events.len() > self.kept_max {
            events.pop_front();
        }
    }
}

/// What an API server records, and where.
#[derive(Clone)]
pub struct Audit {
    /// How much of what.
    pub policy: Arc<Policy>,
    /// Where.
    pub sinks: Vec<Arc<dyn AuditSink>>,
}

/// Records for one API server.
pub struct Auditor {
    audit: Audit,
    clock: Arc<dyn Clock>,
}

/// The id of a request: the client's own or a new one.
pub fn id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(AUDIT_ID).and_then(|value| value.to_str().ok()).filter(|given| !given.is_empty());
    if let Some(given) = given {
        let mut end = given.len().min(ID_BYTES_MAX);
        while !given.is_char_boundary(end) {
            end -= 1;
        }
        if let Ok(value) = HeaderValue::from_str(&given[..end]) {
            return value;
        }
    }
    let mut buffer = uuid::Uuid::encode_buffer();
    let fresh = uuid::Uuid::new_v4().hyphenated().encode_lower(&mut buffer);
    HeaderValue::from_str(fresh).unwrap_or(HeaderValue::from_static(""))
}

impl Auditor {
    /// With this policy and these sinks.
    pub fn new(audit: Audit, clock: Arc<dyn Clock>) -> Self {
        Self { audit, clock }
    }

    /// Begins the record of a request; none when the policy wants none.
    pub fn begin(&self, request: Request, digest: &Digest<'_>) -> Option<Arc<Record>> {
        let verdict = self.audit.policy.judge(digest);
        if verdict.level == Level::None {
            return None;
        }
        let record = Record::new(request, digest, verdict, self.audit.sinks.clone(), self.clock.clone());
        Some(Arc::new(record))
    }

    /// How many events sinks had to let go.
    pub fn lost(&self) -> u64 {
        self.audit.sinks.iter().map(|sink| sink.lost()).sum()
    }
}

tokio::task_local! {
    /// The record of the request that this task works for.
    static RECORD: Arc<Record>;
}

/// Works for a request: what is done in `work` can [`annotate`] its record.
pub async fn within<T>(record: Option<Arc<Record>>, work: impl Future<Output = T>) -> T {
    match record {
        Some(record) => RECORD.scope(record, work).await,
        None => work.await,
    }
}

/// Adds to the record of the request that is worked for; the first to say something about a key is right. Nothing happens when nothing is
/// recorded; `value` is not even made then.
pub fn annotate(key: &str, value: impl FnOnce() -> String) {
    let _ = RECORD.try_with(|record| record.annotate(key, value()));
}

/// Adds what others collected meanwhile, under the same rule.
pub fn annotate_all(collected: impl FnOnce() -> std::collections::BTreeMap<String, String>) {
    let _ = RECORD.try_with(|record| {
        for (key, value) in collected() {
            record.annotate(&key, value);
        }
    });
}

/// The body of the request that is worked for, as it was read.
pub fn note_request_body(media: &str, body: &Bytes) {
    let _ = RECORD.try_with(|record| record.note_request_body(media, body));
}

/// Whom a request is made as, beside who makes it.
#[derive(Debug, Clone, Default)]
pub struct Users {
    /// Who makes it.
    pub user: Arc<UserInfo>,
    /// As whom, when that is another.
    pub impersonated: Option<Arc<UserInfo>>,
}
