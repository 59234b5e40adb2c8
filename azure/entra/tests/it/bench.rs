//! A directory of its own, and who speaks to it.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use entra::{Bootstrap, Config, Entra, IssuerKeys, NoIssuers};
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use kit::clock::FixedClock;
use serde_json::Value;

pub const ARM: &str = "https://management.azure.com/";
pub const GRAPH: &str = "https://graph.microsoft.com";

pub struct Bench {
    pub entra: Arc<Entra>,
    pub clock: FixedClock,
    pub dir: tempfile::TempDir,
}

impl Bench {
    pub async fn new(issuers: Arc<dyn IssuerKeys>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = FixedClock::new("2026-11-23T12:00:00Z".parse().unwrap());
        let config = Config {
            state_dir: dir.path().to_owned(),
            hosts: vec!["localhost".to_owned()],
            clock: Arc::new(clock.clone()),
            issuers,
        };
        Self { entra: Entra::open(config, &kit::Tasks::new()).await.unwrap(), clock, dir }
    }

    /// One with an administrator, and a token of theirs for Graph.
    pub async fn administered() -> (Self, Bootstrap, String) {
        let bench = Self::new(Arc::new(NoIssuers)).await;
        let admin = bench.entra.bootstrap("first").await.unwrap().unwrap();
        let token = bench.client_token(&admin.app_id, &admin.secret, GRAPH).await.unwrap();
        (bench, admin, token)
    }

    pub async fn send(&self, request: http::Request<String>) -> (StatusCode, Value) {
        let request = request.map(kit::http::full);
        let response = self.entra.service().call(request).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        (parts.status, serde_json::from_slice(&bytes).unwrap_or(Value::String(text)))
    }

    pub async fn call(&self, method: Method, path: &str, form: &[(&str, &str)]) -> (StatusCode, Value) {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = http::Request::builder().method(method).uri(path).header("host", "localhost:8443");
        self.send(request.body(body).unwrap()).await
    }

    pub async fn token(&self, form: &[(&str, &str)]) -> (StatusCode, Value) {
        self.call(Method::POST, &format!("/{}/oauth2/v2.0/token", self.entra.tenant_id()), form).await
    }

    pub async fn client_token(&self, app_id: &str, secret: &str, resource: &str) -> Result<String, Value> {
        let scope = format!("{resource}/.default");
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", app_id),
            ("client_secret", secret),
            ("scope", &scope),
        ];
        let (status, body) = self.token(&form).await;
        if status == 200 { Ok(body["access_token"].as_str().unwrap().to_owned()) } else { Err(body) }
    }

    /// A call of Graph. `body` null for none.
    pub async fn graph(&self, token: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("/v1.0{path}"))
            .header("host", "graph.microsoft.com")
            .header("authorization", format!("Bearer {token}"))
            .header("consistencylevel", "eventual");
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let (status, body) = self.send(request.body(text).unwrap()).await;
        (status.as_u16(), body)
    }

    /// A call that has to succeed.
    pub async fn done(&self, token: &str, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.graph(token, method, path, body).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }
}

/// The claims of a token, unverified.
pub fn claims(token: &str) -> Value {
    let middle = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(middle).unwrap()).unwrap()
}
