use std::time::Duration;

use http::StatusCode;
use hyper_util::rt::TokioIo;
use kit::Tasks;
use kit::http::{BoxService, ServiceFn};
use kit::pki::{Authority, Leaf, Usage};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::target::container;
use super::*;
use crate::attributes::fake::Fake;
use crate::tunnel::Tunnels;

const DAY: Duration = Duration::from_secs(86_400);

/// A kubelet that says what it was asked, refuses logs of `waiting`, and echoes upgraded bytes.
async fn kubelet(mut request: Request) -> Response {
    let connection = request.extensions().get::<kit::http::Connection>().unwrap();
    if connection.client_certificates.is_empty() {
        return kit::http::status(StatusCode::UNAUTHORIZED);
    }
    let asked = request.uri().to_string();
    if asked.contains("waiting") {
        let why = "container \"waiting\" in pod \"p\" is waiting to start: ContainerCreating";
        return kit::http::bytes_response(StatusCode::BAD_REQUEST, "text/plain", why);
    }
    if asked.contains("simulated") {
        let why = "this node is simulated: nothing runs";
        return kit::http::bytes_response(StatusCode::NOT_IMPLEMENTED, "text/plain", why);
    }
    if request.headers().contains_key("upgrade") {
        let upgraded = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut stream = TokioIo::new(upgraded.await.unwrap());
            stream.write_all(asked.as_bytes()).await.unwrap();
            stream.write_all(b"\n").await.unwrap();
            let mut bytes = [0; 4];
            stream.read_exact(&mut bytes).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
            stream.shutdown().await.unwrap();
        });
        let mut response = kit::http::status(StatusCode::SWITCHING_PROTOCOLS);
        response.headers_mut().insert("connection", "Upgrade".parse().unwrap());
        response.headers_mut().insert("upgrade", request.headers()["upgrade"].clone());
        response.headers_mut().insert("x-stream-protocol-version", "v4.channel.k8s.io".parse().unwrap());
        return response;
    }
    let authorized = request.headers().contains_key("authorization");
    kit::http::bytes_response(StatusCode::OK, "text/plain", format!("{asked} {authorized}"))
}

struct World {
    streaming: Arc<Streaming>,
    tasks: Tasks,
}

fn pod(name: &str, containers: &[&str], extra: Value) -> Value {
    let containers: Vec<Value> = containers.iter().map(|name| json!({"name": name})).collect();
    let mut pod = json!({"metadata": {"name": name, "namespace": "a"},
        "spec": {"nodeName": "n1", "containers": containers}, "status": {"phase": "Running", "podIP": "10.244.0.9"}});
    for (field, value) in extra.as_object().into_iter().flatten() {
        pod["spec"][field] = value.clone();
    }
    pod
}

async fn world() -> World {
    let tasks = Tasks::new();
    let authority = Authority::new("ca", DAY).unwrap();
    let serving = authority
        .issue(&Leaf {
            common_name: "system:node:n1".into(),
            organizations: vec!["system:nodes".into()],
            dns_names: vec!["n1".into()],
            addresses: vec![],
            usage: Usage::Server,
            valid: DAY,
        })
        .unwrap();
    let certificates = kit::tls::Certificates::new();
    certificates.set_default(&serving.certificate_pem, &serving.key_pem).unwrap();
    let secure = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (kubelet_port, pod_port) = (secure.local_addr().unwrap().port(), plain.local_addr().unwrap().port());
    let service: BoxService = Arc::new(ServiceFn(kubelet));
    kit::serve::tls(secure, kit::tls::server(certificates).unwrap(), service, &tasks);
    let in_pod = |request: Request| async move {
        kit::http::bytes_response(StatusCode::OK, "text/plain", format!("pod {}", request.uri()))
    };
    kit::serve::plain(plain, Arc::new(ServiceFn(in_pod)), &tasks);

    let tunnels = Tunnels::new(&tasks);
    let (near, far) = tokio::io::duplex(64 * 1024);
    let runs = tunnels.clone();
    tasks.spawn("tunnel", async move { runs.run("n1", near).await });
    tasks.spawn("carry", async move {
        let dial = move |target: kit::tunnel::Target| async move {
            let port = if target.port == 10250 { kubelet_port } else { pod_port };
            TcpStream::connect(("127.0.0.1", port)).await
        };
        drop(kit::tunnel::carry(far, dial).await);
    });
    tunnels.changed().wait_for(|_| !tunnels.nodes().is_empty()).await.unwrap();

    let objects = Arc::new(Fake::default());
    objects.put("", "pods", pod("p", &["c"], json!({})));
    objects.put("", "pods", pod("two", &["a", "b"], json!({})));
    objects.put("", "pods", pod("w", &["waiting"], json!({})));
    objects.put("", "pods", pod("far", &["c"], json!({"nodeName": "n2"})));
    objects.put("", "pods", pod("new", &["c"], json!({"nodeName": ""})));
    objects.put("", "nodes", json!({"metadata": {"name": "n1"}}));
    objects.put(
        "",
        "services",
        json!({"metadata": {"name": "s", "namespace": "a"},
        "spec": {"ports": [{"name": "web", "port": 80}]}}),
    );
    objects.put(
        "discovery.k8s.io",
        "endpointslices",
        json!({
        "metadata": {"name": "s-1", "namespace": "a", "labels": {"kubernetes.io/service-name": "s"}},
        "ports": [{"name": "web", "port": 8080}],
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": false}},
            {"addresses": ["10.244.0.9"], "nodeName": "n1", "conditions": {"ready": true}}]}),
    );
    let kubelets = Arc::new(Kubelets::new(&authority, tunnels).unwrap());
    World { streaming: Arc::new(Streaming::new(objects, kubelets)), tasks }
}

