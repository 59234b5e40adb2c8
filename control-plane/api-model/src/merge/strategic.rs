//! Strategic merge patch: a merge patch that knows, from the schema, which lists merge and by which key.
//!
//! Directives: `$patch: replace|delete|merge`, `$retainKeys`, `$deleteFromPrimitiveList/<field>`, `$setElementOrder/<field>`. None of them
//! ever ends in the result. Built-in kinds only; custom kinds have no merge keys.

use super::PatchError;
use crate::schema::{NodeId, NodeKind, Schema, Types};
use serde_json::{Map, Value};
use std::sync::Arc;

const PATCH: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

type Object = Map<String, Value>;

/// Applies a strategic merge patch.
pub fn strategic(schema: &Schema, target: &Value, patch: &Value) -> Result<Value, PatchError> {
    let Value::Object(patch) = patch else {
        return Err(PatchError::Malformed("a strategic merge patch must be an object".into()));
    };
    let mut result = match target {
        Value::Object(map) => map.clone(),
        _ => Object::new(),
    };
    let patcher = Patcher { types: schema.types() };
    patcher.object(Some(schema.id()), &mut result, patch)?;
    Ok(Value::Object(result))
}

struct Patcher<'a> {
    types: &'a Types,
}

/// How a field's list merges.
struct ListMerge {
    item: NodeId,
    key: Option<Arc<str>>,
}

impl Patcher<'_> {
    fn object(&self, ty: Option<NodeId>, target: &mut Object, patch: &Object) -> Result<(), PatchError> {
        match patch.get(PATCH).map(|d| d.as_str().unwrap_or_default()) {
            None | Some("merge") => {}
            Some("delete") => {
                target.clear();
                return Ok(());
            }
            Some("replace") => {
                let mut fresh = Object::new();
                let rest = patch.iter().filter(|(key, _)| *key != PATCH).map(|(k, v)| (k.clone(), v.clone()));
                self.object(ty, &mut fresh, &rest.collect())?;
                *target = fresh;
                return Ok(());
            }
            Some(other) => return Err(unknown_directive(other)),
        }
        self.retain_keys(target, patch)?;
        for (key, value) in patch {
            if key == PATCH || key == RETAIN || key.starts_with(ORDER) {
                continue;
            }
            if let Some(field) = key.strip_prefix(DELETE_FROM) {
                delete_primitives(target, field, value)?;
                continue;
            }
            self.field(ty, target, key, value, patch.get(&format!("{ORDER}{key}")))?;
        }
        for (key, order) in patch {
            let Some(field) = key.strip_prefix(ORDER).filter(|field| !patch.contains_key(*field)) else {
                continue;
            };
            // Only the order is patched.
            let list = self.list_merge(ty, field);
            if let Some(Value::Array(items)) = target.get_mut(field) {
                let before = items.clone();
                sort(items, &before, order, list.and_then(|l| l.key).as_deref())?;
            }
        }
        Ok(())
    }

    fn field(
        &self,
        ty: Option<NodeId>,
        target: &mut Object,
        key: &str,
        value: &Value,
        order: Option<&Value>,
    ) -> Result<(), PatchError> {
        let field = ty.and_then(|ty| self.types.field(ty, key));
        let below = ty.and_then(|ty| self.types.step(ty, key));
        match value {
            Value::Null => {
                target.remove(key);
            }
            Value::Object(patch) => {
                let slot = target.entry(key.to_owned()).or_insert(Value::Null);
                if !slot.is_object() || field.is_some_and(|f| f.replace) {
                    *slot = Value::Object(Object::new());
                }
                let deletes = patch.get(PATCH).is_some_and(|d| d == "delete");
                if let Value::Object(map) = slot {
                    self.object(below, map, patch)?;
                }
                if deletes {
                    target.remove(key);
                }
            }
            Value::Array(patch) => {
                let list = self.list_merge(ty, key);
                let slot = target.entry(key.to_owned()).or_insert(Value::Null);
                match list {
                    Some(list) => {
                        let mut items = match slot.take() {
                            Value::Array(items) => items,
                            _ => Vec::new(),
                        };
                        let before = items.clone();
                        self.list(&list, &mut items, patch)?;
                        if let Some(order) = order {
                            sort(&mut items, &before, order, list.key.as_deref())?;
                        }
                        *slot = Value::Array(items);
                    }
                    None => *slot = self.plain_list(below, patch)?,
                }
            }
            scalar => {
                target.insert(key.to_owned(), scalar.clone());
            }
        }
        Ok(())
    }

    fn list_merge(&self, ty: Option<NodeId>, field: &str) -> Option<ListMerge> {
        let field = self.types.field(ty?, field)?;
        match &self.types.node(field.node).kind {
            NodeKind::List { item, merge_key, merge: true, .. } if !field.replace => {
                Some(ListMerge { item: *item, key: merge_key.clone() })
            }
            _ => None,
        }
    }

    /// A list that replaces: its items as they would be alone.
    fn plain_list(&self, ty: Option<NodeId>, patch: &[Value]) -> Result<Value, PatchError> {
        let item = match ty.map(|ty| &self.types.node(ty).kind) {
            Some(NodeKind::List { item, .. }) => Some(*item),
            _ => None,
        };
        let mut items = Vec::with_capacity(patch.len());
        for value in patch {
            items.push(match value {
                Value::Object(patch) if !patch.contains_key(PATCH) => {
                    let mut fresh = Object::new();
                    self.object(item, &mut fresh, patch)?;
                    Value::Object(fresh)
                }
                Value::Object(patch) if patch.len() == 1 => continue,
                other => other.clone(),
            });
        }
        Ok(Value::Array(items))
    }

    fn list(&self, list: &ListMerge, items: &mut Vec<Value>, patch: &[Value]) -> Result<(), PatchError> {
        let Some(key) = list.key.as_deref() else {
            for value in patch {
                if !items.contains(value) {
                    items.push(value.clone());
                }
            }
            return Ok(());
        };
        let directive = |value: &Value| value.get(PATCH).and_then(Value::as_str).map(str::to_owned);
        if patch.iter().any(|v| directive(v).as_deref() == Some("replace")) {
            items.clear();
        }
        for value in patch {
            let Value::Object(map) = value else {
                return Err(PatchError::Malformed(format!(
                    "list item {value} is not an object, merge key {key}"
                )));
            };
            match directive(value).as_deref() {
                Some("delete") => {
                    let id = map.get(key).ok_or_else(|| no_key(value, key))?;
                    items.retain(|item| item.get(key) != Some(id));
                    continue;
                }
                Some("replace") if map.len() == 1 => continue,
                None | Some("merge" | "replace") => {}
                Some(other) => return Err(unknown_directive(other)),
            }
            let id = map.get(key).ok_or_else(|| no_key(value, key))?;
            match items.iter_mut().find(|item| item.get(key) == Some(id)) {
                Some(Value::Object(item)) => self.object(Some(list.item), item, map)?,
                _ => {
                    let mut fresh = Object::new();
                    self.object(Some(list.item), &mut fresh, map)?;
                    items.push(Value::Object(fresh));
                }
            }
        }
        Ok(())
    }

    fn retain_keys(&self, target: &mut Object, patch: &Object) -> Result<(), PatchError> {
        let Some(keys) = patch.get(RETAIN) else { return Ok(()) };
        let Value::Array(keys) = keys else {
            return Err(PatchError::Malformed("invalid value format for directive: $retainKeys".into()));
        };
        let listed = |key: &str| keys.iter().any(|k| k == key);
        let stray =
            patch.iter().any(|(key, value)| !key.starts_with('$') && !value.is_null() && !listed(key));
        if stray {
            return Err(PatchError::Malformed(format!(
                "{RETAIN} directive must list all fields present in the patch: {}",
                Value::Array(keys.clone())
            )));
        }
        target.retain(|key, _| listed(key));
        Ok(())
    }
}

