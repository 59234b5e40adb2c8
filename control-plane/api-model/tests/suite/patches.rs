//! The three patches, case by case from `tests/cases`, and the laws that tie them to what they were made from.

use super::{cases, resource};
use api_model::merge::{PatchError, json_patch, merge_patch, strategic};
use serde_json::{Value, json};

fn judge(case: &Value, result: Result<Value, PatchError>) {
    let name = case["name"].as_str().unwrap_or_default();
    match (case.get("error").and_then(Value::as_str), result) {
        (None, Ok(result)) => assert_eq!(result, case["result"], "{name}"),
        (Some(error), Err(found)) => assert_eq!(found.to_string(), error, "{name}"),
        (_, other) => panic!("{name}: {other:?}"),
    }
}

#[test]
fn json_patches_do_what_the_rfc_and_the_library_say() {
    for case in cases("json_patch") {
        judge(&case, json_patch(&case["target"], &case["patch"]));
    }
}

#[test]
fn merge_patches_follow_the_rfc() {
    for case in cases("merge_patch") {
        assert_eq!(merge_patch(&case["target"], &case["patch"]), case["result"], "{case}");
    }
}

#[test]
fn strategic_patches_know_every_directive() {
    for case in cases("strategic") {
        let text = |at: usize| case["kind"][at].as_str().unwrap();
        let schema = &resource(text(0), text(1)).schema;
        let result = strategic(schema, &case["target"], &case["patch"]);
        if let Ok(result) = &result {
            assert!(!result.to_string().contains("$"), "a directive stays: {result}");
            assert_eq!(
                strategic(schema, result, &case["patch"]).as_ref(),
                Ok(result),
                "patching twice is patching once: {}",
                case["name"]
            );
        }
        judge(&case, result);
    }
}

#[test]
fn a_json_patch_has_its_limits() {
    let operation = json!({"op": "add", "path": "/a", "value": 1});
    let many = Value::Array(vec![operation; 10_001]);
    let error = json_patch(&json!({}), &many).unwrap_err();
    assert_eq!(
        error,
        PatchError::TooLarge("The allowed maximum operations in a JSON patch is 10000, got 10001".into())
    );
    // Each copy doubles what is there.
    let copies = Value::Array(vec![json!({"op": "copy", "from": "/a", "path": "/a/-"}); 64]);
    let error = json_patch(&json!({"a": ["0123456789"]}), &copies).unwrap_err().to_string();
    assert!(
        error.starts_with("Unable to complete the copy, the accumulated size increase of copy is "),
        "{error}"
    );
    assert!(error.ends_with(", exceeding the limit 3145728"), "{error}");
}

#[test]
fn long_lists_merge_in_no_time() {
    let name = |at: usize| json!(format!("f{at}"));
    let all: Vec<Value> = (0..20_000).map(name).collect();
    let target = json!({"metadata": {"finalizers": all}});
    let patch = json!({"metadata": {"finalizers": all.iter().rev().collect::<Vec<_>>(), "$setElementOrder/finalizers": all.iter().rev().collect::<Vec<_>>()}});
    let begun = std::time::Instant::now();
    let patched = strategic(&resource("", "pods").schema, &target, &patch).unwrap();
    assert_eq!(patched["metadata"]["finalizers"][0], "f19999");
    // Comparing each with each would take minutes.
    assert!(begun.elapsed().as_secs() < 10);
}
