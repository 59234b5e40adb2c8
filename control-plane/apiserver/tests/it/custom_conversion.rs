//! Several versions of a custom kind, converted by name or by a webhook.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use http_body_util::BodyExt;
use kit::http::{BoxService, Request, ServiceFn};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::custom_definitions::{DEFINITIONS, definition};
use crate::harness::{Server, start};

const GROUP: &str = "conv.example.com";

fn path(version: &str) -> String {
    format!("/apis/{GROUP}/{version}/namespaces/default/boxes")
}

/// `v1` has `spec.size`, `v2` has `spec.width`; `v1` is stored.
fn two_versions() -> Value {
    let schema = |field: &str| {
        json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "properties": {
            field: {"type": "integer"}, "color": {"type": "string", "default": "red"},
        }}}}})
    };
    let mut made = definition(GROUP, "boxes", "Box", json!({"type": "object"}));
    made["spec"]["versions"] = json!([
        {"name": "v1", "served": true, "storage": true, "schema": schema("size")},
        {"name": "v2", "served": true, "storage": false, "schema": schema("width")},
    ]);
    made
}

fn boxed(version: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": format!("{GROUP}/{version}"), "kind": "Box", "metadata": {"name": name}, "spec": spec})
}

pub type Asked = Arc<Mutex<Vec<Value>>>;

/// A webhook on a loopback port that renames the field, with the bundle that trusts it.
async fn webhook(server: &Server) -> (u16, String, Asked) {
    listen(server, answer).await
}

/// A webhook on a loopback port, with the bundle that trusts it and what it was asked.
pub async fn listen(server: &Server, answer: fn(&Value) -> Value) -> (u16, String, Asked) {
    let authority = kit::pki::Authority::new("hook-ca", Duration::from_secs(86_400)).unwrap();
    let leaf = kit::pki::Leaf {
        common_name: "hook".into(),
        organizations: vec![],
        dns_names: vec!["localhost".into()],
        addresses: vec![],
        usage: kit::pki::Usage::Server,
        valid: Duration::from_secs(86_400),
    };
    let serving = authority.issue(&leaf).unwrap();
    let certificates = kit::tls::Certificates::new();
    certificates.set_default(&serving.certificate_pem, &serving.key_pem).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked: Asked = Arc::default();
    let seen = asked.clone();
    let answers = ServiceFn(move |request: Request| {
        let seen = seen.clone();
        async move {
            let body = kit::http::read(request.into_body(), 1_000_000).await.unwrap();
            let review: Value = serde_json::from_slice(&body).unwrap();
            seen.lock().push(review["request"].clone());
            kit::http::json(http::StatusCode::OK, &answer(&review))
        }
    });
    let service: BoxService = Arc::new(answers);
    kit::serve::tls(listener, kit::tls::server(certificates).unwrap(), service, &server.tasks);
    (port, base64::engine::general_purpose::STANDARD.encode(authority.certificate_pem()), asked)
}

