//! Watches: from where, what is seen, how they end.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};

use crate::harness::{MAPS, PODS, Server, map, pod, start, start_with};

/// A watch's events, one by one.
struct Events {
    body: Body,
    rest: Vec<u8>,
}

impl Events {
    async fn of(server: &Server, path: &str) -> Self {
        let request = http::Request::get(path).body(Body::empty()).unwrap();
        let response = server.client().send(request).await.unwrap();
        assert_eq!(response.status(), 200);
        Self { body: response.into_body(), rest: Vec::new() }
    }

    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = tokio::time::timeout(Duration::from_secs(10), self.body.frame()).await.unwrap()?;
            let bytes: Bytes = frame.unwrap().into_data().unwrap();
            self.rest.extend_from_slice(&bytes);
        }
    }

    async fn expect(&mut self, kind: &str, name: &str) -> Value {
        let event = self.next().await.unwrap();
        assert_eq!(
            (&event["type"], &event["object"]["metadata"]["name"]),
            (&json!(kind), &json!(name)),
            "{event}"
        );
        event
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_sees_every_change_after_its_version() {
    let server = start().await;
    let list = server.get(MAPS).await.ok();
    let version = list["metadata"]["resourceVersion"].as_str().unwrap();
    server.post(MAPS, map("before")).await.ok();
    let mut events = Events::of(&server, &format!("{MAPS}?watch=true&resourceVersion={version}")).await;
    events.expect("ADDED", "before").await;
    let made = server.post(MAPS, map("x")).await.ok();
    events.expect("ADDED", "x").await;
    server.patch("merge", &format!("{MAPS}/x"), json!({"data": {"b": "2"}})).await.ok();
    events.expect("MODIFIED", "x").await;
    server.delete(&format!("{MAPS}/x")).await.ok();
    let gone = events.expect("DELETED", "x").await;
    assert_ne!(gone["object"]["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);
    assert_eq!(gone["object"]["data"]["b"], "2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaving_a_selector_looks_like_a_deletion() {
    let server = start().await;
    let mut events = Events::of(&server, &format!("{PODS}?watch=true&labelSelector=app%3Dweb")).await;
    server.post(PODS, pod("p")).await.ok();
    events.expect("ADDED", "p").await;
    let path = format!("{PODS}/p");
    server.patch("merge", &path, json!({"metadata": {"labels": {"app": "db"}}})).await.ok();
    let left = events.expect("DELETED", "p").await;
    assert_eq!(left["object"]["metadata"]["labels"]["app"], "web", "as it was when it still matched");
    server.patch("merge", &path, json!({"metadata": {"labels": {"app": "web"}}})).await.ok();
    events.expect("ADDED", "p").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn initial_events_end_with_a_mark() {
    let server = start().await;
    server.post(PODS, pod("a")).await.ok();
    server.post(PODS, pod("b")).await.ok();
    let query =
        "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut events = Events::of(&server, &format!("{PODS}?{query}")).await;
    events.expect("ADDED", "a").await;
    events.expect("ADDED", "b").await;
    let mark = events.next().await.unwrap();
    assert_eq!(mark["type"], "BOOKMARK");
    assert_eq!(mark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!(mark["object"]["kind"], "Pod");
    server.post(PODS, pod("c")).await.ok();
    events.expect("ADDED", "c").await;
    let empty = format!("/api/v1/namespaces/kube-public/pods?{query}");
    let mut events = Events::of(&server, &empty).await;
    assert_eq!(events.next().await.unwrap()["type"], "BOOKMARK");
    server.get(&format!("{PODS}?watch=true&sendInitialEvents=true")).await.refused(422);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_version_is_expired() {
    let tasks = kit::Tasks::new();
    let store = store::Embedded::memory(store::Options::default(), &tasks);
    let first = start_with(store.clone(), tasks.child()).await;
    first.post(MAPS, map("x")).await.ok();
    drop(first);
    // A server that was started again knows no changes from before.
    let server = start_with(store, tasks).await;
    let mut events = Events::of(&server, &format!("{MAPS}?watch=true&resourceVersion=1")).await;
    let event = events.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)));
    assert_eq!(event["object"]["reason"], "Expired");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_ends_in_time() {
    let server = start().await;
    let path = "/api/v1/namespaces/kube-public/pods?watch=true&timeoutSeconds=1";
    let mut events = Events::of(&server, path).await;
    assert_eq!(events.next().await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_watch_is_gone_at_once() {
    let server = start().await;
    let watches = async || {
        let metrics = server.get("/metrics").await;
        String::from_utf8_lossy(&metrics.bytes).contains("resource=\"pods\",verb=\"WATCH\"")
    };
    let events = Events::of(&server, &format!("{PODS}?watch=true")).await;
    assert!(watches().await);
    drop(events);
    assert!(!watches().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_and_metadata_can_be_watched() {
    let server = start().await;
    server.post(PODS, pod("a")).await.ok();
    let request = http::Request::get(format!("{PODS}?watch=true"))
        .header("accept", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io")
        .body(Body::empty())
        .unwrap();
    let response = server.client().send(request).await.unwrap();
    let mut events = Events { body: response.into_body(), rest: Vec::new() };
    let event = events.expect("ADDED", "a").await;
    assert_eq!(event["object"]["kind"], "PartialObjectMetadata");
    assert!(event["object"].get("spec").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kube_informers_follow() {
    use futures::StreamExt;
    use k8s_openapi::api::core::v1::ConfigMap;
    let server = start().await;
    let maps: kube::Api<ConfigMap> = kube::Api::namespaced(server.client(), "default");
    let config = kube::runtime::watcher::Config::default().streaming_lists();
    let mut stream = std::pin::pin!(kube::runtime::watcher(maps, config));
    server.post(MAPS, map("seen")).await.ok();
    let seen = async {
        while let Some(event) = stream.next().await {
            match event.unwrap() {
                kube::runtime::watcher::Event::Apply(map) | kube::runtime::watcher::Event::InitApply(map)
                    if map.metadata.name.as_deref() == Some("seen") =>
                {
                    return;
                }
                _ => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), seen).await.unwrap();
}
