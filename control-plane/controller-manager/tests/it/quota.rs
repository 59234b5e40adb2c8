//! Quotas are counted anew when their limits change, whatever they count.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Plane, start};

impl Plane {
    async fn send(&self, method: &str, path: &str, body: Value) -> Value {
        let request = http::Request::builder().method(method).uri(path);
        let request = request.header("content-type", "application/json").body(body.to_string().into_bytes());
        self.client.request(request.unwrap()).await.unwrap()
    }

    /// Waits until the quota says that this is used.
    async fn used(&self, quota: &str, wanted: Value) {
        let path = format!("/api/v1/namespaces/default/resourcequotas/{quota}");
        let mut seen = Value::Null;
        let look = async {
            while seen != wanted {
                seen = self.send("GET", &path, Value::Null).await["status"]["used"].clone();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(60), look).await;
        assert!(waited.is_ok(), "{quota}: wanted {wanted}, got {seen}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_limits_count_what_is_there_of_any_kind_and_scope() {
    let plane = start(Duration::from_secs(3600)).await;
    plane.until("the default account", "serviceaccounts", "default", |all| !all.is_empty()).await;
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]}});
    plane.send("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition).await;
    for number in 0..3 {
        let widget = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": format!("w{number}")}});
        plane.send("POST", "/apis/example.com/v1/namespaces/default/widgets", widget).await;
    }
    let class = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "high"}, "value": 10});
    plane.send("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", class).await;
    for (name, priority) in [("plain", Value::Null), ("first", json!("high")), ("second", json!("high"))] {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"priorityClassName": priority,
            "containers": [{"name": "c", "image": "x", "resources": {"requests": {"cpu": "100m"}}}]}});
        plane.send("POST", "/api/v1/namespaces/default/pods", pod).await;
    }
    for (name, storage_class) in [("a", "fast"), ("b", "slow")] {
        let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": {
            "storageClassName": storage_class, "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}});
        plane.send("POST", "/api/v1/namespaces/default/persistentvolumeclaims", claim).await;
    }
    let quota = |name: &str, spec: Value| json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": spec});
    let quotas = "/api/v1/namespaces/default/resourcequotas";
    let all = json!({"hard": {"count/widgets.example.com": "10", "pods": "10", "requests.storage": "1Ti",
        "fast.storageclass.storage.k8s.io/requests.storage": "1Ti", "fast.storageclass.storage.k8s.io/persistentvolumeclaims": "5"}});
    plane.send("POST", quotas, quota("all", all)).await;
    let wanted = json!({"count/widgets.example.com": "3", "pods": "3", "requests.storage": "4Gi",
        "fast.storageclass.storage.k8s.io/requests.storage": "2Gi", "fast.storageclass.storage.k8s.io/persistentvolumeclaims": "1"});
    plane.used("all", wanted).await;
    let scope = |operator: &str| json!({"matchExpressions": [{"scopeName": "PriorityClass", "operator": operator, "values": ["high"]}]});
    for (name, operator, pods, cpu) in [("high", "In", "2", "200m"), ("rest", "NotIn", "1", "100m")] {
        let spec = json!({"hard": {"pods": "10", "requests.cpu": "10"}, "scopeSelector": scope(operator)});
        plane.send("POST", quotas, quota(name, spec)).await;
        plane.used(name, json!({"pods": pods, "requests.cpu": cpu})).await;
    }
}
