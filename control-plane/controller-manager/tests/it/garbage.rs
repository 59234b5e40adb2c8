use std::time::Duration;

use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::harness::{Plane, start, template};

async fn with_set() -> Plane {
    let plane = start(Duration::from_secs(3600)).await;
    plane.node("n1").await;
    plane.until("the default account", "serviceaccounts", "default", |all| !all.is_empty()).await;
    plane
        .create("replicasets", "default", json!({
            "metadata": {"name": "set"},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "set"}}, "template": template("set", "one")},
        }))
        .await;
    plane
        .until("pods", "replicasets", "default", |s| s.len() == 1 && s[0]["status"]["readyReplicas"] == 2)
        .await;
    plane
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreground_deletion_takes_the_pods_first() {
    let plane = with_set().await;
    plane.delete("replicasets", "default", "set", DeleteParams::foreground()).await;
    plane.until("no pods", "pods", "default", <[Value]>::is_empty).await;
    plane.until("no sets", "replicasets", "default", <[Value]>::is_empty).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orphans_live_on_and_are_adopted() {
    let plane = with_set().await;
    let uids = |pods: &[Value]| {
        let mut uids: Vec<String> = pods.iter().map(|p| p["metadata"]["uid"].to_string()).collect();
        uids.sort();
        uids
    };
    let before = uids(&plane.list("pods", "default").await);
    plane.delete("replicasets", "default", "set", DeleteParams::orphan()).await;
    plane.until("no sets", "replicasets", "default", <[Value]>::is_empty).await;
    let pods = plane.list("pods", "default").await;
    assert_eq!(uids(&pods), before);
    assert!(pods.iter().all(|p| p["metadata"]["ownerReferences"].as_array().is_none_or(Vec::is_empty)));
    plane
        .create("replicasets", "default", json!({
            "metadata": {"name": "heir"},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "set"}}, "template": template("set", "one")},
        }))
        .await;
    plane
        .until("adoption", "pods", "default", |p| {
            p.iter().all(|p| p["metadata"]["ownerReferences"][0]["name"] == "heir")
        })
        .await;
    assert_eq!(uids(&plane.list("pods", "default").await), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_is_furnished_and_emptied() {
    let plane = start(Duration::from_secs(3600)).await;
    plane.node("n1").await;
    plane.create("namespaces", "", json!({"metadata": {"name": "team"}})).await;
    plane.until("its account", "serviceaccounts", "team", |all| all.len() == 1).await;
    plane
        .until("its CA", "configmaps", "team", |all| {
            all.iter().any(|m| {
                m["metadata"]["name"] == "kube-root-ca.crt"
                    && m["data"]["ca.crt"].as_str().is_some_and(|c| c.contains("BEGIN"))
            })
        })
        .await;
    plane
        .create(
            "pods",
            "team",
            json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}),
        )
        .await;
    plane.until("it runs", "pods", "team", |p| p[0]["status"]["phase"] == "Running").await;
    plane.delete("namespaces", "", "team", DeleteParams::default()).await;
    plane.until("it is gone", "namespaces", "", |n| n.iter().all(|n| n["metadata"]["name"] != "team")).await;
    assert!(plane.list("pods", "team").await.is_empty());
}
