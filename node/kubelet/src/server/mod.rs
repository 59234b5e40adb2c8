//! The HTTPS port: logs, exec, attach, port-forward, pods and statistics, for callers of the cluster's
//! authority only.

mod auth;
pub mod logs;
mod pods;
pub mod rotate;
mod stats;
mod streams;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use http::{Method, StatusCode};
use kit::http::{Request, Response, Service, bytes_response};

use crate::shared::Shared;

/// A plain answer, as a kubelet's errors are.
pub(crate) fn text(status: StatusCode, message: impl Into<String>) -> Response {
    bytes_response(status, "text/plain; charset=utf-8", message.into())
}

/// The query's fields, each with all its values.
pub(crate) struct Query(HashMap<String, Vec<String>>);

impl Query {
    fn of(request: &Request) -> Self {
        let mut fields: HashMap<String, Vec<String>> = HashMap::new();
        let query = request.uri().query().unwrap_or_default();
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            fields.entry(key.into_owned()).or_default().push(value.into_owned());
        }
        Self(fields)
    }

    fn all(&self, key: &str) -> &[String] {
        self.0.get(key).map(Vec::as_slice).unwrap_or_default()
    }

    fn one(&self, key: &str) -> Option<&str> {
        self.all(key).first().map(String::as_str)
    }

    /// Set, in any of the ways clients write it, under any of these names.
    fn flag(&self, keys: &[&str]) -> bool {
        keys.iter().any(|key| matches!(self.one(key), Some("1" | "true" | "True" | "TRUE")))
    }
}

/// The server.
pub struct Server {
    shared: Arc<Shared>,
    callers: auth::Callers,
}

impl Server {
    /// A server for callers that `client_ca_pem` vouches for.
    pub fn new(shared: Arc<Shared>) -> Result<Self, String> {
        let callers = auth::Callers::new(&shared.config.client_ca_pem)?;
        Ok(Self { shared, callers })
    }

    async fn route(&self, request: Request) -> Response {
        let path = request.uri().path().to_owned();
        let query = Query::of(&request);
        let parts: Vec<String> = path
            .split('/')
            .filter(|part| !part.is_empty())
            .map(|part| percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned())
            .collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let reads = request.method() == Method::GET;
        let shared = &self.shared;
        match parts.as_slice() {
            ["healthz"] | ["healthz", "ping" | "log" | "syncloop"] if reads => text(StatusCode::OK, "ok"),
            ["pods"] if reads => pods::pods(shared),
            ["runningpods"] if reads => pods::running(shared).await,
            ["containerLogs", namespace, pod, container] if reads => {
                logs::serve(shared, namespace, pod, container, &query).await
            }
            ["exec", namespace, pod, container] | ["exec", namespace, pod, _, container] => {
                streams::exec(shared, request, (namespace, pod, container), &query).await
            }
            ["attach", namespace, pod, container] | ["attach", namespace, pod, _, container] => {
                streams::attach(shared, request, (namespace, pod, container), &query).await
            }
            ["run", namespace, pod, container] | ["run", namespace, pod, _, container] => {
                streams::run(shared, (namespace, pod, container), &query).await
            }
            ["portForward", namespace, pod] | ["portForward", namespace, pod, _] => {
                streams::port_forward(shared, request, (namespace, pod), &query).await
            }
            ["stats", "summary"] if reads => stats::summary(shared).await,
            ["metrics", "resource"] if reads => stats::resource(shared).await,
            ["metrics"] if reads => stats::own(shared),
            _ => text(StatusCode::NOT_FOUND, "404 page not found\n"),
        }
    }
}

#[async_trait]
impl Service for Server {
    async fn call(&self, request: Request) -> Response {
        match self.callers.check(&request) {
            Ok(()) => self.route(request).await,
            Err((status, message)) => text(status, message),
        }
    }
}
