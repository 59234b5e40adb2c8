//! Schemas of custom kinds: compiles `openAPIV3Schema` into the table, and checks value limits.

mod build;
mod format;
mod intern;
mod limits;

use super::Schema;
use super::types::{Field, ListType, Node, NodeId, NodeKind, Scalar, Types};
use super::value::OBJECT_META;
use serde_json::Value;
use std::sync::Arc;

use build::constraints;
use intern::Interned;
pub(super) use limits::limits;

const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";

/// Compiles the schema of a custom kind on top of the built-in table. `None` (no schema) keeps everything, as old kinds with
/// `x-kubernetes-preserve-unknown-fields` at the root do. `status_apart`: the kind has a `status` subresource.
pub fn compile(base: Arc<Types>, schema: Option<&Value>, status_apart: bool) -> Arc<Schema> {
    let schema = schema.cloned();
    let made = compile_later(base, status_apart, || schema);
    made.node();
    made
}

/// The same when the first object of the kind is looked at: `schema` is asked then, once. Most kinds of most installs are never
/// used, and cost nothing so.
pub fn compile_later(
    base: Arc<Types>,
    status_apart: bool,
    schema: impl FnOnce() -> Option<Value> + Send + 'static,
) -> Arc<Schema> {
    let make = move |types: &Types| {
        let free = || serde_json::json!({"type": "object", PRESERVE: true});
        Compiler::nodes(types, &schema().unwrap_or_else(free), true)
    };
    let mut types = Types::later(base, Box::new(make));
    types.set_status_apart(status_apart);
    let root = types.first();
    Arc::new(Schema::new(Arc::new(types), root))
}

/// Compiles a part of a custom kind's schema, as its defaults are judged.
pub fn compile_part(base: Arc<Types>, schema: &Value) -> Arc<Schema> {
    let schema = schema.clone();
    let make = move |types: &Types| Compiler::nodes(types, &schema, false);
    let types = Types::later(base, Box::new(make));
    let root = types.first();
    Arc::new(Schema::new(Arc::new(types), root))
}

/// The schema that a definition declares for a version, with what the definition says of unknown fields at the top.
pub fn declared(definition: &Value, version: &str) -> Option<Value> {
    let spec = definition.get("spec")?;
    let found = spec["versions"].as_array()?.iter().find(|one| one["name"] == version)?;
    let mut root = found.pointer("/schema/openAPIV3Schema").cloned()?;
    if spec["preserveUnknownFields"] == Value::Bool(true)
        && let Value::Object(root) = &mut root
    {
        root.insert(PRESERVE.into(), Value::Bool(true));
    }
    Some(root)
}

struct Compiler<'t> {
    types: &'t Types,
    nodes: Interned,
}

impl<'t> Compiler<'t> {
    /// The nodes of a schema, the root first. What is alike is there once.
    fn nodes(types: &'t Types, schema: &Value, whole: bool) -> Vec<Node> {
        let mut compiler = Self { types, nodes: Interned::from(types.first()) };
        let root = compiler.made(schema, whole);
        compiler.nodes.finish(root)
    }

    fn node(&mut self, schema: &Value, root: bool) -> NodeId {
        let node = self.made(schema, root);
        self.nodes.add(schema, node)
    }

    fn made(&mut self, schema: &Value, root: bool) -> Node {
        let flag = |key: &str| schema[key] == Value::Bool(true);
        let preserve = flag(PRESERVE);
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
        node
    }

    fn object(&mut self, schema: &Value, preserve: bool, embedded: bool) -> NodeKind {
        let additional = match schema.get("additionalProperties") {
            Some(Value::Bool(true)) => Some(self.nodes.plain(NodeKind::Any)),
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
                let node = self.node(property, false);
                let mut field = self.nodes.field(name, node);
                field.required = required.contains(&name.as_str());
                field.default = property.get("default").cloned();
                field.nullable = property["nullable"] == Value::Bool(true);
                field
            })
            .collect();
        fields.extend(self.standard(embedded));
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        fields.shrink_to_fit();
        NodeKind::Struct { fields, preserve, rest: additional, embedded }
    }

    /// What every whole object has.
    fn standard(&mut self, embedded: bool) -> Vec<Field> {
        if !embedded {
            return Vec::new();
        }
        let text = self.nodes.plain(NodeKind::Scalar(Scalar::String));
        let mut fields = vec![self.nodes.field("apiVersion", text), self.nodes.field("kind", text)];
        if let Some(meta) = self.types.named(OBJECT_META) {
            fields.push(self.nodes.field("metadata", meta));
        }
        fields
    }

    fn list(&mut self, schema: &Value) -> NodeKind {
        let item = match schema.get("items") {
            Some(items @ Value::Object(_)) => self.node(items, false),
            _ => self.nodes.plain(NodeKind::Any),
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
