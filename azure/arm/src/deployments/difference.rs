//! What a write would change: the difference between what is there and what a template asks for, property by property.
//!
//! Only what the template says is compared. What it does not mention was filled in by the provider and stays; tags are
//! replaced as a whole, so a tag that is not mentioned goes.

use serde_json::{Map, Value, json};

/// Members that no template changes.
const SKIPPED: [&str; 7] = ["id", "name", "type", "apiVersion", "systemData", "etag", "eTag"];

fn change(path: &str, kind: &str, before: Option<&Value>, after: Option<&Value>) -> Value {
    json!({"path": path, "propertyChangeType": kind, "before": before, "after": after})
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn same(path: &str, before: &Value, after: &Value) -> bool {
    if before == after {
        return true;
    }
    match (before, after) {
        (Value::String(one), Value::String(two)) if path == "location" => {
            crate::locations::normal(one) == crate::locations::normal(two)
        }
        // Ids are compared as everywhere.
        (Value::String(one), Value::String(two)) if one.starts_with("/subscriptions/") => {
            one.eq_ignore_ascii_case(two)
        }
        (Value::Number(one), Value::Number(two)) => one.as_f64() == two.as_f64(),
        _ => false,
    }
}

/// The changes from one body to the other.
pub(super) fn difference(before: &Value, after: &Value) -> Vec<Value> {
    let mut found = Vec::new();
    members("", before, after, &mut found);
    found
}

fn members(path: &str, before: &Value, after: &Value, found: &mut Vec<Value>) {
    let empty = Map::new();
    let (old, new) = (before.as_object().unwrap_or(&empty), after.as_object().unwrap_or(&empty));
    for (name, wanted) in new {
        if path.is_empty() && SKIPPED.contains(&name.as_str()) {
            continue;
        }
        one(&joined(path, name), old.get(name), wanted, found);
    }
    if path == "tags" {
        for (name, value) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
            found.push(change(&joined(path, name), "Delete", Some(value), None));
        }
    }
}

fn one(path: &str, before: Option<&Value>, after: &Value, found: &mut Vec<Value>) {
    match (before.filter(|b| !b.is_null()), after) {
        (None, Value::Null) => {}
        (None, _) => found.push(change(path, "Create", None, Some(after))),
        (Some(before), Value::Null) => found.push(change(path, "Delete", Some(before), None)),
        (Some(before), _) if same(path, before, after) => {}
        (Some(before @ Value::Object(_)), Value::Object(_)) => members(path, before, after, found),
        (Some(Value::Array(old)), Value::Array(new)) => array(path, old, new, found),
        (Some(before), _) => found.push(change(path, "Modify", Some(before), Some(after))),
    }
}

fn array(path: &str, old: &[Value], new: &[Value], found: &mut Vec<Value>) {
    let mut children = Vec::new();
    for at in 0..old.len().max(new.len()) {
        match (old.get(at), new.get(at)) {
            (Some(before), Some(after)) => {
                let mut inside = Vec::new();
                one("", Some(before), after, &mut inside);
                if !inside.is_empty() {
                    children
                        .push(json!({"path": at.to_string(), "propertyChangeType": "Modify", "before": null,
                        "after": null, "children": inside}));
                }
            }
            (Some(before), None) => children.push(change(&at.to_string(), "Delete", Some(before), None)),
            (None, Some(after)) => children.push(change(&at.to_string(), "Create", None, Some(after))),
            (None, None) => {}
        }
    }
    if !children.is_empty() {
        found.push(json!({"path": path, "propertyChangeType": "Array", "before": null, "after": null,
            "children": children}));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::difference;

    #[test]
    fn differences_are_found_property_by_property() {
        let before = json!({"id": "/x", "location": "eastus", "tags": {"a": "1", "b": "2"},
            "properties": {"size": 1, "filled": true, "list": [{"n": 1, "made": "up"}, 2], "gone": "x"}});
        let same = json!({"location": "East US", "tags": {"a": "1", "b": "2"}, "properties": {"size": 1.0, "list": [{"n": 1}, 2]}});
        assert!(difference(&before, &same).is_empty());
        let after = json!({"location": "eastus", "tags": {"a": "3", "c": "4"},
            "properties": {"size": 2, "new": {"x": 1}, "list": [{"n": 2}], "gone": null}});
        let found = difference(&before, &after);
        let told: Vec<String> = found
            .iter()
            .map(|c| format!("{} {}", c["propertyChangeType"].as_str().unwrap(), c["path"].as_str().unwrap()))
            .collect();
        assert_eq!(
            told,
            [
                "Delete properties.gone",
                "Array properties.list",
                "Create properties.new",
                "Modify properties.size",
                "Modify tags.a",
                "Create tags.c",
                "Delete tags.b"
            ]
        );
        let list = &found[1]["children"];
        assert_eq!((&list[0]["path"], &list[1]["propertyChangeType"]), (&json!("0"), &json!("Delete")));
        assert_eq!(list[0]["children"][0]["after"], 2);
    }
}