impl World {
    async fn get(
        &self,
        connect: (&'static str, &'static str, &'static str, &'static str),
        query: &str,
    ) -> (u16, String) {
        let (resource, name, subresource, rest) = connect;
        let request = http::Request::get(format!("/x?{query}"))
            .header("authorization", "Bearer secret")
            .body(kit::http::empty())
            .unwrap();
        let connect = Connect { resource, subresource, namespace: "a", name, rest };
        let response = self.streaming.serve(connect, request).await;
        let code = response.status().as_u16();
        let body = kit::http::read(response.into_body(), 10_000).await.unwrap();
        let text = String::from_utf8_lossy(&body).into_owned();
        let status: Option<Value> = serde_json::from_str(&text).ok();
        (code, status.and_then(|status| Some(status["message"].as_str()?.to_owned())).unwrap_or(text))
    }

    async fn log(&self, pod: &'static str, query: &str) -> (u16, String) {
        self.get(("pods", pod, "log", ""), query).await
    }
}

#[tokio::test]
async fn logs_come_from_the_kubelet_and_refusals_read_as_upstreams() {
    let world = world().await;
    let table = [
        ("p", "", 200, "/containerLogs/a/p/c false"),
        (
            "p",
            "follow=true&tailLines=5&timestamps=true&previous=false",
            200,
            "/containerLogs/a/p/c?follow=true&timestamps=true&tailLines=5 false",
        ),
        (
            "p",
            "sinceTime=2026-01-01T00:00:00Z",
            200,
            "/containerLogs/a/p/c?sinceTime=2026%2D01%2D01T00%3A00%3A00Z false",
        ),
        ("p", "container=x", 400, "container x is not valid for pod p"),
        (
            "p",
            "tailLines=-1",
            422,
            "PodLogOptions \"p\" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0",
        ),
        ("two", "", 400, "a container name must be specified for pod two, choose one of: [a b]"),
        ("two", "container=b", 200, "/containerLogs/a/two/b false"),
        ("w", "", 400, "container \"waiting\" in pod \"p\" is waiting to start: ContainerCreating"),
        ("gone", "", 404, "pods \"gone\" not found"),
        (
            "far",
            "",
            500,
            "Internal error occurred: error dialing backend: node n2: failed to reach it: no tunnel to node \"n2\"",
        ),
        ("new", "", 200, ""),
    ];
    for (pod, query, code, text) in table {
        assert_eq!(world.log(pod, query).await, (code, text.to_owned()), "{pod}?{query}");
    }
}

