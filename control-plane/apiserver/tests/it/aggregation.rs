//! The aggregation layer: an extension API server behind a Service, reached through a node's tunnel.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use kit::http::{BoxService, Request, ServiceFn};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::harness::{Server, start};

pub const SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const OURS: &str = "/apis/apiregistration.k8s.io/v1/apiservices/v1.ext.example.com";
const THINGS: &str = "/apis/ext.example.com/v1/namespaces/default/things";
pub const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";

pub type Seen = Arc<Mutex<Vec<(String, http::HeaderMap, usize)>>>;

fn answer(path: &str) -> Option<Value> {
    let thing = |name: &str| json!({"apiVersion": "ext.example.com/v1", "kind": "Thing", "metadata": {"name": name, "namespace": "default"}});
    Some(match path {
        "/apis" => json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": []}),
        "/apis/ext.example.com/v1" => {
            json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "ext.example.com/v1", "resources": [
            {"name": "things", "singularName": "thing", "namespaced": true, "kind": "Thing", "verbs": ["get", "list", "watch"], "shortNames": ["th"]},
            {"name": "things/status", "singularName": "", "namespaced": true, "kind": "Thing", "verbs": ["get"]}]})
        }
        THINGS => {
            json!({"kind": "ThingList", "apiVersion": "ext.example.com/v1", "metadata": {}, "items": [thing("one")]})
        }
        "/openapi/v3" => {
            json!({"paths": {"apis/ext.example.com/v1": {"serverRelativeURL": "/openapi/v3/apis/ext.example.com/v1?hash=A"}}})
        }
        "/openapi/v3/apis/ext.example.com/v1" => json!({"openapi": "3.0.0", "info": {"title": "ext"}}),
        _ => return None,
    })
}

/// A line at once, and another when the test says so.
fn stream(seen: Seen) -> kit::http::Response {
    let second = async move {
        while !seen.lock().iter().any(|(uri, ..)| uri == "go") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok::<_, std::convert::Infallible>(http_body::Frame::data(bytes::Bytes::from_static(b"second\n")))
    };
    let first = futures::future::ready(Ok(http_body::Frame::data(bytes::Bytes::from_static(b"first\n"))));
    let frames = futures::StreamExt::chain(futures::stream::once(first), futures::stream::once(second));
    http::Response::new(kit::http::boxed(http_body_util::StreamBody::new(frames)))
}

/// The extension on a loopback listener; gives its CA's bundle.
async fn extension(server: &Server, seen: &Seen) -> String {
    extension_with(server, seen, answer).await
}

/// The same with other answers.
pub async fn extension_with(server: &Server, seen: &Seen, answer: fn(&str) -> Option<Value>) -> String {
    let authority = kit::pki::Authority::new("ext-ca", Duration::from_secs(3600)).unwrap();
    let leaf = kit::pki::Leaf {
        common_name: "ext".into(),
        organizations: vec![],
        dns_names: vec!["ext.default.svc".into()],
        addresses: vec![],
        usage: kit::pki::Usage::Server,
        valid: Duration::from_secs(3600),
    };
    let serving = authority.issue(&leaf).unwrap();
    let certificates = kit::tls::Certificates::new();
    certificates.set_default(&serving.certificate_pem, &serving.key_pem).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = seen.clone();
    let answers = ServiceFn(move |request: Request| {
        let seen = seen.clone();
        async move {
            let shown = request
                .extensions()
                .get::<kit::http::Connection>()
                .map_or(0, |one| one.client_certificates.len());
            let path = request.uri().path().to_owned();
            if request.uri().query() == Some("watch=true") {
                return stream(seen);
            }
            seen.lock().push((request.uri().to_string(), request.headers().clone(), shown));
            match answer(&path) {
                Some(value) => kit::http::json(http::StatusCode::OK, &value),
                None => kit::http::json(http::StatusCode::NOT_FOUND, &json!({"kind": "Status", "code": 404})),
            }
        }
    });
    let service: BoxService = Arc::new(answers);
    kit::serve::tls(listener, kit::tls::server(certificates).unwrap(), service, &server.tasks);
    let (near, far) = tokio::io::duplex(64 * 1024);
    let tunnels = server.api.tunnels().clone();
    server.tasks.spawn("tunnel", async move { tunnels.run("n1", near).await });
    server.tasks.spawn("carry", async move {
        drop(kit::tunnel::carry(far, move |_| tokio::net::TcpStream::connect(("127.0.0.1", port))).await);
    });
    let tunnels = server.api.tunnels();
    tunnels.changed().wait_for(|_| !tunnels.nodes().is_empty()).await.unwrap();
    base64::engine::general_purpose::STANDARD.encode(authority.certificate_pem())
}

