//! The kubelet's way with the API, without processes.

use std::sync::Arc;

use kubelet::runtime::simulated::Simulated;
use serde_json::json;

use crate::api::Api;
use crate::harness::{Harness, NODE, SOON, condition};

async fn start(root: &std::path::Path) -> Harness {
    let runtime = Simulated::new("10.244.0.0/24".parse().unwrap(), Arc::new(kit::SystemClock));
    Harness::start(root.to_owned(), Arc::new(runtime), None, None).await
}

#[tokio::test]
async fn a_node_registers_and_is_kept_alive() {
    let directory = tempfile::tempdir().unwrap();
    let harness = start(directory.path()).await;
    let node = harness
        .api
        .wait("the node to be ready", SOON, |api| {
            api.get("nodes", "", NODE).filter(|node| condition(&node["status"], "Ready") == "True")
        })
        .await;
    assert_eq!(node["metadata"]["labels"]["agentpool"], "nodepool1");
    assert_eq!(node["metadata"]["labels"]["kubernetes.io/hostname"], NODE);
    let status = &node["status"];
    assert_eq!(status["nodeInfo"]["kubeletVersion"], "v1.35.6");
    assert_eq!(status["nodeInfo"]["osImage"], "Ubuntu 22.04.5 LTS");
    assert_eq!(status["allocatable"]["cpu"], "1900m");
    assert_eq!(status["capacity"]["memory"], "8388608Ki");
    assert_eq!(status["addresses"][0], json!({"type": "InternalIP", "address": "127.0.0.1"}));
    let lease = harness.api.wait("the lease", SOON, |api| api.get("leases", "kube-node-lease", NODE)).await;
    assert_eq!(lease["spec"]["holderIdentity"], NODE);
    assert_eq!(lease["spec"]["leaseDurationSeconds"], 40);
    harness.stop().await;
}

#[tokio::test]
async fn a_pod_runs_and_goes() {
    let directory = tempfile::tempdir().unwrap();
    let harness = start(directory.path()).await;
    harness.pod(
        "web",
        json!({"initContainers": [{"name": "prepare", "image": "busybox"}],
        "containers": [{"name": "c", "image": "nginx:1",
            "readinessProbe": {"httpGet": {"path": "/", "port": 80}}}]}),
    );
    let pod = harness.until_ready("web").await;
    let status = &pod["status"];
    assert_eq!(status["phase"], "Running");
    assert_eq!(status["hostIP"], "127.0.0.1");
    assert!(status["podIP"].as_str().unwrap().starts_with("10.244.0."));
    assert_eq!(status["podIPs"][0]["ip"], status["podIP"]);
    assert_eq!(status["qosClass"], "BestEffort");
    assert_eq!(status["observedGeneration"], 1);
    assert_eq!(status["containerStatuses"][0]["started"], true);
    assert_eq!(status["initContainerStatuses"][0]["state"]["terminated"]["reason"], "Completed");
    let (code, text) = harness.get("/containerLogs/default/web/c").await;
    assert_eq!(code, 501);
    assert!(text.contains("simulated"), "{text}");
    for wanted in ["Pulled: Successfully pulled image \"nginx:1\"", "Started: Started container c"] {
        let told = |api: &Api| api.events("web").iter().any(|event| event.contains(wanted)).then_some(());
        harness.api.wait(wanted, SOON, told).await;
    }

    harness.api.delete_pod("web", 30);
    harness.until_gone("web").await;
    let deletes = harness.api.requests().iter().filter(|one| one.starts_with("DELETE")).count();
    assert_eq!(deletes, 1);
    harness.stop().await;
}

#[tokio::test]
async fn what_is_not_restarted_completes_and_says_that_nothing_ran() {
    let directory = tempfile::tempdir().unwrap();
    let harness = start(directory.path()).await;
    for policy in ["Never", "OnFailure"] {
        let name = format!("job-{}", policy.to_lowercase());
        harness
            .pod(&name, json!({"restartPolicy": policy, "containers": [{"name": "c", "image": "busybox"}]}));
        let pod = harness
            .api
            .wait("the pod to complete", SOON, |api| {
                api.get("pods", "default", &name).filter(|pod| pod["status"]["phase"] == "Succeeded")
            })
            .await;
        let ended = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
        assert_eq!((&ended["exitCode"], &ended["reason"]), (&json!(0), &json!("Completed")));
        assert!(ended["message"].as_str().unwrap().contains("simulated"), "{ended}");
    }
    harness.stop().await;
}

#[tokio::test]
async fn a_missing_config_map_is_named_and_its_coming_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let harness = start(directory.path()).await;
    harness.pod(
        "late",
        json!({"containers": [{"name": "c", "image": "nginx:1",
        "envFrom": [{"configMapRef": {"name": "conf"}}]}]}),
    );
    harness
        .until("late", "told what is missing", |status| {
            let waiting = &status["containerStatuses"][0]["state"]["waiting"];
            waiting["reason"] == "CreateContainerConfigError"
                && waiting["message"] == "configmap \"conf\" not found"
        })
        .await;
    harness.api.put(
        "configmaps",
        json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "conf", "namespace": "default"}, "data": {"a": "1"}}),
    );
    harness.until_ready("late").await;
    harness.stop().await;
}

#[tokio::test]
async fn a_pod_that_vanishes_from_the_api_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let harness = start(directory.path()).await;
    harness.pod(
        "gone",
        json!({"containers": [{"name": "c", "image": "nginx:1"}],
        "volumes": [{"name": "v", "emptyDir": {}}]}),
    );
    harness.until_ready("gone").await;
    harness.api.remove("pods", "default", "gone");
    harness.api.put(
        "pods",
        json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "gone", "namespace": "default"},
        "spec": {"nodeName": NODE, "containers": [{"name": "c", "image": "nginx:1"}]}}),
    );
    harness.until_ready("gone").await;
    harness
        .api
        .wait_for_text("/runningpods to show one pod", || async {
            let (_, text) = harness.get("/runningpods").await;
            let list: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            list["items"].as_array().is_some_and(|items| items.len() == 1)
        })
        .await;
    harness.stop().await;
}

#[tokio::test]
async fn strangers_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let harness = start(directory.path()).await;
    assert_eq!(harness.get("/healthz").await, (200, "ok".into()));
    let (code, _) = harness.get_as("system:node:other", &["system:nodes"], "/pods").await;
    assert_eq!(code, 403);
    assert_eq!(harness.get("/nowhere").await.0, 404);
    harness.stop().await;
}
