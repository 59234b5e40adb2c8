//! Each case: the object as a client sends it, the texts of the causes.

use super::resource;
use api_model::validation::{validate_create, validate_update};
use api_model::{Cause, Resource};
use serde_json::{Value, json};

fn ready(r: &Resource, mut object: Value) -> Value {
    r.schema.prune(&mut object);
    r.schema.default(&mut object);
    object
}

fn texts(causes: &[Cause]) -> Vec<String> {
    causes.iter().map(Cause::text).collect()
}

fn create(group: &str, plural: &str, object: Value) -> Vec<String> {
    let r = resource(group, plural);
    let object = ready(r, object);
    let mut causes = r.schema.validate(&object);
    if causes.is_empty() {
        causes = validate_create(r, &object);
    }
    texts(&causes)
}

fn update(group: &str, plural: &str, old: Value, change: Value) -> Vec<String> {
    let r = resource(group, plural);
    let old = ready(r, old);
    let new = ready(r, api_model::merge::merge_patch(&old, &change));
    texts(&validate_update(r, &new, &old))
}

fn meta() -> Value {
    json!({"name": "a", "namespace": "n"})
}

fn pod(spec: Value) -> Value {
    json!({"metadata": meta(), "spec": spec})
}

fn deployment() -> Value {
    json!({"metadata": meta(), "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
}

#[test]
fn names_are_judged_per_kind() {
    let bad = create("", "configmaps", json!({"metadata": {"name": "A_b", "namespace": "n"}}));
    assert_eq!(
        bad,
        [
            "metadata.name: Invalid value: \"A_b\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
        ]
    );
    assert_eq!(
        create("", "configmaps", json!({"metadata": {"namespace": "n"}})),
        ["metadata.name: Required value: name or generateName is required"]
    );
    assert_eq!(
        create("", "namespaces", json!({"metadata": {"name": "a.b"}})),
        ["metadata.name: Invalid value: \"a.b\": must not contain dots"]
    );
    assert_eq!(
        create("rbac.authorization.k8s.io", "clusterroles", json!({"metadata": {"name": "system:Node:x"}})),
        [""; 0]
    );
    assert_eq!(
        create("", "nodes", json!({"metadata": {"name": "n", "namespace": "x"}})),
        ["metadata.namespace: Forbidden: not allowed on this type"]
    );
    let labels = json!({"metadata": {"name": "a", "namespace": "n", "labels": {"a b": "ok", "k": "-"}}});
    assert_eq!(create("", "configmaps", labels).len(), 2);
}

#[test]
fn pods_are_judged() {
    let good = json!({"containers": [{"name": "c", "image": "i"}]});
    assert_eq!(create("", "pods", pod(good)), [""; 0]);
    let cases = [
        (json!({}), vec!["spec.containers: Required value"]),
        (json!({"containers": [{"name": "c"}]}), vec!["spec.containers[0].image: Required value"]),
        (
            json!({"containers": [{"name": "c", "image": "i"}, {"name": "c", "image": "i"}]}),
            vec!["spec.containers[1].name: Duplicate value: \"c\""],
        ),
        (
            json!({"containers": [{"name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/x"}]}]}),
            vec!["spec.containers[0].volumeMounts[0].name: Not found: \"v\""],
        ),
        (
            json!({"restartPolicy": "Sometimes", "containers": [{"name": "c", "image": "i"}]}),
            vec![
                "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"Never\", \"OnFailure\"",
            ],
        ),
        (
            json!({"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 70000}]}]}),
            vec![
                "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
            ],
        ),
        (
            json!({"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}}]}),
            vec![
                "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
            ],
        ),
        (
            json!({"containers": [{"name": "c", "image": "i", "livenessProbe": {}}]}),
            vec!["spec.containers[0].livenessProbe: Required value: must specify a handler type"],
        ),
        (
            json!({"volumes": [{"name": "v", "emptyDir": {}, "secret": {"secretName": "s"}}], "containers": [{"name": "c", "image": "i"}]}),
            vec!["spec.volumes[0].secret: Forbidden: may not specify more than 1 volume type"],
        ),
        (
            json!({"tolerations": [{"operator": "Exists"}, {"key": "k", "operator": "Exists", "value": "x"}], "containers": [{"name": "c", "image": "i"}]}),
            vec![
                "spec.tolerations[1].operator: Invalid value: \"Exists\": value must be empty when `operator` is 'Exists'",
            ],
        ),
    ];
    for (spec, expected) in cases {
        assert_eq!(create("", "pods", pod(spec.clone())), expected, "{spec}");
    }
}

#[test]
fn a_pods_specification_is_fixed_but_for_few_fields() {
    let old = || {
        pod(
            json!({"containers": [{"name": "c", "image": "i:1"}], "tolerations": [{"key": "a", "operator": "Exists"}]}),
        )
    };
    let both = json!([{"key": "a", "operator": "Exists"}, {"key": "b", "operator": "Exists"}]);
    assert_eq!(
        update(
            "",
            "pods",
            old(),
            json!({"spec": {"containers": [{"name": "c", "image": "i:1"}], "tolerations": both}})
        ),
        [""; 0]
    );
    let mut image = ready(resource("", "pods"), old());
    image["spec"]["containers"][0]["image"] = json!("i:2");
    assert_eq!(
        texts(&validate_update(resource("", "pods"), &image, &ready(resource("", "pods"), old()))),
        [""; 0]
    );
    let changed = update("", "pods", old(), json!({"spec": {"nodeName": "n"}}));
    assert!(
        changed[0].starts_with(
            "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`"
        ),
        "{changed:?}"
    );
    assert_eq!(
        update("", "pods", old(), json!({"spec": {"tolerations": null}})),
        ["spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"]
    );
    assert_eq!(
        update(
            "",
            "pods",
            old(),
            json!({"status": {"phase": "Running"}, "metadata": {"labels": {"x": "y"}}})
        ),
        [""; 0]
    );
}

#[test]
fn workloads_are_judged() {
    assert_eq!(create("apps", "deployments", deployment()), [""; 0]);
    let mut other = deployment();
    other["spec"]["template"]["metadata"]["labels"] = json!({"a": "c"});
    assert_eq!(
        create("apps", "deployments", other),
        [
            "spec.template.metadata.labels: Invalid value: {\"a\":\"c\"}: `selector` does not match template `labels`"
        ]
    );
    let mut never = deployment();
    never["spec"]["template"]["spec"]["restartPolicy"] = json!("Never");
    assert_eq!(
        create("apps", "deployments", never),
        ["spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\""]
    );
    let mut negative = deployment();
    negative["spec"]["replicas"] = json!(-1);
    assert_eq!(
        create("apps", "deployments", negative),
        ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]
    );
    let changed = update(
        "apps",
        "deployments",
        deployment(),
        json!({"spec": {"selector": {"matchLabels": {"c": "d"}}, "template": {"metadata": {"labels": {"c": "d"}}}}}),
    );
    assert_eq!(
        changed,
        ["spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"b\",\"c\":\"d\"}}: field is immutable"]
    );
    let mut claims = deployment();
    claims["spec"]["serviceName"] = json!("s");
    claims["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": "v"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]);
    claims["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "v", "mountPath": "/v"}]);
    assert_eq!(create("apps", "statefulsets", claims), [""; 0]);
    let job = json!({"metadata": meta(), "spec": {"template": {"spec": {"restartPolicy": "Always", "containers": [{"name": "c", "image": "i"}]}}}});
    assert_eq!(
        create("batch", "jobs", job.clone()),
        [
            "spec.template.spec.restartPolicy: Unsupported value: \"Always\": supported values: \"OnFailure\", \"Never\""
        ]
    );
    let cron = |schedule: &str| {
        create(
            "batch",
            "cronjobs",
            json!({"metadata": meta(), "spec": {"schedule": schedule, "jobTemplate": {"spec": {"template": {"spec":
        {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}}}),
        )
    };
    assert_eq!(cron("*/5 0-6,8 * jan mon"), [""; 0]);
    assert_eq!(cron("@daily"), [""; 0]);
    assert_eq!(
        cron("61 * * * *"),
        ["spec.schedule: Invalid value: \"61 * * * *\": end of range (61) above maximum (59): 61"]
    );
}

#[test]
fn services_and_configuration_are_judged() {
    let service = |spec: Value| create("", "services", json!({"metadata": meta(), "spec": spec}));
    assert_eq!(service(json!({"ports": [{"port": 80}]})), [""; 0]);
    assert_eq!(service(json!({})), ["spec.ports: Required value"]);
    assert_eq!(
        service(json!({"ports": [{"port": 80}, {"port": 81}]})),
        ["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"]
    );
    assert_eq!(
        service(json!({"type": "X", "ports": [{"port": 80}]})),
        [
            "spec.type: Unsupported value: \"X\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\""
        ]
    );
    assert_eq!(
        update(
            "",
            "services",
            json!({"metadata": meta(), "spec": {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ports": [{"port": 80}]}}),
            json!({"spec": {"clusterIP": "10.0.0.2", "clusterIPs": ["10.0.0.2"]}})
        ),
        ["spec.clusterIPs[0]: Invalid value: [\"10.0.0.2\"]: may not change once set"]
    );
    assert_eq!(
        update(
            "",
            "configmaps",
            json!({"metadata": meta(), "immutable": true, "data": {"a": "b"}}),
            json!({"data": {"a": "c"}})
        ),
        ["data: Forbidden: field is immutable when `immutable` is set"]
    );
    assert_eq!(
        update("", "secrets", json!({"metadata": meta()}), json!({"type": "x"})),
        ["type: Invalid value: \"x\": field is immutable"]
    );
    assert_eq!(
        create("", "secrets", json!({"metadata": meta(), "type": "kubernetes.io/tls"})),
        ["data[tls.crt]: Required value", "data[tls.key]: Required value"]
    );
}

#[test]
fn identities_and_storage_are_judged() {
    let rbac = "rbac.authorization.k8s.io";
    assert_eq!(
        create(
            rbac,
            "roles",
            json!({"metadata": meta(), "rules": [{"apiGroups": [""], "resources": ["pods"]}]})
        ),
        ["rules[0].verbs: Required value: verbs must contain at least one value"]
    );
    let binding = json!({"metadata": meta(), "roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u"}]});
    assert_eq!(create(rbac, "rolebindings", binding.clone()), [""; 0]);
    assert_eq!(
        update(rbac, "rolebindings", binding, json!({"roleRef": {"name": "s"}})),
        [
            "roleRef: Invalid value: {\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":\"Role\",\"name\":\"s\"}: cannot change roleRef"
        ]
    );
    let claim = json!({"metadata": meta(), "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    assert_eq!(create("", "persistentvolumeclaims", claim.clone()), [""; 0]);
    assert_eq!(
        update("", "persistentvolumeclaims", claim, json!({"spec": {"accessModes": ["ReadWriteMany"]}})),
        [
            "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        ]
    );
    assert_eq!(
        create("", "persistentvolumeclaims", json!({"metadata": meta(), "spec": {}})),
        [
            "spec.accessModes: Required value: at least 1 access mode is required",
            "spec.resources[storage]: Required value"
        ]
    );
    assert_eq!(
        update(
            "scheduling.k8s.io",
            "priorityclasses",
            json!({"metadata": {"name": "p"}, "value": 1}),
            json!({"value": 2})
        ),
        ["value: Forbidden: may not be changed in an update."]
    );
}

#[test]
fn deletion_and_identity_of_objects_hold() {
    let old = json!({"metadata": {"name": "a", "namespace": "n", "uid": "1", "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x/a"]}});
    assert_eq!(
        update("", "configmaps", old.clone(), json!({"metadata": {"uid": "2"}})),
        ["metadata.uid: Invalid value: \"2\": field is immutable"]
    );
    assert_eq!(
        update("", "configmaps", old.clone(), json!({"metadata": {"finalizers": ["x/a", "x/b"]}})),
        [
            "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"x/b\"}"
        ]
    );
    assert_eq!(update("", "configmaps", old, json!({"metadata": {"finalizers": null}})), [""; 0]);
}
