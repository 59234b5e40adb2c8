//! Schemas of custom kinds: compiles `openAPIV3Schema` into the table, and checks value limits.

use super::Schema;
use super::types::{Constraints, Field, ListType, Node, NodeId, NodeKind, Scalar, Types};
use super::value::OBJECT_META;
use crate::cause::{Cause, type_name};
use crate::path::FieldPath;
use serde_json::Value;
use std::sync::Arc;

/// Compiles the schema of a custom kind on top of the built-in table. `None` (no schema) keeps everything, as old kinds with
/// `x-kubernetes-preserve-unknown-fields` at the root do. `status_apart`: the kind has a `status` subresource.
pub fn compile(base: Arc<Types>, schema: Option<&Value>, status_apart: bool) -> Arc<Schema> {
    let mut compiler = Compiler { types: Types::on(base) };
    compiler.types.set_status_apart(status_apart);
    let free = serde_json::json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let id = compiler.node(schema.unwrap_or(&free), true);
    Arc::new(Schema::new(Arc::new(compiler.types), id))
}

struct Compiler {
    types: Types,
}

impl Compiler {
    fn node(&mut self, schema: &Value, root: bool) -> NodeId {
        let flag = |key: &str| schema[key] == Value::Bool(true);
        let preserve = flag("x-kubernetes-preserve-unknown-fields");
        let embedded = root || flag("x-kubernetes-embedded-resource");
        let kind = if flag("x-kubernetes-int-or-string") {
            NodeKind::Scalar(Scalar::IntOrString)
        } else {
            match schema["type"].as_str() {
                Some("object") => self.object(schema, preserve, embedded),
                Some("array") => self.list(schema),
                Some("string") => NodeKind::Scalar(Scalar::String),
                Some("boolean") => NodeKind::Scalar(Scalar::Bool),
                Some("integer") => match schema["format"].as_str() {
                    Some("int32") => NodeKind::Scalar(Scalar::Int32),
                    _ => NodeKind::Scalar(Scalar::Int64),
                },
                Some("number") => NodeKind::Scalar(Scalar::Double),
                _ if schema.get("properties").is_some() => self.object(schema, preserve, embedded),
                _ => NodeKind::Any,
            }
        };
        let mut node = Node::of(kind);
        node.atomic = schema["x-kubernetes-map-type"] == "atomic";
        node.constraints = constraints(schema).map(Box::new);
        self.types.add(node)
    }

    fn object(&mut self, schema: &Value, preserve: bool, embedded: bool) -> NodeKind {
        let additional = match schema.get("additionalProperties") {
            Some(Value::Bool(true)) => Some(self.types.add(Node::of(NodeKind::Any))),
            Some(value @ Value::Object(_)) => Some(self.node(value, false)),
            _ => None,
        };
        let Some(properties) = schema["properties"].as_object() else {
            return match additional {
                Some(item) if !embedded => NodeKind::Map(item),
                rest => NodeKind::Struct { fields: self.standard(embedded), preserve, rest, embedded },
            };
        };
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut fields: Vec<Field> = properties
            .iter()
            .filter(|(name, _)| !(embedded && is_standard(name)))
            .map(|(name, property)| {
                let mut field = Field::new(name, self.node(property, false));
                field.required = required.contains(&name.as_str());
                field.default = property.get("default").cloned();
                field.nullable = property["nullable"] == Value::Bool(true);
                field
            })
            .collect();
        fields.extend(self.standard(embedded));
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        NodeKind::Struct { fields, preserve, rest: additional, embedded }
    }

    /// What every whole object has.
    fn standard(&mut self, embedded: bool) -> Vec<Field> {
        if !embedded {
            return Vec::new();
        }
        let text = self.types.add(Node::of(NodeKind::Scalar(Scalar::String)));
        let mut fields = vec![Field::new("apiVersion", text), Field::new("kind", text)];
        if let Some(meta) = self.types.named(OBJECT_META) {
            fields.push(Field::new("metadata", meta));
        }
        fields
    }

