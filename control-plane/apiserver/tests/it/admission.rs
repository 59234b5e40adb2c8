//! Admission as a client sees it: warnings in headers, what is refused with its details, what is made of subresources.

use serde_json::{Value, json};

use crate::custom_conversion::listen;
use crate::harness::{PODS, deployment, pod, start};

fn warnings(answer: &crate::harness::Answer) -> Vec<String> {
    answer.headers.get_all("warning").iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn standards_warn_in_headers_and_refuse() {
    let server = start().await;
    let label = |mode: &str| json!({"metadata": {"labels": {format!("pod-security.kubernetes.io/{mode}"): "baseline"}}});
    server.patch("merge", "/api/v1/namespaces/default", label("warn")).await.ok();
    let mut bad = pod("bad");
    bad["spec"]["hostNetwork"] = json!(true);
    let made = server.post(PODS, bad.clone()).await;
    assert_eq!(made.status, 201);
    assert_eq!(
        warnings(&made),
        ["299 - \"would violate PodSecurity \\\"baseline:latest\\\": host namespaces (hostNetwork=true)\""]
    );
    let raised = server.patch("merge", "/api/v1/namespaces/default", label("enforce")).await;
    assert_eq!(
        warnings(&raised),
        [
            "299 - \"existing pods in namespace \\\"default\\\" violate the new PodSecurity enforce level \\\"baseline:latest\\\"\"",
            "299 - \"bad: host namespaces\"",
        ]
    );
    bad["metadata"]["name"] = json!("worse");
    let refused = server.post(PODS, bad).await;
    assert_eq!(refused.body["reason"], "Forbidden");
    let why = refused.refused(403);
    assert_eq!(
        why,
        "pods \"worse\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)"
    );
}

#[tokio::test]
async fn policies_see_scales_as_scales() {
    let server = start().await;
    let group = "/apis/admissionregistration.k8s.io/v1";
    let policy = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "p"}, "spec": {
        "matchConstraints": {"resourceRules": [{"operations": ["UPDATE"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments/scale"]}]},
        "validations": [{"expression": "request.kind.kind == 'Scale' && object.spec.replicas < 5 && oldObject.spec.replicas == 2", "message": "too many"}]}});
    server.post(&format!("{group}/validatingadmissionpolicies"), policy).await.ok();
    let binding = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": "b"},
        "spec": {"policyName": "p", "validationActions": ["Deny"]}});
    server.post(&format!("{group}/validatingadmissionpolicybindings"), binding).await.ok();
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    server.post(deployments, deployment("d")).await.ok();
    let scale = |replicas: i64| json!({"spec": {"replicas": replicas}});
    let refused = server.patch("merge", &format!("{deployments}/d/scale"), scale(9)).await;
    assert!(refused.refused(422).ends_with("denied request: too many"));
    server.patch("merge", &format!("{deployments}/d/scale"), scale(4)).await.ok();
    assert_eq!(server.get(&format!("{deployments}/d")).await.ok()["spec"]["replicas"], 4);
    // What 1.35 serves only when told to is not there.
    let unserved = "/apis/admissionregistration.k8s.io/v1beta1/mutatingadmissionpolicies";
    assert_eq!(server.get(unserved).await.status, 404);
}

/// Lets everything pass.
fn allowed(review: &Value) -> Value {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "response": {"uid": review["request"]["uid"], "allowed": true}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutating_webhooks_see_what_was_sent_and_validating_ones_what_is_stored() {
    let server = start().await;
    let (port, bundle, asked) = listen(&server, allowed).await;
    for kind in ["Mutating", "Validating"] {
        let configuration = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": format!("{kind}WebhookConfiguration"),
            "metadata": {"name": "hook"}, "webhooks": [{"name": "hook.test.io", "sideEffects": "None", "admissionReviewVersions": ["v1"],
                "clientConfig": {"url": format!("https://localhost:{port}/{kind}"), "caBundle": bundle},
                "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}]}]});
        let path =
            format!("/apis/admissionregistration.k8s.io/v1/{}webhookconfigurations", kind.to_lowercase());
        server.post(&path, configuration).await.ok();
    }
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "made-", "uid": "mine"}});
    let made = server.post("/api/v1/namespaces/default/configmaps", map).await.ok();
    let reviews: Vec<Value> = asked.lock().drain(..).collect();
    let [first, second] = &reviews[..] else { panic!("{reviews:?}") };
    assert_eq!((first.get("name"), second.get("name")), (None, Some(&made["metadata"]["name"])));
    let of = |review: &Value, field: &str| review["object"]["metadata"].get(field).cloned();
    for field in ["name", "uid", "creationTimestamp"] {
        assert_eq!(of(first, field), None, "{field}");
        assert_eq!(of(second, field).as_ref(), made["metadata"].get(field), "{field}");
    }
    assert_eq!(of(first, "generateName"), Some(json!("made-")));
    assert_ne!(made["metadata"]["uid"], "mine");
}
