//! A cluster's API server for one test.

use std::sync::Arc;
use std::time::Duration;

use apiserver::{ApiServer, Config, UserInfo};
use bytes::Bytes;
use kube::client::Body;
use serde_json::{Value, json};

/// A server with its tasks; stopped when dropped.
pub struct Server {
    pub api: Arc<ApiServer>,
    pub authority: kit::pki::Authority,
    pub tasks: kit::Tasks,
    client: kube::Client,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub bytes: Bytes,
    pub body: Value,
}

impl Answer {
    /// The body of a request that must have succeeded.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!(self.status < 300, "{}: {}", self.status, String::from_utf8_lossy(&self.bytes));
        self.body
    }

    /// The status and message of one that must have failed.
    #[track_caller]
    pub fn refused(self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.bytes));
        assert_eq!(self.body["kind"], "Status", "{}", self.body);
        assert_eq!(self.body["code"], status);
        self.body["message"].as_str().unwrap().to_owned()
    }
}

pub async fn start() -> Server {
    kit::tls::install_provider();
    let tasks = kit::Tasks::new();
    let store = store::Embedded::memory(store::Options::default(), &tasks);
    start_with(store, tasks).await
}

/// A server of another minor version, of its patch 9.
pub async fn start_minor(minor: &str) -> Server {
    kit::tls::install_provider();
    let tasks = kit::Tasks::new();
    let store = store::Embedded::memory(store::Options::default(), &tasks);
    start_as(&format!("{minor}.9"), store, tasks, apiserver::Access::default()).await
}

pub async fn start_with(store: Arc<dyn store::Store>, tasks: kit::Tasks) -> Server {
    start_as("1.35.6", store, tasks, apiserver::Access::default()).await
}

/// A server in memory with settings of its own.
pub async fn start_access(access: apiserver::Access) -> Server {
    kit::tls::install_provider();
    let tasks = kit::Tasks::new();
    let store = store::Embedded::memory(store::Options::default(), &tasks);
    start_as("1.35.6", store, tasks, access).await
}

async fn start_as(
    version: &str,
    store: Arc<dyn store::Store>,
    tasks: kit::Tasks,
    access: apiserver::Access,
) -> Server {
    let minor = version.rsplit_once('.').unwrap().0;
    let authority = kit::pki::Authority::new("test", Duration::from_secs(3600)).unwrap();
    let config = Config {
        name: "test".to_owned(),
        model: api_model::Model::load(minor).unwrap(),
        store,
        authority: authority.clone(),
        service_account_key_pem: kit::pki::rsa_key_pem().unwrap(),
        issuer: "https://issuer.test".to_owned(),
        service_cidr: "10.0.0.0/16".parse().unwrap(),
        dns_service_ip: "10.0.0.10".parse().unwrap(),
        advertise: "20.1.0.4:443".parse().unwrap(),
        version: version.to_owned(),
        clock: Arc::new(kit::SystemClock),
        token_reviewers: Vec::new(),
        access,
    };
    let api = ApiServer::start(config, &tasks).await.unwrap();
    let client = api.client(UserInfo::new("admin", &["system:masters"]));
    let server = Server { api, authority, tasks, client };
    // What the controllers would have made.
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    let made = server.post("/api/v1/namespaces/default/serviceaccounts", account).await;
    assert!(matches!(made.status, 201 | 409));
    server
}

impl Server {
    pub fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// Sends a request; `headers` are `name: value`.
    pub async fn send(&self, method: &str, path: &str, headers: &[&str], body: Vec<u8>) -> Answer {
        Self::send_through(&self.client, method, path, headers, body).await
    }

    /// The same as somebody else.
    pub async fn send_as(
        &self,
        user: &UserInfo,
        method: &str,
        path: &str,
        headers: &[&str],
        body: Vec<u8>,
    ) -> Answer {
        Self::send_through(&self.api.client(user.clone()), method, path, headers, body).await
    }

    async fn send_through(
        client: &kube::Client,
        method: &str,
        path: &str,
        headers: &[&str],
        body: Vec<u8>,
    ) -> Answer {
        let mut request = http::Request::builder().method(method).uri(path);
        for header in headers {
            let (name, value) = header.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        let response = client.send(request.body(Body::from(body)).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = body.collect_bytes().await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status: head.status.as_u16(), headers: head.headers, bytes, body }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], Vec::new()).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, &["content-type: application/json"], body.to_string().into_bytes()).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.send("PUT", path, &["content-type: application/json"], body.to_string().into_bytes()).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], Vec::new()).await
    }

    /// Patches; `kind` is `json`, `merge`, `strategic` or `apply`.
    pub async fn patch(&self, kind: &str, path: &str, body: Value) -> Answer {
        let media = match kind {
            "json" => "content-type: application/json-patch+json",
            "merge" => "content-type: application/merge-patch+json",
            "strategic" => "content-type: application/strategic-merge-patch+json",
            _ => "content-type: application/apply-patch+yaml",
        };
        self.send("PATCH", path, &[media], body.to_string().into_bytes()).await
    }
}

pub const MAPS: &str = "/api/v1/namespaces/default/configmaps";
pub const PODS: &str = "/api/v1/namespaces/default/pods";

pub fn map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "1"}})
}

pub fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": "nginx"}]},
    })
}

pub fn deployment(name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "c", "image": "nginx"}]},
            },
        },
    })
}