    fn list(&mut self, schema: &Value) -> NodeKind {
        let item = match schema.get("items") {
            Some(items @ Value::Object(_)) => self.node(items, false),
            _ => self.types.add(Node::of(NodeKind::Any)),
        };
        let list = match schema["x-kubernetes-list-type"].as_str() {
            Some("set") => ListType::Set,
            Some("map") => ListType::Map(
                schema["x-kubernetes-list-map-keys"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .map(Arc::from)
                    .collect(),
            ),
            _ => ListType::Atomic,
        };
        NodeKind::List { item, list, merge_key: None, merge: false }
    }
}

fn is_standard(name: &str) -> bool {
    matches!(name, "apiVersion" | "kind" | "metadata")
}

fn constraints(schema: &Value) -> Option<Constraints> {
    let list = |key: &str| schema[key].as_array().cloned().unwrap_or_default();
    let count = |keys: [&str; 3]| keys.iter().find_map(|key| schema[*key].as_u64());
    let limit = |key: &str, exclusive: &str| {
        schema[key].as_f64().map(|n| (n, schema[exclusive] == Value::Bool(true)))
    };
    let pattern = schema["pattern"].as_str().map(|p| (p.to_owned(), regex::Regex::new(p).ok()));
    let constraints = Constraints {
        allowed: list("enum"),
        pattern,
        minimum: limit("minimum", "exclusiveMinimum"),
        maximum: limit("maximum", "exclusiveMaximum"),
        multiple_of: schema["multipleOf"].as_f64(),
        min_length: count(["minLength", "minItems", "minProperties"]),
        max_length: count(["maxLength", "maxItems", "maxProperties"]),
        unique: schema["uniqueItems"] == Value::Bool(true),
        format: schema["format"].as_str().map(str::to_owned),
        nullable: schema["nullable"] == Value::Bool(true),
        int_or_string: schema["x-kubernetes-int-or-string"] == Value::Bool(true),
        all_of: list("allOf"),
        any_of: list("anyOf"),
        one_of: list("oneOf"),
        not: schema.get("not").cloned(),
    };
    let relevant = [
        "enum",
        "pattern",
        "minimum",
        "maximum",
        "multipleOf",
        "minLength",
        "minItems",
        "minProperties",
        "maxLength",
        "maxItems",
        "maxProperties",
        "uniqueItems",
        "format",
        "nullable",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
    ];
    relevant.iter().any(|key| schema.get(*key).is_some()).then_some(constraints)
}

/// Appends what `value` violates.
pub(super) fn limits(c: &Constraints, value: &Value, path: &FieldPath, causes: &mut Vec<Cause>) {
    if !c.allowed.is_empty() && !c.allowed.contains(value) {
        let supported: Vec<String> =
            c.allowed.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).collect();
        let supported: Vec<&str> = supported.iter().map(String::as_str).collect();
        causes.push(Cause::unsupported(path, value, &supported));
    }
    match value {
        Value::String(text) => text_limits(c, text, path, causes),
        Value::Number(_) => number_limits(c, value, path, causes),
        Value::Array(items) => {
            length(c, items.len(), path, value, "items", causes);
            if c.unique && items.iter().enumerate().any(|(i, item)| items[..i].contains(item)) {
                invalid(path, value, "shouldn't contain duplicates", causes);
            }
        }
        Value::Object(map) => length(c, map.len(), path, value, "properties", causes),
        _ => {}
    }
    combinations(c, value, path, causes);
}

fn invalid(path: &FieldPath, value: &Value, detail: &str, causes: &mut Vec<Cause>) {
    causes.push(Cause::invalid(path, value, &format!("{path} in body {detail}")));
}

fn text_limits(c: &Constraints, text: &str, path: &FieldPath, causes: &mut Vec<Cause>) {
    let value = Value::from(text);
    if let Some((source, Some(pattern))) = &c.pattern
        && !pattern.is_match(text)
    {
        invalid(path, &value, &format!("should match '{source}'"), causes);
    }
    let count = text.chars().count() as u64;
    if let Some(min) = c.min_length.filter(|min| count < *min) {
        invalid(path, &value, &format!("should be at least {min} chars long"), causes);
    }
    if let Some(max) = c.max_length.filter(|max| count > *max) {
        causes.push(Cause::too_long(path, usize::try_from(max).unwrap_or(usize::MAX)));
    }
    if let Some(format) = c.format.as_deref()
        && !has_format(format, text)
    {
        invalid(path, &value, &format!("must be of type {format}: {text:?}"), causes);
    }
}