fn answer(review: &Value) -> Value {
    let to = review["request"]["desiredAPIVersion"].as_str().unwrap();
    let (from, into) = if to.ends_with("v2") { ("size", "width") } else { ("width", "size") };
    let objects = review["request"]["objects"].as_array().unwrap();
    let refused = objects.iter().any(|one| one["spec"]["color"] == "bad");
    let converted: Vec<Value> = objects
        .iter()
        .map(|one| {
            let mut one = one.clone();
            one["apiVersion"] = json!(to);
            if let Some(value) = one["spec"].as_object_mut().and_then(|spec| spec.remove(from)) {
                one["spec"][into] = value;
            }
            if one["spec"]["color"] == "thief" {
                one["metadata"]["name"] = json!("stolen");
            }
            one
        })
        .collect();
    let result = if refused {
        json!({"status": "Failure", "message": "no bad boxes"})
    } else {
        json!({"status": "Success"})
    };
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview",
        "response": {"uid": review["request"]["uid"], "result": result, "convertedObjects": converted}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_converts_between_versions() {
    let server = start().await;
    let (port, bundle, asked) = webhook(&server).await;
    let mut made = two_versions();
    made["spec"]["conversion"] = json!({"strategy": "Webhook", "webhook": {
        "clientConfig": {"url": format!("https://localhost:{port}/convert"), "caBundle": bundle}, "conversionReviewVersions": ["v1"]}});
    server.post(DEFINITIONS, made).await.ok();

    let one = server.post(&path("v2"), boxed("v2", "a", json!({"width": 3}))).await.ok();
    assert_eq!(one["spec"], json!({"width": 3, "color": "red"}));
    assert_eq!(asked.lock().len(), 1, "once, for storing it");
    let stored = server.get(&format!("{}/a", path("v1"))).await.ok();
    assert_eq!(
        (&stored["apiVersion"], &stored["spec"]),
        (&json!("conv.example.com/v1"), &json!({"size": 3, "color": "red"}))
    );
    assert_eq!(asked.lock().len(), 1, "it is stored so");
    for name in ["b", "c"] {
        server.post(&path("v1"), boxed("v1", name, json!({"size": 1}))).await.ok();
    }
    asked.lock().clear();
    let list = server.get(&path("v2")).await.ok();
    let widths: Vec<&Value> =
        list["items"].as_array().unwrap().iter().map(|one| &one["spec"]["width"]).collect();
    assert_eq!(widths, [3, 1, 1]);
    assert_eq!(asked.lock().len(), 1, "a list is converted in one go");
    assert_eq!(asked.lock()[0]["objects"].as_array().map(Vec::len), Some(3));
    let changed =
        server.patch("merge", &format!("{}/b", path("v2")), json!({"spec": {"width": 9}})).await.ok();
    assert_eq!(changed["spec"]["width"], 9);
    assert_eq!(server.get(&format!("{}/b", path("v1"))).await.ok()["spec"]["size"], 9);

    server.post(&path("v1"), boxed("v1", "thief", json!({"color": "thief"}))).await.ok();
    let said = server.get(&format!("{}/thief", path("v2"))).await.refused(500);
    assert_eq!(
        said,
        "conversion webhook for conv.example.com/v1, Kind=Box returned invalid converted object at index 0: must have the same name: thief != stolen"
    );
    server.delete(&format!("{}/thief", path("v1"))).await.ok();
    server.post(&path("v1"), boxed("v1", "bad", json!({"color": "bad"}))).await.ok();
    let said = server.get(&path("v2")).await.refused(500);
    assert_eq!(said, "conversion webhook for conv.example.com/v1, Kind=Box failed: no bad boxes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_shows_its_version_and_ends_when_the_definition_changes() {
    let server = start().await;
    let (port, bundle, _) = webhook(&server).await;
    let mut made = two_versions();
    made["spec"]["conversion"] = json!({"strategy": "Webhook", "webhook": {
        "clientConfig": {"url": format!("https://localhost:{port}/convert"), "caBundle": bundle}, "conversionReviewVersions": ["v1"]}});
    server.post(DEFINITIONS, made).await.ok();
    server.post(&path("v1"), boxed("v1", "a", json!({"size": 3}))).await.ok();
    let watch =
        http::Request::get(format!("{}?watch=true", path("v2"))).body(kube::client::Body::empty()).unwrap();
    let mut events = server.client().send(watch).await.unwrap().into_body();
    let frame =
        tokio::time::timeout(Duration::from_secs(20), events.frame()).await.unwrap().unwrap().unwrap();
    let event: Value = serde_json::from_slice(frame.data_ref().unwrap()).unwrap();
    assert_eq!((&event["type"], &event["object"]["spec"]["width"]), (&json!("ADDED"), &json!(3)));
    let gone = json!([{"op": "replace", "path": "/spec/versions/1/served", "value": false}]);
    server.patch("json", &format!("{DEFINITIONS}/boxes.{GROUP}"), gone).await.ok();
    let ended = async { while let Some(Ok(_)) = events.frame().await {} };
    tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap();
    assert_eq!(server.get(&path("v2")).await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_of_an_older_definition_are_shown_as_it_is_now() {
    let server = start().await;
    let mut made = two_versions();
    server.post(DEFINITIONS, made.clone()).await.ok();
    server.post(&path("v1"), boxed("v1", "a", json!({"size": 3}))).await.ok();
    let two = server.get(&format!("{}/a", path("v2"))).await.ok();
    assert_eq!(two["spec"], json!({"color": "red"}), "what the other version does not know is not shown");

    // The other version is stored from now on, the field has another default, and one is gone.
    made["spec"]["versions"][0]["storage"] = json!(false);
    made["spec"]["versions"][1]["storage"] = json!(true);
    made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"] =
        json!({"color": {"type": "string"}, "made": {"type": "string", "default": "before"}});
    let patch = json!({"spec": {"versions": made["spec"]["versions"]}});
    let changed = server.patch("merge", &format!("{DEFINITIONS}/boxes.{GROUP}"), patch).await.ok();
    assert_eq!(changed["status"]["storedVersions"], json!(["v1", "v2"]));
    let one = server.get(&format!("{}/a", path("v1"))).await.ok();
    assert_eq!(one["spec"], json!({"color": "red", "made": "before"}));
    let list = server.get(&path("v1")).await.ok();
    assert_eq!(list["items"][0]["spec"]["made"], "before");

    let without = json!([{"op": "remove", "path": "/spec/versions/0"}]);
    let said = server.patch("json", &format!("{DEFINITIONS}/boxes.{GROUP}"), without).await.refused(422);
    assert!(said.contains("status.storedVersions[0]: Invalid value: \"v1\": missing from spec.versions; v1 was previously a storage version"), "{said}");
}
