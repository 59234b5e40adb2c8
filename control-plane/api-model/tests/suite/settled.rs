//! Objects as Go's types write them: what stands in one always, and what goes.

use super::{model, resource};
use api_model::protobuf::{decode, encode};
use proptest::prelude::*;
use serde_json::{Value, json};

fn settled(group: &str, plural: &str, object: &Value) -> Value {
    let (schema, mut object) = (&resource(group, plural).schema, object.clone());
    schema.settle_stored(&mut object);
    let once = object.clone();
    schema.settle_stored(&mut object);
    assert_eq!(once, object, "settling twice");
    object
}

#[test]
fn what_is_always_written_comes() {
    for (group, plural, given, expected) in [
        ("resource.k8s.io", "deviceclasses", json!({}), json!({"metadata": {}, "spec": {}})),
        (
            "resource.k8s.io",
            "resourceclaims",
            json!({"spec": {}}),
            json!({"metadata": {}, "spec": {"devices": {"requests": null}}, "status": {}}),
        ),
        (
            "rbac.authorization.k8s.io",
            "clusterroles",
            json!({"metadata": {"name": "a"}, "rules": []}),
            json!({"metadata": {"name": "a"}, "rules": null}),
        ),
        (
            "",
            "services",
            json!({"spec": {"ports": [{"port": 80}]}}),
            json!({"metadata": {}, "spec": {"ports": [{"port": 80, "targetPort": 0}]}, "status": {"loadBalancer": {}}}),
        ),
        (
            "apps",
            "deployments",
            json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "args": [], "tty": false}]}}}}),
            json!({"metadata": {}, "status": {}, "spec": {"selector": null, "strategy": {}, "template": {
                "metadata": {}, "spec": {"containers": [{"name": "a", "resources": {}}]}}}}),
        ),
        (
            "apps",
            "statefulsets",
            json!({"status": {"replicas": 0, "readyReplicas": 0}}),
            json!({"metadata": {}, "status": {"replicas": 0, "availableReplicas": 0}, "spec": {"selector": null,
                "serviceName": "", "updateStrategy": {}, "template": {"metadata": {}, "spec": {"containers": null}}}}),
        ),
        (
            "policy",
            "poddisruptionbudgets",
            json!({}),
            json!({"metadata": {}, "spec": {}, "status": {
                "currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0}}),
        ),
        ("apps", "controllerrevisions", json!({}), json!({"metadata": {}, "data": null, "revision": 0})),
    ] {
        assert_eq!(settled(group, plural, &given), expected, "{plural}");
    }
}

#[test]
fn what_is_not_told_from_nothing_goes_and_what_is_stays() {
    let pod = json!({"metadata": {"labels": {}, "creationTimestamp": null, "generation": 0}, "spec": {
        "hostNetwork": false, "hostUsers": false, "automountServiceAccountToken": false, "priority": 0, "nodeName": "",
        "containers": [], "securityContext": {}, "volumes": [{"name": "a", "emptyDir": {"sizeLimit": "1024Mi"}}],
        "terminationGracePeriodSeconds": 0}});
    let expected = json!({"metadata": {}, "status": {}, "spec": {
        "hostUsers": false, "automountServiceAccountToken": false, "priority": 0, "containers": null, "securityContext": {},
        "volumes": [{"name": "a", "emptyDir": {"sizeLimit": "1Gi"}}], "terminationGracePeriodSeconds": 0}});
    assert_eq!(settled("", "pods", &pod), expected);
    let claim =
        settled("", "persistentvolumeclaims", &json!({"spec": {"storageClassName": "", "volumeName": ""}}));
    assert_eq!(claim["spec"], json!({"storageClassName": "", "resources": {}}));
}

#[test]
fn members_of_lists_and_maps_are_never_nothing() {
    let map = settled("", "configmaps", &json!({"data": {"a": null}, "binaryData": {"b": "aG\nk="}}));
    assert_eq!(map, json!({"metadata": {}, "data": {"a": ""}, "binaryData": {"b": "aGk="}}));
    let pod = settled("", "pods", &json!({"spec": {"containers": [null]}}));
    assert_eq!(pod["spec"]["containers"], json!([{"name": "", "resources": {}}]));
}

#[test]
fn definitions_keep_their_empty_lists() {
    let definition = json!({"status": {"storedVersions": [], "conditions": []}});
    let settled = settled("apiextensions.k8s.io", "customresourcedefinitions", &definition);
    assert_eq!(
        (&settled["status"]["storedVersions"], &settled["status"]["conditions"]),
        (&json!([]), &json!([]))
    );
}

#[test]
fn what_is_not_looked_into_stays() {
    let revision = json!({"metadata": {}, "data": {"spec": {"x": [1, null], "y": ""}}, "revision": 1});
    assert_eq!(settled("apps", "controllerrevisions", &revision), revision);
}

proptest! {
    /// The binary form is what upstream keeps: a settled object comes back from it as it was.
    #[test]
    fn settled_objects_come_back_from_the_binary_form(
        which in any::<prop::sample::Index>(),
        bytes in super::made::bytes(200),
    ) {
        let resource = which.get(model().resources());
        let mut choices = super::made::Choices(&bytes);
        let mut object = super::made::object(&resource.schema, &resource.api_version(), &resource.kind, &mut choices);
        prop_assume!(resource.kind != "CustomResourceDefinition");
        resource.schema.settle_stored(&mut object);
        let mut once = object.clone();
        resource.schema.settle_stored(&mut once);
        prop_assert_eq!(&once, &object);
        let mut read = decode(model(), &encode(model(), &object).unwrap()).unwrap();
        resource.schema.settle_stored(&mut read);
        prop_assert_eq!(without_inner_types(&read, true), without_inner_types(&object, true));
    }
}

/// Without the types of objects in objects, which the form does not have.
fn without_inner_types(value: &Value, outermost: bool) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(key, _)| outermost || !matches!(key.as_str(), "apiVersion" | "kind"))
            .map(|(key, value)| (key.clone(), without_inner_types(value, false)))
            .collect(),
        Value::Array(items) => items.iter().map(|item| without_inner_types(item, false)).collect(),
        other => other.clone(),
    }
}
