//! What an OpenAPI schema may say, level by level.

use api_model::{Cause, FieldPath, Model};
use serde_json::{Value, json};

use super::{Place, defaults, rules, structural};
use crate::registry::object::{at, items, text};

/// What the root may say when `status` is taken out of it for a subresource: upstream's names, and JSON's.
const AT_ROOT: [(&str, &str); 22] = [
    ("Description", "description"),
    ("Type", "type"),
    ("Format", "format"),
    ("Title", "title"),
    ("Maximum", "maximum"),
    ("ExclusiveMaximum", "exclusiveMaximum"),
    ("Minimum", "minimum"),
    ("ExclusiveMinimum", "exclusiveMinimum"),
    ("MaxLength", "maxLength"),
    ("MinLength", "minLength"),
    ("Pattern", "pattern"),
    ("MaxItems", "maxItems"),
    ("MinItems", "minItems"),
    ("UniqueItems", "uniqueItems"),
    ("MultipleOf", "multipleOf"),
    ("Required", "required"),
    ("Items", "items"),
    ("Properties", "properties"),
    ("ExternalDocs", "externalDocs"),
    ("Example", "example"),
    ("XPreserveUnknownFields", "x-kubernetes-preserve-unknown-fields"),
    ("XValidations", "x-kubernetes-validations"),
];
const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];

/// What is wrong with the schema at a place.
pub(super) fn check(model: &Model, place: &Place<'_>, causes: &mut Vec<Cause>) {
    let (schema, path) = (place.schema, &place.path);
    if place.status {
        root_with_status(schema, path, causes);
    }
    if schema["nullable"] == json!(true) {
        causes.push(Cause::forbidden(&path.child("nullable"), "nullable cannot be true at the root"));
    }
    let mut found = structural::check(schema, path);
    if found.is_empty() {
        found = defaults::check(model, schema, path);
    }
    let sound = found.is_empty();
    causes.extend(found);
    let mut walk = Walk { causes: Vec::new() };
    walk.level(schema, path, &Context { root: true, ..Context::default() });
    let sound = sound && walk.causes.is_empty();
    causes.extend(walk.causes);
    if sound {
        rules::check(place, causes);
    }
}

fn root_with_status(schema: &Value, path: &FieldPath, causes: &mut Vec<Cause>) {
    let kind = text(schema, &["type"]);
    if kind != "object" && !kind.is_empty() {
        let detail = "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
        return causes.push(Cause::invalid_str(&path.child("type"), kind, detail));
    }
    let said = schema.as_object().into_iter().flatten().filter(|(_, value)| !zero(value));
    if said.into_iter().any(|(key, _)| !AT_ROOT.iter().any(|(_, known)| known == key)) {
        let names: Vec<&str> = AT_ROOT.iter().map(|(name, _)| *name).collect();
        let detail = format!(
            "only [{}] fields are allowed at the root of the schema if the status subresource is enabled",
            names.join(" ")
        );
        causes.push(Cause::invalid(path, schema, &detail));
    }
}

/// Whether a value says nothing.
pub(super) fn zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

#[derive(Clone, Default)]
struct Context {
    root: bool,
    in_meta: bool,
    /// Why defaults may not be set here.
    no_defaults: Option<String>,
}

struct Walk {
    causes: Vec<Cause>,
}

impl Walk {
    fn forbid(&mut self, path: &FieldPath, key: &str, detail: &str) {
        self.causes.push(Cause::forbidden(&path.child(key), detail));
    }

    fn level(&mut self, schema: &Value, path: &FieldPath, context: &Context) {
        self.keywords(schema, path, context);
        self.below(schema, path, context);
        self.extensions(schema, path);
        list_type(schema, path, &mut self.causes);
        rules::declared(schema, path, &mut self.causes);
    }

