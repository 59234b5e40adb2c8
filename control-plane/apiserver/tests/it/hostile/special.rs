//! Kinds that change what becomes of other requests: they call somebody, refuse everything or serve new kinds.
//!
//! Half of the requests about them are nearly right, so that they are stored now and then. What is stored is taken away again before
//! anything else is asked, but for policies, which stay for a while: they are bound to what tests can bear.

use api_model::Resource;
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::bodies::written;
use super::requests::{Bad, pick};

const ADMISSION: &str = "/apis/admissionregistration.k8s.io/v1";

/// Whether a kind is one of them.
pub fn is(resource: &Resource) -> bool {
    let groups = ["admissionregistration.k8s.io", "apiregistration.k8s.io", "apiextensions.k8s.io"];
    groups.contains(&resource.group.as_str())
}

/// Whether what is in this collection may stay for a while.
pub fn stays(collection: &str) -> bool {
    collection.contains("admissionpolic")
}

const TRUTHS: &[&str] = &[
    "true",
    "false",
    "object.metadata.name == 'a'",
    "has(object.data) && object.data.size() > 2",
    "object.spec.replicas > 1",
    "request.operation in ['CREATE', 'UPDATE']",
    "variables.v == 1",
    "params.data.x == 'y'",
    "authorizer.group('').resource('pods').check('get').allowed()",
    "[1, 2, 3].all(x, [1, 2, 3].all(y, [1, 2, 3].all(z, x + y + z < 10)))",
    "object.metadata.labels.all(k, k.matches('^(a+)+$'))",
    "1 / 0 == 1",
    "'a' + 1",
    "((((((((((true))))))))))",
    "",
];
const CHANGES: &[&str] = &[
    "Object{}",
    "Object{metadata: Object.metadata{labels: {'by': 'policy'}}}",
    "Object{metadata: Object.metadata{annotations: {'n': object.metadata.name}}}",
    "Object{data: {'x': 'y'}}",
    "Object{spec: Object.spec{replicas: 2}}",
    "Object{spec: Object.spec{selector: Object.spec.selector{matchLabels: {'a': 'b'}}}}",
    "Object{spec: Object.specx{}}",
    "Object{nope: 1}",
    "Object{metadata: 1}",
    "[]",
    "[JSONPatch{op: 'add', path: '/metadata/labels', value: {'by': 'policy'}}]",
    "[JSONPatch{op: 'test', path: '/metadata/name', value: 'a'}, JSONPatch{op: 'remove', path: '/metadata/labels'}]",
    "[JSONPatch{op: 'replace', path: '/metadata/labels/' + jsonpatch.escapeKey('a/b'), value: string(object.metadata.generation)}]",
    "[JSONPatch{op: 'copy', from: '/metadata/name', path: '/metadata/annotations/x'}]",
    "[JSONPatch{op: 'swap', path: 'nope'}]",
    "object.metadata.labels",
    "Object{metadata: Object.metadata{labels: ",
];

fn rules(rng: &mut StdRng) -> Value {
    let operations = pick(rng, &["CREATE", "UPDATE", "*", "DELETE", "CONNECT", "PATCH"]);
    let resources =
        pick(rng, &["configmaps", "pods", "deployments", "things", "*", "*/*", "pods/status", ""]);
    let group = pick(rng, &["", "apps", "*", "kept.test"]);
    json!([{"operations": [operations], "apiGroups": [group], "apiVersions": ["*"], "resources": [resources], "scope": pick(rng, &["*", "Namespaced", "x"])}])
}

fn policy(rng: &mut StdRng, mutates: bool) -> Value {
    let mut spec = json!({
        "failurePolicy": pick(rng, &["Fail", "Ignore"]),
        "matchConstraints": {"resourceRules": rules(rng)},
        "variables": [{"name": "v", "expression": pick(rng, &["1", "object.spec", "variables.v", "{'a': 1}"])}],
    });
    if rng.random_ratio(1, 2) {
        spec["matchConditions"] = json!([{"name": "c", "expression": pick(rng, TRUTHS)}]);
    }
    if rng.random_ratio(1, 2) {
        spec["paramKind"] = json!({"apiVersion": pick(rng, &["v1", "kept.test/v1", "no/v1"]), "kind": pick(rng, &["ConfigMap", "Thing"])});
    }
    if mutates {
        let change = pick(rng, CHANGES);
        let (kind, field) = if change.starts_with('[') {
            ("JSONPatch", "jsonPatch")
        } else {
            ("ApplyConfiguration", "applyConfiguration")
        };
        spec["mutations"] = json!([{"patchType": kind, field: {"expression": change}}]);
        spec["reinvocationPolicy"] = pick(rng, &["Never", "IfNeeded"]).into();
    } else {
        spec["validations"] = json!([{"expression": pick(rng, TRUTHS), "messageExpression": pick(rng, &["'no'", "object.metadata.name", "1"])}]);
        spec["auditAnnotations"] = json!([{"key": "k", "valueExpression": pick(rng, &["'x'", "null", "1"])}]);
    }
    spec
}

fn binding(rng: &mut StdRng, mutates: bool) -> Value {
    let mut spec = json!({"policyName": pick(rng, &["a", "b"])});
    if !mutates {
        spec["validationActions"] = json!([pick(rng, &["Deny", "Warn", "Audit", "Nod"])]);
    }
    if rng.random_ratio(1, 2) {
        let name = json!({"name": "a", "parameterNotFoundAction": pick(rng, &["Allow", "Deny"])});
        let selector = json!({"selector": {"matchLabels": {"a": "b"}}, "parameterNotFoundAction": "Allow"});
        spec["paramRef"] = if rng.random() { name } else { selector };
    }
    spec
}

