//! Evictions and the budgets that hold them up.

use serde_json::{Value, json};

use crate::harness::{PODS, Server, pod, start};

const BUDGETS: &str = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";

async fn running(server: &Server, name: &str, ready: &str) {
    let mut running = pod(name);
    running["spec"]["nodeName"] = json!("n1");
    let mut running = server.post(PODS, running).await.ok();
    running["status"]["phase"] = json!("Running");
    running["status"]["conditions"] = json!([{"type": "Ready", "status": ready}]);
    server.put(&format!("{PODS}/{name}/status"), running).await.ok();
}

async fn budget(server: &Server, name: &str, spec: Value, status: Value) {
    let mut spec = spec;
    spec["selector"] = json!({"matchLabels": {"app": "web"}});
    let made = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name}, "spec": spec});
    server.post(BUDGETS, made).await.ok();
    allow(server, name, status).await;
}

async fn allow(server: &Server, name: &str, status: Value) {
    let path = format!("{BUDGETS}/{name}");
    let mut changed = server.get(&path).await.ok();
    changed["status"] = json!({"observedGeneration": 1, "disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1});
    for (field, value) in status.as_object().unwrap() {
        changed["status"][field] = value.clone();
    }
    server.put(&format!("{path}/status"), changed).await.ok();
}

async fn evict(server: &Server, name: &str, query: &str, options: Value) -> crate::harness::Answer {
    let mut eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
    if !options.is_null() {
        eviction["deleteOptions"] = options;
    }
    server.post(&format!("{PODS}/{name}/eviction{query}"), eviction).await
}

async fn is_going(server: &Server, name: &str) -> bool {
    server.get(&format!("{PODS}/{name}")).await.ok()["metadata"]["deletionTimestamp"].is_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn budgets_stop_evictions() {
    let server = start().await;
    running(&server, "p", "True").await;
    budget(&server, "b", json!({"minAvailable": 1}), json!({})).await;
    let refused = evict(&server, "p", "", Value::Null).await;
    let cause = json!({"reason": "DisruptionBudget", "message": "The disruption budget b needs 1 healthy pods and has 1 currently"});
    assert_eq!(refused.body["details"], json!({"causes": [cause]}));
    assert_eq!(refused.refused(429), "Cannot evict pod as it would violate the pod's disruption budget.");
    allow(&server, "b", json!({"observedGeneration": 0})).await;
    let refused = evict(&server, "p", "", Value::Null).await;
    assert_eq!(refused.headers["retry-after"], "10");
    assert_eq!(
        refused.body["details"]["causes"][0]["message"],
        "The disruption budget b is still being processed by the server."
    );
    allow(&server, "b", json!({"disruptionsAllowed": 1})).await;
    // Trying changes nothing, however it is said.
    evict(&server, "p", "?dryRun=All", Value::Null).await.ok();
    evict(&server, "p", "", json!({"dryRun": ["All"]})).await.ok();
    assert!(!is_going(&server, "p").await);
    assert_eq!(server.get(&format!("{BUDGETS}/b")).await.ok()["status"]["disruptionsAllowed"], 1);
    let done = evict(&server, "p", "", json!({"gracePeriodSeconds": 7})).await;
    assert_eq!(
        done.body,
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})
    );
    let going = server.get(&format!("{PODS}/p")).await.ok();
    assert_eq!(going["metadata"]["deletionGracePeriodSeconds"], 7);
    let why = going["status"]["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["type"] == "DisruptionTarget")
        .unwrap();
    assert_eq!(
        (&why["reason"], &why["message"]),
        (&json!("EvictionByEvictionAPI"), &json!("Eviction API: evicting"))
    );
    let charged = server.get(&format!("{BUDGETS}/b")).await.ok();
    assert_eq!(charged["status"]["disruptionsAllowed"], 0);
    assert!(charged["status"]["disruptedPods"]["p"].is_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_that_do_not_count_are_let_go() {
    let server = start().await;
    // Pending pods are held by no budget.
    server.post(PODS, pod("pending")).await.ok();
    running(&server, "sick", "False").await;
    running(&server, "sicker", "False").await;
    budget(&server, "b", json!({"minAvailable": 1}), json!({"currentHealthy": 0})).await;
    evict(&server, "pending", "", Value::Null).await.ok();
    server.get(&format!("{PODS}/pending")).await.refused(404);
    // One that is not ready goes when enough others are, or when the budget says so.
    evict(&server, "sick", "", Value::Null).await.refused(429);
    allow(&server, "b", json!({"currentHealthy": 1})).await;
    evict(&server, "sick", "", Value::Null).await.ok();
    assert!(is_going(&server, "sick").await);
    allow(&server, "b", json!({"currentHealthy": 0})).await;
    let always = json!({"spec": {"unhealthyPodEvictionPolicy": "AlwaysAllow"}});
    server.patch("merge", &format!("{BUDGETS}/b"), always).await.ok();
    evict(&server, "sicker", "", Value::Null).await.ok();
    assert!(is_going(&server, "sicker").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_budgets_are_one_too_many() {
    let server = start().await;
    running(&server, "p", "True").await;
    for name in ["a", "b"] {
        budget(&server, name, json!({"minAvailable": 1}), json!({"disruptionsAllowed": 1})).await;
    }
    assert_eq!(
        evict(&server, "p", "", Value::Null).await.refused(500),
        "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
    );
    let other = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "q"}});
    let refused = server.post(&format!("{PODS}/p/eviction"), other).await.refused(400);
    assert_eq!(refused, "name in URL does not match name in Eviction object");
    evict(&server, "none", "", Value::Null).await.refused(404);
}