    fn keywords(&mut self, schema: &Value, path: &FieldPath, context: &Context) {
        let kind = text(schema, &["type"]);
        if kind == "null" {
            self.forbid(path, "type", "type cannot be set to null, use nullable as an alternative");
        } else if !kind.is_empty() && !TYPES.contains(&kind) {
            self.causes.push(Cause::unsupported(&path.child("type"), &json!(kind), &TYPES));
        }
        if let (Some(_), Some(why)) = (schema.get("default"), &context.no_defaults) {
            self.forbid(path, "default", &format!("must not be set {why}"));
        }
        for key in ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"] {
            if !zero(at(schema, &[key])) {
                self.forbid(path, key, &format!("{key} is not supported"));
            }
        }
        if at(schema, &["items"]).is_array() {
            self.forbid(path, "items", "items must be a schema object and not an array");
        }
        if context.in_meta && at(schema, &["x-kubernetes-embedded-resource"]) == &json!(true) {
            self.forbid(path, "x-kubernetes-embedded-resource", "must not be used inside of resource meta");
        }
        if at(schema, &["uniqueItems"]) == &json!(true) {
            let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
            self.forbid(path, "uniqueItems", detail);
        }
    }

    fn below(&mut self, schema: &Value, path: &FieldPath, context: &Context) {
        let inner = Context { root: false, ..context.clone() };
        let additional = at(schema, &["additionalProperties"]);
        if !additional.is_null() {
            if !zero(at(schema, &["properties"])) && additional != &json!(true) {
                let detail = "additionalProperties and properties are mutual exclusive";
                self.forbid(path, "additionalProperties", detail);
            }
            if additional.is_object() {
                let mut inner = inner.clone();
                if inner.in_meta {
                    inner.no_defaults =
                        Some("inside additionalProperties applying to object metadata".to_owned());
                }
                self.level(additional, &path.child("additionalProperties"), &inner);
            }
        }
        let embedded = at(schema, &["x-kubernetes-embedded-resource"]) == &json!(true);
        for (name, property) in at(schema, &["properties"]).as_object().into_iter().flatten() {
            let mut inner = inner.clone();
            if (context.root || embedded) && matches!(name.as_str(), "metadata" | "kind" | "apiVersion") {
                inner.in_meta = true;
                if context.root {
                    inner.no_defaults = Some(format!("in top-level {name}"));
                }
            }
            self.level(property, &path.child("properties").key(name), &inner);
        }
        if at(schema, &["not"]).is_object() {
            self.level(at(schema, &["not"]), &path.child("not"), &inner);
        }
        for key in ["allOf", "oneOf", "anyOf"] {
            for (index, part) in items(schema, &[key]).iter().enumerate() {
                self.level(part, &path.child(key).index(index), &inner);
            }
        }
        if at(schema, &["items"]).is_object() {
            self.level(at(schema, &["items"]), &path.child("items"), &inner);
        }
    }

    fn extensions(&mut self, schema: &Value, path: &FieldPath) {
        let preserve = "x-kubernetes-preserve-unknown-fields";
        if at(schema, &[preserve]) == &json!(false) {
            self.causes.push(Cause::invalid(
                &path.child(preserve),
                &json!(false),
                "must be true or undefined",
            ));
        }
        for (key, kind, known) in [
            ("x-kubernetes-map-type", "object", &["atomic", "granular"][..]),
            ("x-kubernetes-list-type", "array", &["atomic", "set", "map"]),
        ] {
            let given = at(schema, &[key]);
            if given.is_null() {
                continue;
            }
            let found = text(schema, &["type"]);
            let detail = format!("must be {kind} if {key} is specified");
            if found.is_empty() {
                self.causes.push(Cause::required(&path.child("type"), &detail));
            } else if found != kind {
                self.causes.push(Cause::invalid_str(&path.child("type"), found, &detail));
            }
            if !given.as_str().is_some_and(|given| known.contains(&given)) {
                self.causes.push(Cause::unsupported(&path.child(key), given, known));
            }
        }
    }
}

/// Sets and maps need items that can be told apart.
fn list_type(schema: &Value, path: &FieldPath, causes: &mut Vec<Cause>) {
    const LIST: &str = "x-kubernetes-list-type";
    const KEYS: &str = "x-kubernetes-list-map-keys";
    let (given, item) = (text(schema, &[LIST]), at(schema, &["items"]));
    let keys = items(schema, &[KEYS]);
    if given == "set" && text(schema, &["type"]) == "array" {
        let items_path = path.child("items");
        let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
        match text(item, &["type"]) {
            "array" if !matches!(text(item, &[LIST]), "" | "atomic") => {
                causes.push(Cause::invalid(&items_path.child(LIST), at(item, &[LIST]), detail));
            }
            "object" if text(item, &["x-kubernetes-map-type"]) != "atomic" => {
                let key = "x-kubernetes-map-type";
                causes.push(Cause::invalid(&items_path.child(key), at(item, &[key]), detail));
            }
            _ => {}
        }
    }
    if !keys.is_empty() && given != "map" {
        let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
        causes.push(if given.is_empty() {
            Cause::required(&path.child(LIST), detail)
        } else {
            Cause::invalid_str(&path.child(LIST), given, detail)
        });
    }
    if matches!(given, "set" | "map") && at(item, &["nullable"]) == &json!(true) {
        let detail = format!("cannot be nullable when x-kubernetes-list-type is {given}");
        causes.push(Cause::forbidden(&path.child("items").child("nullable"), &detail));
    }
    if given == "map" {
        map_keys(schema, path, causes);
    }
}

fn map_keys(schema: &Value, path: &FieldPath, causes: &mut Vec<Cause>) {
    const KEYS: &str = "x-kubernetes-list-map-keys";
    let (item, keys) = (at(schema, &["items"]), at(schema, &[KEYS]));
    let list = items(schema, &[KEYS]);
    if list.is_empty() {
        causes.push(Cause::required(&path.child(KEYS), "must not be empty if x-kubernetes-list-type is map"));
    }
    let items_path = path.child("items");
    if item.is_null() {
        return causes
            .push(Cause::required(&items_path, "must have a schema if x-kubernetes-list-type is map"));
    }
    if text(item, &["type"]) != "object" {
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        return causes.push(Cause::invalid_str(&items_path.child("type"), text(item, &["type"]), detail));
    }
    let required = items(item, &["required"]);
    for (index, key) in list.iter().enumerate() {
        let name = key.as_str().unwrap_or_default();
        let property = at(item, &["properties", name]);
        let place = items_path.child("properties").key(name);
        if property.is_null() {
            causes.push(Cause::invalid(
                &path.child(KEYS),
                keys,
                "entries must all be names of item properties",
            ));
        } else {
            if matches!(text(property, &["type"]), "array" | "object") {
                let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                causes.push(Cause::invalid_str(&place.child("type"), text(item, &["type"]), detail));
            }
            if !required.contains(key) && at(property, &["default"]).is_null() {
                let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
                causes.push(Cause::required(&place.child("default"), detail));
            }
            if at(property, &["nullable"]) == &json!(true) {
                let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
                causes.push(Cause::forbidden(&place.child("nullable"), detail));
            }
        }
        if list[..index].contains(key) {
            causes.push(Cause::invalid(&path.child(KEYS), keys, "must not contain duplicate entries"));
        }
    }
}
