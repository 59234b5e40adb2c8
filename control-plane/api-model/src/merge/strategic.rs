//! Strategic merge patch: a merge patch that knows, from the schema, which lists merge and by which key.
//!
//! Directives: `$patch: replace|delete` in maps and in items of lists, `$retainKeys`, `$deleteFromPrimitiveList/<field>`,
//! `$setElementOrder/<field>`. None of them ever ends in the result. A merged list has the patch's order; what only the live object has
//! keeps its place between. Built-in kinds only; custom kinds have no merge keys.

use super::order::{arrange, identity, places};
use super::{PatchError, go};
use crate::schema::{NodeId, NodeKind, Schema, Types};
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::sync::Arc;

const PATCH: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList";
const ORDER: &str = "$setElementOrder";

type Object = Map<String, Value>;

/// Applies a strategic merge patch.
///
/// # Errors
/// When a directive is none, or an item lacks the key of its list.
pub fn strategic(schema: &Schema, target: &Value, patch: &Value) -> Result<Value, PatchError> {
    let mut result = target.clone();
    strategic_mut(schema, &mut result, patch)?;
    Ok(result)
}

/// As [`strategic`], in place; after an error the target is in between.
///
/// # Errors
/// As [`strategic`].
pub fn strategic_mut(schema: &Schema, target: &mut Value, patch: &Value) -> Result<(), PatchError> {
    let patch = match patch {
        Value::Object(patch) => patch,
        Value::Null => return Ok(()),
        other => {
            let found = crate::cause::type_name(other);
            let found = if found == "integer" { "number" } else { found };
            return Err(malformed(format!(
                "json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"
            )));
        }
    };
    if !target.is_object() {
        *target = Value::Object(Object::new());
    }
    let Value::Object(target) = target else { return Ok(()) };
    Patcher { types: schema.types() }.object(Some(schema.id()), target, patch)
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
        if let Some(directive) = patch.get(PATCH) {
            return self.whole(ty, target, patch, directive);
        }
        retain_keys(target, patch)?;
        let mut ordered: Vec<&str> = Vec::new();
        for (directive, order) in patch.iter().filter(|(key, _)| key.starts_with(ORDER)) {
            let field = field_of(directive, ORDER, "invalid patch format of setElementOrder list")?;
            self.ordered(ty, target, field, patch.get(field), order)?;
            ordered.push(field);
        }
        for (key, value) in patch {
            if key == RETAIN || key.starts_with(ORDER) {
                continue;
            }
            if key.starts_with(DELETE_FROM) {
                let field = field_of(key, DELETE_FROM, "invalid patch format of primitive list")?;
                delete_primitives(target, field, value)?;
            } else if !ordered.contains(&key.as_str()) {
                self.field(ty, target, key, value)?;
            }
        }
        Ok(())
    }

    /// A directive about the whole map.
    fn whole(
        &self,
        ty: Option<NodeId>,
        target: &mut Object,
        patch: &Object,
        directive: &Value,
    ) -> Result<(), PatchError> {
        match directive.as_str() {
            Some("delete") => target.clear(),
            Some("replace") => {
                let rest = patch.iter().filter(|(key, _)| *key != PATCH).map(|(k, v)| (k.clone(), v.clone()));
                let mut fresh = Object::new();
                self.object(ty, &mut fresh, &rest.collect())?;
                *target = fresh;
            }
            _ => return Err(unknown_directive(directive, patch)),
        }
        Ok(())
    }

    fn field(
        &self,
        ty: Option<NodeId>,
        target: &mut Object,
        key: &str,
        value: &Value,
    ) -> Result<(), PatchError> {
        let below = ty.and_then(|ty| self.types.step(ty, key));
        match (value, target.get_mut(key)) {
            (Value::Null, _) => {
                target.remove(key);
            }
            (Value::Object(patch), Some(Value::Object(known))) if !self.replaces(ty, key) => {
                self.object(below, known, patch)?;
            }
            (Value::Array(patch), Some(Value::Array(known))) => match self.list_merge(ty, key) {
                Some(list) => self.list(&list, known, patch)?,
                None => *known = self.items(below, patch)?,
            },
            (Value::Array(patch), _) => {
                let mut fresh = Vec::new();
                match self.list_merge(ty, key) {
                    Some(list) => self.list(&list, &mut fresh, patch)?,
                    None => fresh = self.items(below, patch)?,
                }
                target.insert(key.to_owned(), Value::Array(fresh));
            }
            (value, _) => {
                target.insert(key.to_owned(), self.fresh(below, value)?);
            }
        }
        Ok(())
    }

    /// A value as it is without anything live below it.
    fn fresh(&self, ty: Option<NodeId>, value: &Value) -> Result<Value, PatchError> {
        match value {
            Value::Object(patch) => {
                let mut fresh = Object::new();
                self.object(ty, &mut fresh, patch)?;
                Ok(Value::Object(fresh))
            }
            Value::Array(patch) => Ok(Value::Array(self.items(ty, patch)?)),
            scalar => Ok(scalar.clone()),
        }
    }

    /// Items of a list that replaces. Those that are only a directive are none.
    fn items(&self, ty: Option<NodeId>, patch: &[Value]) -> Result<Vec<Value>, PatchError> {
        let item = match ty.map(|ty| &self.types.node(ty).kind) {
            Some(NodeKind::List { item, .. }) => Some(*item),
            _ => None,
        };
        let directive = |value: &Value| match value.get(PATCH).and_then(Value::as_str) {
            Some("delete") => true,
            Some(_) => value.as_object().is_some_and(|map| map.len() == 1),
            None => false,
        };
        patch.iter().filter(|value| !directive(value)).map(|value| self.fresh(item, value)).collect()
    }

    fn replaces(&self, ty: Option<NodeId>, field: &str) -> bool {
        ty.and_then(|ty| self.types.field(ty, field)).is_some_and(|field| field.replace)
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

    /// `$setElementOrder/<field>`: merges the field, then orders it.
    fn ordered(
        &self,
        ty: Option<NodeId>,
        target: &mut Object,
        field: &str,
        patch: Option<&Value>,
        order: &Value,
    ) -> Result<(), PatchError> {
        let order = list_of(order)?;
        let patch = patch.map(list_of).transpose()?;
        let merge = self.list_merge(ty, field);
        let key = merge.as_ref().and_then(|merge| merge.key.clone());
        if let Some(patch) = patch {
            check_order(patch, order, key.as_deref())?;
        }
        let before = match target.get(field) {
            Some(known) => list_of(known)?.clone(),
            None if patch.is_none() => return Ok(()),
            None => Vec::new(),
        };
        let mut items = before.clone();
        match (patch, &merge) {
            (None, _) => {}
            (Some(patch), Some(merge)) => self.list(merge, &mut items, patch)?,
            (Some(patch), None) => items = self.items(ty.and_then(|ty| self.types.step(ty, field)), patch)?,
        }
        if let Some(key) = key.as_deref() {
            items.iter().chain(order).try_for_each(|item| keyed(item, key))?;
        }
        // Objects without a key have no name that an order could give: the patch's own order stands.
        if key.is_some() || !items.iter().any(Value::is_object) {
            items = arrange(items, order, &before, key.as_deref());
        }
        target.insert(field.to_owned(), Value::Array(items));
        Ok(())
    }

    fn list(&self, list: &ListMerge, items: &mut Vec<Value>, patch: &[Value]) -> Result<(), PatchError> {
        alike(items.iter().chain(patch))?;
        let Some(key) = list.key.as_deref() else {
            if patch.iter().any(Value::is_object) {
                return Err(malformed("cannot merge lists without merge key for type struct"));
            }
            let before = std::mem::take(items);
            let mut seen = HashSet::new();
            let all: Vec<Value> = before
                .iter()
                .chain(patch)
                .filter(|item| seen.insert(identity(item, None)))
                .cloned()
                .collect();
            *items = arrange(all, patch, &before, None);
            return Ok(());
        };
        let (replaces, deleted) = special_items(patch, key)?;
        let plain: Vec<&Value> = patch.iter().filter(|item| item.get(PATCH).is_none()).collect();
        if replaces {
            *items =
                plain.into_iter().map(|item| self.fresh(Some(list.item), item)).collect::<Result<_, _>>()?;
            return Ok(());
        }
        items.retain(|item| !deleted.contains(&identity(item, Some(key))));
        plain.iter().try_for_each(|item| keyed(item, key))?;
        if plain.is_empty() {
            return Ok(());
        }
        let wanted: Vec<Value> = plain.iter().map(|item| key_only(item, key)).collect();
        let before: Vec<Value> = items.iter().map(|item| key_only(item, key)).collect();
        let known = places(&before, Some(key));
        let mut added: Vec<Value> = Vec::new();
        let mut added_at = std::collections::HashMap::new();
        for item in plain {
            let id = identity(item, Some(key));
            let slot = match known.get(&id) {
                Some(at) => items.get_mut(*at),
                None => added_at.get(&id).and_then(|at: &usize| added.get_mut(*at)),
            };
            match (slot, item) {
                (Some(Value::Object(slot)), Value::Object(patch)) => {
                    self.object(Some(list.item), slot, patch)?
                }
                _ => {
                    added_at.insert(id, added.len());
                    added.push(self.fresh(Some(list.item), item)?);
                }
            }
        }
        let mut all = std::mem::take(items);
        all.append(&mut added);
        *items = arrange(all, &wanted, &before, Some(key));
        Ok(())
    }
}

