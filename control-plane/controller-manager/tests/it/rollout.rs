use std::time::Duration;

use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::harness::{start, template};

fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    let all = object["status"]["conditions"].as_array();
    all.into_iter().flatten().find(|c| c["type"] == kind).unwrap_or(&Value::Null)
}

fn is_rolled_out(object: &Value, replicas: i64) -> bool {
    let status = &object["status"];
    status["updatedReplicas"] == replicas
        && status["replicas"] == replicas
        && status["availableReplicas"] == replicas
        && status["observedGeneration"] == object["metadata"]["generation"]
        && condition(object, "Progressing")["reason"] == "NewReplicaSetAvailable"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_runs_rolls_serves_and_goes() {
    let plane = start(Duration::from_secs(3600)).await;
    plane.node("n1").await;
    plane.node("n2").await;
    plane.until("the default account", "serviceaccounts", "default", |all| !all.is_empty()).await;
    let selector = json!({"matchLabels": {"app": "web"}});
    plane
        .create(
            "deployments",
            "default",
            json!({
                "metadata": {"name": "web"},
                "spec": {"replicas": 3, "selector": selector, "template": template("web", "one")},
            }),
        )
        .await;
    plane
        .create("services", "default", json!({
            "metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
        }))
        .await;
    plane.until("the rollout", "deployments", "default", |d| d.len() == 1 && is_rolled_out(&d[0], 3)).await;
    let pods = plane.list("pods", "default").await;
    assert_eq!(pods.len(), 3);
    assert!(pods.iter().all(|p| p["spec"]["nodeName"].is_string()));
    assert!(pods.iter().any(|p| p["spec"]["nodeName"] != pods[0]["spec"]["nodeName"]), "they are spread");
    plane
        .until("the slice", "endpointslices", "default", |s| {
            s.iter().any(|s| {
                s["metadata"]["generateName"] == "web-"
                    && s["endpoints"]
                        .as_array()
                        .is_some_and(|e| e.len() == 3 && e.iter().all(|e| e["conditions"]["ready"] == true))
            })
        })
        .await;
    plane
        .until("the endpoints", "endpoints", "default", |e| {
            e.iter().any(|e| {
                e["metadata"]["name"] == "web"
                    && e["subsets"][0]["addresses"].as_array().is_some_and(|a| a.len() == 3)
            })
        })
        .await;

    plane
        .patch(
            "deployments",
            "default",
            "web",
            json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "two"}]}}}}),
        )
        .await;
    plane
        .until("the second rollout", "deployments", "default", |d| {
            d[0]["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
                && is_rolled_out(&d[0], 3)
        })
        .await;
    plane
        .until("only new pods", "pods", "default", |p| {
            p.len() == 3 && p.iter().all(|p| p["spec"]["containers"][0]["image"] == "two")
        })
        .await;
    assert_eq!(plane.list("replicasets", "default").await.len(), 2);

    plane.patch("deployments", "default", "web", json!({"spec": {"replicas": 5}})).await;
    plane.until("five", "deployments", "default", |d| is_rolled_out(&d[0], 5)).await;
    let one = plane.list("pods", "default").await[0]["metadata"]["name"].as_str().unwrap().to_owned();
    plane.delete("pods", "default", &one, DeleteParams::default()).await;
    plane
        .until("another pod", "pods", "default", |p| {
            p.len() == 5 && p.iter().all(|p| p["metadata"]["name"] != one.as_str())
        })
        .await;

    plane.delete("services", "default", "web", DeleteParams::default()).await;
    plane.delete("deployments", "default", "web", DeleteParams::default()).await;
    plane.until("no sets", "replicasets", "default", <[Value]>::is_empty).await;
    plane.until("no pods", "pods", "default", <[Value]>::is_empty).await;
    plane
        .until("no endpoints", "endpoints", "default", |e| e.iter().all(|e| e["metadata"]["name"] != "web"))
        .await;
    plane
        .until("no slices", "endpointslices", "default", |s| {
            s.iter().all(|s| s["metadata"]["generateName"] != "web-")
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recreate_waits_and_a_paused_deployment_does_not_roll() {
    let plane = start(Duration::from_secs(3600)).await;
    plane.node("n1").await;
    plane.until("the default account", "serviceaccounts", "default", |all| !all.is_empty()).await;
    plane
        .create("deployments", "default", json!({
            "metadata": {"name": "db"},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "db"}}, "strategy": {"type": "Recreate"},
                     "template": template("db", "one")},
        }))
        .await;
    plane.until("the rollout", "deployments", "default", |d| d.len() == 1 && is_rolled_out(&d[0], 2)).await;
    plane.patch("deployments", "default", "db", json!({"spec": {"paused": true}})).await;
    plane
        .patch(
            "deployments",
            "default",
            "db",
            json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "two"}]}}}}),
        )
        .await;
    plane
        .until("it is paused", "deployments", "default", |d| {
            condition(&d[0], "Progressing")["reason"] == "DeploymentPaused"
                && d[0]["status"]["observedGeneration"] == d[0]["metadata"]["generation"]
        })
        .await;
    assert_eq!(plane.list("replicasets", "default").await.len(), 1);
    plane.patch("deployments", "default", "db", json!({"spec": {"paused": false}})).await;
    plane
        .until("the second rollout", "deployments", "default", |d| {
            is_rolled_out(&d[0], 2)
                && d[0]["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
        })
        .await;
}