/// Nobody listens there.
fn webhooks(rng: &mut StdRng) -> Value {
    let to = json!({"url": "https://127.0.0.1:1/x"});
    let service =
        json!({"service": {"namespace": "default", "name": "a", "path": pick(rng, &["/x", "x", "//"])}});
    json!([{
        "name": pick(rng, &["a.b.c", "a"]), "sideEffects": pick(rng, &["None", "Some"]), "admissionReviewVersions": ["v1"],
        "rules": rules(rng), "clientConfig": if rng.random() { to } else { service },
        "matchConditions": [{"name": "c", "expression": pick(rng, TRUTHS)}],
        "timeoutSeconds": rng.random_range(0..33),
    }])
}

fn definition(rng: &mut StdRng) -> Value {
    let kinds = ["object", "string", "integer", "array", "nope"];
    let mut field = json!({"type": pick(rng, &kinds)});
    for (name, value) in [
        ("x-kubernetes-preserve-unknown-fields", json!(true)),
        ("x-kubernetes-list-type", json!(pick(rng, &["map", "set", "atomic"]))),
        ("default", json!({"a": 1})),
        ("pattern", json!(pick(rng, &["^a$", "(((", "(a+)+$"]))),
        ("items", json!({"type": "string"})),
        ("nullable", json!(true)),
        (
            "x-kubernetes-validations",
            json!([{"rule": pick(rng, &["self == oldSelf", "self.size() > 0", "self.a.b", "true"])}]),
        ),
    ] {
        if rng.random_ratio(1, 3) {
            field[name] = value;
        }
    }
    let schema =
        json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"a": field}}}});
    let served: bool = rng.random();
    json!({
        "group": "hostile.test", "scope": pick(rng, &["Namespaced", "Cluster"]),
        "names": {"plural": "things", "kind": pick(rng, &["Thing", "thing"])},
        "versions": [{"name": pick(rng, &["v1", "V1", "v1beta1"]), "served": served, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        "conversion": {"strategy": pick(rng, &["None", "Webhook"])},
    })
}

fn api_service(rng: &mut StdRng) -> Value {
    let mut spec = json!({
        "group": "hostile.test", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": rng.random_range(-1..1100),
        "insecureSkipTLSVerify": rng.random::<bool>(),
    });
    if rng.random() {
        spec["service"] = json!({"namespace": "default", "name": "a", "port": 443});
    }
    spec
}

/// A request that is nearly right.
pub fn request(rng: &mut StdRng) -> Bad {
    let names = ["a", "b"];
    let (collection, kind, name, fields) = match rng.random_range(0..12) {
        0..=2 => (
            "validatingadmissionpolicies",
            "ValidatingAdmissionPolicy",
            pick(rng, &names),
            json!({"spec": policy(rng, false)}),
        ),
        3 | 4 => (
            "validatingadmissionpolicybindings",
            "ValidatingAdmissionPolicyBinding",
            pick(rng, &names),
            json!({"spec": binding(rng, false)}),
        ),
        5 | 6 => (
            "mutatingadmissionpolicies",
            "MutatingAdmissionPolicy",
            pick(rng, &names),
            json!({"spec": policy(rng, true)}),
        ),
        7 => (
            "mutatingadmissionpolicybindings",
            "MutatingAdmissionPolicyBinding",
            pick(rng, &names),
            json!({"spec": binding(rng, true)}),
        ),
        8 => (
            "validatingwebhookconfigurations",
            "ValidatingWebhookConfiguration",
            "a",
            json!({"webhooks": webhooks(rng)}),
        ),
        9 => (
            "mutatingwebhookconfigurations",
            "MutatingWebhookConfiguration",
            "a",
            json!({"webhooks": webhooks(rng)}),
        ),
        10 => ("", "CustomResourceDefinition", "things.hostile.test", json!({"spec": definition(rng)})),
        _ => ("", "APIService", "v1.hostile.test", json!({"spec": api_service(rng)})),
    };
    let (collection, version) = match kind {
        "CustomResourceDefinition" => {
            ("/apis/apiextensions.k8s.io/v1/customresourcedefinitions".to_owned(), "apiextensions.k8s.io/v1")
        }
        "APIService" => {
            ("/apis/apiregistration.k8s.io/v1/apiservices".to_owned(), "apiregistration.k8s.io/v1")
        }
        _ => (format!("{ADMISSION}/{collection}"), "admissionregistration.k8s.io/v1"),
    };
    let mut object = fields;
    object["apiVersion"] = version.into();
    object["kind"] = kind.into();
    object["metadata"] = json!({"name": name});
    let (method, path, media) = match rng.random_range(0..6) {
        0 => ("PUT", format!("{collection}/{name}"), "application/json"),
        1 => (
            "PATCH",
            format!("{collection}/{name}?fieldManager=m&force=true"),
            "application/apply-patch+yaml",
        ),
        2 => ("PATCH", format!("{collection}/{name}"), "application/merge-patch+json"),
        _ => ("POST", collection.clone(), "application/json"),
    };
    let body = written(rng, &object, media);
    let headers = vec![("content-type", media.to_owned())];
    Bad { method, path, headers, body, goes: Some(collection) }
}