fn malformed(text: impl Into<String>) -> PatchError {
    PatchError::Malformed(text.into())
}

fn key_only(item: &Value, key: &str) -> Value {
    let value = item.get(key).cloned().unwrap_or(Value::Null);
    Value::Object(std::iter::once((key.to_owned(), value)).collect())
}

/// The field of `$directive/field`.
fn field_of<'a>(key: &'a str, directive: &str, wrong: &str) -> Result<&'a str, PatchError> {
    key.strip_prefix(directive).and_then(|rest| rest.strip_prefix('/')).ok_or_else(|| malformed(wrong))
}

fn list_of(value: &Value) -> Result<&Vec<Value>, PatchError> {
    match value {
        Value::Array(items) => Ok(items),
        other => {
            Err(malformed(format!("expected a []interface {{}}, but received a {}", go::type_of(other))))
        }
    }
}

fn unknown_directive(directive: &Value, map: &Object) -> PatchError {
    let name = match directive {
        Value::String(name) => name.clone(),
        other => format!("%!s({}={})", go::type_of(other), go::shown(other)),
    };
    malformed(format!("unknown patch type: {name} in map: {}", go::shown(&Value::Object(map.clone()))))
}

fn keyed(item: &Value, key: &str) -> Result<(), PatchError> {
    match item {
        // Nothing is told from others by a map or a list.
        Value::Object(map) if map.get(key).is_some_and(|id| !id.is_object() && !id.is_array()) => Ok(()),
        Value::Object(_) => {
            Err(malformed(format!("map: {} does not contain declared merge key: {key}", go::shown(item))))
        }
        other => Err(malformed(format!(
            "expected a map[string]interface {{}}, but received a {}",
            go::type_of(other)
        ))),
    }
}

