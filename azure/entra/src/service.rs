//! Which path is whose.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, StatusCode, header};
use kit::http::{BodyError, Request, Response, Service};
use percent_encoding::percent_decode_str;
use serde_json::json;

use crate::entra::Entra;
use crate::errors::Refused;

/// Bodies larger than this are refused.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// A request, taken apart.
pub(crate) struct Incoming {
    pub method: Method,
    pub segments: Vec<String>,
    pub query: BTreeMap<String, String>,
    pub headers: http::HeaderMap,
    /// `https://host[:port]`.
    pub base: String,
    pub body: Bytes,
}

impl Incoming {
    /// All of a request but its body.
    fn of(parts: http::request::Parts) -> Self {
        let host = parts
            .headers
            .get(header::HOST)
            .and_then(|h| h.to_str().ok())
            .map(str::to_owned)
            .or_else(|| parts.uri.authority().map(|a| a.to_string()))
            .unwrap_or_else(|| "login.microsoftonline.com".to_owned());
        let decode = |s: &str| percent_decode_str(s).decode_utf8_lossy().into_owned();
        Self {
            method: parts.method,
            segments: parts.uri.path().split('/').filter(|s| !s.is_empty()).map(decode).collect(),
            query: form(parts.uri.query().unwrap_or("").as_bytes()),
            headers: parts.headers,
            base: format!("https://{host}"),
            body: Bytes::new(),
        }
    }

    /// Whether Graph is meant, and not sign-in.
    fn is_graph(&self) -> bool {
        let version = self.segments.first().map(String::as_str).unwrap_or_default();
        ["v1.0", "beta"].iter().any(|known| version.eq_ignore_ascii_case(known))
    }

    /// The body as a form.
    pub(crate) fn form(&self) -> BTreeMap<String, String> {
        form(&self.body)
    }
}

fn form(bytes: &[u8]) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(bytes).map(|(n, v)| (n.into_owned(), v.into_owned())).collect()
}

pub(crate) struct Door(pub Arc<Entra>);

#[async_trait]
impl Service for Door {
    async fn call(&self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let mut incoming = Incoming::of(parts);
        let mut response = match kit::http::read(body, BODY_BYTES_MAX).await {
            Ok(body) => {
                incoming.body = body;
                self.0.route(&incoming).await
            }
            Err(error) => self.0.unread(&incoming, &error),
        };
        response
            .headers_mut()
            .insert(header::CACHE_CONTROL, http::HeaderValue::from_static("no-store, no-cache"));
        response
    }
}

impl Entra {
    /// A body that is too large, or of which the rest never came.
    fn unread(&self, incoming: &Incoming, error: &BodyError) -> Response {
        let status = match error {
            BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::Broken(_) => StatusCode::BAD_REQUEST,
        };
        if incoming.is_graph() {
            return self.graph_unread(status, error);
        }
        let refused =
            Refused::new("invalid_request", 90_014, format!("The request cannot be read: {error}."));
        Refused { status, ..refused }.response(self.now(), &incoming.base)
    }

    async fn route(&self, incoming: &Incoming) -> Response {
        let lower: Vec<String> = incoming.segments.iter().map(|s| s.to_ascii_lowercase()).collect();
        let words: Vec<&str> = lower.iter().map(String::as_str).collect();
        let base = incoming.base.as_str();
        let get = incoming.method == Method::GET;
        let ok = |body: &serde_json::Value| kit::http::json(StatusCode::OK, body);
        if incoming.is_graph() {
            return self.graph(incoming).await;
        }
        match words[..] {
            ["common", "userrealm", _] if get => return ok(&self.user_realm(&incoming.segments[2], base)),
            ["common", "discovery", "instance"] if get => return ok(&self.instance_discovery(base)),
            ["devicelogin"] => return self.device_page(incoming).await,
            _ => {}
        }
        let Some(tenant) = incoming.segments.first() else { return not_found() };
        if !self.knows_tenant(tenant) {
            return Refused::unknown_tenant(tenant).response(self.now(), base);
        }
        match words[1..] {
            ["v2.0", ".well-known", "openid-configuration"] if get => ok(&self.discovery(base, tenant, true)),
            [".well-known", "openid-configuration"] if get => ok(&self.discovery(base, tenant, false)),
            ["discovery", "v2.0", "keys"] | ["discovery", "keys"] if get => ok(&self.jwks()),
            ["oauth2", "v2.0", "token"] | ["oauth2", "token"] if incoming.method == Method::POST => {
                self.token(incoming).await
            }
            ["oauth2", "v2.0", "devicecode"] | ["oauth2", "devicecode"] => self.device_code(incoming),
            ["oauth2", "v2.0", "authorize"] | ["oauth2", "authorize"] => self.authorize_page(incoming).await,
            ["oauth2", "v2.0", "logout"] | ["oauth2", "logout"] => {
                kit::http::bytes_response(StatusCode::OK, "text/plain", "You are signed out.\n")
            }
            _ => not_found(),
        }
    }

    fn knows_tenant(&self, tenant: &str) -> bool {
        let known = [self.tenant_id(), self.domain(), "common".to_owned(), "organizations".to_owned()];
        known.iter().any(|k| k.eq_ignore_ascii_case(tenant))
    }
}

fn not_found() -> Response {
    kit::http::json(
        StatusCode::NOT_FOUND,
        &json!({"error": "not_found", "error_description": "AADSTS90023: This path is not one of the directory's."}),
    )
}
