//! Lists: pages, selectors, versions, tables, metadata.

use serde_json::json;

use crate::harness::{MAPS, PODS, map, pod, start};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_show_one_moment() {
    let server = start().await;
    for number in 0..5 {
        server.post(MAPS, map(&format!("m{number}"))).await.ok();
    }
    let first = server.get(&format!("{MAPS}?limit=2")).await.ok();
    assert_eq!(first["kind"], "ConfigMapList");
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    let version = first["metadata"]["resourceVersion"].clone();
    let mut names =
        vec![first["items"][0]["metadata"]["name"].clone(), first["items"][1]["metadata"]["name"].clone()];
    assert!(first["metadata"]["remainingItemCount"].as_i64().unwrap() >= 3);
    server.delete(&format!("{MAPS}/m3")).await.ok();
    server.post(MAPS, map("m9")).await.ok();
    let mut token = first["metadata"]["continue"].as_str().map(str::to_owned);
    while let Some(next) = token {
        let page = server.get(&format!("{MAPS}?limit=2&continue={next}")).await.ok();
        assert_eq!(page["metadata"]["resourceVersion"], version);
        names.extend(page["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].clone()));
        token = page["metadata"]["continue"].as_str().map(str::to_owned);
    }
    let names: Vec<&str> =
        names.iter().filter_map(|name| name.as_str()).filter(|name| name.starts_with('m')).collect();
    assert_eq!(names, ["m0", "m1", "m2", "m3", "m4"], "the deleted one is still there, the new one is not");
    server.get(&format!("{MAPS}?continue=nonsense")).await.refused(400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn selectors_choose() {
    let server = start().await;
    server.post(PODS, pod("a")).await.ok();
    let mut other = pod("b");
    other["metadata"]["labels"] = json!({"app": "db"});
    other["spec"]["nodeName"] = json!("n1");
    server.post(PODS, other).await.ok();
    let names = async |query: &str| {
        let list = server.get(&format!("/api/v1/pods?{query}")).await.ok();
        let items = list["items"].as_array().unwrap().clone();
        items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("labelSelector=app%3Dweb").await, ["a"]);
    assert_eq!(names("labelSelector=app%20in%20(web,db)").await, ["a", "b"]);
    assert_eq!(names("fieldSelector=spec.nodeName%3Dn1").await, ["b"]);
    assert_eq!(names("fieldSelector=spec.nodeName%3D,metadata.namespace%3Ddefault").await, ["a"]);
    assert_eq!(names("fieldSelector=metadata.name%3Db").await, ["b"]);
    server.get("/api/v1/pods?fieldSelector=spec.nonsense%3D1").await.refused(400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_and_metadata_are_made_on_demand() {
    let server = start().await;
    server.post(PODS, pod("a")).await.ok();
    let accept = ["accept: application/json;as=Table;v=v1;g=meta.k8s.io,application/json"];
    let table = server.send("GET", PODS, &accept, Vec::new()).await.ok();
    assert_eq!(table["kind"], "Table");
    assert!(table["metadata"]["resourceVersion"].is_string());
    let accept = ["accept: application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"];
    let list = server.send("GET", PODS, &accept, Vec::new()).await.ok();
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(list["items"][0]["kind"], "PartialObjectMetadata");
    assert_eq!(list["items"][0]["metadata"]["name"], "a");
    assert!(list["items"][0].get("spec").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_can_be_of_the_past_but_not_of_the_future() {
    let server = start().await;
    let made = server.post(MAPS, map("old")).await.ok();
    let version = made["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    server.delete(&format!("{MAPS}/old")).await.ok();
    let query = format!("{MAPS}?resourceVersion={version}&resourceVersionMatch=Exact");
    let past = server.get(&query).await.ok();
    assert!(past["items"].as_array().unwrap().iter().any(|item| item["metadata"]["name"] == "old"));
    let now =
        server.get(&format!("{MAPS}?resourceVersion={version}&resourceVersionMatch=NotOlderThan")).await.ok();
    assert!(now["items"].as_array().unwrap().iter().all(|item| item["metadata"]["name"] != "old"));
    let future = server.get(&format!("{MAPS}?resourceVersion=999999999")).await;
    assert_eq!(future.body["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
    future.refused(504);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_groups_show_the_same_events() {
    let server = start().await;
    let event = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e", "namespace": "default"},
        "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "test", "reportingInstance": "t-1", "action": "Test",
        "reason": "Tested", "note": "hello", "type": "Normal",
        "regarding": {"kind": "Pod", "namespace": "default", "name": "x", "apiVersion": "v1"},
    });
    server.post("/apis/events.k8s.io/v1/namespaces/default/events", event).await.ok();
    let old = server.get("/api/v1/namespaces/default/events/e").await.ok();
    assert_eq!((&old["message"], &old["involvedObject"]["name"]), (&json!("hello"), &json!("x")));
    let list = server.get("/apis/events.k8s.io/v1/namespaces/default/events").await.ok();
    assert_eq!(list["items"][0]["note"], "hello");
}

#[tokio::test]
async fn the_store_is_the_component_that_a_server_knows() {
    let server = start().await;
    const STATUSES: &str = "/api/v1/componentstatuses";
    let store = json!({"metadata": {"name": "etcd-0"}, "conditions": [{"type": "Healthy", "status": "True", "message": "ok"}]});
    let list = json!({"kind": "ComponentStatusList", "apiVersion": "v1", "metadata": {"resourceVersion": ""}, "items": [store]});
    assert_eq!(server.get(STATUSES).await.ok(), list);
    let mut one = store;
    one["kind"] = json!("ComponentStatus");
    one["apiVersion"] = json!("v1");
    assert_eq!(server.get(&format!("{STATUSES}/etcd-0")).await.ok(), one);
    let table = "accept: application/json;as=Table;v=v1;g=meta.k8s.io";
    let shown = server.send("GET", STATUSES, &[table], Vec::new()).await.ok();
    assert_eq!(shown["rows"][0]["cells"], json!(["etcd-0", "Healthy", "ok", ""]));
    let none = server.get(&format!("{STATUSES}?fieldSelector=metadata.name%3Dscheduler")).await.ok();
    assert_eq!(none["items"], json!([]));
    assert_eq!(
        server.get(&format!("{STATUSES}/scheduler")).await.refused(404),
        "componentstatuses \"scheduler\" not found"
    );
}
