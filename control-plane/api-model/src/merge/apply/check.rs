//! Whether a configuration fits its schema, in the words of upstream's structured merge.

use super::super::go;
use super::walk::{Keys, Shape, Type, field_type, item_step, list_shape};
use crate::schema::{NodeKind, Scalar, Types};
use serde_json::Value;
use std::collections::BTreeSet;

/// Problems of a configuration: unknown fields, wrong types, items that stand twice.
pub(super) fn check(types: &Types, ty: Type, value: &Value) -> Vec<String> {
    let mut checker = Checker { types, path: String::new(), problems: Vec::new() };
    checker.node(ty, value);
    checker.problems
}

struct Checker<'a> {
    types: &'a Types,
    path: String,
    problems: Vec<String>,
}

impl Checker<'_> {
    fn node(&mut self, ty: Type, value: &Value) {
        let types = self.types;
        match (&types.node(ty.id).kind, value) {
            (_, Value::Null) | (NodeKind::Any, _) => {}
            (NodeKind::Struct { preserve, rest, .. }, Value::Object(map)) => {
                for (key, value) in map {
                    let (below, named) = field_type(types, ty, key);
                    let mark = self.path.len();
                    self.path.push('.');
                    self.path.push_str(key);
                    if named || rest.is_some() || *preserve {
                        self.node(below, value);
                    } else {
                        self.problem("field not declared in schema");
                    }
                    self.path.truncate(mark);
                    if !named && rest.is_none() && !preserve {
                        // One of them is named, as upstream does.
                        break;
                    }
                }
            }
            (NodeKind::Map(item), Value::Object(map)) => {
                for (key, value) in map {
                    let mark = self.path.len();
                    self.path.push('.');
                    self.path.push_str(key);
                    self.node(Type::of(*item), value);
                    self.path.truncate(mark);
                }
            }
            (NodeKind::List { item, .. }, Value::Array(items)) => self.items(ty, Type::of(*item), items),
            (NodeKind::Struct { .. } | NodeKind::Map(_), value) => self.wrong("map", value),
            (NodeKind::List { .. }, value) => self.wrong("list", value),
            (NodeKind::Scalar(scalar), value) => self.scalar(*scalar, value),
        }
    }

    fn items(&mut self, ty: Type, item: Type, items: &[Value]) {
        let types = self.types;
        let mut seen = BTreeSet::new();
        let keys = match list_shape(types, ty) {
            Some(Shape::Items(_, keys)) => Some(keys),
            _ => None,
        };
        for (index, value) in items.iter().enumerate() {
            let mut shown = format!("[{index}]");
            if let Some(keys) = keys {
                if let Some(problem) = unidentified(types, item, keys, value) {
                    self.problem(&format!("element {index}: {problem}"));
                    return;
                }
                let step = item_step(types, item.id, keys, value);
                shown = step.shown();
                if !seen.insert(step) {
                    self.problem(&format!("duplicate entries for key {shown}"));
                }
            }
            let mark = self.path.len();
            self.path.push_str(&shown);
            self.node(item, value);
            self.path.truncate(mark);
        }
    }

    fn scalar(&mut self, scalar: Scalar, value: &Value) {
        let wanted = match scalar {
            Scalar::Int32 | Scalar::Int64 | Scalar::Double if value.is_number() => return,
            Scalar::Int32 | Scalar::Int64 | Scalar::Double => {
                let found = go::type_of(value);
                return self.problem(&format!("expected numeric (int or float), got {found}"));
            }
            Scalar::String | Scalar::Byte if value.is_string() => return,
            Scalar::String | Scalar::Byte => {
                let found = go::spelled(value);
                return self
                    .problem(&format!("expected string, got &value.valueUnstructured{{Value:{found}}}"));
            }
            Scalar::Bool if value.is_boolean() => return,
            Scalar::Bool => "boolean",
            Scalar::Time | Scalar::MicroTime | Scalar::Quantity | Scalar::IntOrString => match value {
                Value::Object(_) | Value::Array(_) => "any scalar",
                _ => return,
            },
        };
        self.wrong(wanted, value);
    }

    fn wrong(&mut self, wanted: &str, value: &Value) {
        self.problem(&format!("expected {wanted}, got &{{{}}}", go::shown(value)));
    }

    fn problem(&mut self, problem: &str) {
        let text =
            if self.path.is_empty() { problem.to_owned() } else { format!("{}: {problem}", self.path) };
        self.problems.push(text);
    }
}

/// Why an item cannot be told from others.
fn unidentified(types: &Types, item: Type, keys: Keys<'_>, value: &Value) -> Option<String> {
    let Keys::Named(keys) = keys else {
        return match value {
            Value::Object(_) => {
                Some("associative list without keys has an element that's a map type".to_owned())
            }
            Value::Array(_) => Some("not supported: associative list with lists as elements".to_owned()),
            Value::Null => {
                Some("associative list without keys has an element that's an explicit null".to_owned())
            }
            _ => None,
        };
    };
    let Value::Object(map) = value else {
        let what = if value.is_null() { "a null element" } else { "non-map elements" };
        return Some(format!("associative list with keys may not have {what}"));
    };
    let lacks = |key: &&std::sync::Arc<str>| {
        !map.contains_key(&***key) && types.field(item.id, key).is_none_or(|field| field.default.is_none())
    };
    keys.iter().find(lacks).map(|key| {
        format!("associative list with keys has an element that omits key field {key:?} (and doesn't have default value)")
    })
}
