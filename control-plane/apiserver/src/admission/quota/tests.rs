use serde_json::{Value, json};

use super::*;

fn pod(resources: Value) -> Value {
    json!({"spec": {"containers": [{"name": "c", "resources": resources}]}})
}

fn used(group: &str, plural: &str, object: &Value, name: &str) -> String {
    usage::of(group, plural, object).get(name).map_or_else(|| "-".to_owned(), Quantity::canonical)
}

#[test]
fn objects_take_what_upstream_says_they_take() {
    let mut gpu = pod(
        json!({"requests": {"cpu": "100m", "example.com/gpu": "2", "hugepages-2Mi": "4Mi"}, "limits": {"cpu": "1"}}),
    );
    for (name, amount) in [
        ("pods", "1"),
        ("count/pods", "1"),
        ("cpu", "100m"),
        ("requests.cpu", "100m"),
        ("limits.cpu", "1"),
        ("requests.example.com/gpu", "2"),
        ("requests.hugepages-2Mi", "4Mi"),
        ("example.com/gpu", "-"),
        ("memory", "-"),
    ] {
        assert_eq!(used("", "pods", &gpu, name), amount, "{name}");
    }
    gpu["status"] = json!({"phase": "Succeeded"});
    assert_eq!(
        (used("", "pods", &gpu, "pods"), used("", "pods", &gpu, "count/pods")),
        ("-".to_owned(), "1".to_owned())
    );
    let balancer =
        json!({"spec": {"type": "LoadBalancer", "ports": [{"port": 1}, {"port": 2, "nodePort": 30001}]}});
    let mut unallocated = balancer.clone();
    unallocated["spec"]["allocateLoadBalancerNodePorts"] = json!(false);
    assert_eq!(used("", "services", &balancer, "services.nodeports"), "2");
    assert_eq!(used("", "services", &unallocated, "services.nodeports"), "1");
    assert_eq!(used("", "services", &balancer, "services.loadbalancers"), "1");
    let claim = json!({"spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "5Gi"}}}});
    assert_eq!(
        used("", "persistentvolumeclaims", &claim, "fast.storageclass.storage.k8s.io/requests.storage"),
        "5Gi"
    );
    assert_eq!(used("apps", "deployments", &json!({}), "count/deployments.apps"), "1");
    assert_eq!(used("example.com", "widgets", &json!({}), "count/widgets.example.com"), "1");
}

#[test]
fn scopes_select_pods() {
    let counts = |spec: Value, pod: &Value| scopes::counts(&json!({"spec": spec}), "", "pods", pod);
    let with = |field: &str, value: Value| {
        let mut pod = pod(json!({}));
        pod["spec"][field] = value;
        pod
    };
    let plain = pod(json!({}));
    let bounded = with("activeDeadlineSeconds", json!(5));
    let burst = pod(json!({"requests": {"cpu": "1"}}));
    let high = with("priorityClassName", json!("high"));
    let far = with(
        "affinity",
        json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"namespaces": ["b"]}]}}),
    );
    let scope = |name: &str| json!({"scopes": [name]});
    let class = |operator: &str| json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": operator, "values": ["high"]}]}});
    for (spec, yes, no) in [
        (scope("Terminating"), &bounded, &plain),
        (scope("NotTerminating"), &plain, &bounded),
        (scope("BestEffort"), &plain, &burst),
        (scope("NotBestEffort"), &burst, &plain),
        (scope("PriorityClass"), &high, &plain),
        (scope("CrossNamespacePodAffinity"), &far, &plain),
        (class("In"), &high, &plain),
        (class("NotIn"), &plain, &high),
    ] {
        assert!(counts(spec.clone(), yes) && !counts(spec.clone(), no), "{spec}");
    }
    assert!(!scopes::counts(&json!({"spec": {"scopes": ["BestEffort"]}}), "", "services", &json!({})));
}
