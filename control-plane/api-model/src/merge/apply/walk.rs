//! Walks an object along its schema: which fields it has, what differs between two, and an object without some fields.

use super::fields::{Set, Step};
use crate::schema::{ListType, NodeId, NodeKind, Types};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A type at a place; a field may make its type atomic.
#[derive(Debug, Clone, Copy)]
pub(super) struct Type {
    pub id: NodeId,
    pub atomic: bool,
}

/// Number of no node: accepts anything.
const ANY: NodeId = NodeId::MAX;

impl Type {
    pub fn of(id: NodeId) -> Self {
        Self { id, atomic: false }
    }
}

/// How a value merges.
pub(super) enum Shape<'a> {
    /// As a whole.
    Leaf,
    /// Key by key.
    Object,
    /// Item by item.
    Items(NodeId, Keys<'a>),
}

/// What identifies an item.
#[derive(Clone, Copy)]
pub(super) enum Keys<'a> {
    Itself,
    Named(&'a [Arc<str>]),
}

/// The shape of a value of a type. A value that does not fit its type is a leaf.
pub(super) fn shape<'a>(types: &'a Types, ty: Type, value: &Value) -> Shape<'a> {
    let node = types.node(ty.id);
    if ty.atomic || node.atomic {
        return Shape::Leaf;
    }
    match (&node.kind, value) {
        (NodeKind::Struct { .. } | NodeKind::Map(_) | NodeKind::Any, Value::Object(_)) => Shape::Object,
        (NodeKind::List { item, list: ListType::Set, .. }, Value::Array(_)) => {
            Shape::Items(*item, Keys::Itself)
        }
        (NodeKind::List { item, list: ListType::Map(keys), .. }, Value::Array(_)) => {
            Shape::Items(*item, Keys::Named(keys))
        }
        _ => Shape::Leaf,
    }
}

/// The type under a key, and whether the schema names the key as a field.
pub(super) fn field_type(types: &Types, ty: Type, key: &str) -> (Type, bool) {
    match &types.node(ty.id).kind {
        NodeKind::Struct { rest, .. } => match types.field(ty.id, key) {
            Some(field) => (Type { id: field.node, atomic: field.atomic }, true),
            None => (Type::of(rest.unwrap_or(ANY)), false),
        },
        NodeKind::Map(item) => (Type::of(*item), false),
        _ => (Type::of(ANY), false),
    }
}

/// The type below a step, and whether the schema names it as a field.
pub(super) fn child(types: &Types, ty: Type, step: &Step) -> (Type, bool) {
    match step {
        Step::Field(name) => field_type(types, ty, name),
        _ => match &types.node(ty.id).kind {
            NodeKind::List { item, .. } => (Type::of(*item), false),
            _ => (Type::of(ANY), false),
        },
    }
}

/// The step to an item of a list. A key the item lacks takes its default.
pub(super) fn item_step(types: &Types, item_type: NodeId, keys: Keys<'_>, item: &Value) -> Step {
    let Keys::Named(keys) = keys else { return Step::Value(item.to_string()) };
    let mut values = Map::new();
    for key in keys {
        let value = match item.get(&**key) {
            None | Some(Value::Null) => types.field(item_type, key).and_then(|f| f.default.clone()),
            Some(value) => Some(value.clone()),
        };
        if let Some(value) = value {
            values.insert(key.to_string(), value);
        }
    }
    Step::Key(Value::Object(values).to_string())
}

/// All fields of a value.
pub(super) fn to_set(types: &Types, ty: Type, value: &Value) -> Set {
    let mut set = Set::default();
    match (shape(types, ty, value), value) {
        (Shape::Object, Value::Object(map)) => {
            for (key, value) in map {
                if value.is_null() {
                    continue;
                }
                let (below_type, named) = field_type(types, ty, key);
                let empty = matches!(value, Value::Object(map) if map.is_empty());
                let leaf = matches!(shape(types, below_type, value), Shape::Leaf);
                let below = to_set(types, below_type, value);
                set.attach(|| Step::Field(key.clone()), leaf || empty || !named, below);
            }
        }
        (Shape::Items(item_type, keys), Value::Array(items)) => {
            for item in items {
                let below = to_set(types, Type::of(item_type), item);
                let step = item_step(types, item_type, keys, item);
                set.attach(|| step, true, below);
            }
        }
        _ => {}
    }
    set
}

/// What changed from one value to another.
#[derive(Debug, Default)]
pub(super) struct Difference {
    pub added: Set,
    pub modified: Set,
    pub removed: Set,
}

impl Difference {
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.modified.is_empty() && self.removed.is_empty()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Same,
    Added,
    Modified,
    Removed,
}

/// Compares two objects.
pub(super) fn compare(types: &Types, ty: Type, old: Option<&Value>, new: Option<&Value>) -> Difference {
    diff(types, ty, old, new).1
}

