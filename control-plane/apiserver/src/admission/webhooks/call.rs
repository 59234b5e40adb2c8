//! One call: a POST over HTTPS, bounded in time and size.

use std::sync::Arc;

use kit::http::{Request, Response};
use serde_json::Value;

use super::hook::{Line, Place, Trust};
use crate::attributes::Objects;
use crate::streaming::endpoint;
use crate::tunnel::Kubelets;

const ANSWER_MAX_BYTES: usize = 3 * 1024 * 1024;

fn with_timeout(url: &str, seconds: u64) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}timeout={seconds}s")
}

fn post(uri: &str, body: String) -> Result<Request, String> {
    http::Request::post(uri)
        .header(http::header::CONTENT_TYPE, "application/json")
        .header(http::header::ACCEPT, "application/json, */*")
        .header(http::header::USER_AGENT, "kube-apiserver-admission")
        .body(kit::http::full(body))
        .map_err(|error| error.to_string())
}

/// Calls webhooks: through the tunnels (services) or directly (URLs), trusted by their CA bundle only.
pub(crate) struct Caller {
    objects: Arc<dyn Objects>,
    kubelets: Arc<Kubelets>,
}

impl Caller {
    /// Finds services among these objects, and their nodes by these tunnels.
    pub fn new(objects: Arc<dyn Objects>, kubelets: Arc<Kubelets>) -> Self {
        Self { objects, kubelets }
    }

    /// Asks; the error is why there is no answer.
    pub async fn call(&self, line: &Line, question: &Value) -> Result<Value, String> {
        let seconds = line.limit.as_secs();
        let url = match &line.place {
            Place::Url(url) => with_timeout(url, seconds),
            Place::Service { namespace, name, port, path } => {
                with_timeout(&format!("https://{name}.{namespace}.svc:{port}{path}"), seconds)
            }
        };
        let failed = |why: String| format!("failed to call webhook: Post \"{url}\": {why}");
        let trust = line.tls.as_ref().map_err(|why| format!("could not get REST client: {why}"))?;
        let sent = self.send(line, trust, &url, question.to_string());
        let response = match tokio::time::timeout(line.limit, sent).await {
            Ok(sent) => sent.map_err(failed)?,
            Err(_) => return Err(failed("context deadline exceeded".to_owned())),
        };
        let status = response.status();
        let read = tokio::time::timeout(line.limit, kit::http::read(response.into_body(), ANSWER_MAX_BYTES));
        let bytes = match read.await {
            Ok(read) => read.map_err(|error| failed(error.to_string()))?,
            Err(_) => return Err(failed("context deadline exceeded".to_owned())),
        };
        if !status.is_success() {
            return Err(format!("failed to call webhook: {}", complaint(status, &bytes)));
        }
        serde_json::from_slice(&bytes).map_err(|error| format!("failed to call webhook: {error}"))
    }

    async fn send(&self, line: &Line, trust: &Trust, url: &str, body: String) -> Result<Response, String> {
        match &line.place {
            Place::Url(_) => {
                trust.client.send(post(url, body)?).await.map_err(|error| kit::Chain(&error).to_string())
            }
            Place::Service { namespace, name, port, path } => {
                let place = endpoint(&*self.objects, namespace, name, &port.to_string()).map_err(
                    |error| match error.code {
                        404 => format!("service \"{name}\" not found"),
                        _ => error.message,
                    },
                )?;
                let uri = with_timeout(path, line.limit.as_secs());
                let server = format!("{name}.{namespace}.svc");
                let mut request = post(&uri, body)?;
                if let Ok(host) = http::HeaderValue::from_str(&format!("{server}:{port}")) {
                    request.headers_mut().insert(http::header::HOST, host);
                }
                let tls = (Arc::clone(&trust.config), server.as_str());
                let sent = self.kubelets.send_tls(&place.node, (&place.host, place.port), tls, request).await;
                sent.map_err(|error| kit::Chain(&error).to_string())
            }
        }
    }
}

/// What an answer other than success means, as a Go client says it.
fn complaint(status: http::StatusCode, body: &[u8]) -> String {
    let said = String::from_utf8_lossy(body);
    let said = said.trim();
    // A `Status` speaks for itself.
    let status_message = serde_json::from_slice::<Value>(body).ok();
    let message =
        status_message.as_ref().map(|status| crate::attributes::text(status, "/message")).unwrap_or_default();
    if !message.is_empty() {
        return message.to_owned();
    }
    match status.as_u16() {
        401 => "the server has asked for the client to provide credentials".to_owned(),
        404 => "the server could not find the requested resource".to_owned(),
        403 => "unknown".to_owned(),
        405 => "the server does not allow this method on the requested resource".to_owned(),
        429 => "the server has received too many requests and has asked us to try again later".to_owned(),
        503 => "the server is currently unable to handle the request".to_owned(),
        500.. => format!("an error on the server ({said:?}) has prevented the request from succeeding"),
        _ => "the server rejected our request for an unknown reason".to_owned(),
    }
}
