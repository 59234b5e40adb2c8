//! The four ways to patch.

use serde_json::json;

use crate::harness::{MAPS, deployment, map, start};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_merge_and_strategic_patches_change() {
    let server = start().await;
    server.post(DEPLOYMENTS, deployment("web")).await.ok();
    let path = format!("{DEPLOYMENTS}/web");
    let patched = server
        .patch("json", &path, json!([{"op": "replace", "path": "/spec/replicas", "value": 3}]))
        .await
        .ok();
    assert_eq!(patched["spec"]["replicas"], 3);
    let patched = server.patch("merge", &path, json!({"metadata": {"labels": {"x": "y"}}})).await.ok();
    assert_eq!(patched["metadata"]["labels"]["x"], "y");
    let container =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "busybox"}]}}}});
    let patched = server.patch("strategic", &path, container).await.ok();
    assert_eq!(
        patched["spec"]["template"]["spec"]["containers"].as_array().unwrap().len(),
        2,
        "merged by name"
    );
    server
        .patch("json", &path, json!([{"op": "test", "path": "/spec/replicas", "value": 9}]))
        .await
        .refused(422);
    server.patch("merge", &format!("{DEPLOYMENTS}/none"), json!({})).await.refused(404);
    server.send("PATCH", &path, &["content-type: text/plain"], b"{}".to_vec()).await.refused(415);
    let stale = json!({"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 8}});
    server.patch("merge", &path, stale).await.refused(409);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_patches_all_count() {
    let server = start().await;
    server.post(MAPS, map("busy")).await.ok();
    let path = format!("{MAPS}/busy");
    let patches =
        (0..5).map(|number| server.patch("merge", &path, json!({"data": {format!("k{number}"): "v"}})));
    for patched in futures::future::join_all(patches).await {
        patched.ok();
    }
    let all = server.get(&path).await.ok();
    assert_eq!(all["data"].as_object().unwrap().len(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applied_fields_have_owners() {
    let server = start().await;
    let path = format!("{MAPS}/applied");
    let config = |value: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"k": value}});
    let made = server.patch("apply", &format!("{path}?fieldManager=one"), config("a")).await;
    assert_eq!(made.status, 201);
    let made = made.body;
    assert_eq!(made["metadata"]["managedFields"][0]["manager"], "one");
    assert_eq!(made["metadata"]["managedFields"][0]["operation"], "Apply");
    let conflict = server.patch("apply", &format!("{path}?fieldManager=two"), config("b")).await;
    assert_eq!(conflict.body["details"]["causes"][0]["reason"], "FieldManagerConflict");
    assert_eq!(conflict.body["details"]["causes"][0]["field"], ".data.k");
    conflict.refused(409);
    let forced =
        server.patch("apply", &format!("{path}?fieldManager=two&force=true"), config("b")).await.ok();
    assert_eq!(forced["data"]["k"], "b");
    let again = server.patch("apply", &format!("{path}?fieldManager=two"), config("b")).await.ok();
    assert_eq!(again["metadata"]["resourceVersion"], forced["metadata"]["resourceVersion"]);
    server.patch("apply", &path, config("c")).await.refused(422);
}
