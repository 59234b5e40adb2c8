//! Random objects of real kinds and of schemas made at random.
//!
//! A value is made of a list of random bytes by walking the schema, so a failure shrinks by shrinking the bytes.

use api_model::schema::{Field, ListType, Node, NodeId, NodeKind, Scalar, Schema, Types};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Bytes to choose by; zeros when there are no more.
pub struct Choices<'a>(pub &'a [u8]);

impl Choices<'_> {
    pub fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((byte, rest)) => {
                self.0 = rest;
                *byte
            }
            None => 0,
        }
    }

    pub fn below(&mut self, end: usize) -> usize {
        if end < 2 { 0 } else { usize::from(self.byte()) % end }
    }

    pub fn of<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        let at = if from.len() > 256 {
            usize::from(self.byte()) << 8 | usize::from(self.byte())
        } else {
            self.byte().into()
        };
        &from[at % from.len()]
    }
}

/// Bytes for an object.
pub fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..max)
}

fn scalar(scalar: Scalar, choices: &mut Choices<'_>) -> Value {
    match scalar {
        Scalar::String => json!(choices.of(&["a", "b", "c", "d"])),
        Scalar::Bool => json!(choices.byte() % 2 == 1),
        Scalar::Int32 | Scalar::Int64 => json!(choices.of(&[1, 2, 80, -7])),
        Scalar::Double => json!(choices.of(&[1.5, -0.25])),
        Scalar::Byte => json!(choices.of(&["aGk=", "AAAA"])),
        Scalar::Time => json!(choices.of(&["2026-01-02T03:04:05Z", "1999-12-31T23:59:59Z"])),
        Scalar::MicroTime => json!("2026-01-02T03:04:05.123456Z"),
        Scalar::Quantity => json!(choices.of(&["1", "100m", "1Gi"])),
        Scalar::IntOrString => match choices.byte() % 2 {
            0 => json!(choices.of(&[1, 8080])),
            _ => json!(choices.of(&["25%", "http"])),
        },
    }
}

/// A value of a type without anything empty in it, whose lists hold each item once; `None` when nothing can be made.
pub fn value(types: &Types, id: NodeId, choices: &mut Choices<'_>, depth: usize) -> Option<Value> {
    Some(match &types.node(id).kind {
        NodeKind::Any => json!({"any": choices.of(&["x", "y"])}),
        NodeKind::Scalar(kind) => scalar(*kind, choices),
        NodeKind::Struct { fields, preserve: true, .. } if fields.is_empty() => {
            json!({"free": choices.of(&["x", "y"])})
        }
        NodeKind::Struct { fields, .. } => {
            let mut map = Map::new();
            if depth > 0 {
                let count = choices.below(fields.len().min(5) + 1);
                for _ in 0..count {
                    let field = choices.of(fields);
                    if let Some(made) = value(types, field.node, choices, depth - 1) {
                        map.insert(field.name.to_string(), made);
                    }
                }
            }
            if map.is_empty() {
                return None;
            }
            Value::Object(map)
        }
        NodeKind::Map(item) => {
            let mut map = Map::new();
            for _ in 0..choices.below(3) + 1 {
                let key = choices.of(&["k", "l", "m"]);
                if let Some(made) = value(types, *item, choices, depth.saturating_sub(1)) {
                    map.insert((*key).to_owned(), made);
                }
            }
            if map.is_empty() {
                return None;
            }
            Value::Object(map)
        }
        NodeKind::List { item, list, merge_key, .. } => {
            let keys: Vec<Arc<str>> = match list {
                ListType::Map(keys) => keys.iter().chain(merge_key).cloned().collect(),
                _ => merge_key.iter().cloned().collect(),
            };
            let mut items = Vec::new();
            for _ in 0..choices.below(3) + 1 {
                let mut made = value(types, *item, choices, depth.saturating_sub(1));
                if made.is_none()
                    && matches!(types.node(*item).kind, NodeKind::Struct { .. })
                    && !keys.is_empty()
                {
                    made = Some(json!({}));
                }
                let Some(mut made) = made else { continue };
                for key in &keys {
                    let Some(field) = types.field(*item, key).filter(|_| made.get(&**key).is_none()) else {
                        continue;
                    };
                    if let (Some(key_value), Value::Object(map)) =
                        (value(types, field.node, choices, 1), &mut made)
                    {
                        map.insert(key.to_string(), key_value);
                    }
                }
                items.push(made);
            }
            unique(list, merge_key.as_deref(), &mut items);
            if items.is_empty() {
                return None;
            }
            Value::Array(items)
        }
    })
}

