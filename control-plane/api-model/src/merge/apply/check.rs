//! Whether a configuration fits its schema, with the texts upstream gives for apply.

use super::walk::{Shape, Type, field_type, item_step, shape};
use crate::schema::{NodeKind, Types};
use serde_json::Value;
use std::collections::BTreeSet;

/// Problems of a configuration: unknown fields, wrong types, items that stand twice.
pub(super) fn check(types: &Types, ty: Type, value: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    node(types, ty, value, &mut String::new(), &mut problems);
    problems
}

fn node(types: &Types, ty: Type, value: &Value, path: &mut String, problems: &mut Vec<String>) {
    let mark = path.len();
    match (&types.node(ty.id).kind, value) {
        (_, Value::Null) | (NodeKind::Any, _) => {}
        (NodeKind::Struct { preserve, rest, .. }, Value::Object(map)) => {
            for (key, value) in map {
                let (below, named) = field_type(types, ty, key);
                path.push('.');
                path.push_str(key);
                if named || rest.is_some() {
                    node(types, below, value, path, problems);
                } else if !preserve {
                    problems.push(format!("{path}: field not declared in schema"));
                }
                path.truncate(mark);
            }
        }
        (NodeKind::Map(item), Value::Object(map)) => {
            for (key, value) in map {
                path.push('.');
                path.push_str(key);
                node(types, Type::of(*item), value, path, problems);
                path.truncate(mark);
            }
        }
        (NodeKind::List { item, .. }, Value::Array(items)) => {
            let mut seen = BTreeSet::new();
            for (index, value) in items.iter().enumerate() {
                let mut shown = format!("[{index}]");
                if let Shape::Items(item_type, keys) = shape(types, ty, &Value::Array(Vec::new())) {
                    let step = item_step(types, item_type, keys, value);
                    shown = step.shown();
                    if !seen.insert(step) {
                        problems.push(format!("{path}: duplicate entries for key {shown}"));
                    }
                }
                path.push_str(&shown);
                node(types, Type::of(*item), value, path, problems);
                path.truncate(mark);
            }
        }
        (NodeKind::Struct { .. } | NodeKind::Map(_), value) => problems.push(wrong(path, "map", value)),
        (NodeKind::List { .. }, value) => problems.push(wrong(path, "list", value)),
        (NodeKind::Scalar(_), Value::Object(_) | Value::Array(_)) => {
            problems.push(wrong(path, "scalar", value))
        }
        (NodeKind::Scalar(_), _) => {}
    }
}

fn wrong(path: &str, wanted: &str, value: &Value) -> String {
    format!("{path}: expected {wanted}, got {value}")
}
