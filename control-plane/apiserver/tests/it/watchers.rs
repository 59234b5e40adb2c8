//! Watches over real connections: the answer's head at once, no watcher left behind, a bookmark before the end.

use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;

use crate::front::Front;
use crate::harness::{MAPS, Server, map, start};

async fn watches(server: &Server) -> u64 {
    let metrics = server.get("/metrics").await;
    let text = String::from_utf8_lossy(&metrics.bytes).into_owned();
    let of = |line: &&str| {
        line.starts_with("apiserver_longrunning_requests{")
            && line.contains("resource=\"configmaps\"")
            && line.contains("verb=\"WATCH\"")
    };
    let counts = text.lines().filter(of).filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    counts.sum()
}

/// Looks again whenever the server has done something else, until the number of watches is this.
async fn until(server: &Server, count: u64) {
    let reached = async {
        while watches(server).await != count {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reached).await.expect("the watch is freed");
}

fn request(path: &str) -> http::Request<Empty<bytes::Bytes>> {
    http::Request::get(format!("https://cluster.test{path}"))
        .header("host", "cluster.test")
        .body(Empty::new())
        .unwrap()
}

/// The next line of a stream.
async fn line(body: &mut Incoming) -> Value {
    let frame = tokio::time::timeout(Duration::from_secs(20), body.frame()).await.unwrap().unwrap().unwrap();
    serde_json::from_slice(frame.into_data().unwrap().split(|byte| *byte == b'\n').next().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http_1_client_that_goes_leaves_no_watch() {
    let front = Front::start().await;
    let io = TokioIo::new(front.connect("http/1.1").await);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    let connection = tokio::spawn(connection);
    // Nothing happens, and the head of the answer comes all the same.
    let query = format!("{MAPS}?watch=true&resourceVersion=0&fieldSelector=metadata.name%3Dx");
    let response = tokio::time::timeout(Duration::from_secs(20), sender.send_request(request(&query)))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((response.status().as_u16(), watches(&front.server).await), (200, 1));
    let mut body = response.into_body();
    front.server.post(MAPS, map("x")).await.ok();
    assert_eq!(line(&mut body).await["type"], "ADDED", "each event is sent when it happens");
    connection.abort();
    drop((sender, body));
    until(&front.server, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_reset_leaves_no_watch_and_the_others_go_on() {
    let front = Front::start().await;
    let io = TokioIo::new(front.connect("h2").await);
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let connection = tokio::spawn(connection);
    let path = format!("{MAPS}?watch=true");
    let mut bodies = Vec::new();
    // More than the hundred streams that small servers stop at.
    for _ in 0..300 {
        let response = sender.clone().send_request(request(&path)).await.unwrap();
        assert_eq!(response.status(), 200);
        bodies.push(response.into_body());
    }
    assert_eq!(watches(&front.server).await, 300);
    bodies.truncate(2);
    until(&front.server, 2).await;
    front.server.post(MAPS, map("x")).await.ok();
    for body in &mut bodies {
        assert_eq!(line(body).await["object"]["metadata"]["name"], "x");
    }
    drop(bodies);
    until(&front.server, 0).await;
    connection.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_says_where_it_stands_before_it_ends() {
    let server = start().await;
    server.post(MAPS, map("x")).await.ok();
    let path = format!("{MAPS}?watch=true&allowWatchBookmarks=true&timeoutSeconds=3&labelSelector=none");
    let before = server.get(MAPS).await.ok()["metadata"]["resourceVersion"].clone();
    let answer = server.get(&path).await;
    let now = server.get(MAPS).await.ok()["metadata"]["resourceVersion"].clone();
    let events: Vec<Value> = answer
        .bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    let [bookmark] = events.as_slice() else { panic!("{events:?}") };
    let version = |value: &Value| value.as_str().unwrap().parse::<u64>().unwrap();
    let stands = version(&bookmark["object"]["metadata"]["resourceVersion"]);
    assert!((version(&before)..=version(&now)).contains(&stands), "{before} {bookmark} {now}");
    let wanted = serde_json::json!({"type": "BOOKMARK", "object": {"kind": "ConfigMap", "apiVersion": "v1",
        "metadata": {"resourceVersion": stands.to_string()}}});
    assert_eq!(bookmark, &wanted);
}
