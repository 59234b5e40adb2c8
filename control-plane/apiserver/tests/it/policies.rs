//! Admission policies through the whole server.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Server, deployment, start};

const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
const BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

fn policy(expression: &str) -> Value {
    json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "p"}, "spec": {
        "matchConstraints": {"resourceRules": [{"operations": ["CREATE", "UPDATE"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"]}]},
        "validations": [{"expression": expression}]}})
}

/// Waits until the policy was looked at as it is.
async fn looked_at(server: &Server) -> Value {
    let look = async {
        loop {
            let found = server.get(&format!("{POLICIES}/p")).await.ok();
            if found["status"]["observedGeneration"] == found["metadata"]["generation"] {
                return found["status"]["typeChecking"].clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), look).await.unwrap()
}

#[tokio::test]
async fn a_policy_counts_from_the_next_request_on() {
    let server = start().await;
    server.post(POLICIES, policy("object.spec.replicas <= 1")).await.ok();
    assert_eq!(server.post(DEPLOYMENTS, deployment("before")).await.status, 201, "it is not bound yet");
    let binding = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": "b"},
        "spec": {"policyName": "p", "validationActions": ["Deny"]}});
    server.post(BINDINGS, binding).await.ok();
    let refused = server.post(DEPLOYMENTS, deployment("d")).await;
    assert_eq!(refused.body["reason"], "Invalid");
    assert_eq!(
        refused.refused(422),
        "deployments.apps \"d\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: failed expression: object.spec.replicas <= 1"
    );
    let change = json!({"spec": {"validations": [{"expression": "object.spec.replicas <= 2"}]}});
    server.patch("merge", &format!("{POLICIES}/p"), change).await.ok();
    server.post(DEPLOYMENTS, deployment("d")).await.ok();
    let scale = json!({"spec": {"replicas": 9}});
    let refused = server.patch("merge", &format!("{DEPLOYMENTS}/d"), scale.clone()).await;
    assert_eq!(refused.status, 422);
    server.delete(&format!("{BINDINGS}/b")).await.ok();
    server.patch("merge", &format!("{DEPLOYMENTS}/d"), scale).await.ok();
}

#[tokio::test]
async fn expressions_that_cannot_be_right_are_warned_of() {
    let server = start().await;
    server.post(POLICIES, policy("object.spec.replicas > 1 && object.metadata.labels.size() < 5")).await.ok();
    assert_eq!(looked_at(&server).await, json!({}));
    let change = json!({"spec": {"validations": [{"expression": "object.spec.replicas > '1'"}]}});
    server.patch("merge", &format!("{POLICIES}/p"), change).await.ok();
    let checked = looked_at(&server).await;
    let warning = &checked["expressionWarnings"][0];
    assert_eq!(warning["fieldRef"], "spec.validations[0].expression");
    let text = warning["warning"].as_str().unwrap();
    assert!(text.starts_with("apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload for '_>_' applied to '(int, string)'"), "{text}");
}
