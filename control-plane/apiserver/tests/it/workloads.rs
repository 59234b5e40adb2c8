//! What is special about some kinds: services, pods' subresources, scale, secrets, certificates.

use std::collections::HashSet;

use serde_json::json;

use crate::harness::{PODS, deployment, pod, start};

const SERVICES: &str = "/api/v1/namespaces/default/services";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_are_given_addresses_and_ports_of_their_own() {
    let server = start().await;
    let mut seen = HashSet::new();
    for number in 0..20 {
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": format!("s{number}")},
            "spec": {"type": "NodePort", "ports": [{"port": 80}], "selector": {"a": "b"}}});
        let made = server.post(SERVICES, service).await.ok();
        let port = made["spec"]["ports"][0]["nodePort"].as_i64().unwrap();
        assert!((30000..=32767).contains(&port));
        assert!(seen.insert(made["spec"]["clusterIP"].as_str().unwrap().to_owned()));
        assert!(seen.insert(port.to_string()));
    }
    let first = server.get(&format!("{SERVICES}/s0")).await.ok();
    let taken = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "thief"},
        "spec": {"clusterIP": first["spec"]["clusterIP"], "ports": [{"port": 80}]}});
    let refused = server.post(SERVICES, taken).await.refused(422);
    assert!(refused.contains("provided IP is already allocated"), "{refused}");
    let mut unsaid = first.clone();
    for key in ["clusterIP", "clusterIPs"] {
        unsaid["spec"].as_object_mut().unwrap().remove(key);
    }
    unsaid["spec"]["ports"] = json!([{"port": 80, "protocol": "TCP"}]);
    let kept = server.put(&format!("{SERVICES}/s0"), unsaid).await.ok();
    assert_eq!(kept["spec"]["clusterIP"], first["spec"]["clusterIP"]);
    assert_eq!(kept["spec"]["ports"][0]["nodePort"], first["spec"]["ports"][0]["nodePort"]);
    let headless = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "headless"},
        "spec": {"clusterIP": "None", "selector": {"a": "b"}, "ports": [{"port": 80}]}});
    assert_eq!(server.post(SERVICES, headless).await.ok()["spec"]["clusterIPs"], json!(["None"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_is_bound_once() {
    let server = start().await;
    server.post(PODS, pod("p")).await.ok();
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}});
    assert_eq!(server.post(&format!("{PODS}/p/binding"), binding.clone()).await.status, 201);
    let bound = server.get(&format!("{PODS}/p")).await.ok();
    assert_eq!(bound["spec"]["nodeName"], "n1");
    let scheduled =
        bound["status"]["conditions"].as_array().unwrap().iter().find(|one| one["type"] == "PodScheduled");
    assert_eq!(scheduled.unwrap()["status"], "True");
    let again = server.post(&format!("{PODS}/p/binding"), binding).await.refused(409);
    assert_eq!(
        again,
        "Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to node \"n1\""
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_of_a_pod_are_written_through_their_own_doors() {
    let server = start().await;
    let mut burstable = pod("p");
    burstable["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "50m"}});
    server.post(PODS, burstable).await.ok();
    let path = format!("{PODS}/p");
    let debugger = json!({"spec": {"ephemeralContainers": [{"name": "debug", "image": "busybox"}]}});
    let patched = server.patch("strategic", &format!("{path}/ephemeralcontainers"), debugger).await.ok();
    assert_eq!(patched["spec"]["ephemeralContainers"][0]["name"], "debug");
    let more = json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "100m"}}}], "nodeName": "sneaky"}});
    let patched = server.patch("strategic", &format!("{path}/resize"), more).await.ok();
    assert_eq!(patched["spec"]["containers"][0]["resources"]["requests"]["cpu"], "100m");
    assert!(patched["spec"].get("nodeName").is_none());
    let mut status = patched;
    status["status"]["phase"] = json!("Running");
    status["metadata"]["annotations"] = json!({"seen": "yes"});
    let written = server.put(&format!("{path}/status"), status).await.ok();
    assert_eq!(
        (&written["status"]["phase"], &written["metadata"]["annotations"]["seen"]),
        (&json!("Running"), &json!("yes"))
    );
    let moved = server.patch("merge", &path, json!({"spec": {"hostNetwork": true}})).await;
    assert!(moved.refused(422).contains("is invalid"), "what a pod is does not change");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn autoscalers_have_two_versions() {
    let server = start().await;
    let old = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers";
    let scaler = json!({"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "maxReplicas": 3,
                 "targetCPUUtilizationPercentage": 70}});
    server.post(old, scaler).await.ok();
    let new = server.get("/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers/h").await.ok();
    assert_eq!(new["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 70);
    let list = server.get(old).await.ok();
    assert_eq!(list["items"][0]["spec"]["targetCPUUtilizationPercentage"], 70);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scale_is_a_view_of_the_object() {
    let server = start().await;
    let path = "/apis/apps/v1/namespaces/default/deployments";
    server.post(path, deployment("web")).await.ok();
    let scale = format!("{path}/web/scale");
    let mut current = server.get(&scale).await.ok();
    assert_eq!((&current["kind"], &current["spec"]["replicas"]), (&json!("Scale"), &json!(2)));
    assert_eq!(current["status"]["selector"], "app=web");
    current["spec"]["replicas"] = json!(4);
    assert_eq!(server.put(&scale, current.clone()).await.ok()["spec"]["replicas"], 4);
    assert_eq!(server.get(&format!("{path}/web")).await.ok()["spec"]["replicas"], 4);
    server.put(&scale, current).await.refused(409);
    let patched = server.patch("merge", &scale, json!({"spec": {"replicas": 0}})).await.ok();
    assert_eq!(patched["spec"], json!({}));
    assert_eq!(server.get(&format!("{path}/web")).await.ok()["metadata"]["generation"], 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_take_plain_text() {
    let server = start().await;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": "hello"}});
    let made = server.post("/api/v1/namespaces/default/secrets", secret).await.ok();
    assert_eq!((&made["data"]["k"], &made["type"]), (&json!("aGVsbG8="), &json!("Opaque")));
    assert!(made.get("stringData").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signing_request_says_who_asked_and_approval_is_its_own_write() {
    let server = start().await;
    let path = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    let request = kit::pki::request("system:node:n1", &["system:nodes".to_owned()], &[], &[]).unwrap();
    let csr = json!({"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": "c"},
        "spec": {"request": base64_of(&request.request_pem), "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
                 "usages": ["digital signature", "client auth"], "username": "somebody-else"}});
    let made = server.post(path, csr).await.ok();
    assert_eq!(made["spec"]["username"], "admin");
    let mut approved = made.clone();
    approved["status"]["conditions"] =
        json!([{"type": "Approved", "status": "True", "reason": "Test", "message": "ok"}]);
    let mut sneaky = made;
    sneaky["status"] = approved["status"].clone();
    let unchanged = server.put(&format!("{path}/c/status"), sneaky).await.ok();
    assert!(unchanged["status"]["conditions"].as_array().is_none_or(|list| list.is_empty()));
    approved["metadata"]["resourceVersion"] = unchanged["metadata"]["resourceVersion"].clone();
    let approved = server.put(&format!("{path}/c/approval"), approved).await.ok();
    assert_eq!(approved["status"]["conditions"][0]["type"], "Approved");
    let mut signed = approved;
    signed["status"]["certificate"] = json!("Y2VydA==");
    let signed = server.put(&format!("{path}/c/status"), signed).await.ok();
    assert_eq!(signed["status"]["certificate"], "Y2VydA==");
    assert_eq!(signed["status"]["conditions"][0]["type"], "Approved");
}

fn base64_of(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reviews_answer_and_are_not_stored() {
    let server = start().await;
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}}});
    let made = server.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review).await.ok();
    assert_eq!(made["status"]["allowed"], true);
    let who = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let made = server.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", who).await.ok();
    assert_eq!(made["status"]["userInfo"]["username"], "admin");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn service_accounts_are_given_tokens() {
    let server = start().await;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}});
    server.post("/api/v1/namespaces/default/serviceaccounts", account).await.ok();
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}});
    let made = server.post("/api/v1/namespaces/default/serviceaccounts/robot/token", request).await.ok();
    assert_eq!(made["status"]["token"].as_str().unwrap().split('.').count(), 3);
}
