//! Removes what a schema does not know, and `null`s, in place.

use super::types::{NodeId, NodeKind, find};
use super::{Schema, Types};
use crate::path::FieldPath;
use serde_json::Value;

impl Schema {
    /// Removes unknown fields and tells their paths; also drops `null`s (which Kubernetes reads as absent) and, in built-in kinds, empty optional
    /// lists and maps (which it does not keep). What the schema keeps as it is (`RawExtension`, `any`, preserved fields) is not looked into.
    pub fn prune(&self, object: &mut Value) -> Vec<FieldPath> {
        let mut pruner = Pruner { types: self.types(), path: FieldPath::root(), removed: Vec::new() };
        pruner.node(self.id(), object, self.name().is_some());
        pruner.removed
    }
}

struct Pruner<'a> {
    types: &'a Types,
    path: FieldPath,
    removed: Vec<FieldPath>,
}

impl Pruner<'_> {
    fn node(&mut self, id: NodeId, value: &mut Value, built_in: bool) {
        let node = self.types.node(id);
        match (&node.kind, value) {
            (NodeKind::Struct { .. }, Value::Object(map)) => {
                let built_in = built_in || node.name.is_some();
                map.retain(|key, value| {
                    let mark = self.path.len();
                    self.path.push_field(key);
                    let keep = self.field(&node.kind, key, value, built_in);
                    self.path.truncate(mark);
                    keep
                });
            }
            (NodeKind::Map(item), Value::Object(map)) => {
                let item = *item;
                let nullable = self.types.node(item).constraints.as_ref().is_some_and(|c| c.nullable);
                map.retain(|key, value| {
                    if value.is_null() {
                        // A null text in a map of texts is the empty text to Kubernetes; elsewhere it is nothing.
                        if matches!(self.types.node(item).kind, NodeKind::Scalar(super::Scalar::String))
                            && built_in
                        {
                            *value = Value::String(String::new());
                            return true;
                        }
                        return nullable;
                    }
                    let mark = self.path.len();
                    self.path.push_field(key);
                    self.node(item, value, built_in);
                    self.path.truncate(mark);
                    true
                });
            }
            (NodeKind::List { item, .. }, Value::Array(items)) => {
                let item = *item;
                if self.is_leaf(item) {
                    return;
                }
                for (index, value) in items.iter_mut().enumerate() {
                    let mark = self.path.len();
                    self.path.push_index(index);
                    self.node(item, value, built_in);
                    self.path.truncate(mark);
                }
            }
            _ => {}
        }
    }

    /// Prunes a field of a struct; says whether it stays.
    fn field(&mut self, of: &NodeKind, key: &str, value: &mut Value, built_in: bool) -> bool {
        let NodeKind::Struct { fields, preserve, rest, embedded } = of else { return true };
        match find(fields, key) {
            Some(field) if value.is_null() => field.nullable,
            Some(field) => {
                self.node(field.node, value, built_in);
                field.required || !built_in || !self.empty_collection(field.node, value)
            }
            None if *embedded && matches!(key, "apiVersion" | "kind") => true,
            None if *embedded && key == "metadata" => {
                if let Some(meta) = self.types.named(super::value::OBJECT_META) {
                    self.node(meta, value, true);
                }
                true
            }
            None => match rest {
                Some(rest) => {
                    self.node(*rest, value, built_in);
                    true
                }
                None if *preserve => true,
                None => {
                    self.removed.push(self.path.clone());
                    false
                }
            },
        }
    }

    fn is_leaf(&self, id: NodeId) -> bool {
        matches!(self.types.node(id).kind, NodeKind::Any | NodeKind::Scalar(_))
    }

    fn empty_collection(&self, id: NodeId, value: &Value) -> bool {
        match (&self.types.node(id).kind, value) {
            (NodeKind::List { .. }, Value::Array(items)) => items.is_empty(),
            (NodeKind::Map(_), Value::Object(map)) => map.is_empty(),
            _ => false,
        }
    }
}
