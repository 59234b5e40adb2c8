//! Histories of applies and updates, from `tests/cases/apply.yaml`.

use super::{cases, resource};
use api_model::merge::apply::{ApplyError, Manager, apply, update_managed_fields};
use serde_json::{Map, Value, json};

fn merged(into: &mut Value, part: &Value) {
    match (into, part) {
        (Value::Object(into), Value::Object(part)) => {
            for (key, value) in part {
                merged(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, part) => *into = part.clone(),
    }
}

/// The object without what every object has.
fn essence(object: &Value) -> Value {
    let mut object = object.clone();
    let map = object.as_object_mut().unwrap();
    map.remove("apiVersion");
    map.remove("kind");
    let metadata = map["metadata"].as_object_mut().unwrap();
    metadata.remove("name");
    metadata.remove("managedFields");
    if metadata.is_empty() {
        map.remove("metadata");
    }
    object
}

fn fields(object: &Value, manager: &str) -> Value {
    let list = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    list.iter()
        .find(|entry| entry["manager"] == manager)
        .map_or(Value::Null, |entry| entry["fieldsV1"].clone())
}

#[test]
fn histories_end_as_documented() {
    for case in cases("apply") {
        let text = |at: usize| case["kind"][at].as_str().unwrap();
        let resource = resource(text(0), text(1));
        let mut live: Option<Value> = None;
        for (at, step) in case["history"].as_array().unwrap().iter().enumerate() {
            let here = format!("{}, step {}", case["name"], at + 1);
            let manager = Manager {
                name: step["by"].as_str().unwrap().into(),
                api_version: resource.api_version(),
                subresource: None,
                time: jiff::Timestamp::from_second(at as i64).unwrap(),
            };
            let mut object = json!({"apiVersion": resource.api_version(), "kind": resource.kind, "metadata": {"name": "o"}});
            merged(&mut object, step.get("apply").unwrap_or(&step["update"]));
            let done = match step.get("apply") {
                Some(_) => apply(&resource.schema, live.as_ref(), &object, &manager, step["force"] == true),
                None => {
                    update_managed_fields(&resource.schema, live.as_ref(), &mut object, &manager);
                    Ok(object)
                }
            };
            match (done, step["conflicts"].as_array()) {
                (Ok(done), None) => {
                    if let Some(expected) = step.get("is") {
                        assert_eq!(&essence(&done), expected, "{here}");
                    }
                    for (manager, expected) in step["owns"].as_object().unwrap_or(&Map::new()) {
                        assert_eq!(&fields(&done, manager), expected, "{here}: {manager}");
                    }
                    live = Some(done);
                }
                (Err(ApplyError::Conflicts(found)), Some(expected)) => {
                    let found: Vec<Value> =
                        found.iter().map(|c| json!({c.manager.trim_matches('"'): c.field})).collect();
                    assert_eq!(&found, expected, "{here}");
                }
                (other, _) => panic!("{here}: {other:?}"),
            }
        }
    }
}