/// Lists hold values of one type, and no lists.
fn alike<'a>(items: impl Iterator<Item = &'a Value> + Clone) -> Result<(), PatchError> {
    let mut first = None;
    for item in items.clone() {
        let kind = go::type_of(item);
        match first {
            None if item.is_array() => {
                return Err(PatchError::Unprocessable("lists of lists are not supported".into()));
            }
            None => first = Some(kind),
            Some(first) if first != kind => {
                let all = go::shown(&Value::Array(items.cloned().collect()));
                return Err(malformed(format!("list element types are not identical: [{all}]")));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// What the items with directives say: whether the list is replaced, and which items go.
fn special_items<'a>(
    patch: &'a [Value],
    key: &str,
) -> Result<(bool, HashSet<super::order::Identity<'a>>), PatchError> {
    let (mut replaces, mut deleted) = (false, HashSet::new());
    for item in patch {
        let (Some(directive), Value::Object(map)) = (item.get(PATCH), item) else { continue };
        match directive.as_str() {
            Some("delete") => {
                keyed(item, key)?;
                deleted.insert(identity(item, Some(key)));
            }
            Some("replace") => replaces = true,
            Some("merge") => return Err(malformed("merging lists cannot yet be specified in the patch")),
            _ => return Err(unknown_directive(directive, map)),
        }
    }
    Ok((replaces, deleted))
}

fn retain_keys(target: &mut Object, patch: &Object) -> Result<(), PatchError> {
    let Some(keys) = patch.get(RETAIN) else { return Ok(()) };
    let wrong = || malformed("invalid patch format of retainKeys");
    let Value::Array(keys) = keys else { return Err(wrong()) };
    let keys: HashSet<&str> = keys.iter().filter_map(Value::as_str).collect();
    let directive = |key: &str| key == RETAIN || key.starts_with(DELETE_FROM) || key.starts_with(ORDER);
    if patch.iter().any(|(key, value)| !value.is_null() && !directive(key) && !keys.contains(key.as_str())) {
        return Err(wrong());
    }
    target.retain(|key, _| keys.contains(key.as_str()));
    Ok(())
}

fn delete_primitives(target: &mut Object, field: &str, values: &Value) -> Result<(), PatchError> {
    let Value::Array(values) = values else {
        return Err(malformed("invalid patch format of primitive list"));
    };
    if let Some(Value::Array(items)) = target.get_mut(field) {
        let gone: HashSet<_> = values.iter().map(|value| identity(value, None)).collect();
        items.retain(|item| !gone.contains(&identity(item, None)));
    }
    Ok(())
}

/// The items of a patch stand in the order its directive gives, and all in it.
fn check_order(patch: &[Value], order: &[Value], key: Option<&str>) -> Result<(), PatchError> {
    if patch.is_empty() || order.is_empty() {
        return Ok(());
    }
    let mut rest = order.iter();
    for item in patch.iter().filter(|item| item.get(PATCH).is_none()) {
        if let Some(key) = key {
            keyed(item, key)?;
        }
        let id = identity(item, key);
        if !rest.any(|candidate| identity(candidate, key) == id) {
            let (patch, order) = (Value::Array(patch.to_vec()), Value::Array(order.to_vec()));
            return Err(malformed(format!(
                "The order in patch list:\n{}\n doesn't match {ORDER} list:\n{}\n",
                go::shown(&patch),
                go::shown(&order)
            )));
        }
    }
    Ok(())
}
