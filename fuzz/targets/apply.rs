//! Server-side apply: whatever was there, applying twice is applying once.

#![no_main]

use api_model::merge::apply::{Manager, apply, update_managed_fields};
use lazurite_fuzz::{Choices, Stray, any, object};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// The value without what holds no leaf. An empty list that nobody owns is in no field set, upstream's neither: a second apply may take
/// away what held nothing else.
fn substance(value: &Value) -> Option<Value> {
    let kept = match value {
        Value::Object(map) => Value::Object(
            map.iter().filter_map(|(key, value)| Some((key.clone(), substance(value)?))).collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().filter_map(substance).collect()),
        leaf => leaf.clone(),
    };
    let is_hollow = match &kept {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    };
    (!is_hollow).then_some(kept)
}

/// What an object says, and who owns what of it; not since when.
fn said(object: &Value) -> (Option<Value>, Vec<String>) {
    let mut object = object.clone();
    let entries = object["metadata"].as_object_mut().and_then(|metadata| metadata.remove("managedFields"));
    let mut owners: Vec<String> = Vec::new();
    for mut entry in entries.as_ref().and_then(Value::as_array).cloned().unwrap_or_default() {
        entry.as_object_mut().map(|entry| entry.remove("time"));
        owners.push(entry.to_string());
    }
    owners.sort();
    (substance(&object), owners)
}

fn who(name: &str, api_version: String, second: i64) -> Manager {
    let time = jiff::Timestamp::from_second(second).unwrap_or_default();
    Manager { name: name.to_owned(), api_version, subresource: None, time }
}

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices(data);
    let resource = choices.resource();
    let (schema, version) = (&resource.schema, resource.api_version());
    let stray = if choices.byte() % 4 == 0 { Stray::Values } else { Stray::Never };
    let mut live = object(resource, &mut choices, stray);
    if choices.byte() % 4 == 0 && live["metadata"].is_object() {
        live["metadata"]["managedFields"] = any(&mut choices, 6);
    }
    schema.prune(&mut live);
    update_managed_fields(schema, None, &mut live, &who("creator", version.clone(), 1));
    for (at, name) in ["one", "two", "one"].iter().enumerate() {
        let config = object(resource, &mut choices, stray);
        let second = 10 + i64::try_from(at).unwrap_or_default();
        let force = choices.byte() % 2 == 0;
        let Ok(applied) = apply(schema, Some(&live), &config, &who(name, version.clone(), second), force)
        else {
            continue;
        };
        if stray == Stray::Never {
            let again = apply(schema, Some(&applied), &config, &who(name, version.clone(), 99), false);
            assert_eq!(again.as_ref().map(said), Ok(said(&applied)), "config {config}");
        }
        live = applied;
    }
    let mut changed = object(resource, &mut choices, stray);
    update_managed_fields(schema, Some(&live), &mut changed, &who("updater", version, 50));
});