fn diff(types: &Types, ty: Type, old: Option<&Value>, new: Option<&Value>) -> (Mark, Difference) {
    let mut result = Difference::default();
    let old = old.filter(|v| !v.is_null());
    let new = new.filter(|v| !v.is_null());
    let sample = match (old, new) {
        (None, None) => return (Mark::Same, result),
        (_, Some(value)) | (Some(value), None) => value,
    };
    let mark = match (old, new) {
        (None, _) => Mark::Added,
        (_, None) => Mark::Removed,
        _ => Mark::Same,
    };
    let leaf = || match (old, new) {
        (Some(old), Some(new)) if old != new => Mark::Modified,
        _ => mark,
    };
    let fits = |other: Option<&Value>| {
        other.is_none_or(|o| std::mem::discriminant(o) == std::mem::discriminant(sample))
    };
    if !fits(old) || is_empty(old) && is_empty(new) {
        return (leaf(), result);
    }
    match shape(types, ty, sample) {
        Shape::Leaf => return (leaf(), result),
        Shape::Object => {
            let (old, new) = (old.and_then(Value::as_object), new.and_then(Value::as_object));
            let keys = old.into_iter().flat_map(Map::keys);
            let only_new =
                new.into_iter().flat_map(Map::keys).filter(|k| old.is_none_or(|o| !o.contains_key(*k)));
            for key in keys.chain(only_new) {
                let (below_old, below_new) = (old.and_then(|o| o.get(key)), new.and_then(|n| n.get(key)));
                if below_old == below_new {
                    continue;
                }
                let below = diff(types, field_type(types, ty, key).0, below_old, below_new);
                attach(&mut result, below, || Step::Field(key.clone()));
            }
        }
        Shape::Items(item_type, keys) => {
            let old = index(types, item_type, keys, old);
            let mut new = index(types, item_type, keys, new);
            for (step, old) in old {
                let new = new.remove(&step).unwrap_or_default();
                let below = if old.len() > 1 || new.len() > 1 {
                    // Twice the same keys: judged as one value.
                    let mark = if old == new { Mark::Same } else { Mark::Modified };
                    (mark, Difference::default())
                } else {
                    diff(types, Type::of(item_type), old.first().copied(), new.first().copied())
                };
                attach(&mut result, below, || step);
            }
            for (step, new) in new {
                let below = diff(types, Type::of(item_type), None, new.first().copied());
                attach(&mut result, below, || step);
            }
        }
    }
    (mark, result)
}

/// Items by step; those with the same keys stand together.
fn index<'a>(
    types: &Types,
    ty: NodeId,
    keys: Keys<'_>,
    list: Option<&'a Value>,
) -> BTreeMap<Step, Vec<&'a Value>> {
    let mut items: BTreeMap<Step, Vec<&Value>> = BTreeMap::new();
    for item in list.and_then(Value::as_array).into_iter().flatten() {
        items.entry(item_step(types, ty, keys, item)).or_default().push(item);
    }
    items
}

fn attach(result: &mut Difference, (mark, below): (Mark, Difference), step: impl FnOnce() -> Step) {
    if mark == Mark::Same && below.is_empty() {
        return;
    }
    let step = step();
    result.added.attach(|| step.clone(), mark == Mark::Added, below.added);
    result.modified.attach(|| step.clone(), mark == Mark::Modified, below.modified);
    result.removed.attach(|| step, mark == Mark::Removed, below.removed);
}

fn is_empty(value: Option<&Value>) -> bool {
    match value {
        None => true,
        Some(Value::Object(map)) => map.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(_) => false,
    }
}

/// The value without the fields of a set; `None` when nothing remains.
pub(super) fn remove(types: &Types, ty: Type, value: &Value, set: &Set) -> Option<Value> {
    match (shape(types, ty, value), value) {
        (Shape::Object, Value::Object(map)) if !map.is_empty() => {
            let mut kept = Map::new();
            for (key, value) in map {
                let step = Step::Field(key.clone());
                if set.has(&step) {
                    continue;
                }
                match set.below(&step) {
                    Some(below) => {
                        if let Some(value) = remove(types, field_type(types, ty, key).0, value, below) {
                            kept.insert(key.clone(), value);
                        }
                    }
                    None => {
                        kept.insert(key.clone(), value.clone());
                    }
                }
            }
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        (Shape::Items(item_type, keys), Value::Array(items)) if !items.is_empty() => {
            let mut kept = Vec::with_capacity(items.len());
            for item in items {
                let step = item_step(types, item_type, keys, item);
                if set.has(&step) {
                    continue;
                }
                kept.push(match set.below(&step) {
                    Some(below) => remove(types, Type::of(item_type), item, below).unwrap_or(Value::Null),
                    None => item.clone(),
                });
            }
            kept.retain(|item| !item.is_null());
            (!kept.is_empty()).then_some(Value::Array(kept))
        }
        _ => Some(value.clone()),
    }
}
