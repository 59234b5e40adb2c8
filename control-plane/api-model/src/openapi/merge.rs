//! Version 2 documents of several servers in one: what is served here comes first, and what others serve is added.
//!
//! Guarantees: a path is described once, by whom comes first; a definition that two servers call by one name and describe
//! differently is there twice, the second as `name_v2`, and every reference follows. Nothing is kept that no path needs.

use serde_json::{Map, Value, json};
use std::collections::{BTreeSet, HashMap};

const GVK: &str = "x-kubernetes-group-version-kind";
/// The parts of a document that references name.
const SHARED: [&str; 2] = ["definitions", "parameters"];

/// Leaves only what is below a path, and what that needs.
pub fn restrict(document: &mut Value, below: &str) {
    if let Some(Value::Object(paths)) = document.get_mut("paths") {
        paths.retain(|path, _| path.starts_with(below));
    }
    prune(document);
}

/// Adds the paths of another document that are not there yet, with what they need.
pub fn merge(into: &mut Value, mut other: Value) {
    let known = |into: &Value, path: &str| into["paths"].get(path).is_some();
    if let Some(Value::Object(paths)) = other.get_mut("paths") {
        paths.retain(|path, _| !known(into, path));
    }
    prune(&mut other);
    let mut renamed = HashMap::new();
    for part in SHARED {
        for (name, value) in other[part].as_object().into_iter().flatten() {
            let new = free_name(&into[part], name, value);
            if new != *name {
                renamed.insert(format!("#/{part}/{name}"), format!("#/{part}/{new}"));
            }
        }
    }
    for part in SHARED {
        let Some(Value::Object(values)) = other.get_mut(part).map(Value::take) else { continue };
        for (name, mut value) in values {
            let place = format!("#/{part}/{name}");
            let name = renamed.get(&place).and_then(|new| new.rsplit('/').next()).unwrap_or(&name).to_owned();
            rename(&mut value, &renamed);
            let Some(part) = object(into, part) else { continue };
            match part.get_mut(&name) {
                Some(known) => join_kinds(known, &value),
                None => drop(part.insert(name, value)),
            }
        }
    }
    if let Some(Value::Object(paths)) = other.get_mut("paths").map(Value::take) {
        for (path, mut value) in paths {
            rename(&mut value, &renamed);
            if let Some(known) = object(into, "paths") {
                known.insert(path, value);
            }
        }
    }
}

fn object<'v>(value: &'v mut Value, key: &str) -> Option<&'v mut Map<String, Value>> {
    value.as_object_mut()?.entry(key).or_insert_with(|| json!({})).as_object_mut()
}

/// The name under which a definition can be there: its own, where nobody has it or it means the same, or the next that is free.
fn free_name(known: &Value, name: &str, value: &Value) -> String {
    let mut version = 1u32;
    loop {
        let candidate = if version == 1 { name.to_owned() } else { format!("{name}_v{version}") };
        match known.get(&candidate) {
            Some(there) if !same(there, value) => version += 1,
            _ => return candidate,
        }
    }
}

/// Whether two definitions say the same, whatever kinds they are named for.
fn same(one: &Value, other: &Value) -> bool {
    let (Value::Object(one), Value::Object(other)) = (one, other) else { return one == other };
    let own = |map: &Map<String, Value>| map.len() - usize::from(map.contains_key(GVK));
    own(one) == own(other) && one.iter().all(|(key, value)| key == GVK || other.get(key) == Some(value))
}

fn join_kinds(known: &mut Value, other: &Value) {
    let Some(Value::Array(more)) = other.get(GVK) else { return };
    match known.get_mut(GVK) {
        Some(Value::Array(kinds)) => {
            for kind in more {
                if !kinds.contains(kind) {
                    kinds.push(kind.clone());
                }
            }
        }
        _ => known[GVK] = json!(more),
    }
}

fn rename(value: &mut Value, renamed: &HashMap<String, String>) {
    if renamed.is_empty() {
        return;
    }
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get_mut("$ref")
                && let Some(new) = renamed.get(reference)
            {
                *reference = new.clone();
            }
            map.values_mut().for_each(|below| rename(below, renamed));
        }
        Value::Array(items) => items.iter_mut().for_each(|below| rename(below, renamed)),
        _ => {}
    }
}

fn references<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("$ref").and_then(Value::as_str));
            map.values().for_each(|below| references(below, found));
        }
        Value::Array(items) => items.iter().for_each(|below| references(below, found)),
        _ => {}
    }
}

/// Drops what no path needs.
fn prune(document: &mut Value) {
    let mut open = Vec::new();
    references(&document["paths"], &mut open);
    let mut needed: BTreeSet<String> = BTreeSet::new();
    while let Some(reference) = open.pop() {
        if needed.insert(reference.to_owned())
            && let Some(value) = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer))
        {
            references(value, &mut open);
        }
    }
    for part in SHARED {
        if let Some(Value::Object(values)) = document.get_mut(part) {
            values.retain(|name, _| needed.contains(&format!("#/{part}/{name}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(path: &str, kind: &str, field: &str) -> Value {
        json!({
            "swagger": "2.0",
            "paths": {path: {"get": {"parameters": [{"$ref": "#/parameters/pretty"}],
                "responses": {"200": {"description": "OK", "schema": {"$ref": format!("#/definitions/{kind}")}}}}}},
            "definitions": {
                kind: {"type": "object", "properties": {"inner": {"$ref": "#/definitions/Inner"}}, GVK: [{"kind": path}]},
                "Inner": {"type": "object", "properties": {field: {"type": "string"}}},
                "Unused": {"type": "object"},
            },
            "parameters": {"pretty": {"name": "pretty", "in": "query", "type": "string"}},
        })
    }

    #[test]
    fn what_is_named_alike_and_is_not_is_there_twice() {
        let mut all = document("/apis/a/v1/x", "Thing", "one");
        let mut other = document("/apis/b/v1/x", "Thing", "two");
        other["paths"]["/elsewhere"] = json!({"get": {}});
        restrict(&mut other, "/apis/b/");
        assert!(other["paths"].get("/elsewhere").is_none() && other["definitions"].get("Unused").is_none());
        merge(&mut all, other);
        // The outer one reads the same, so it is there once.
        assert_eq!(
            all["definitions"]["Thing"][GVK],
            json!([{"kind": "/apis/a/v1/x"}, {"kind": "/apis/b/v1/x"}])
        );
        assert_eq!(all["definitions"]["Inner_v2"]["properties"], json!({"two": {"type": "string"}}));
        assert_eq!(all["parameters"].as_object().map(Map::len), Some(1));

        let third = document("/apis/c/v1/x", "Other", "two");
        merge(&mut all, third);
        assert_eq!(all["definitions"]["Other"]["properties"]["inner"]["$ref"], "#/definitions/Inner_v2");
        assert!(all["definitions"].get("Inner_v3").is_none());

        // Who comes first describes a path.
        let before = all.clone();
        merge(&mut all, document("/apis/a/v1/x", "Stranger", "x"));
        assert_eq!(all, before);
    }
}
