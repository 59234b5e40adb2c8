//! Strategic merge patch: no directive stays, and patching twice is patching once.

#![no_main]

use api_model::merge::strategic;
use lazurite_fuzz::{Choices, Stray, object};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices(data);
    let resource = choices.resource();
    let stray = if choices.byte() % 2 == 0 { Stray::Never } else { Stray::Values };
    let target = object(resource, &mut choices, stray);
    let patch = object(resource, &mut choices, Stray::Directives);
    let Ok(patched) = strategic(&resource.schema, &target, &patch) else { return };
    // What is kept as it came may hold anything.
    if stray == Stray::Never && !directive(&target) {
        assert!(!directive(&patched), "{patched}");
    }
    let again = strategic(&resource.schema, &patched, &patch).expect("it applied before");
    if repeats(&patch) {
        assert_eq!(unordered(&again), unordered(&patched), "patch {patch}");
    } else {
        assert_eq!(again, patched, "patch {patch}");
    }
});

/// Whether two items of one list may be the same one, since they are the same value or a field of theirs has the same: what is said twice
/// of one item comes in the order in which it is said, and each time again.
fn repeats(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.values().any(repeats),
        Value::Array(items) => {
            let fields = |item: &Value| item.as_object().cloned().unwrap_or_default();
            let alike = |(index, one): (usize, &Value)| {
                items.iter().take(index).any(|other| {
                    let same = one == other;
                    let other = fields(other);
                    same || fields(one).iter().any(|(key, value)| !value.is_object() && other.get(key) == Some(value))
                })
            };
            items.iter().enumerate().any(alike) || items.iter().any(repeats)
        }
        _ => false,
    }
}

/// The same, whatever order lists are in.
fn unordered(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            Value::Object(map.iter().map(|(key, value)| (key.clone(), unordered(value))).collect())
        }
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(unordered).collect();
            items.sort_by_key(Value::to_string);
            Value::Array(items)
        }
        scalar => scalar.clone(),
    }
}

/// Whether a directive stands somewhere. Some fields begin with the same letter (`$ref`).
fn directive(value: &Value) -> bool {
    const NAMES: [&str; 4] = ["$patch", "$retainKeys", "$setElementOrder", "$deleteFromPrimitiveList"];
    match value {
        Value::Object(map) => map.iter().any(|(key, value)| {
            NAMES.contains(&key.split('/').next().unwrap_or_default()) || directive(value)
        }),
        Value::Array(items) => items.iter().any(directive),
        _ => false,
    }
}
