//! A patch made of the difference of two objects makes the one of the other.

use super::made::{Choices, bytes, object};
use super::model;
use api_model::merge::{json_patch, merge_patch, strategic};
use api_model::schema::{NodeId, NodeKind, Types};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// The merge patch from `a` to `b`.
fn merge_diff(a: &Value, b: &Value) -> Value {
    let (Value::Object(from), Value::Object(to)) = (a, b) else { return b.clone() };
    let mut patch = Map::new();
    for key in from.keys().filter(|key| !to.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in to {
        match from.get(key) {
            Some(known) if known == value => {}
            Some(known) => {
                patch.insert(key.clone(), merge_diff(known, value));
            }
            None => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    Value::Object(patch)
}

/// The JSON patch from `a` to `b`.
fn json_diff(a: &Value, b: &Value, path: &str, patch: &mut Vec<Value>) {
    match (a, b) {
        (a, b) if a == b => {}
        (Value::Object(from), Value::Object(to)) => {
            let below = |key: &str| format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"));
            for key in from.keys().filter(|key| !to.contains_key(*key)) {
                patch.push(json!({"op": "remove", "path": below(key)}));
            }
            for (key, value) in to {
                match from.get(key) {
                    Some(known) => json_diff(known, value, &below(key), patch),
                    None => patch.push(json!({"op": "add", "path": below(key), "value": value})),
                }
            }
        }
        (Value::Array(from), Value::Array(to)) => {
            for (at, value) in to.iter().enumerate() {
                match from.get(at) {
                    Some(known) => json_diff(known, value, &format!("{path}/{at}"), patch),
                    None => patch.push(json!({"op": "add", "path": format!("{path}/-"), "value": value})),
                }
            }
            for at in (to.len()..from.len()).rev() {
                patch.push(json!({"op": "remove", "path": format!("{path}/{at}")}));
            }
        }
        (_, b) => patch.push(json!({"op": "replace", "path": path, "value": b})),
    }
}

/// The strategic merge patch from `a` to `b`, as kubectl makes it: by merge keys, with deletions and the order of lists.
fn strategic_diff(
    types: &Types,
    id: Option<NodeId>,
    a: &Map<String, Value>,
    b: &Map<String, Value>,
) -> Map<String, Value> {
    let mut patch = Map::new();
    for key in a.keys().filter(|key| !b.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, new) in b {
        let Some(old) = a.get(key) else {
            patch.insert(key.clone(), new.clone());
            continue;
        };
        if old == new {
            continue;
        }
        let field = id.and_then(|id| types.field(id, key));
        let replaces = field.is_some_and(|field| field.replace);
        match (old, new) {
            (Value::Object(old), Value::Object(new)) if !replaces => {
                let below = id.and_then(|id| types.step(id, key));
                patch.insert(key.clone(), Value::Object(strategic_diff(types, below, old, new)));
            }
            (Value::Array(old), Value::Array(new)) => match field.map(|field| &types.node(field.node).kind) {
                Some(NodeKind::List { item, merge_key, merge: true, .. }) if !replaces => {
                    list_diff(types, *item, merge_key.as_deref(), key, (old, new), &mut patch);
                }
                _ => {
                    patch.insert(key.clone(), Value::Array(new.clone()));
                }
            },
            _ => {
                patch.insert(key.clone(), new.clone());
            }
        }
    }
    patch
}

fn list_diff(
    types: &Types,
    item: NodeId,
    merge_key: Option<&str>,
    key: &str,
    (old, new): (&[Value], &[Value]),
    patch: &mut Map<String, Value>,
) {
    let Some(merge_key) = merge_key else {
        let gone: Vec<&Value> = old.iter().filter(|item| !new.contains(item)).collect();
        let added: Vec<&Value> = new.iter().filter(|item| !old.contains(item)).collect();
        if !gone.is_empty() {
            patch.insert(format!("$deleteFromPrimitiveList/{key}"), json!(gone));
        }
        if !added.is_empty() {
            patch.insert(key.to_owned(), json!(added));
        }
        patch.insert(format!("$setElementOrder/{key}"), json!(new));
        return;
    };
    let find = |list: &[Value], wanted: &Value| {
        list.iter().find(|item| item[merge_key] == wanted[merge_key]).cloned()
    };
    let mut items = Vec::new();
    for wanted in new {
        match find(old, wanted) {
            Some(known) if known == *wanted => {}
            Some(Value::Object(known)) => {
                let Value::Object(wanted) = wanted else { continue };
                let mut below = strategic_diff(types, Some(item), &known, wanted);
                below.insert(merge_key.to_owned(), wanted[merge_key].clone());
                items.push(Value::Object(below));
            }
            _ => items.push(wanted.clone()),
        }
    }
    let gone = old.iter().filter(|item| find(new, item).is_none());
    items.extend(gone.map(|item| json!({merge_key: item[merge_key], "$patch": "delete"})));
    if !items.is_empty() {
        patch.insert(key.to_owned(), Value::Array(items));
    }
    let order: Vec<Value> = new.iter().map(|item| json!({merge_key: item[merge_key]})).collect();
    patch.insert(format!("$setElementOrder/{key}"), Value::Array(order));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_difference_of_two_objects_patches_one_into_the_other(
        which in any::<prop::sample::Index>(), common in any::<bool>(), a in bytes(160), b in bytes(160),
    ) {
        let pods = model().resource("", "v1", "pods").unwrap();
        let resource = if common { pods } else { which.get(model().resources()) };
        let make = |bytes: &[u8]| object(&resource.schema, &resource.api_version(), &resource.kind, &mut Choices(bytes));
        let (a, b) = (make(&a), make(&b));
        prop_assert_eq!(&merge_patch(&a, &merge_diff(&a, &b)), &b);
        let mut operations = Vec::new();
        json_diff(&a, &b, "", &mut operations);
        prop_assert_eq!(json_patch(&a, &Value::Array(operations)), Ok(b.clone()));
        let (Value::Object(from), Value::Object(to)) = (&a, &b) else { return Ok(()) };
        let patch = Value::Object(strategic_diff(resource.schema.types(), Some(resource.schema.id()), from, to));
        prop_assert_eq!(strategic(&resource.schema, &a, &patch), Ok(b.clone()), "{}", patch);
    }
}