#[tokio::test]
async fn proxies_reach_pods_services_and_kubelets() {
    let world = world().await;
    let table = [
        (("pods", "p:8080", "proxy", "/a/b"), 200, "pod /a/b?q=1"),
        (("services", "s", "proxy", "/"), 200, "pod /?q=1"),
        (("services", "s:web", "proxy", "/x"), 200, "pod /x?q=1"),
        (("services", "http:s:80", "proxy", "/x"), 200, "pod /x?q=1"),
        (("services", "s", "proxy", ""), 301, ""),
        (("services", "s:other", "proxy", ""), 503, "no service port \"other\" found for service \"s\""),
        (("services", "gone", "proxy", ""), 404, "services \"gone\" not found"),
        (("nodes", "n1", "proxy", "/stats/summary"), 200, "/stats/summary?q=1 false"),
        (("nodes", "n9", "proxy", "/"), 404, "nodes \"n9\" not found"),
    ];
    for (connect, code, text) in table {
        assert_eq!(world.get(connect, "q=1").await, (code, text.to_owned()), "{connect:?}");
    }
}

async fn upgraded(
    world: &World,
    subresource: &'static str,
    query: &str,
    headers: &[(&str, &str)],
) -> Result<String, (u16, String)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let streaming = world.streaming.clone();
    let service = ServiceFn(move |request: Request| {
        let streaming = streaming.clone();
        async move {
            let connect = Connect { resource: "pods", subresource, namespace: "a", name: "p", rest: "" };
            streaming.serve(connect, request).await
        }
    });
    kit::serve::plain(listener, Arc::new(service), &world.tasks);
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, kit::http::Body>(TokioIo::new(stream)).await.unwrap();
    world.tasks.spawn("client", async move { drop(connection.with_upgrades().await) });
    let mut request =
        http::Request::post(format!("/x?{query}")).header("host", "api").header("connection", "Upgrade");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = sender.send_request(request.body(kit::http::empty()).unwrap()).await.unwrap();
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let code = response.status().as_u16();
        let body = kit::http::read(kit::http::boxed(response.into_body()), 10_000).await.unwrap();
        return Err((
            code,
            serde_json::from_slice::<Value>(&body).unwrap()["message"].as_str().unwrap().to_owned(),
        ));
    }
    let mut stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    stream.write_all(b"ping").await.unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).await.unwrap();
    Ok(all)
}

#[tokio::test]
async fn exec_and_port_forward_are_passed_on_byte_for_byte() {
    let world = world().await;
    let spdy = [("upgrade", "SPDY/3.1")];
    let all = upgraded(&world, "exec", "command=sh&command=-c&stdin=true&stdout=true&tty=false", &spdy).await;
    assert_eq!(all.unwrap(), "/exec/a/p/c?input=1&output=1&command=sh&command=%2Dc\nping");
    let all = upgraded(&world, "portforward", "ports=80", &spdy).await;
    assert_eq!(all.unwrap(), "/portForward/a/p?port=80\nping");
    let old =
        [("upgrade", "websocket"), ("sec-websocket-protocol", "v4.base64.channel.k8s.io, v4.channel.k8s.io")];
    assert!(upgraded(&world, "exec", "command=sh&stdout=true", &old).await.is_ok());
    let unknown = [("upgrade", "websocket"), ("sec-websocket-protocol", "v9.channel.k8s.io")];
    let (code, _) = upgraded(&world, "exec", "command=sh&stdout=true", &unknown).await.unwrap_err();
    assert_eq!(code, 400, "kubectl falls back to SPDY");
    let none = upgraded(&world, "exec", "command=sh", &spdy).await.unwrap_err();
    assert!(none.1.contains("at least 1 of stdin, stdout, stderr"), "{none:?}");
    let (code, said) = upgraded(&world, "exec", "command=simulated&stdout=true", &spdy).await.unwrap_err();
    assert_eq!(
        (code, said.as_str()),
        (501, "this node is simulated: nothing runs"),
        "a refusal becomes a Status"
    );
    assert!(world.tasks.drain(Duration::from_secs(5)).await);
}

#[test]
fn the_container_that_is_meant() {
    let annotated = || {
        let mut pod = pod("x", &["a", "b"], json!({}));
        pod["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/default-container": "b"});
        pod
    };
    assert_eq!(container(&annotated(), None).unwrap(), "b");
    let with_init = pod("x", &["a"], json!({"initContainers": [{"name": "i"}]}));
    let error = container(&with_init, None).unwrap_err();
    assert_eq!(
        error.message,
        "a container name must be specified for pod x, choose one of: [a] or one of the init containers: [i]"
    );
    assert_eq!(container(&with_init, Some("i")).unwrap(), "i");
}
