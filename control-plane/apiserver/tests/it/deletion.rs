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
    // The shorter time counts from the first deletion, so the pod ends sooner than it would have.
    let at = |pod: &serde_json::Value| {
        pod["metadata"]["deletionTimestamp"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap()
    };
    assert_eq!(at(&marked).duration_since(at(&shorter)).as_secs(), 25);
    assert_eq!(shorter["metadata"]["generation"], marked["metadata"]["generation"], "counted once");
    for later in [format!("{path}?gracePeriodSeconds=60"), path.clone()] {
        let longer = server.delete(&later).await.ok();
        assert_eq!(longer["metadata"]["deletionGracePeriodSeconds"], 5, "{later}");
        assert_eq!(
            longer["metadata"]["resourceVersion"], shorter["metadata"]["resourceVersion"],
            "nothing changes"
        );
    }
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
    let wanted = "Operation cannot be fulfilled on ConfigMap \"x\": the UID in the precondition (another) does not match the UID in record (";
    assert!(refused.starts_with(wanted), "{refused}");
    let body = json!({"preconditions": {"resourceVersion": "1"}}).to_string().into_bytes();
    let refused = server.send("DELETE", &path, &["content-type: application/json"], body).await.refused(409);
    assert!(
        refused.contains(
            "the ResourceVersion in the precondition (1) does not match the ResourceVersion in record ("
        ),
        "{refused}"
    );
    server.delete(&format!("{path}?uid=another")).await.refused(409);
    // A write that has another object in mind says so in the store's words.
    let mut other = map("x");
    other["metadata"]["uid"] = json!("another");
    let refused = server.put(&path, other).await.refused(409);
    let wanted = "Operation cannot be fulfilled on configmaps \"x\": StorageError: invalid object, Code: 4, Key: /registry/configmaps/default/x, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: another, UID in object meta: ";
    assert!(refused.starts_with(wanted), "{refused}");
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_deletes_is_answered_with_a_status_or_the_object() {
    let server = start().await;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}});
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let made = server.post(accounts, account).await.ok();
    let gone = server.delete(&format!("{accounts}/robot")).await.ok();
    assert_eq!(
        (&gone["kind"], &gone["metadata"]["uid"]),
        (&json!("ServiceAccount"), &made["metadata"]["uid"])
    );
    assert_ne!(
        gone["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"],
        "the version is that of the deletion"
    );
    let made = server.post(MAPS, map("x")).await.ok();
    let gone = server.delete(&format!("{MAPS}/x")).await.ok();
    let details = json!({"name": "x", "kind": "configmaps", "uid": made["metadata"]["uid"]});
    assert_eq!(
        gone,
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
    );
    // The old way to have dependents go is answered with 202 while the object is still there.
    let mut held = map("held");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    server.post(MAPS, held).await.ok();
    let marked = server.delete(&format!("{MAPS}/held?orphanDependents=false")).await;
    assert_eq!((marked.status, &marked.body["kind"]), (202, &json!("ConfigMap")));
    let old = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers";
    let scaler = json!({"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h", "finalizers": ["example.com/hold"]},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "maxReplicas": 3}});
    server.post(old, scaler).await.ok();
    for _ in 0..2 {
        let marked = server.delete(&format!("{old}/h")).await.ok();
        assert_eq!(marked["apiVersion"], "autoscaling/v1", "in the version that was asked");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_new_comes_where_a_namespace_ends() {
    let server = start().await;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}});
    server.post("/api/v1/namespaces", namespace).await.ok();
    let maps = "/api/v1/namespaces/team/configmaps";
    server.post(maps, map("old")).await.ok();
    server.delete("/api/v1/namespaces/team").await.ok();
    let refused = server.post(maps, map("new")).await;
    assert_eq!(
        refused.body["details"]["causes"],
        json!([{"reason": "NamespaceTerminating", "message": "namespace team is being terminated", "field": "metadata.namespace"}])
    );
    assert_eq!(
        refused.refused(403),
        "configmaps \"new\" is forbidden: unable to create new content in namespace team because it is being terminated"
    );
    server.patch("merge", &format!("{maps}/old"), json!({"data": {"b": "2"}})).await.ok();
    server.delete(&format!("{maps}/old")).await.ok();
    assert_eq!(
        server.post("/api/v1/namespaces/none/configmaps", map("x")).await.refused(404),
        "namespaces \"none\" not found"
    );
    assert_eq!(
        server.delete("/api/v1/namespaces/default").await.refused(403),
        "namespaces \"default\" is forbidden: this namespace may not be deleted"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collection_goes_page_by_page_and_is_shown() {
    let server = start().await;
    for name in ["a", "b", "c"] {
        server.post(MAPS, map(name)).await.ok();
    }
    let tried = server.delete(&format!("{MAPS}?dryRun=All")).await.ok();
    assert_eq!((&tried["kind"], tried["items"].as_array().unwrap().len()), (&json!("ConfigMapList"), 3));
    let first = server.delete(&format!("{MAPS}?limit=2")).await.ok();
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    let left = server.get(MAPS).await.ok();
    assert_eq!(left["items"].as_array().unwrap().len(), 1);
    let body = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground"})
        .to_string()
        .into_bytes();
    server
        .send(
            "DELETE",
            &format!("{MAPS}?fieldSelector=metadata.name%3Dc"),
            &["content-type: application/json"],
            body,
        )
        .await
        .ok();
    assert_eq!(
        server.get(&format!("{MAPS}/c")).await.ok()["metadata"]["finalizers"],
        json!(["foregroundDeletion"])
    );
    server.delete(&format!("{MAPS}?resourceVersionMatch=Exact")).await.refused(422);
}