fn unknown_directive(directive: &str) -> PatchError {
    PatchError::Malformed(format!("Unknown patch type found: {directive}"))
}

fn no_key(item: &Value, key: &str) -> PatchError {
    PatchError::Malformed(format!("map: {item} does not contain declared merge key: {key}"))
}

fn delete_primitives(target: &mut Object, field: &str, values: &Value) -> Result<(), PatchError> {
    let Value::Array(values) = values else {
        return Err(PatchError::Malformed(format!(
            "invalid value format for directive: {DELETE_FROM}{field}"
        )));
    };
    if let Some(Value::Array(items)) = target.get_mut(field) {
        items.retain(|item| !values.contains(item));
    }
    Ok(())
}

/// Orders a merged list: items the directive names in its order, the server's own among them where they stood before.
fn sort(
    items: &mut Vec<Value>,
    before: &[Value],
    order: &Value,
    key: Option<&str>,
) -> Result<(), PatchError> {
    let Value::Array(order) = order else {
        return Err(PatchError::Malformed(format!("invalid value format for directive: {ORDER}")));
    };
    fn id<'a>(value: &'a Value, key: Option<&str>) -> &'a Value {
        key.map_or(value, |key| value.get(key).unwrap_or(&Value::Null))
    }
    let place = |list: &[Value], value: &Value| list.iter().position(|v| id(v, key) == id(value, key));
    let (mut named, mut others): (Vec<Value>, Vec<Value>) =
        items.drain(..).partition(|item| place(order, item).is_some());
    named.sort_by_key(|item| place(order, item));
    others.sort_by_key(|item| place(before, item).unwrap_or(usize::MAX));
    let mut others = others.into_iter().peekable();
    for item in named {
        while let Some(other) = others.peek() {
            match (place(before, other), place(before, &item)) {
                (Some(theirs), Some(ours)) if theirs < ours => items.extend(others.next()),
                _ => break,
            }
        }
        items.push(item);
    }
    items.extend(others);
    Ok(())
}
