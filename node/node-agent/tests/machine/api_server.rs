//! As much of an API server as a joining node needs: signs requests at once, keeps objects, watches nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{Method, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper_util::rt::TokioIo;
use kit::http::{Body, Connection, Request, Response, Service, json};
use kit::pki::{Authority, Leaf, Usage};
use kit::tunnel::{Opener, opener};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::host::FQDN;

pub const TOKEN: &str = "abcdef.0123456789abcdef";
const DAY: Duration = Duration::from_secs(24 * 3600);

pub struct ApiServer {
    pub authority: Authority,
    pub objects: Mutex<BTreeMap<String, Value>>,
    pub changes: watch::Sender<()>,
    pub tunnel: watch::Sender<Option<Opener>>,
}

impl ApiServer {
    pub fn new() -> Arc<Self> {
        let authority = Authority::new("test", DAY).expect("an authority can be made");
        Arc::new(Self {
            authority,
            objects: Mutex::default(),
            changes: watch::Sender::new(()),
            tunnel: watch::Sender::new(None),
        })
    }

    pub fn certificates(&self) -> kit::tls::Certificates {
        let leaf = Leaf {
            common_name: FQDN.into(),
            organizations: Vec::new(),
            dns_names: vec![FQDN.into()],
            addresses: Vec::new(),
            usage: Usage::Server,
            valid: DAY,
        };
        let issued = self.authority.issue(&leaf).expect("a certificate can be made");
        let certificates = kit::tls::Certificates::new();
        certificates
            .set_default(&issued.certificate_pem, &issued.key_pem)
            .expect("a certificate can be used");
        certificates
    }

    fn sign(&self, mut object: Value) -> Result<Value, StatusCode> {
        let request = object["spec"]["request"].as_str().ok_or(StatusCode::BAD_REQUEST)?;
        let pem = base64(request).ok_or(StatusCode::BAD_REQUEST)?;
        let client = object["spec"]["signerName"] == "kubernetes.io/kube-apiserver-client-kubelet";
        let usage = if client { Usage::Client } else { Usage::Server };
        let signed = self.authority.sign_request(&pem, usage, DAY).map_err(|_| StatusCode::BAD_REQUEST)?;
        let bytes: k8s_openapi::ByteString = k8s_openapi::ByteString(signed.into_bytes());
        object["status"] = json!({ "certificate": bytes });
        let name = format!("csr-{}", self.objects.lock().len());
        object["metadata"] = json!({"name": name, "resourceVersion": "1", "uid": name});
        Ok(object)
    }

    fn list(&self, path: &str, query: &str) -> Value {
        let objects = self.objects.lock();
        let below =
            objects.iter().filter(|(at, _)| at.strip_prefix(path).is_some_and(|r| r.starts_with('/')));
        let wanted = query.split('&').find_map(|p| p.strip_prefix("fieldSelector=metadata.name%3D"));
        let items: Vec<&Value> = below
            .map(|(_, o)| o)
            .filter(|o| wanted.is_none_or(|name| o["metadata"]["name"] == name))
            .collect();
        json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items})
    }
}

fn base64(text: &str) -> Option<String> {
    let bytes: k8s_openapi::ByteString = serde_json::from_value(json!(text)).ok()?;
    String::from_utf8(bytes.0).ok()
}

fn not_found() -> Response {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404,
        "message": "not found", "metadata": {}, "details": {}});
    json(StatusCode::NOT_FOUND, &status)
}

fn silence() -> Response {
    let body: Body =
        StreamBody::new(futures::stream::pending::<Result<_, kit::http::BoxError>>()).boxed_unsync();
    Response::new(body)
}

/// The service over [`ApiServer`].
pub struct Answers(pub Arc<ApiServer>);

#[async_trait]
impl Service for Answers {
    async fn call(&self, mut request: Request) -> Response {
        let server = &self.0;
        let (path, query) =
            (request.uri().path().to_owned(), request.uri().query().unwrap_or_default().to_owned());
        if path == "/healthz" {
            return kit::http::status(StatusCode::OK);
        }
        let known =
            request.extensions().get::<Connection>().is_some_and(|c| !c.client_certificates.is_empty());
        let token = format!("Bearer {TOKEN}");
        let bearer = request.headers().get(header::AUTHORIZATION).is_some_and(|v| v == token.as_str());
        let requests = path.starts_with("/apis/certificates.k8s.io/v1/certificatesigningrequests");
        let allowed = known || (bearer && requests);
        if !allowed {
            return kit::http::status(StatusCode::UNAUTHORIZED);
        }
        if path == "/lazurite/v1/tunnel" {
            let sender = server.tunnel.clone();
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let Ok(upgraded) = upgrade.await else { return };
                let (opener, driver) = opener(TokioIo::new(upgraded));
                sender.send_replace(Some(opener));
                driver.await;
            });
            let mut response = kit::http::status(StatusCode::SWITCHING_PROTOCOLS);
            response.headers_mut().insert(header::CONNECTION, http::HeaderValue::from_static("Upgrade"));
            response.headers_mut().insert(header::UPGRADE, http::HeaderValue::from_static("lazurite-tunnel"));
            return response;
        }
        let method = request.method().clone();
        let body = kit::http::read(request.into_body(), 1 << 20).await.unwrap_or_default();
        let sent: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        match method {
            Method::GET if query.contains("watch=true") => silence(),
            Method::GET => {
                let found = server.objects.lock().get(&path).cloned();
                match found {
                    Some(object) => json(StatusCode::OK, &object),
                    // An object's path has a name after the plural.
                    None if path.split('/').count() > 5 || path.starts_with("/api/v1/nodes/") => not_found(),
                    None => json(StatusCode::OK, &server.list(&path, &query)),
                }
            }
            Method::POST => {
                let object = if requests { server.sign(sent) } else { Ok(sent) };
                match object {
                    Ok(object) => {
                        let name = object["metadata"]["name"].as_str().unwrap_or("x").to_owned();
                        server.objects.lock().insert(format!("{path}/{name}"), object.clone());
                        server.changes.send_replace(());
                        json(StatusCode::CREATED, &object)
                    }
                    Err(status) => kit::http::status(status),
                }
            }
            _ => {
                let found = server.objects.lock().get(path.trim_end_matches("/status")).cloned();
                json(StatusCode::OK, &found.unwrap_or(sent))
            }
        }
    }
}
