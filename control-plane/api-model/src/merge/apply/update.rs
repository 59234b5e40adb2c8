//! Books the writes that are no apply.

use super::fields::Set;
use super::ignored::Ignored;
use super::managed::{self, Entry, Operation};
use super::owners::Change;
use super::versions::{SameFields, Versions};
use super::walk::{Difference, Type, compare};
use super::{Manager, entry, seconds};
use crate::schema::Schema;
use serde_json::{Map, Value};

/// Owner of the fields of an object that was never tracked.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Records who wrote what after a create, update or patch: rewrites `new`'s `managedFields`.
///
/// `new` is the object as it will be stored; its own `managedFields` count when the client set them (`[{}]` forgets all), except through a
/// subresource. Objects that were never tracked stay so until the first apply.
pub fn update_managed_fields(schema: &Schema, old: Option<&Value>, new: &mut Value, manager: &Manager) {
    update_managed_fields_in(schema, &SameFields, old, new, manager);
}

/// As [`update_managed_fields`], for a kind whose versions differ.
pub fn update_managed_fields_in(
    schema: &Schema,
    versions: &dyn Versions,
    old: Option<&Value>,
    new: &mut Value,
    manager: &Manager,
) {
    let (types, ty) = (&**schema.types(), Type::of(schema.id()));
    let ignored = Ignored::of(schema, manager.subresource.as_deref());
    let sent = match new.get_mut("metadata").and_then(Value::as_object_mut) {
        Some(metadata) => metadata.remove("managedFields"),
        None => None,
    };
    let sent = sent.filter(|_| manager.subresource.is_none());
    let reset = sent.as_ref().is_some_and(is_reset);
    if reset && old.is_some() {
        return;
    }
    let kept =
        sent.as_ref().filter(|_| !reset).and_then(managed::decode).filter(|entries| !entries.is_empty());
    let old_list = old.and_then(|o| o.pointer("/metadata/managedFields"));
    let empty = Value::Object(Map::new());
    let before = old.unwrap_or(&empty);
    // The old list itself shows as removed, which nobody owns.
    let difference = compare(types, ty, Some(before), Some(new));
    let mut entries = match (kept, old_list) {
        (Some(entries), _) => entries,
        (None, Some(list)) if nothing_ours(&difference, &ignored) => {
            put_list(new, list.clone());
            return;
        }
        (None, Some(list)) => managed::decode(list).unwrap_or_default(),
        (None, None) => Vec::new(),
    };
    // What is not tracked begins to be when it is created or applied, not in between.
    if entries.is_empty() && old.is_some() {
        return;
    }
    entries
        .iter_mut()
        .filter(|e| e.api_version == manager.api_version)
        .for_each(|e| e.set.reconcile(types, ty));
    let change = Change {
        versions,
        ignored: &ignored,
        api_version: &manager.api_version,
        old: before,
        new,
        difference: &difference,
    };
    change.take_over(&mut entries);
    let ours = ignored.strip_all(difference.added.union(&difference.modified));
    if !ours.is_empty() {
        let this = entry(manager, Operation::Update);
        match entries.iter_mut().find(|e| e.same_writer(&this)) {
            Some(known) => {
                known.set = std::mem::take(&mut known.set).union(&ours);
                known.time = Some(seconds(manager.time));
            }
            None => entries.push(Entry { set: ours, time: Some(seconds(manager.time)), ..this }),
        }
    }
    managed::bound(&mut entries);
    managed::write(new, entries);
}

/// The entry that owns all of an object that was never tracked.
pub(super) fn before_first_apply(
    schema: &Schema,
    live: &Value,
    manager: &Manager,
    ignored: &Ignored,
) -> Option<Entry> {
    let empty = Value::Object(Map::new());
    let difference = compare(schema.types(), Type::of(schema.id()), Some(&empty), Some(live));
    let set: Set = ignored.strip_all(difference.added.union(&difference.modified));
    let name = Manager { name: BEFORE_FIRST_APPLY.to_owned(), ..manager.clone() };
    (!set.is_empty()).then(|| Entry {
        set,
        time: Some(seconds(manager.time)),
        ..entry(&name, Operation::Update)
    })
}

fn nothing_ours(difference: &Difference, ignored: &Ignored) -> bool {
    [&difference.added, &difference.modified, &difference.removed]
        .into_iter()
        .all(|set| set.is_empty() || ignored.strip_all(set.clone()).is_empty())
}

fn put_list(object: &mut Value, list: Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("managedFields".to_owned(), list);
    }
}

/// `[]` or `[{}]`: the client wants all tracking forgotten.
fn is_reset(list: &Value) -> bool {
    let nothing =
        |entry: &Value| entry.as_object().is_some_and(|e| e.values().all(|v| v.is_null() || v == ""));
    match list {
        Value::Array(items) => items.is_empty() || items.len() == 1 && items.iter().all(nothing),
        _ => false,
    }
}