/// Waits until the condition `Available` has this reason.
pub async fn until(server: &Server, name: &str, reason: &str) -> Value {
    let look = async {
        loop {
            let found = server.get(&format!("{SERVICES}/{name}")).await;
            let condition = &found.body["status"]["conditions"][0];
            if condition["reason"] == reason {
                return condition.clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), look)
        .await
        .unwrap_or_else(|_| panic!("{name} never became {reason}"))
}

#[tokio::test]
async fn an_extension_server_answers_for_its_group() {
    let server = start().await;
    let seen = Seen::default();
    let bundle = extension(&server, &seen).await;
    let service = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1.ext.example.com"},
        "spec": {"group": "ext.example.com", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100, "caBundle": bundle,
            "service": {"namespace": "default", "name": "ext"}}});
    server.post(SERVICES, service).await.ok();
    let condition = until(&server, "v1.ext.example.com", "ServiceNotFound").await;
    assert_eq!(
        (&condition["status"], &condition["message"]),
        (&json!("False"), &json!("service/ext in \"default\" is not present"))
    );
    let away = server.get(THINGS).await;
    assert_eq!((away.status, &away.bytes[..]), (503, &b"service unavailable\n"[..]));

    let ports = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "ext"}, "spec": {"ports": [{"port": 443}]}});
    server.post("/api/v1/namespaces/default/services", ports).await.ok();
    until(&server, "v1.ext.example.com", "EndpointsNotFound").await;
    let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "ext-1", "labels": {"kubernetes.io/service-name": "ext"}},
        "ports": [{"name": "", "port": 8443}], "endpoints": [{"addresses": ["10.244.0.7"], "nodeName": "n1"}]});
    server.post(SLICES, slice).await.ok();
    let condition = until(&server, "v1.ext.example.com", "Passed").await;
    assert_eq!((&condition["status"], &condition["message"]), (&json!("True"), &json!("all checks passed")));

    let list = server
        .send(
            "GET",
            &format!("{THINGS}?limit=5"),
            &["x-remote-user: root", "authorization: Bearer x"],
            Vec::new(),
        )
        .await
        .ok();
    assert_eq!(list["items"][0]["metadata"]["name"], "one");
    let (uri, headers, certificates) = seen.lock().last().cloned().unwrap();
    assert_eq!((uri.as_str(), certificates), (&*format!("{THINGS}?limit=5"), 1));
    assert_eq!(headers["x-remote-user"], "admin");
    assert!(headers.get_all("x-remote-group").iter().any(|group| group == "system:masters"));
    assert!(!headers.contains_key("authorization"));
    assert_eq!(server.get("/apis/ext.example.com/v1/none").await.status, 404);

    // It is told with the others.
    let groups = server.get("/apis").await.ok();
    let names: Vec<&str> =
        groups["groups"].as_array().unwrap().iter().map(|group| group["name"].as_str().unwrap()).collect();
    assert_eq!(names.last(), Some(&"ext.example.com"));
    let plain = server.get("/apis/ext.example.com/v1").await.ok();
    assert_eq!(plain["resources"][0]["name"], "things");
    let aggregated = async || {
        let accept = "accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        let all = server.send("GET", "/apis", &[accept], Vec::new()).await.ok();
        let items = all["items"].as_array().unwrap().clone();
        items.into_iter().find(|one| one["metadata"]["name"] == "ext.example.com").unwrap()["versions"][0]
            .clone()
    };
    let version = aggregated().await;
    assert_eq!(
        (&version["freshness"], &version["resources"][0]["resource"]),
        (&json!("Current"), &json!("things"))
    );
    assert_eq!(version["resources"][0]["subresources"][0]["subresource"], "status");
    let index = server.get("/openapi/v3").await.ok();
    assert!(index["paths"]["apis/ext.example.com/v1"].is_object());
    assert_eq!(server.get("/openapi/v3/apis/ext.example.com/v1").await.ok()["info"]["title"], "ext");

    // And goes with its endpoints.
    server.delete(&format!("{SLICES}/ext-1")).await.ok();
    until(&server, "v1.ext.example.com", "EndpointsNotFound").await;
    assert_eq!(aggregated().await["freshness"], "Stale");
    assert_eq!(server.get(THINGS).await.status, 503);
    server.delete(OURS).await.ok();
    assert_eq!(server.get(THINGS).await.status, 404);
}

