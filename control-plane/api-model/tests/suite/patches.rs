use super::resource;
use api_model::merge::{json_patch, merge_patch, strategic};
use serde_json::{Value, json};

fn pod(spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec})
}

#[test]
fn json_patch_operations() {
    let cases = [
        (json!({"a": 1}), json!([{"op": "add", "path": "/b", "value": 2}]), Ok(json!({"a": 1, "b": 2}))),
        (json!({"a": [1]}), json!([{"op": "add", "path": "/a/-", "value": 2}]), Ok(json!({"a": [1, 2]}))),
        (json!({"a": [1]}), json!([{"op": "add", "path": "/a/0", "value": 2}]), Ok(json!({"a": [2, 1]}))),
        (json!({"a/b": 1}), json!([{"op": "remove", "path": "/a~1b"}]), Ok(json!({}))),
        (
            json!({"a": 1}),
            json!([{"op": "test", "path": "/a", "value": 1}, {"op": "replace", "path": "/a", "value": 2}]),
            Ok(json!({"a": 2})),
        ),
        (
            json!({"a": 1}),
            json!([{"op": "test", "path": "/a", "value": 2}]),
            Err("testing value path /a: test failed"),
        ),
        (
            json!({"a": 1}),
            json!([{"op": "replace", "path": "/b", "value": 2}]),
            Err("replace path /b: missing path"),
        ),
        (
            json!({"a": {"b": 1}}),
            json!([{"op": "move", "from": "/a/b", "path": "/c"}]),
            Ok(json!({"a": {}, "c": 1})),
        ),
        (
            json!({"a": {"b": 1}}),
            json!([{"op": "copy", "from": "/a", "path": "/c"}]),
            Ok(json!({"a": {"b": 1}, "c": {"b": 1}})),
        ),
        (json!({}), json!({}), Err("json patch must be a list of operations")),
    ];
    for (target, patch, expected) in cases {
        let result = json_patch(&target, &patch).map_err(|e| e.to_string());
        assert_eq!(result, expected.map_err(str::to_owned), "{patch}");
    }
}

#[test]
fn merge_patch_follows_the_rfc() {
    let target = json!({"a": {"b": 1, "c": 2}, "l": [1]});
    assert_eq!(merge_patch(&target, &json!({"a": {"b": null}, "l": [2]})), json!({"a": {"c": 2}, "l": [2]}));
    assert_eq!(merge_patch(&json!(1), &json!({"a": {"b": null, "c": 1}})), json!({"a": {"c": 1}}));
}

#[test]
fn strategic_merges_lists_by_key() {
    let live = pod(json!({"containers": [
        {"name": "a", "image": "a:1", "env": [{"name": "X", "value": "1"}]}, {"name": "b", "image": "b:1"}]}));
    let cases = [
        (json!({"containers": [{"name": "b", "image": "b:2"}]}), "/spec/containers/1/image", json!("b:2")),
        (json!({"containers": [{"name": "b", "image": "b:2"}]}), "/spec/containers/0/image", json!("a:1")),
        (json!({"containers": [{"name": "c", "image": "c"}]}), "/spec/containers/2/name", json!("c")),
        (
            json!({"containers": [{"name": "a", "$patch": "delete"}]}),
            "/spec/containers",
            json!([{"name": "b", "image": "b:1"}]),
        ),
        (
            json!({"containers": [{"$patch": "replace"}, {"name": "z"}]}),
            "/spec/containers",
            json!([{"name": "z"}]),
        ),
        (
            json!({"containers": [{"name": "a", "env": [{"name": "Y", "value": "2"}]}]}),
            "/spec/containers/0/env",
            json!([{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]),
        ),
        (
            json!({"containers": [{"name": "a", "env": [{"name": "X", "value": null, "valueFrom": {}}]}]}),
            "/spec/containers/0/env/0",
            json!({"name": "X", "valueFrom": {}}),
        ),
        (
            json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}),
            "/spec/containers/0/name",
            json!("b"),
        ),
        (
            json!({"$setElementOrder/containers": [{"name": "n"}, {"name": "a"}], "containers": [{"name": "n"}]}),
            "/spec/containers",
            json!([{"name": "n"}, {"name": "a", "image": "a:1", "env": [{"name": "X", "value": "1"}]}, {"name": "b", "image": "b:1"}]),
        ),
        (
            json!({"tolerations": [{"key": "k", "operator": "Exists"}]}),
            "/spec/tolerations",
            json!([{"key": "k", "operator": "Exists"}]),
        ),
    ];
    for (patch, pointer, expected) in cases {
        let patched =
            strategic(&resource("", "pods").schema, &live, &json!({"spec": patch.clone()})).unwrap();
        assert_eq!(patched.pointer(pointer), Some(&expected), "{patch}\n{patched:#}");
        assert!(!patched.to_string().contains('$'), "{patched}");
    }
    let bad = json!({"spec": {"containers": [{"image": "x"}]}});
    let error = strategic(&resource("", "pods").schema, &live, &bad).unwrap_err().to_string();
    assert_eq!(error, r#"map: {"image":"x"} does not contain declared merge key: name"#);
}

#[test]
fn strategic_retains_keys_and_deletes_primitives() {
    let deployments = &resource("apps", "deployments").schema;
    let live = json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}});
    let patch = json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}});
    assert_eq!(
        strategic(deployments, &live, &patch).unwrap(),
        json!({"spec": {"strategy": {"type": "Recreate"}}})
    );
    let live = json!({"metadata": {"finalizers": ["a", "b"]}});
    let patch = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]}});
    let patched = strategic(deployments, &live, &patch).unwrap();
    assert_eq!(patched, json!({"metadata": {"finalizers": ["b", "c"]}}));
    let replaced = json!({"metadata": {"labels": {"$patch": "replace", "x": "y"}}});
    let live = json!({"metadata": {"labels": {"a": "b"}}});
    assert_eq!(
        strategic(deployments, &live, &replaced).unwrap(),
        json!({"metadata": {"labels": {"x": "y"}}})
    );
}
