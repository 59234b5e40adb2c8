//! Which path is whose.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode, header};
use http_body_util::BodyExt;
use kit::http::{Request, Response, Service};
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
    async fn read(request: Request) -> Result<Self, StatusCode> {
        let (parts, mut body) = request.into_parts();
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.map_err(|_| StatusCode::BAD_REQUEST)?.into_data() {
                if whole.len().saturating_add(data.len()) > BODY_BYTES_MAX {
                    return Err(StatusCode::PAYLOAD_TOO_LARGE);
                }
                whole.extend_from_slice(&data);
            }
        }
        let host = parts
            .headers
            .get(header::HOST)
            .and_then(|h| h.to_str().ok())
            .map(str::to_owned)
            .or_else(|| parts.uri.authority().map(|a| a.to_string()))
            .unwrap_or_else(|| "login.microsoftonline.com".to_owned());
        let decode = |s: &str| percent_decode_str(s).decode_utf8_lossy().into_owned();
        Ok(Self {
            method: parts.method,
            segments: parts.uri.path().split('/').filter(|s| !s.is_empty()).map(decode).collect(),
            query: form(parts.uri.query().unwrap_or("").as_bytes()),
            headers: parts.headers,
            base: format!("https://{host}"),
            body: whole.freeze(),
        })
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
        let incoming = match Incoming::read(request).await {
            Ok(incoming) => incoming,
            Err(status) => return kit::http::status(status),
        };
        let mut response = self.0.route(&incoming).await;
        response
            .headers_mut()
            .insert(header::CACHE_CONTROL, http::HeaderValue::from_static("no-store, no-cache"));
        response
    }
}

impl Entra {
    async fn route(&self, incoming: &Incoming) -> Response {
        let lower: Vec<String> = incoming.segments.iter().map(|s| s.to_ascii_lowercase()).collect();
        let words: Vec<&str> = lower.iter().map(String::as_str).collect();
        let base = incoming.base.as_str();
        let get = incoming.method == Method::GET;
        let ok = |body: &serde_json::Value| kit::http::json(StatusCode::OK, body);
        match words[..] {
            ["v1.0" | "beta", ..] => return self.graph(incoming).await,
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
