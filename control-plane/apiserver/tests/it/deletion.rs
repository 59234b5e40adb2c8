//! How objects go.

use serde_json::json;

use crate::harness::{MAPS, PODS, map, pod, start};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_pod_is_given_time_and_its_kubelet_has_the_last_word() {
    let server = start().await;
    let mut running = pod("p");
    running["spec"]["nodeName"] = json!("n1");
    let made = server.post(PODS, running).await.ok();
    let path = format!("{PODS}/p");
    let marked = server.delete(&path).await.ok();
    assert_eq!(marked["kind"], "Pod");
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 30);
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    let shorter = server.delete(&format!("{path}?gracePeriodSeconds=5")).await.ok();
    assert_eq!(shorter["metadata"]["deletionGracePeriodSeconds"], 5);
    let longer = server.delete(&format!("{path}?gracePeriodSeconds=60")).await.ok();
    assert_eq!(longer["metadata"]["deletionGracePeriodSeconds"], 5);
    let last = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": made["metadata"]["uid"]}});
    let body = last.to_string().into_bytes();
    server.send("DELETE", &path, &["content-type: application/json"], body).await.ok();
    server.get(&path).await.refused(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_nobody_runs_goes_at_once() {
    let server = start().await;
    server.post(PODS, pod("p")).await.ok();
    server.delete(&format!("{PODS}/p")).await.ok();
    server.get(&format!("{PODS}/p")).await.refused(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preconditions_are_checked() {
    let server = start().await;
    server.post(MAPS, map("x")).await.ok();
    let body = json!({"preconditions": {"uid": "another"}}).to_string().into_bytes();
    let path = format!("{MAPS}/x");
    let refused = server.send("DELETE", &path, &["content-type: application/json"], body).await.refused(409);
    assert!(
        refused.contains("Precondition failed: UID in precondition: another, UID in object meta:"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finalizers_hold_an_object() {
    let server = start().await;
    let mut held = map("held");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    server.post(MAPS, held).await.ok();
    let path = format!("{MAPS}/held");
    let marked = server.delete(&path).await.ok();
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    server.get(&path).await.ok();
    server.patch("json", &path, json!([{"op": "remove", "path": "/metadata/finalizers"}])).await.ok();
    server.get(&path).await.refused(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn propagation_becomes_a_finalizer() {
    let server = start().await;
    server.post(MAPS, map("owner")).await.ok();
    let path = format!("{MAPS}/owner");
    let marked = server.delete(&format!("{path}?propagationPolicy=Foreground")).await.ok();
    assert_eq!(marked["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    server.patch("merge", &path, json!({"metadata": {"finalizers": null}})).await.ok();
    server.get(&path).await.refused(404);
    server.post(MAPS, map("orphaner")).await.ok();
    let marked = server.delete(&format!("{MAPS}/orphaner?propagationPolicy=Orphan")).await.ok();
    assert_eq!(marked["metadata"]["finalizers"], json!(["orphan"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_goes_when_its_keeper_lets_go() {
    let server = start().await;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}});
    let made = server.post("/api/v1/namespaces", namespace).await.ok();
    assert_eq!(made["spec"]["finalizers"], json!(["kubernetes"]));
    assert_eq!(made["metadata"]["labels"]["kubernetes.io/metadata.name"], "team");
    let marked = server.delete("/api/v1/namespaces/team").await.ok();
    assert_eq!(marked["status"]["phase"], "Terminating");
    let mut last = server.get("/api/v1/namespaces/team").await.ok();
    last["spec"]["finalizers"] = json!([]);
    server.put("/api/v1/namespaces/team/finalize", last).await.ok();
    server.get("/api/v1/namespaces/team").await.refused(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collection_goes_by_selector() {
    let server = start().await;
    for (name, label) in [("a", "x"), ("b", "y"), ("c", "x")] {
        let mut one = map(name);
        one["metadata"]["labels"] = json!({"l": label});
        server.post(MAPS, one).await.ok();
    }
    server.delete(&format!("{MAPS}?labelSelector=l%3Dx")).await.ok();
    server.get(&format!("{MAPS}/a")).await.refused(404);
    server.get(&format!("{MAPS}/b")).await.ok();
    server.get(&format!("{MAPS}/c")).await.refused(404);
}
