//! JSON patch and JSON merge patch over any values.

#![no_main]

use api_model::merge::{json_patch, merge_patch};
use lazurite_fuzz::{Choices, any};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

const PATHS: [&str; 12] = [
    "",
    "/",
    "/name",
    "/key/0",
    "/-",
    "/0",
    "/metadata/name",
    "/~1",
    "/key/-1",
    "/key/-",
    "name",
    "/metadata/managedFields/0",
];

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices(data);
    let target = any(&mut choices, 6);
    let patch = any(&mut choices, 6);
    let merged = merge_patch(&target, &patch);
    assert_eq!(merge_patch(&merged, &patch), merged, "merging twice is merging once");
    let mut operations = Vec::new();
    while choices.more() && operations.len() < 16 {
        let op = choices.of(&["add", "remove", "replace", "move", "copy", "test", "nope"]);
        let mut operation = json!({"op": op, "path": choices.of(&PATHS)});
        if choices.byte() % 4 != 0 {
            operation["value"] = any(&mut choices, 4);
            operation["from"] = json!(choices.of(&PATHS));
        }
        operations.push(operation);
    }
    let operations = Value::Array(operations);
    let once = json_patch(&target, &operations);
    assert_eq!(once, json_patch(&target, &operations));
    let _ = json_patch(&target, &patch);
});