#[tokio::test]
async fn every_group_version_served_here_is_registered() {
    let server = start().await;
    let all = server.get(SERVICES).await.ok();
    let names: Vec<&str> = all["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["metadata"]["name"].as_str().unwrap())
        .collect();
    for name in ["v1.", "v1.apps", "v2.autoscaling", "v1.autoscaling", "v1.rbac.authorization.k8s.io"] {
        assert!(names.contains(&name), "{name}");
    }
    assert!(!names.contains(&"v1.apiregistration.k8s.io"));
    let core = server.get(&format!("{SERVICES}/v1.")).await.ok();
    assert_eq!(core["metadata"]["labels"]["kube-aggregator.kubernetes.io/automanaged"], "onstart");
    assert_eq!(
        (&core["spec"]["groupPriorityMinimum"], &core["spec"]["versionPriority"]),
        (&json!(18000), &json!(1))
    );
    let condition = &core["status"]["conditions"][0];
    assert_eq!(
        (&condition["reason"], &condition["message"]),
        (&json!("Local"), &json!("Local APIServices are always available"))
    );

    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}});
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    server.post(definitions, definition).await.ok();
    until(&server, "v1.example.com", "Local").await;
    let ours = server.get(&format!("{SERVICES}/v1.example.com")).await.ok();
    assert_eq!(ours["metadata"]["labels"]["kube-aggregator.kubernetes.io/automanaged"], "true");
    server.delete(&format!("{definitions}/widgets.example.com")).await.ok();
    let gone = async {
        while server.get(&format!("{SERVICES}/v1.example.com")).await.status != 404 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone).await.unwrap();
}

#[tokio::test]
async fn watches_stream_through_and_strangers_are_not_trusted() {
    use http_body_util::BodyExt as _;

    let server = start().await;
    let seen = Seen::default();
    let bundle = extension(&server, &seen).await;
    let other = kit::pki::Authority::new("other", Duration::from_secs(3600)).unwrap();
    let other = base64::engine::general_purpose::STANDARD.encode(other.certificate_pem());
    let service = |bundle: &str| {
        json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1.ext.example.com"},
            "spec": {"group": "ext.example.com", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100, "caBundle": bundle,
                "service": {"namespace": "default", "name": "ext"}}})
    };
    let ports = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "ext"}, "spec": {"ports": [{"port": 443}]}});
    server.post("/api/v1/namespaces/default/services", ports).await.ok();
    let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "ext-1", "labels": {"kubernetes.io/service-name": "ext"}},
        "ports": [{"name": "", "port": 8443}], "endpoints": [{"addresses": ["10.244.0.7"], "nodeName": "n1"}]});
    server.post(SLICES, slice).await.ok();
    server.post(SERVICES, service(&other)).await.ok();
    let condition = until(&server, "v1.ext.example.com", "FailedDiscoveryCheck").await;
    let message = condition["message"].as_str().unwrap();
    assert!(message.starts_with("failing or missing response from https://10.0."), "{message}");
    let trusted = json!({"spec": {"caBundle": bundle}});
    server.patch("merge", OURS, trusted).await.ok();
    until(&server, "v1.ext.example.com", "Passed").await;

    let request =
        http::Request::get(format!("{THINGS}?watch=true")).body(kube::client::Body::empty()).unwrap();
    let mut response = server.client().send(request).await.unwrap();
    let mut event = async || {
        let frame = tokio::time::timeout(Duration::from_secs(10), response.body_mut().frame()).await.unwrap();
        frame.unwrap().unwrap().into_data().unwrap()
    };
    assert_eq!(&event().await[..], b"first\n");
    // The second is sent only when the first has arrived.
    seen.lock().push(("go".to_owned(), http::HeaderMap::new(), 0));
    assert_eq!(&event().await[..], b"second\n");
}
