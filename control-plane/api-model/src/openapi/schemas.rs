//! Component schemas, from the table of types and the prose.

use crate::model::Model;
use crate::resource::Resource;
use crate::schema::{Field, ListType, NodeId, NodeKind, Scalar, Types};
use serde_json::{Map, Value, json};
use std::collections::{BTreeSet, HashMap};

/// Which OpenAPI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    V2,
    V3,
}

impl Style {
    /// A reference to a definition (its name without `io.k8s.`).
    pub fn reference(self, name: &str) -> String {
        self.reference_full(&format!("io.k8s.{name}"))
    }

    /// A reference to a component by its full name.
    pub fn reference_full(self, name: &str) -> String {
        match self {
            Style::V2 => format!("#/definitions/{name}"),
            Style::V3 => format!("#/components/schemas/{name}"),
        }
    }
}

/// Documentation by type and field.
pub(super) struct Prose<'a> {
    types: HashMap<NodeId, &'a str>,
    fields: HashMap<(NodeId, &'a str), &'a str>,
}

impl<'a> Prose<'a> {
    /// Reads the prose, whose lines follow the order of the corpus.
    pub fn new(model: &'a Model, text: &'a [u8]) -> Self {
        let mut lines = std::str::from_utf8(text).unwrap_or_default().lines();
        let (mut types, mut fields) = (HashMap::new(), HashMap::new());
        for (id, names) in model.order() {
            types.insert(*id, lines.next().unwrap_or_default());
            for name in names {
                fields.insert((*id, &**name), lines.next().unwrap_or_default());
            }
        }
        Self { types, fields }
    }

    fn of(line: Option<&&str>) -> Option<Value> {
        let text: Value = serde_json::from_str(line?).ok()?;
        (text.as_str() != Some("")).then_some(text)
    }
}

/// The definitions `roots` and all they refer to, by full name.
pub(super) fn closure(
    model: &Model,
    prose: &Prose<'_>,
    roots: BTreeSet<String>,
    style: Style,
) -> Map<String, Value> {
    let types = &**model.types();
    let mut open: Vec<NodeId> = roots.iter().filter_map(|name| types.named(name)).collect();
    let mut seen: BTreeSet<NodeId> = open.iter().copied().collect();
    let mut schemas = Map::new();
    while let Some(id) = open.pop() {
        let Some(name) = types.node(id).name.as_deref() else { continue };
        let mut writer = Writer { types, prose, style, found: Vec::new() };
        let mut schema = writer.definition(id);
        if let Some(gvk) = model.gvk(id) {
            schema.insert("x-kubernetes-group-version-kind".into(), json!([gvk_of(gvk)]));
        }
        schemas.insert(format!("io.k8s.{name}"), Value::Object(schema));
        open.extend(writer.found.into_iter().filter(|id| seen.insert(*id)));
    }
    schemas
}

fn gvk_of(text: &str) -> Value {
    let parts: Vec<&str> = text.splitn(3, '/').collect();
    match parts[..] {
        [group, version, kind] => json!({"group": group, "version": version, "kind": kind}),
        _ => Value::Null,
    }
}

struct Writer<'a> {
    types: &'a Types,
    prose: &'a Prose<'a>,
    style: Style,
    found: Vec<NodeId>,
}

