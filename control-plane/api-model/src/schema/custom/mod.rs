//! Schemas of custom kinds: compiles `openAPIV3Schema` into the table, and checks value limits.

mod build;
mod format;
mod limits;

use super::Schema;
use super::types::{Field, ListType, Node, NodeId, NodeKind, Scalar, Types};
use super::value::OBJECT_META;
use serde_json::Value;
use std::sync::Arc;

use build::constraints;
pub(super) use limits::limits;

/// Compiles the schema of a custom kind on top of the built-in table. `None` (no schema) keeps everything, as old kinds with
/// `x-kubernetes-preserve-unknown-fields` at the root do. `status_apart`: the kind has a `status` subresource.
pub fn compile(base: Arc<Types>, schema: Option<&Value>, status_apart: bool) -> Arc<Schema> {
    let mut compiler = Compiler { types: Types::on(base) };
    compiler.types.set_status_apart(status_apart);
    let free = serde_json::json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let id = compiler.node(schema.unwrap_or(&free), true);
    Arc::new(Schema::new(Arc::new(compiler.types), id))
}

/// Compiles a part of a custom kind's schema, as its defaults are judged.
pub fn compile_part(base: Arc<Types>, schema: &Value) -> Arc<Schema> {
    let mut compiler = Compiler { types: Types::on(base) };
    let id = compiler.node(schema, false);
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
