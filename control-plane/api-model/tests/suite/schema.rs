use super::resource;
use serde_json::{Value, json};

fn prune(group: &str, plural: &str, mut object: Value) -> (Value, Vec<String>) {
    let removed = resource(group, plural).schema.prune(&mut object);
    (object, removed.iter().map(ToString::to_string).collect())
}

fn defaulted(group: &str, plural: &str, mut object: Value) -> Value {
    let schema = &resource(group, plural).schema;
    schema.prune(&mut object);
    schema.default(&mut object);
    let once = object.clone();
    schema.default(&mut object);
    assert_eq!(once, object, "defaulting twice");
    object
}

#[test]
fn unknown_fields_go_and_are_told() {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "creationTimestamp": null, "nope": 1},
        "spec": {"containers": [{"name": "c", "img": "x", "args": []}], "nodeSelector": {"any": "thing"}}});
    let (pruned, removed) = prune("", "pods", pod);
    assert_eq!(removed, ["metadata.nope", "spec.containers[0].img"]);
    assert_eq!(
        pruned,
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"},
        "spec": {"containers": [{"name": "c"}], "nodeSelector": {"any": "thing"}}})
    );
}

#[test]
fn free_parts_stay() {
    let revision = json!({"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {"name": "a"}, "data": {"spec": {"x": [1, null]}}, "revision": 1});
    assert_eq!(prune("apps", "controllerrevisions", revision.clone()), (revision, vec![]));
    let volume = json!({"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}});
    assert_eq!(prune("", "pods", volume.clone()), (volume, vec![]));
}

#[test]
fn a_pod_gets_its_defaults() {
    let pod = defaulted(
        "",
        "pods",
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {
        "containers": [{"name": "c", "image": "nginx:1.2", "ports": [{"containerPort": 80}], "livenessProbe": {"httpGet": {"port": 80}},
            "resources": {"limits": {"cpu": 1, "memory": "1024Mi"}}}],
        "volumes": [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}, {"name": "e"}]}}),
    );
    let spec = &pod["spec"];
    for (pointer, expected) in [
        ("/restartPolicy", json!("Always")),
        ("/dnsPolicy", json!("ClusterFirst")),
        ("/terminationGracePeriodSeconds", json!(30)),
        ("/securityContext", json!({})),
        ("/schedulerName", json!("default-scheduler")),
        ("/enableServiceLinks", json!(true)),
        ("/containers/0/imagePullPolicy", json!("IfNotPresent")),
        ("/containers/0/terminationMessagePath", json!("/dev/termination-log")),
        ("/containers/0/terminationMessagePolicy", json!("File")),
        ("/containers/0/ports/0/protocol", json!("TCP")),
        ("/containers/0/livenessProbe/periodSeconds", json!(10)),
        ("/containers/0/livenessProbe/httpGet/scheme", json!("HTTP")),
        (
            "/containers/0/resources",
            json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}),
        ),
        ("/volumes/0/projected/defaultMode", json!(420)),
        ("/volumes/0/projected/sources/0/serviceAccountToken/expirationSeconds", json!(3600)),
        ("/volumes/1/emptyDir", json!({})),
    ] {
        assert_eq!(spec.pointer(pointer), Some(&expected), "{pointer} in {spec:#}");
    }
}

#[test]
fn images_without_tag_are_pulled_always() {
    for (image, policy) in [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1", "IfNotPresent"),
        ("r:5000/nginx", "Always"),
        ("r:5000/n:1", "IfNotPresent"),
        ("n@sha256:0", "IfNotPresent"),
    ] {
        let pod = defaulted("", "pods", json!({"spec": {"containers": [{"name": "c", "image": image}]}}));
        assert_eq!(pod["spec"]["containers"][0]["imagePullPolicy"], policy, "{image}");
    }
}

