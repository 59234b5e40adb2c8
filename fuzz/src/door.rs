//! Requests as clients send them, answered in the process.

use http::{HeaderMap, Request, StatusCode};
use kit::http::Service;
use std::sync::OnceLock;
use tokio::runtime::Runtime;

/// Answers longer than this are a finding.
const ANSWER_MAX_BYTES: usize = 1024 * 1024;

/// What runs the services.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
    })
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header as text; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Sends a request; nothing comes back for what HTTP itself would not let through.
pub fn send<S: Service + ?Sized>(
    service: &S,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Option<Answer> {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(kit::http::full(body.to_vec())).ok()?;
    runtime().block_on(async {
        let (parts, body) = service.call(request).await.into_parts();
        let body = kit::http::read(body, ANSWER_MAX_BYTES).await.expect("an answer that ends").to_vec();
        Some(Answer { status: parts.status, headers: parts.headers, body })
    })
}
