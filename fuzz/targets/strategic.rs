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
    assert_eq!(again, patched, "patch {patch}");
});

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
