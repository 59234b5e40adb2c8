//! Mutating admission policies through the whole server, of the version that serves them.

use serde_json::{Value, json};

use crate::harness::{Server, deployment, start, start_minor};

const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

/// A policy on everything of a group, with one mutation, and a binding.
async fn bind(server: &Server, name: &str, group: &str, resource: &str, mutation: Value) {
    let policy = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy", "metadata": {"name": name}, "spec": {
        "matchConstraints": {"resourceRules": [{"operations": ["CREATE", "UPDATE"], "apiGroups": [group], "apiVersions": ["*"], "resources": [resource]}]},
        "mutations": [mutation]}});
    let stored = server.post(&format!("{GROUP}/mutatingadmissionpolicies"), policy).await.ok();
    assert_eq!(stored["spec"]["reinvocationPolicy"], "Never");
    assert_eq!(stored["spec"]["failurePolicy"], "Fail");
    let binding = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": name}, "spec": {"policyName": name}});
    server.post(&format!("{GROUP}/mutatingadmissionpolicybindings"), binding).await.ok();
}

fn apply(expression: &str) -> Value {
    json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}})
}

#[tokio::test]
async fn what_is_written_is_changed_from_the_next_request_on() {
    let server = start_minor("1.36").await;
    server.post(DEPLOYMENTS, deployment("before")).await.ok();
    let label = "Object{metadata: Object.metadata{labels: {'by': request.operation}}}";
    bind(&server, "label", "apps", "deployments", apply(label)).await;
    let made = server.post(DEPLOYMENTS, deployment("d")).await.ok();
    assert_eq!(made["metadata"]["labels"]["by"], "CREATE");
    let one = format!("{DEPLOYMENTS}/d");
    let replicas = json!({"spec": {"replicas": 3}});
    let changed = server.patch("merge", &one, replicas).await.ok();
    assert_eq!(
        (&changed["metadata"]["labels"]["by"], &changed["spec"]["replicas"]),
        (&json!("UPDATE"), &json!(3))
    );
    let config = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "before", "labels": {"x": "y"}}});
    let applied = server.patch("apply", &format!("{DEPLOYMENTS}/before?fieldManager=m"), config).await.ok();
    assert_eq!(applied["metadata"]["labels"], json!({"x": "y", "by": "UPDATE"}));
    let refused = "Object{spec: Object.spec{selector: Object.spec.selector{matchLabels: {'a': 'b'}}}}";
    bind(&server, "whole", "apps", "deployments", apply(refused)).await;
    let answer = server.post(DEPLOYMENTS, deployment("e")).await;
    assert_eq!(answer.body["reason"], "Invalid");
    assert_eq!(answer.body["details"]["causes"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        answer.refused(403),
        "policy 'whole' with binding 'whole' denied request: error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .spec.selector"
    );
    server.delete(&format!("{GROUP}/mutatingadmissionpolicybindings/whole")).await.ok();
    server.post(DEPLOYMENTS, deployment("e")).await.ok();
}

#[tokio::test]
async fn what_subresources_take_is_changed_too() {
    let server = start_minor("1.36").await;
    let most = "Object{spec: Object.spec{replicas: object.spec.replicas > 4 ? 4 : object.spec.replicas}}";
    bind(&server, "most", "apps", "deployments/scale", apply(most)).await;
    server.post(DEPLOYMENTS, deployment("d")).await.ok();
    let scale = json!({"spec": {"replicas": 9}});
    server.patch("merge", &format!("{DEPLOYMENTS}/d/scale"), scale).await.ok();
    assert_eq!(server.get(&format!("{DEPLOYMENTS}/d")).await.ok()["spec"]["replicas"], 4);
}

#[tokio::test]
async fn custom_objects_are_changed_by_their_own_schema() {
    let server = start_minor("1.36").await;
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "size": {"type": "integer"},
        "parts": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "colour": {"type": "string"}}}},
    }}}});
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "things.example.com"}, "spec": {
        "group": "example.com", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}});
    server.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition).await.ok();
    let colours = "Object{spec: Object.spec{size: size(object.spec.parts), parts: object.spec.parts.filter(p, !has(p.colour)).map(p, Object.spec.parts{name: p.name, colour: 'red'})}}";
    bind(&server, "colours", "example.com", "things", apply(colours)).await;
    let things = "/apis/example.com/v1/namespaces/default/things";
    let thing = json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"},
        "spec": {"parts": [{"name": "a"}, {"name": "b", "colour": "blue"}]}});
    let mut made = server.post(things, thing.clone()).await;
    // A definition is served a moment after it is stored.
    for _ in 0..100 {
        if made.status != 404 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        made = server.post(things, thing.clone()).await;
    }
    assert_eq!(
        made.ok()["spec"],
        json!({"size": 2, "parts": [{"name": "a", "colour": "red"}, {"name": "b", "colour": "blue"}]})
    );
}

#[tokio::test]
async fn older_versions_do_not_serve_them() {
    for version in ["v1", "v1beta1", "v1alpha1"] {
        let path = format!("/apis/admissionregistration.k8s.io/{version}/mutatingadmissionpolicies");
        assert_eq!(start().await.get(&path).await.status, 404, "{version}");
    }
    let server = start_minor("1.36").await;
    server.get(&format!("{GROUP}/mutatingadmissionpolicies")).await.ok();
}
