//! Whether a schema is structural: every field is declared once, outside of what only judges values.

use api_model::{Cause, FieldPath};
use serde_json::{Value, json};

use super::schema::zero;
use crate::registry::object::{at, items, text};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// What is not structural, sorted as upstream sorts it.
pub(super) fn check(schema: &Value, path: &FieldPath) -> Vec<Cause> {
    let mut causes = Vec::new();
    node(schema, Level::Root, path, &mut causes);
    complete(schema, path, &mut causes);
    causes.sort_by_key(Cause::text);
    causes
}

fn flag(schema: &Value, key: &str) -> bool {
    at(schema, &[key]) == &json!(true)
}

fn fields(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    at(schema, &["properties"]).as_object().into_iter().flatten()
}

fn node(schema: &Value, level: Level, path: &FieldPath, causes: &mut Vec<Cause>) {
    let item = at(schema, &["items"]);
    if text(schema, &["type"]) == "array" && item.is_null() {
        causes.push(Cause::required(&path.child("items"), "must be specified"));
    }
    if item.is_object() {
        node(item, Level::Item, &path.child("items"), causes);
    }
    for (name, property) in fields(schema) {
        node(property, Level::Field, &path.child("properties").key(name), causes);
    }
    let additional = at(schema, &["additionalProperties"]);
    if !additional.is_null() {
        let path = path.child("additionalProperties");
        if level == Level::Root {
            causes.push(Cause::forbidden(&path, "must not be used at the root"));
        }
        if flag(schema, "x-kubernetes-embedded-resource") {
            causes.push(Cause::forbidden(&path, "must not be used if x-kubernetes-embedded-resource is set"));
        }
        if additional.is_object() {
            node(additional, Level::Field, &path, causes);
        }
    }
    extensions(schema, path, causes);
    kind(schema, level, path, causes);
    metadata(schema, level, path, causes);
    let int_or_string = json!([{"type": "integer"}, {"type": "string"}]);
    let skip_any = at(schema, &["anyOf"]) == &int_or_string;
    let first = items(schema, &["allOf"]).first();
    let skip_first = first.is_some_and(|first| at(first, &["anyOf"]) == &int_or_string);
    judging(schema, skip_any, skip_first, path, causes);
}

fn extensions(schema: &Value, path: &FieldPath, causes: &mut Vec<Cause>) {
    if !flag(schema, "x-kubernetes-int-or-string") {
        return;
    }
    for key in ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"] {
        if flag(schema, key) {
            let detail = "must be false if x-kubernetes-int-or-string is true";
            causes.push(Cause::invalid(&path.child(key), &json!(true), detail));
        }
    }
}

fn kind(schema: &Value, level: Level, path: &FieldPath, causes: &mut Vec<Cause>) {
    let (found, path_of) = (text(schema, &["type"]), path.child("type"));
    let preserve = flag(schema, "x-kubernetes-preserve-unknown-fields");
    if flag(schema, "x-kubernetes-embedded-resource") {
        let detail = "must be object if x-kubernetes-embedded-resource is true";
        if found.is_empty() {
            causes.push(Cause::required(&path_of, detail));
        } else if found != "object" {
            causes.push(Cause::invalid_str(&path_of, found, detail));
        }
        if !preserve && zero(at(schema, &["properties"])) {
            let detail = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
            causes.push(Cause::required(&path.child("properties"), detail));
        }
    } else if found.is_empty() && !flag(schema, "x-kubernetes-int-or-string") && !preserve {
        let detail = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        causes.push(Cause::required(&path_of, detail));
    }
    if level == Level::Root && !found.is_empty() && found != "object" {
        causes.push(Cause::invalid_str(&path_of, found, "must be object at the root"));
    }
}

/// Of whole objects, a schema may say little about what every object has.
fn metadata(schema: &Value, level: Level, path: &FieldPath, causes: &mut Vec<Cause>) {
    let whole = level == Level::Root || flag(schema, "x-kubernetes-embedded-resource");
    let path = path.child("properties");
    if !whole {
        return;
    }
    for name in ["kind", "apiVersion"] {
        let property = at(schema, &["properties", name]);
        if property.is_object() && text(property, &["type"]) != "string" {
            let found = text(property, &["type"]);
            causes.push(Cause::invalid_str(&path.key(name).child("type"), found, "must be string"));
        }
    }
    let property = at(schema, &["properties", "metadata"]);
    if !property.is_object() {
        return;
    }
    let path = path.key("metadata");
    if text(property, &["type"]) != "object" {
        causes.push(Cause::invalid_str(&path.child("type"), text(property, &["type"]), "must be object"));
    }
    let only_names = fields(property).all(|(name, _)| matches!(name.as_str(), "name" | "generateName"));
    let said = property.as_object().into_iter().flatten().filter(|(_, value)| !zero(value));
    let known = ["type", "properties", "default", "description", "title"];
    let nothing_else = said.into_iter().all(|(key, _)| known.contains(&key.as_str()));
    let described = ["description", "title"].iter().any(|key| !zero(at(property, &[key])));
    if level == Level::Root && (!only_names || !nothing_else || described) {
        let detail = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        causes.push(Cause::forbidden(&path, detail));
    }
}

