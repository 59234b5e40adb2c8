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

#[tokio::test]
async fn variables_and_parameters_have_types_when_expressions_are_looked_at() {
    let server = start().await;
    let mut made = policy("true");
    made["spec"]["paramKind"] = json!({"apiVersion": "v1", "kind": "ConfigMap"});
    made["spec"]["variables"] = json!([
        {"name": "count", "expression": "object.spec.replicas"},
        {"name": "names", "expression": "object.spec.template.spec.containers.map(c, c.name)"},
        {"name": "template", "expression": "object.spec.template"},
    ]);
    made["spec"]["matchConstraints"]["resourceRules"][0]["resources"] = json!(["replicasets", "deployments"]);
    made["spec"]["validations"] = json!([
        {"expression": "variables.count > params.data.limit"},
        {"expression": "variables.names.exists(n, n == 'x') && params.metadata.name != ''"},
        {"expression": "variables.names.exists(n, n == 1)", "messageExpression": "'a' + variables.count"},
        // What an object in a variable holds, nobody remembers.
        {"expression": "variables.template.nope == 1"},
        {"expression": "params.nope == 'x'"},
    ]);
    server.post(POLICIES, made).await.ok();
    let checked = looked_at(&server).await;
    let found: Vec<(&str, Vec<&str>)> = checked["expressionWarnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let lines = one["warning"].as_str().unwrap().lines();
            let told = lines.filter_map(|line| line.split_once("ERROR: <input>:1:"));
            let why = told.map(|(kind, why)| {
                assert!(
                    ["apps/v1, Kind=Deployment: ", "apps/v1, Kind=ReplicaSet: "].contains(&kind),
                    "{kind}"
                );
                why.split_once(": ").unwrap().1
            });
            (one["fieldRef"].as_str().unwrap().strip_prefix("spec.validations").unwrap(), why.collect())
        })
        .collect();
    let overload = |operator: &str, types: &str| {
        format!("found no matching overload for '{operator}' applied to '({types})'")
    };
    let expected = [
        ("[0].expression", overload("_>_", "int, string")),
        ("[2].expression", overload("_==_", "string, int")),
        ("[2].messageExpression", overload("_+_", "string, int")),
        ("[4].expression", "undefined field 'nope'".to_owned()),
    ];
    let expected: Vec<(&str, Vec<&str>)> =
        expected.iter().map(|(place, why)| (*place, vec![why.as_str(); 2])).collect();
    assert_eq!(found, expected);
    // Of parameters that nobody serves nothing is known, not even that they are there.
    let change = json!({"spec": {"paramKind": {"apiVersion": "example.com/v1", "kind": "Limit"}, "variables": null,
        "validations": [{"expression": "params.nope == 'x'"}]}});
    server.patch("merge", &format!("{POLICIES}/p"), change).await.ok();
    let warning = looked_at(&server).await["expressionWarnings"][0]["warning"].as_str().unwrap().to_owned();
    assert!(warning.contains("undeclared reference to 'params'"), "{warning}");
}

#[tokio::test]
async fn an_expression_must_fit_what_its_variables_give() {
    let server = start().await;
    for (variable, expression, why) in [
        ("'seven'", "variables.x > 1", "found no matching overload for '_>_' applied to '(string, int)'"),
        (
            "['a', 'b']",
            "variables.x[0] == 1",
            "found no matching overload for '_==_' applied to '(string, int)'",
        ),
        ("object.spec.paused", "variables.x", "must evaluate to bool but got dyn"),
        ("quantity('1')", "variables.x", "must evaluate to bool but got dyn"),
        ("1", "variables.y == 1", "undefined field 'y'"),
    ] {
        let mut made = policy(expression);
        made["spec"]["variables"] = json!([{"name": "x", "expression": variable}]);
        let said = server.post(POLICIES, made).await.refused(422);
        let start = "ValidatingAdmissionPolicy.admissionregistration.k8s.io \"p\" is invalid: spec.validations[0].expression: Invalid value: ";
        assert!(said.starts_with(start) && said.contains(why), "{variable}, {expression}: {said}");
    }
    for (variable, expression) in [
        ("object.spec.replicas > 1", "variables.x"),
        ("object.spec.?paused", "variables.x.orValue(false) == false"),
        ("quantity('1')", "variables.x.isGreaterThan(quantity('0'))"),
        ("object.metadata.labels", "variables.x.size() > 1 && variables.x['app'] == 'd'"),
    ] {
        let mut made = policy(expression);
        made["metadata"]["name"] = json!("fits");
        made["spec"]["variables"] = json!([{"name": "x", "expression": variable}]);
        server.post(&format!("{POLICIES}?dryRun=All"), made).await.ok();
    }
}