impl Writer<'_> {
    fn definition(&mut self, id: NodeId) -> Map<String, Value> {
        let node = self.types.node(id);
        let mut schema = match &node.kind {
            NodeKind::Struct { fields, .. } => {
                let mut schema = Map::from_iter([("type".to_owned(), json!("object"))]);
                let properties: Map<String, Value> =
                    fields.iter().map(|f| (f.name.to_string(), self.property(id, f))).collect();
                if !properties.is_empty() {
                    schema.insert("properties".into(), Value::Object(properties));
                }
                let required: Vec<&str> = fields.iter().filter(|f| f.required).map(|f| &*f.name).collect();
                if !required.is_empty() {
                    schema.insert("required".into(), json!(required));
                }
                schema
            }
            _ => self.inline(id),
        };
        if node.atomic {
            schema.insert("x-kubernetes-map-type".into(), json!("atomic"));
        }
        if let Some(text) = Prose::of(self.prose.types.get(&id)) {
            schema.insert("description".into(), text);
        }
        schema
    }

    fn property(&mut self, owner: NodeId, field: &Field) -> Value {
        let mut schema = Map::new();
        let description = Prose::of(self.prose.fields.get(&(owner, &*field.name)));
        let is_struct = matches!(self.types.node(field.node).kind, NodeKind::Struct { .. });
        if self.types.node(field.node).name.is_some() {
            let reference = self.reference(field.node);
            match self.style {
                Style::V2 => schema = reference,
                Style::V3 => {
                    schema.insert("allOf".into(), json!([reference]));
                    if is_struct && field.required {
                        schema.insert("default".into(), json!({}));
                    }
                }
            }
        } else {
            schema = self.inline(field.node);
        }
        if field.atomic {
            schema.insert("x-kubernetes-map-type".into(), json!("atomic"));
        }
        if let Some(strategy) = self.strategy(field) {
            schema.insert("x-kubernetes-patch-strategy".into(), json!(strategy));
        }
        if let Some(description) = description {
            schema.insert("description".into(), description);
        }
        Value::Object(schema)
    }

    fn strategy(&self, field: &Field) -> Option<&'static str> {
        let merge = matches!(self.types.node(field.node).kind, NodeKind::List { merge: true, .. });
        match (merge, field.retain_keys, field.replace) {
            (true, true, _) => Some("merge,retainKeys"),
            (true, false, _) => Some("merge"),
            (false, true, _) => Some("retainKeys"),
            (false, false, true) => Some("replace"),
            _ => None,
        }
    }

    fn reference(&mut self, id: NodeId) -> Map<String, Value> {
        self.found.push(id);
        let name = self.types.node(id).name.as_deref().unwrap_or_default();
        Map::from_iter([("$ref".to_owned(), json!(self.style.reference(name)))])
    }

    fn below(&mut self, id: NodeId) -> Map<String, Value> {
        if self.types.node(id).name.is_none() {
            return self.inline(id);
        }
        let reference = self.reference(id);
        let is_struct = matches!(self.types.node(id).kind, NodeKind::Struct { .. });
        if self.style == Style::V3 && is_struct {
            return Map::from_iter([
                ("allOf".to_owned(), json!([reference])),
                ("default".to_owned(), json!({})),
            ]);
        }
        reference
    }

    fn inline(&mut self, id: NodeId) -> Map<String, Value> {
        let schema = match &self.types.node(id).kind {
            NodeKind::Any => json!({}),
            NodeKind::Struct { .. } => json!({"type": "object"}),
            NodeKind::Map(item) => {
                let item = self.below(*item);
                json!({"type": "object", "additionalProperties": item})
            }
            NodeKind::List { item, list, merge_key, .. } => {
                let items = self.below(*item);
                let mut schema =
                    Map::from_iter([("type".to_owned(), json!("array")), ("items".to_owned(), json!(items))]);
                let kind = match list {
                    ListType::Atomic => "atomic",
                    ListType::Set => "set",
                    ListType::Map(keys) => {
                        schema.insert(
                            "x-kubernetes-list-map-keys".into(),
                            json!(keys.iter().map(|k| &**k).collect::<Vec<_>>()),
                        );
                        "map"
                    }
                };
                schema.insert("x-kubernetes-list-type".into(), json!(kind));
                if let Some(key) = merge_key {
                    schema.insert("x-kubernetes-patch-merge-key".into(), json!(&**key));
                }
                Value::Object(schema)
            }
            NodeKind::Scalar(scalar) => self.scalar(*scalar),
        };
        match schema {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }

    fn scalar(&self, scalar: Scalar) -> Value {
        match scalar {
            Scalar::String => json!({"type": "string"}),
            Scalar::Bool => json!({"type": "boolean"}),
            Scalar::Int32 => json!({"type": "integer", "format": "int32"}),
            Scalar::Int64 => json!({"type": "integer", "format": "int64"}),
            Scalar::Double => json!({"type": "number", "format": "double"}),
            Scalar::Byte => json!({"type": "string", "format": "byte"}),
            Scalar::Time | Scalar::MicroTime => json!({"type": "string", "format": "date-time"}),
            Scalar::Quantity if self.style == Style::V3 => {
                json!({"oneOf": [{"type": "string"}, {"type": "number"}]})
            }
            Scalar::Quantity => json!({"type": "string"}),
            Scalar::IntOrString if self.style == Style::V3 => {
                json!({"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"})
            }
            Scalar::IntOrString => json!({"type": "string", "format": "int-or-string"}),
        }
    }
}

/// Name of a custom kind's component: the group's parts turned round.
pub(super) fn custom_name(resource: &Resource) -> String {
    let group: Vec<&str> = resource.group.split('.').rev().collect();
    format!("{}.{}.{}", group.join("."), resource.version, resource.kind)
}