fn judging(schema: &Value, skip_any: bool, skip_first: bool, path: &FieldPath, causes: &mut Vec<Cause>) {
    for key in ["anyOf", "allOf", "oneOf"] {
        for (index, part) in items(schema, &[key]).iter().enumerate() {
            if key == "anyOf" && skip_any {
                continue;
            }
            let skip_any = key == "allOf" && skip_first && index == 0;
            nested(part, skip_any, &path.child(key).index(index), causes);
        }
    }
    let not = at(schema, &["not"]);
    if not.is_object() {
        nested(not, false, &path.child("not"), causes);
    }
    let pattern = text(schema, &["pattern"]);
    if let Err(why) = api_model::pattern::compile(pattern) {
        let detail = format!(
            "must be a valid regular expression, but isn't: error parsing regexp: {why}: `{pattern}`"
        );
        causes.push(Cause::invalid_str(&path.child("pattern"), pattern, &detail));
    }
}

/// What stands inside `allOf`, `anyOf`, `oneOf` and `not` declares nothing.
fn nested(part: &Value, skip_any: bool, path: &FieldPath, causes: &mut Vec<Cause>) {
    judging(part, skip_any, false, path, causes);
    let item = at(part, &["items"]);
    if item.is_object() {
        nested(item, false, &path.child("items"), causes);
    }
    for (name, property) in fields(part) {
        nested(property, false, &path.child("properties").key(name), causes);
    }
    const FORBIDDEN: [(&str, &str); 13] = [
        ("type", "must be empty to be structural"),
        ("additionalProperties", "must be undefined to be structural"),
        ("default", "must be undefined to be structural"),
        ("title", "must be empty to be structural"),
        ("description", "must be empty to be structural"),
        ("nullable", "must be false to be structural"),
        ("externalDocs", "must be undefined to be structural"),
        ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
        ("x-kubernetes-embedded-resource", "must be false to be structural"),
        ("x-kubernetes-int-or-string", "must be false to be structural"),
        ("x-kubernetes-list-map-keys", "must be empty to be structural"),
        ("x-kubernetes-list-type", "must be undefined to be structural"),
        ("x-kubernetes-map-type", "must be undefined to be structural"),
    ];
    for (key, detail) in FORBIDDEN {
        if !zero(at(part, &[key])) {
            causes.push(Cause::forbidden(&path.child(key), detail));
        }
    }
    if !items(part, &["x-kubernetes-validations"]).is_empty() {
        causes.push(Cause::forbidden(
            &path.child("x-kubernetes-validations"),
            "must be empty to be structural",
        ));
    }
    if at(part, &["properties", "metadata"]).is_object() {
        let path = path.child("properties").key("metadata");
        causes.push(Cause::forbidden(&path, "must not be specified in a nested context"));
    }
}

/// What is judged has to be declared, too.
fn complete(schema: &Value, path: &FieldPath, causes: &mut Vec<Cause>) {
    for key in ["anyOf", "allOf", "oneOf"] {
        for (index, part) in items(schema, &[key]).iter().enumerate() {
            declared(part, schema, path, &path.child(key).index(index), causes);
        }
    }
    if at(schema, &["not"]).is_object() {
        declared(at(schema, &["not"]), schema, path, &path.child("not"), causes);
    }
    for (name, property) in fields(schema) {
        complete(property, &path.child("properties").key(name), causes);
    }
    for key in ["items", "additionalProperties"] {
        if at(schema, &[key]).is_object() {
            complete(at(schema, &[key]), &path.child(key), causes);
        }
    }
}

fn declared(part: &Value, schema: &Value, path: &FieldPath, from: &FieldPath, causes: &mut Vec<Cause>) {
    let missing = |place: &FieldPath, from: &FieldPath| {
        Cause::required(place, &format!("because it is defined in {from}"))
    };
    for (name, below) in fields(part) {
        let (place, from) = (path.child("properties").key(name), from.child("properties").key(name));
        match at(schema, &["properties", name]) {
            Value::Null if at(schema, &["additionalProperties"]).is_object() => {}
            Value::Null => causes.push(missing(&place, &from)),
            known => declared(below, known, &place, &from, causes),
        }
    }
    let item = at(part, &["items"]);
    if item.is_object() {
        let (place, from) = (path.child("items"), from.child("items"));
        match at(schema, &["items"]) {
            Value::Null => causes.push(missing(&place, &from)),
            known => declared(item, known, &place, &from, causes),
        }
    }
    for key in ["anyOf", "allOf", "oneOf"] {
        for (index, below) in items(part, &[key]).iter().enumerate() {
            declared(below, schema, path, &from.child(key).index(index), causes);
        }
    }
    if at(part, &["not"]).is_object() {
        declared(at(part, &["not"]), schema, path, &from.child("not"), causes);
    }
}
