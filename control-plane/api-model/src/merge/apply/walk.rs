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

/// Whether a value of the type merges as a whole. What built-in kinds keep as it came (`RawExtension`) does.
pub(super) fn is_whole(types: &Types, ty: Type) -> bool {
    let node = types.node(ty.id);
    ty.atomic
        || node.atomic
        || match &node.kind {
            NodeKind::Any => types.is_built_in(ty.id),
            NodeKind::Struct { fields, preserve: true, .. } => fields.is_empty() && types.is_built_in(ty.id),
            NodeKind::List { list, .. } => *list == ListType::Atomic,
            _ => false,
        }
}

/// The shape of a list type that is no leaf.
pub(super) fn list_shape(types: &Types, ty: Type) -> Option<Shape<'_>> {
    match shape(types, ty, &Value::Array(Vec::new())) {
        items @ Shape::Items(..) => Some(items),
        _ => None,
    }
}

/// The shape of a value of a type. A value that does not fit its type is a leaf.
pub(super) fn shape<'a>(types: &'a Types, ty: Type, value: &Value) -> Shape<'a> {
    if is_whole(types, ty) {
        return Shape::Leaf;
    }
    match (&types.node(ty.id).kind, value) {
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
                let (below_type, named) = field_type(types, ty, key);
                // A null says that the field shall not be, which is owned as well.
                let empty = value.is_null() || matches!(value, Value::Object(map) if map.is_empty());
                let leaf = matches!(shape(types, below_type, value), Shape::Leaf);
                let below = to_set(types, below_type, value);
                set.attach(|| Step::Field(key.clone()), leaf || empty || !named, below);
            }
        }
        (Shape::Items(item_type, keys), Value::Array(items)) => {
            for item in items {
                let step = item_step(types, item_type, keys, item);
                // Of items that are one to their keys only the place is owned.
                let below =
                    if set.has(&step) { Set::default() } else { to_set(types, Type::of(item_type), item) };
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
    let mark = match (old, new) {
        (None, None) => return (Mark::Same, Difference::default()),
        (None, _) => Mark::Added,
        (_, None) => Mark::Removed,
        _ => Mark::Same,
    };
    // To what is merged part by part, `null` has no parts.
    let (held_old, held_new) = (old.filter(|v| !v.is_null()), new.filter(|v| !v.is_null()));
    let leaf = || match (old, new) {
        // A list without items says as much as one that is not there.
        (Some(Value::Null), Some(Value::Array(items))) | (Some(Value::Array(items)), Some(Value::Null))
            if items.is_empty() =>
        {
            Mark::Same
        }
        (Some(old), Some(new)) if old != new => Mark::Modified,
        _ => mark,
    };
    let Some(sample) = held_new.or(held_old) else { return (leaf(), Difference::default()) };
    let fits = held_old.is_none_or(|o| std::mem::discriminant(o) == std::mem::discriminant(sample));
    if !fits || is_empty(held_old) && is_empty(held_new) {
        return (leaf(), Difference::default());
    }
    match shape(types, ty, sample) {
        Shape::Leaf => (leaf(), Difference::default()),
        Shape::Object => {
            (mark, maps(types, ty, held_old.and_then(Value::as_object), held_new.and_then(Value::as_object)))
        }
        Shape::Items(item, keys) => {
            (mark, lists(types, item, index(types, item, keys, held_old), index(types, item, keys, held_new)))
        }
    }
}

fn maps(
    types: &Types,
    ty: Type,
    old: Option<&Map<String, Value>>,
    new: Option<&Map<String, Value>>,
) -> Difference {
    let mut result = Difference::default();
    let keys = old.into_iter().flat_map(Map::keys);
    let only_new = new.into_iter().flat_map(Map::keys).filter(|k| old.is_none_or(|o| !o.contains_key(*k)));
    for key in keys.chain(only_new) {
        let (ty, zero) = typed_field(types, ty, key);
        let below_old = old.and_then(|map| map.get(key).or(zero));
        let below_new = new.and_then(|map| map.get(key).or(zero));
        if below_old != below_new {
            attach(&mut result, diff(types, ty, below_old, below_new), || Step::Field(key.clone()));
        }
    }
    zeros(types, ty, old, new, &mut result);
    result
}

type ByStep<'a> = BTreeMap<Step, Vec<&'a Value>>;

fn lists(types: &Types, item: NodeId, old: ByStep<'_>, mut new: ByStep<'_>) -> Difference {
    let mut result = Difference::default();
    let ty = Type::of(item);
    for (step, old) in old {
        let new = new.remove(&step).unwrap_or_default();
        match (&old[..], &new[..]) {
            ([_, _, ..], [_, _, ..]) => {
                let mark = if old == new { Mark::Same } else { Mark::Modified };
                attach(&mut result, (mark, Difference::default()), || step);
            }
            // What stood twice was owned as a place; now its fields are.
            ([_, _, ..], one) => {
                let below = diff(types, ty, None, one.first().copied()).1;
                result.added.attach(|| step.clone(), !one.is_empty(), below.added);
                result.removed.attach(|| step, true, Set::default());
            }
            (one, [_, _, ..]) => {
                let below = diff(types, ty, one.first().copied(), None).1;
                result.added.attach(|| step.clone(), true, Set::default());
                result.removed.attach(|| step, true, below.removed);
            }
            (one, other) => {
                attach(&mut result, diff(types, ty, one.first().copied(), other.first().copied()), || step);
            }
        }
    }
    for (step, new) in new {
        let below = match &new[..] {
            [one] => diff(types, ty, None, Some(one)),
            _ => (Mark::Added, Difference::default()),
        };
        attach(&mut result, below, || step);
    }
    result
}

/// A field's type, and what Go shows of it when nothing is said.
fn typed_field<'a>(types: &'a Types, ty: Type, key: &str) -> (Type, Option<&'static Value>) {
    match types.field(ty.id, key) {
        Some(field) => (Type { id: field.node, atomic: field.atomic }, field.zero.value()),
        None => (field_type(types, ty, key).0, None),
    }
}

