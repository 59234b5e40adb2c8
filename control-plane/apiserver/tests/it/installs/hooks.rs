//! The webhooks of the installs: one server over TLS behind three Services, reached through a node's tunnel.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use kit::http::{BoxService, Request, ServiceFn};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::shape::Hooks;
use crate::harness::Server;

const NODE: &str = "n1";
/// What the mutating webhook adds.
pub const SEEN: &str = "installs.test/seen";
/// Bytes of a review at most.
const REVIEW_BYTES_MAX: usize = 8 << 20;

/// How often each path was asked, and the answers' common memory.
pub type Asked = Arc<Mutex<BTreeMap<String, usize>>>;

/// Starts the webhooks; gives how an install names them, and what they were asked.
pub async fn serve(server: &Server, namespaces: &[&str]) -> (Hooks, Asked) {
    let authority = kit::pki::Authority::new("installs-ca", Duration::from_secs(86_400)).unwrap();
    let leaf = kit::pki::Leaf {
        common_name: "webhook".into(),
        organizations: vec![],
        dns_names: namespaces.iter().map(|namespace| format!("webhook.{namespace}.svc")).collect(),
        addresses: vec![],
        usage: kit::pki::Usage::Server,
        valid: Duration::from_secs(86_400),
    };
    let serving = authority.issue(&leaf).unwrap();
    let certificates = kit::tls::Certificates::new();
    certificates.set_default(&serving.certificate_pem, &serving.key_pem).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Asked::default();
    let seen = asked.clone();
    let answers = ServiceFn(move |request: Request| {
        let seen = seen.clone();
        async move {
            let path = request.uri().path().to_owned();
            let body = kit::http::read(request.into_body(), REVIEW_BYTES_MAX).await.unwrap();
            let review: Value = serde_json::from_slice(&body).unwrap();
            *seen.lock().entry(path.clone()).or_default() += 1;
            kit::http::json(http::StatusCode::OK, &answer(&path, &review["request"]))
        }
    });
    let service: BoxService = Arc::new(answers);
    kit::serve::tls(listener, kit::tls::server(certificates).unwrap(), service, &server.tasks);
    let (near, far) = tokio::io::duplex(64 * 1024);
    let tunnels = server.api.tunnels().clone();
    server.tasks.spawn("tunnel", async move { tunnels.run(NODE, near).await });
    server.tasks.spawn("carry", async move {
        drop(kit::tunnel::carry(far, move |_| tokio::net::TcpStream::connect(("127.0.0.1", port))).await);
    });
    let tunnels = server.api.tunnels();
    tunnels.changed().wait_for(|_| !tunnels.nodes().is_empty()).await.unwrap();
    (Hooks { node: NODE.to_owned(), bundle: base64_of(authority.certificate_pem()) }, asked)
}

fn base64_of(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

fn answer(path: &str, request: &Value) -> Value {
    let uid = &request["uid"];
    if path == "/convert" {
        return json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview", "response": {
            "uid": uid, "result": {"status": "Success"}, "convertedObjects": converted(request)}});
    }
    let object = &request["object"];
    let mut response = json!({"uid": uid, "allowed": true});
    if path == "/mutate" && object["metadata"]["annotations"].get(SEEN).is_none() {
        let mut patch = vec![
            json!({"op": "add", "path": format!("/metadata/annotations/{}", SEEN.replace('/', "~1")), "value": "yes"}),
        ];
        if !object["metadata"]["annotations"].is_object() {
            patch.insert(0, json!({"op": "add", "path": "/metadata/annotations", "value": {}}));
        }
        response["patchType"] = json!("JSONPatch");
        response["patch"] = json!(base64_of(&Value::Array(patch).to_string()));
    }
    if path == "/validate" {
        response["allowed"] =
            json!(object["metadata"]["annotations"].get(SEEN).is_some_and(|seen| seen == "yes"));
        if object["metadata"]["labels"].get("installs.test/refused").is_some() {
            response["allowed"] = json!(false);
            response["status"] = json!({"code": 403, "message": "this one is refused"});
        }
    }
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
}

/// `spec.period` is there in the stored version only.
fn converted(request: &Value) -> Vec<Value> {
    let wanted = request["desiredAPIVersion"].as_str().unwrap();
    let stored = wanted.ends_with("/v1") || wanted.ends_with("/v2");
    let convert = |object: &Value| {
        let mut object = object.clone();
        object["apiVersion"] = json!(wanted);
        let spec = object["spec"].as_object_mut().unwrap();
        if stored {
            spec.insert("period".to_owned(), json!("converted"));
        } else {
            spec.remove("period");
        }
        object
    };
    request["objects"].as_array().unwrap().iter().map(convert).collect()
}
