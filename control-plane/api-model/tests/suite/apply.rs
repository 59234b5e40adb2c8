use super::resource;
use api_model::merge::apply::{ApplyError, Manager, apply, update_managed_fields};
use serde_json::{Value, json};

fn who(name: &str, second: i64) -> Manager {
    Manager {
        name: name.into(),
        api_version: "apps/v1".into(),
        subresource: None,
        time: jiff::Timestamp::from_second(second).unwrap(),
    }
}

fn deployment(spec: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "n"}, "spec": spec})
}

fn do_apply(live: Option<&Value>, config: &Value, name: &str, force: bool) -> Result<Value, ApplyError> {
    apply(&resource("apps", "deployments").schema, live, config, &who(name, 100), force)
}

fn do_update(old: Option<&Value>, new: &Value, name: &str) -> Value {
    let mut new = new.clone();
    update_managed_fields(&resource("apps", "deployments").schema, old, &mut new, &who(name, 200));
    new
}

fn fields(object: &Value, name: &str) -> Value {
    let list = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    list.iter().find(|e| e["manager"] == name).map_or(Value::Null, |e| e["fieldsV1"].clone())
}

#[test]
fn the_first_apply_creates_and_owns() {
    let made = do_apply(
        None,
        &deployment(json!({"replicas": 2, "template": {"spec": {"containers": [
        {"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]}}})),
        "a",
        false,
    )
    .unwrap();
    assert_eq!(
        made["metadata"]["managedFields"],
        json!([{"manager": "a", "operation": "Apply", "apiVersion": "apps/v1",
        "time": "1970-01-01T00:01:40Z", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {
            "f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:name": {}, "f:image": {}, "f:ports": {
                "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}}}}}}}}])
    );
}

#[test]
fn applying_again_changes_nothing() {
    let config = deployment(json!({"replicas": 2}));
    let first = do_apply(None, &config, "a", false).unwrap();
    let later = who("a", 999);
    assert_eq!(
        apply(&resource("apps", "deployments").schema, Some(&first), &config, &later, false).unwrap(),
        first
    );
}

#[test]
fn a_field_no_longer_applied_is_removed() {
    let first = do_apply(None, &deployment(json!({"replicas": 2, "paused": true})), "a", false).unwrap();
    let second = do_apply(Some(&first), &deployment(json!({"replicas": 2})), "a", false).unwrap();
    assert_eq!(second["spec"], json!({"replicas": 2}));
    let third = do_apply(
        Some(&second),
        &json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "n"}}),
        "a",
        false,
    )
    .unwrap();
    assert_eq!(third.get("spec"), None);
}

#[test]
fn conflicts_name_field_and_owner() {
    let first = do_apply(None, &deployment(json!({"replicas": 2})), "a", false).unwrap();
    let error = do_apply(Some(&first), &deployment(json!({"replicas": 3})), "b", false).unwrap_err();
    assert_eq!(error.to_string(), "Apply failed with 1 conflict: conflict with \"a\": .spec.replicas");
    let mut scaled = first.clone();
    scaled["spec"]["replicas"] = json!(5);
    let scaled = do_update(Some(&first), &scaled, "kubectl-scale");
    assert_eq!(fields(&scaled, "a"), Value::Null);
    let error = do_apply(Some(&scaled), &deployment(json!({"replicas": 2})), "a", false).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 1 conflict: conflict with \"kubectl-scale\" using apps/v1: .spec.replicas"
    );
    let forced = do_apply(Some(&scaled), &deployment(json!({"replicas": 2})), "a", true).unwrap();
    assert_eq!(forced["spec"]["replicas"], 2);
    assert_eq!(fields(&forced, "kubectl-scale"), Value::Null);
}

#[test]
fn equal_values_are_shared() {
    let first = do_apply(None, &deployment(json!({"replicas": 2, "paused": true})), "a", false).unwrap();
    let both = do_apply(Some(&first), &deployment(json!({"replicas": 2})), "b", false).unwrap();
    assert_eq!(fields(&both, "b"), json!({"f:spec": {"f:replicas": {}}}));
    // One of two owners lets go: the field stays.
    let left = do_apply(Some(&both), &deployment(json!({"paused": true})), "a", false).unwrap();
    assert_eq!(left["spec"], json!({"replicas": 2, "paused": true}));
}

#[test]
fn list_items_come_and_go_by_key() {
    let containers = |names: &[&str]| {
        let list: Vec<Value> = names.iter().map(|n| json!({"name": n, "image": n})).collect();
        deployment(json!({"template": {"spec": {"containers": list}}}))
    };
    let first = do_apply(None, &containers(&["a", "b"]), "m", false).unwrap();
    let mut with_sidecar = first.clone();
    with_sidecar["spec"]["template"]["spec"]["containers"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "side", "image": "s"}));
    let live = do_update(Some(&first), &with_sidecar, "injector");
    let next = do_apply(Some(&live), &containers(&["b", "c"]), "m", false).unwrap();
    let names: Vec<&str> = next["spec"]["template"]["spec"]["containers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["b", "side", "c"]);
}

#[test]
fn defaults_and_others_fields_survive_in_items() {
    let config = deployment(json!({"template": {"spec": {"containers": [{"name": "a", "image": "x"}]}}}));
    let mut live = do_apply(None, &config, "m", false).unwrap();
    resource("apps", "deployments").schema.default(&mut live);
    let again = do_apply(Some(&live), &config, "m", false).unwrap();
    assert_eq!(again, live);
    let gone = do_apply(
        Some(&live),
        &deployment(json!({"template": {"spec": {"containers": [{"name": "b", "image": "x"}]}}})),
        "m",
        false,
    )
    .unwrap();
    assert_eq!(gone["spec"]["template"]["spec"]["containers"], json!([{"name": "b", "image": "x"}]));
}

#[test]
fn creating_by_update_owns_with_parents() {
    let made = do_update(
        None,
        &json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "labels": {"a": "b"}},
        "spec": {"replicas": 1}}),
        "kubectl-create",
    );
    assert_eq!(
        made["metadata"]["managedFields"],
        json!([{"manager": "kubectl-create", "operation": "Update", "apiVersion": "apps/v1",
        "time": "1970-01-01T00:03:20Z", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:metadata": {"f:labels": {".": {}, "f:a": {}}}, "f:spec": {"f:replicas": {}}}}])
    );
    // Nothing changed: nothing is written, not even the time.
    let mut same = made.clone();
    update_managed_fields(
        &resource("apps", "deployments").schema,
        Some(&made),
        &mut same,
        &who("other", 900),
    );
    assert_eq!(same, made);
}

#[test]
fn subresources_are_told_apart() {
    let made = do_update(None, &deployment(json!({"replicas": 1})), "kubectl");
    let mut new = made.clone();
    new["status"] = json!({"replicas": 1, "conditions": [{"type": "Available", "status": "True"}]});
    let status = Manager { subresource: Some("status".into()), ..who("controller", 300) };
    update_managed_fields(&resource("apps", "deployments").schema, Some(&made), &mut new, &status);
    let entry = new["metadata"]["managedFields"]
        .as_array()
        .unwrap()
        .iter()
        .find(|e| e["manager"] == "controller")
        .unwrap();
    assert_eq!(entry["subresource"], "status");
    assert_eq!(
        entry["fieldsV1"]["f:status"]["f:conditions"],
        json!({".": {}, "k:{\"type\":\"Available\"}": {".": {}, "f:type": {}, "f:status": {},
        "f:lastTransitionTime": {}, "f:lastUpdateTime": {}}}),
        "times are held by value"
    );
    assert_eq!(fields(&new, "kubectl"), fields(&made, "kubectl"));
}

#[test]
fn tracking_can_be_reset_and_begins_again_at_apply() {
    let made = do_update(None, &deployment(json!({"replicas": 1})), "kubectl");
    let mut reset = made.clone();
    reset["metadata"]["managedFields"] = json!([{}]);
    let bare = do_update(Some(&made), &reset, "kubectl");
    assert_eq!(bare["metadata"].get("managedFields"), None);
    let applied = do_apply(Some(&bare), &deployment(json!({"paused": true})), "a", false).unwrap();
    assert_eq!(fields(&applied, "before-first-apply"), json!({"f:spec": {"f:replicas": {}}}));
}

#[test]
fn bad_configurations_are_refused() {
    let cases = [
        (deployment(json!({"nope": 1})), ".spec.nope: field not declared in schema"),
        (
            deployment(json!({"template": {"spec": {"containers": [{"name": "a"}, {"name": "a"}]}}})),
            ".spec.template.spec.containers: duplicate entries for key [name=\"a\"]",
        ),
        (
            deployment(json!({"replicas": {}})),
            ".spec.replicas: expected numeric (int or float), got map[string]interface {}",
        ),
    ];
    for (config, detail) in cases {
        let error = do_apply(None, &config, "a", false).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("failed to create typed patch object (n/d; apps/v1, Kind=Deployment): {detail}")
        );
    }
    let mut managed = deployment(json!({}));
    managed["metadata"]["managedFields"] = json!([{"manager": "x"}]);
    assert_eq!(
        do_apply(None, &managed, "a", false).unwrap_err().to_string(),
        "metadata.managedFields must be nil"
    );
}

#[test]
fn status_is_not_applied_where_it_is_a_subresource() {
    let mut config = deployment(json!({"replicas": 1}));
    config["status"] = json!({"replicas": 4});
    let made = do_apply(None, &config, "a", false).unwrap();
    assert_eq!(made.get("status"), None);
    assert_eq!(fields(&made, "a"), json!({"f:spec": {"f:replicas": {}}}));
}

#[test]
fn custom_kinds_apply_like_built_in_ones() {
    let definition = json!({"spec": {"group": "x.io", "scope": "Namespaced", "names": {"kind": "Foo", "plural": "foos"}, "versions": [{
        "name": "v1", "served": true, "schema": {"openAPIV3Schema": {"type": "object", "properties": {"status": {"type": "object", "properties": {"n": {"type": "integer"}}},
            "spec": {"type": "object", "properties": {
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                "list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                    "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "string"}}}},
                "plain": {"type": "array", "items": {"type": "string"}}}}}}}}]}});
    let foo = api_model::Resource::from_definition(super::model(), &definition, "v1").unwrap();
    let config = |spec: Value| json!({"apiVersion": "x.io/v1", "kind": "Foo", "metadata": {"name": "f"}, "spec": spec, "status": {"n": 1}});
    let one = apply(
        &foo.schema,
        None,
        &config(json!({"list": [{"k": "a", "v": "1"}], "plain": ["x"], "free": {"a": {"b": 1}}})),
        &who("one", 1),
        false,
    )
    .unwrap();
    assert_eq!(
        fields(&one, "one"),
        json!({"f:spec": {"f:free": {"f:a": {".": {}, "f:b": {}}}, "f:list": {"k:{\"k\":\"a\"}": {".": {}, "f:k": {}, "f:v": {}}}, "f:plain": {}},
        "f:status": {"f:n": {}}})
    );
    let two = apply(&foo.schema, Some(&one), &config(json!({"list": [{"k": "b"}]})), &who("two", 1), false)
        .unwrap();
    assert_eq!(two["spec"]["list"], json!([{"k": "a", "v": "1"}, {"k": "b"}]));
    let error =
        apply(&foo.schema, Some(&two), &config(json!({"plain": ["y"]})), &who("two", 1), false).unwrap_err();
    assert_eq!(error.to_string(), "Apply failed with 1 conflict: conflict with \"one\": .spec.plain");
}