/// What a struct that comes or goes has besides what is said: the fields Go shows always.
fn zeros(
    types: &Types,
    ty: Type,
    old: Option<&Map<String, Value>>,
    new: Option<&Map<String, Value>>,
    result: &mut Difference,
) {
    let (said, added) = match (old, new) {
        (None, Some(new)) => (new, true),
        (Some(old), None) => (old, false),
        _ => return,
    };
    let NodeKind::Struct { fields, .. } = &types.node(ty.id).kind else { return };
    for field in fields.iter().filter(|field| !said.contains_key(&*field.name)) {
        let Some(zero) = field.zero.value() else { continue };
        let below = Type { id: field.node, atomic: field.atomic };
        let (old, new) = if added { (None, Some(zero)) } else { (Some(zero), None) };
        attach(result, diff(types, below, old, new), || Step::Field(field.name.to_string()));
    }
}

/// Items by step; those with the same keys stand together.
fn index<'a>(
    types: &Types,
    ty: NodeId,
    keys: Keys<'_>,
    list: Option<&'a Value>,
) -> BTreeMap<Step, Vec<&'a Value>> {
    let mut items = ByStep::new();
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

/// The value without the fields of a set. What has nothing left is `null`: it is there, but empty.
pub(super) fn remove(types: &Types, ty: Type, value: &Value, set: &Set) -> Value {
    match (shape(types, ty, value), value) {
        (Shape::Object, Value::Object(map)) if !map.is_empty() => {
            let mut kept = Map::new();
            for (key, value) in map {
                let step = Step::Field(key.clone());
                if set.has(&step) {
                    continue;
                }
                let value = match set.below(&step) {
                    Some(below) => remove(types, field_type(types, ty, key).0, value, below),
                    None => value.clone(),
                };
                kept.insert(key.clone(), value);
            }
            if kept.is_empty() { Value::Null } else { Value::Object(kept) }
        }
        (Shape::Items(item_type, keys), Value::Array(items)) if !items.is_empty() => {
            let mut kept = Vec::with_capacity(items.len());
            for item in items {
                let step = item_step(types, item_type, keys, item);
                if set.has(&step) {
                    continue;
                }
                kept.push(match set.below(&step) {
                    Some(below) => remove(types, Type::of(item_type), item, below),
                    None => item.clone(),
                });
            }
            if kept.is_empty() { Value::Null } else { Value::Array(kept) }
        }
        _ => value.clone(),
    }
}

/// Takes away what [`remove`] has emptied: `null`s that `before` does not have.
pub(super) fn without_emptied(value: &mut Value, before: &Value) {
    match (value, before) {
        (Value::Object(map), Value::Object(before)) => map.retain(|key, value| {
            let Some(before) = before.get(key) else { return true };
            without_emptied(value, before);
            let emptied = |value: &Value| value.is_null() || value.as_object().is_some_and(Map::is_empty);
            before.is_null() || !value.is_null() && (!emptied(value) || emptied(before))
        }),
        // Items may have gone, so they have no places to compare.
        (list @ Value::Array(_), Value::Array(_)) => without_nulls(list),
        _ => {}
    }
}

fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => {
            items.retain(|item| !item.is_null());
            items.iter_mut().for_each(without_nulls);
        }
        _ => {}
    }
}