fn has_format(format: &str, text: &str) -> bool {
    match format {
        "date-time" | "datetime" => text.parse::<jiff::Timestamp>().is_ok(),
        "date" => text.parse::<jiff::civil::Date>().is_ok(),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "byte" => {
            use base64::Engine;
            base64::engine::general_purpose::STANDARD.decode(text).is_ok()
        }
        "uuid" | "uuid3" | "uuid4" | "uuid5" => {
            let hex = text.bytes().filter(u8::is_ascii_hexdigit).count();
            hex == 32 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
        }
        "email" => text.split_once('@').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty()),
        "uri" => text.contains(':') || text.starts_with('/'),
        "hostname" => crate::validation::names::is_dns1123_subdomain(&text.to_lowercase()),
        _ => true,
    }
}

fn number_limits(c: &Constraints, value: &Value, path: &FieldPath, causes: &mut Vec<Cause>) {
    let Some(number) = value.as_f64() else { return };
    if let Some((min, exclusive)) = c.minimum
        && (number < min || (exclusive && number <= min))
    {
        let than = if exclusive { "greater than" } else { "greater than or equal to" };
        invalid(path, value, &format!("should be {than} {min}"), causes);
    }
    if let Some((max, exclusive)) = c.maximum
        && (number > max || (exclusive && number >= max))
    {
        let than = if exclusive { "less than" } else { "less than or equal to" };
        invalid(path, value, &format!("should be {than} {max}"), causes);
    }
    if let Some(of) = c.multiple_of.filter(|of| *of > 0.0 && (number / of).fract() != 0.0) {
        invalid(path, value, &format!("should be a multiple of {of}"), causes);
    }
}

fn length(
    c: &Constraints,
    count: usize,
    path: &FieldPath,
    value: &Value,
    what: &str,
    causes: &mut Vec<Cause>,
) {
    if let Some(min) = c.min_length.filter(|min| (count as u64) < *min) {
        invalid(path, value, &format!("should have at least {min} {what}"), causes);
    }
    if let Some(max) = c.max_length.filter(|max| (count as u64) > *max) {
        causes.push(Cause::too_many(path, count, usize::try_from(max).unwrap_or(usize::MAX)));
    }
}

fn combinations(c: &Constraints, value: &Value, path: &FieldPath, causes: &mut Vec<Cause>) {
    for schema in &c.all_of {
        value_only(schema, value, path, causes);
    }
    let holding = |schemas: &[Value]| schemas.iter().filter(|s| holds(s, value)).count();
    if !c.any_of.is_empty() && holding(&c.any_of) == 0 {
        invalid(path, value, "must validate at least one schema (anyOf)", causes);
    }
    if !c.one_of.is_empty() && holding(&c.one_of) != 1 {
        invalid(path, value, "must validate one and only one schema (oneOf)", causes);
    }
    if c.not.as_ref().is_some_and(|schema| holds(schema, value)) {
        invalid(path, value, "must not validate the schema (not)", causes);
    }
}

fn holds(schema: &Value, value: &Value) -> bool {
    let mut causes = Vec::new();
    value_only(schema, value, &FieldPath::root(), &mut causes);
    causes.is_empty()
}

/// Schemas inside `allOf`, `anyOf`, `oneOf` and `not` only judge values; they declare nothing.
fn value_only(schema: &Value, value: &Value, path: &FieldPath, causes: &mut Vec<Cause>) {
    if let Some(wanted) = schema["type"].as_str() {
        let found = type_name(value);
        if wanted != found && !(wanted == "number" && found == "integer") {
            causes.push(Cause::wrong_type(path, value, wanted));
            return;
        }
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.is_object() && value.get(name).is_none() {
            causes.push(Cause::required(&path.child(name), ""));
        }
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(below) = value.get(name) {
            value_only(property, below, &path.child(name), causes);
        }
    }
    if let (Some(items), Value::Array(values)) = (schema.get("items"), value) {
        values.iter().enumerate().for_each(|(i, v)| value_only(items, v, &path.index(i), causes));
    }
    if let Some(constraints) = constraints(schema) {
        limits(&constraints, value, path, causes);
    }
}