#[test]
fn other_kinds_get_their_defaults() {
    let deployment = defaulted(
        "apps",
        "deployments",
        json!({"spec": {"selector": {}, "template": {"spec": {"containers": []}}}}),
    );
    let spec = &deployment["spec"];
    assert_eq!(spec["replicas"], 1);
    assert_eq!(
        spec["strategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}})
    );
    assert_eq!((&spec["revisionHistoryLimit"], &spec["progressDeadlineSeconds"]), (&json!(10), &json!(600)));
    let service =
        defaulted("", "services", json!({"spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}}));
    assert_eq!(
        service["spec"],
        json!({"ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}], "selector": {"a": "b"},
        "sessionAffinity": "None", "type": "ClusterIP", "internalTrafficPolicy": "Cluster"})
    );
    let secret = defaulted("", "secrets", json!({"stringData": {"k": "v"}}));
    assert_eq!(secret, json!({"data": {"k": "dg=="}, "type": "Opaque"}));
    let namespace = defaulted("", "namespaces", json!({"metadata": {"name": "n"}}));
    assert_eq!(
        namespace,
        json!({"metadata": {"name": "n", "labels": {"kubernetes.io/metadata.name": "n"}},
        "status": {"phase": "Active"}})
    );
    let range = defaulted(
        "",
        "limitranges",
        json!({"spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1Mi"}}]}}),
    );
    assert_eq!(range["spec"]["limits"][0]["default"], json!({"cpu": "2"}));
    assert_eq!(range["spec"]["limits"][0]["defaultRequest"], json!({"cpu": "2", "memory": "1Mi"}));
    let claim = defaulted(
        "resource.k8s.io",
        "resourceclaims",
        json!({"spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "c"}}]}}}),
    );
    let exactly = &claim["spec"]["devices"]["requests"][0]["exactly"];
    assert_eq!((&exactly["allocationMode"], &exactly["count"]), (&json!("ExactCount"), &json!(1)));
    let balanced = defaulted(
        "",
        "services",
        json!({"spec": {"type": "LoadBalancer", "ports": []},
        "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}, {"hostname": "a.b"}]}}}),
    );
    assert_eq!(
        balanced["status"]["loadBalancer"]["ingress"],
        json!([{"ip": "1.2.3.4", "ipMode": "VIP"}, {"hostname": "a.b"}])
    );
    let whole = defaulted(
        "",
        "pods",
        json!({"spec": {"resources": {"limits": {"cpu": "4", "memory": "1Gi"}},
        "initContainers": [{"name": "i", "image": "i", "resources": {"requests": {"cpu": "2"}}}],
        "containers": [{"name": "a", "image": "i", "resources": {"requests": {"cpu": "500m"}}}]}}),
    );
    assert_eq!(whole["spec"]["resources"]["requests"], json!({"cpu": "2", "memory": "1Gi"}));
    let job = defaulted("batch", "jobs", json!({"spec": {"template": {"spec": {"containers": []}}}}));
    assert_eq!((&job["spec"]["completions"], &job["spec"]["backoffLimit"]), (&json!(1), &json!(6)));
}

#[test]
fn shapes_are_judged() {
    let object =
        json!({"spec": {"containers": [{"image": "x", "ports": [{"containerPort": "80"}]}], "replicas": 1}});
    let texts: Vec<String> =
        resource("", "pods").schema.validate(&object).iter().map(api_model::Cause::text).collect();
    assert_eq!(
        texts,
        [
            "spec.containers[0].ports[0].containerPort: Invalid value: \"string\": spec.containers[0].ports[0].containerPort in body must be of type integer: \"string\"",
        ]
    );
}

#[test]
fn custom_kinds_use_the_same_engine() {
    let definition = json!({"spec": {"group": "x.io", "scope": "Namespaced", "names": {"kind": "Foo", "plural": "foos"}, "versions": [{
        "name": "v1", "served": true, "subresources": {"status": {}}, "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "spec": {"type": "object", "required": ["size"], "properties": {
                "size": {"type": "integer", "minimum": 1, "default": 3},
                "mode": {"type": "string", "enum": ["a", "b"]},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                "port": {"x-kubernetes-int-or-string": true},
                "list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                    "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "string"}}}}}}}}}}]}});
    let foo = api_model::Resource::from_definition(super::model(), &definition, "v1").unwrap();
    let mut object = json!({"apiVersion": "x.io/v1", "kind": "Foo", "metadata": {"name": "f", "bad": 1},
        "spec": {"mode": "c", "gone": 1, "free": {"any": [1]}, "port": "http", "list": [{"k": "a"}, {"k": "a"}]}});
    let removed: Vec<String> = foo.schema.prune(&mut object).iter().map(ToString::to_string).collect();
    assert_eq!(removed, ["metadata.bad", "spec.gone"]);
    foo.schema.default(&mut object);
    assert_eq!(object["spec"]["size"], 3);
    let texts: Vec<String> = foo.schema.validate(&object).iter().map(api_model::Cause::text).collect();
    assert_eq!(
        texts,
        [
            "spec.list[1]: Duplicate value: {\"k\":\"a\"}",
            "spec.mode: Unsupported value: \"c\": supported values: \"a\", \"b\"",
        ]
    );
    assert!(foo.subresource("status").is_some());
    // An empty text is a value of a custom kind.
    let mut empty = json!({"spec": {"size": null, "mode": ""}});
    foo.schema.default(&mut empty);
    assert_eq!(empty["spec"], json!({"size": 3, "mode": ""}));
}
