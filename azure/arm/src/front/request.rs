//! A request as the front door reads it, and an answer before it is a response.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Weak};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::BodyExt;
use kit::http::{BodyError, Connection, Request};
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use tokio::sync::OwnedMutexGuard;

use super::Front;
use crate::activity::Cause;
use crate::{ArmError, Caller, ResourceId, json};

/// Bodies larger than this are refused (ARM's own limit is 4 MiB).
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A client's own correlation id that is longer is not taken over.
const CORRELATION_BYTES_MAX: usize = 128;

/// Turns that the code making an in-process request holds already, as long as it does.
#[derive(Clone, Default)]
pub(crate) struct Held(pub Vec<(String, Weak<OwnedMutexGuard<()>>)>);

/// Marks a request made by an [`ArmClient`](crate::ArmClient).
#[derive(Clone)]
pub(crate) struct InProcess {
    pub caller: Option<Arc<Caller>>,
    pub held: Held,
}

/// A request, taken apart.
pub(crate) struct Incoming {
    pub method: Method,
    /// Decoded path segments, without empty ones.
    pub segments: Vec<String>,
    /// Names in lower case.
    pub query: Arc<BTreeMap<String, String>>,
    pub headers: HeaderMap,
    /// `https://host[:port]` as the client called it.
    pub base_url: String,
    pub uri: String,
    pub ip: Option<IpAddr>,
    pub correlation_id: String,
    pub request_id: String,
    pub body: Bytes,
    pub in_process: Option<InProcess>,
    /// What it does, once that is known; nothing for what only reads.
    pub cause: Arc<Mutex<Option<Cause>>>,
    /// What is left in the caller's bucket, with the header that says so, and how long to wait if nothing is.
    left: Mutex<(Option<(&'static str, u32)>, Option<u64>)>,
}

impl Incoming {
    pub(crate) async fn read(front: &Front, request: Request) -> Result<Self, ArmError> {
        let (parts, body) = request.into_parts();
        let body = read_body(body, BODY_BYTES_MAX).await.map_err(|error| match error {
            BodyError::TooLarge { .. } => ArmError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "RequestContentTooLarge",
                "The request content size exceeds the maximum size of 4 MB.",
            ),
            BodyError::Broken(_) => ArmError::invalid_content("the body ended early"),
        })?;
        let segments = parts
            .uri
            .path()
            .split('/')
            .filter(|s| !s.is_empty())
            .map(|s| percent_decode_str(s).decode_utf8_lossy().into_owned())
            .collect();
        let host = parts
            .headers
            .get(header::HOST)
            .and_then(|h| h.to_str().ok())
            .map(str::to_owned)
            .or_else(|| parts.uri.authority().map(|a| a.to_string()))
            .unwrap_or_else(|| front.host().to_owned());
        let text = |name: &str| parts.headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        Ok(Self {
            query: Arc::new(read_query(parts.uri.query().unwrap_or(""))),
            base_url: format!("https://{host}"),
            uri: parts.uri.path_and_query().map(|p| p.to_string()).unwrap_or_default(),
            ip: parts.extensions.get::<Connection>().map(|c| c.peer.ip()),
            correlation_id: text("x-ms-correlation-request-id")
                .filter(|id| !id.is_empty() && id.len() <= CORRELATION_BYTES_MAX)
                .unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
            request_id: uuid::Uuid::new_v4().to_string(),
            in_process: parts.extensions.get::<InProcess>().cloned(),
            method: parts.method,
            headers: parts.headers,
            segments,
            body,
            cause: Arc::default(),
            left: Mutex::default(),
        })
    }

    /// A query parameter, by lower-case name.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    /// The body as JSON; an empty one is null.
    pub(crate) fn json(&self) -> Result<Value, ArmError> {
        json::read(&self.body)
    }

    /// The body as a JSON object.
    pub(crate) fn object(&self) -> Result<Value, ArmError> {
        self.json().and_then(json::as_object)
    }

    /// Notes what this request does, for the activity log. Reading is nothing to log.
    pub(crate) fn note(&self, action: &str, resource: &ResourceId, caller: &Caller) {
        if action.ends_with("/read") {
            return;
        }
        let mut cause = Cause::new(action, resource, caller, &self.correlation_id);
        cause.client_request_id = self.header("x-ms-client-request-id").map(str::to_owned);
        cause.client_ip = self.ip.map(|ip| ip.to_string());
        cause.method = self.method.to_string();
        *self.cause.lock() = Some(cause);
    }

    /// Notes what is left in the caller's bucket.
    pub(crate) fn note_left(&self, header: &'static str, left: u32) {
        self.left.lock().0 = Some((header, left));
    }

    /// Notes how long a throttled caller should wait.
    pub(crate) fn note_wait(&self, seconds: u64) {
        self.left.lock().1 = Some(seconds);
    }

    /// What was noted: the header, what is left, and the wait.
    pub(crate) fn left(&self) -> (Option<(&'static str, u32)>, Option<u64>) {
        *self.left.lock()
    }
}

/// Reads a whole body of at most `limit_bytes`.
pub(crate) async fn read_body(mut body: kit::http::Body, limit_bytes: usize) -> Result<Bytes, BodyError> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(BodyError::Broken)?.into_data() {
            if whole.len().saturating_add(data.len()) > limit_bytes {
                return Err(BodyError::TooLarge { limit_bytes });
            }
            whole.extend_from_slice(&data);
        }
    }
    Ok(whole.freeze())
}

fn read_query(text: &str) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(text.as_bytes())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.into_owned()))
        .collect()
}

/// An answer before it is a response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub body: Option<Value>,
    pub headers: Vec<(&'static str, String)>,
    /// Adds the polling headers for this operation.
    pub operation: Option<String>,
    /// Adds `Retry-After` alone.
    pub retry: bool,
}

impl Answer {
    pub(crate) fn new(status: StatusCode, body: Value) -> Self {
        Self { status, body: Some(body), headers: Vec::new(), operation: None, retry: false }
    }

    pub(crate) fn ok(body: Value) -> Self {
        Self::new(StatusCode::OK, body)
    }

    /// `{"value": […]}`.
    pub(crate) fn list(values: Vec<Value>) -> Self {
        Self::ok(serde_json::json!({"value": values}))
    }

    pub(crate) fn empty(status: StatusCode) -> Self {
        Self { status, body: None, headers: Vec::new(), operation: None, retry: false }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}