fn unique(list: &ListType, merge_key: Option<&str>, items: &mut Vec<Value>) {
    // Strategic merges know one key of several; to them, items that share it are one.
    if let Some(key) = merge_key {
        let mut seen = BTreeSet::new();
        items.retain(|item| item.get(key).is_some_and(|value| seen.insert(value.to_string())));
        return;
    }
    let mut seen = BTreeSet::new();
    match list {
        ListType::Set => items.retain(|item| seen.insert(item.to_string())),
        ListType::Map(keys) => items.retain(|item| {
            let values: Vec<String> =
                keys.iter().map(|key| item.get(&**key).unwrap_or(&Value::Null).to_string()).collect();
            seen.insert(values.join(","))
        }),
        // A list of texts that merges is a set, too.
        ListType::Atomic => {}
    }
}

/// An object of a kind of the model, or of the schema made by [`schema`].
pub fn object(schema: &Schema, api_version: &str, kind: &str, choices: &mut Choices<'_>) -> Value {
    let mut made = value(schema.types(), schema.id(), choices, 7).unwrap_or_else(|| json!({}));
    if let Value::Object(map) = &mut made {
        let name = json!({"name": "o", "namespace": "n"});
        let metadata = map.entry("metadata").or_insert_with(|| json!({}));
        if let (Value::Object(metadata), Value::Object(name)) = (metadata, name) {
            // What the server says alone.
            for field in
                ["managedFields", "resourceVersion", "uid", "creationTimestamp", "generation", "selfLink"]
            {
                metadata.remove(field);
            }
            metadata.extend(name);
        }
        map.insert("apiVersion".to_owned(), json!(api_version));
        map.insert("kind".to_owned(), json!(kind));
    }
    made
}

/// A schema made at random: maps, structs, and lists of every kind, four deep.
pub fn schema(choices: &mut Choices<'_>) -> Arc<Schema> {
    let mut types = Types::on(super::model().types().clone());
    types.set_status_apart(choices.byte() % 2 == 0);
    let text = types.add(Node::of(NodeKind::Scalar(Scalar::String)));
    let spec = node(&mut types, choices, 4);
    let status = node(&mut types, choices, 2);
    let meta = types.named("apimachinery.pkg.apis.meta.v1.ObjectMeta").expect("the metadata type");
    let fields =
        [("apiVersion", text), ("kind", text), ("metadata", meta), ("spec", spec), ("status", status)];
    let fields = fields.map(|(name, id)| Field::new(name, id)).to_vec();
    let id = types.add(Node::of(NodeKind::Struct { fields, preserve: false, rest: None, embedded: true }));
    Arc::new(Schema::new(Arc::new(types), id))
}

fn structure(types: &mut Types, choices: &mut Choices<'_>, depth: usize, keys: &[&str]) -> NodeId {
    let text = types.add(Node::of(NodeKind::Scalar(Scalar::String)));
    let mut fields: Vec<Field> = keys.iter().map(|key| Field::new(key, text)).collect();
    // The second of several keys has a default, as a port's protocol.
    if let Some(second) = fields.get_mut(1) {
        second.default = Some(json!("a"));
    }
    for name in ["e", "f", "g"].iter().take(1 + choices.below(3)) {
        fields.push(Field::new(name, node(types, choices, depth - 1)));
    }
    fields.sort_by(|a, b| a.name.cmp(&b.name));
    let mut node = Node::of(NodeKind::Struct { fields, preserve: false, rest: None, embedded: false });
    node.atomic = choices.byte() % 8 == 0;
    types.add(node)
}

fn node(types: &mut Types, choices: &mut Choices<'_>, depth: usize) -> NodeId {
    let list = |item, list| Node::of(NodeKind::List { item, list, merge_key: None, merge: false });
    let scalar = *choices.of(&[Scalar::String, Scalar::Int64, Scalar::Bool, Scalar::IntOrString]);
    let leaf = types.add(Node::of(NodeKind::Scalar(scalar)));
    if depth == 0 {
        return leaf;
    }
    match choices.byte() % 8 {
        0 => leaf,
        1 => types.add(list(leaf, ListType::Set)),
        2 => types.add(list(leaf, ListType::Atomic)),
        3 => {
            let item = structure(types, choices, depth, &["k"]);
            types.add(list(item, ListType::Map(vec!["k".into()])))
        }
        4 => {
            let item = structure(types, choices, depth, &["k", "l"]);
            types.add(list(item, ListType::Map(vec!["k".into(), "l".into()])))
        }
        5 => {
            let item = node(types, choices, depth - 1);
            types.add(Node::of(NodeKind::Map(item)))
        }
        6 => types.add(Node::of(NodeKind::Any)),
        _ => structure(types, choices, depth, &[]),
    }
}
