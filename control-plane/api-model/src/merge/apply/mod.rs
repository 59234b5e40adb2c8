//! Server-side apply and the tracking of who owns which field.
//!
//! Every write goes through here: [`apply`] for apply patches, [`update_managed_fields`] for create, update and all other patches.
//! Guarantees: applying the same configuration twice changes nothing; a field no applier lists any more is removed if its last applier
//! was its only owner; what nobody applied stays; after any write each changed field is owned by its writer.
//! All versions of a kind are taken to have the same fields.

mod check;
mod fields;
mod join;
mod managed;
mod walk;

pub use fields::{Set, Step};

use crate::schema::{Schema, Types};
use managed::{Entry, Operation};
use serde_json::{Map, Value};
use walk::{Type, compare, remove, to_set};

/// Who writes, and when.
#[derive(Debug, Clone)]
pub struct Manager {
    /// Field manager's name.
    pub name: String,
    /// `apiVersion` of the written object.
    pub api_version: String,
    /// Subresource written through, if any.
    pub subresource: Option<String>,
    /// Time of the write.
    pub time: jiff::Timestamp,
}

/// One field another manager owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Path, as in `.spec.replicas`.
    pub field: String,
    /// Who owns it, as upstream prints it: `"kubectl" using apps/v1`.
    pub manager: String,
}

impl Conflict {
    /// Message of the `Status` cause `FieldManagerConflict`.
    pub fn message(&self) -> String {
        format!("conflict with {}", self.manager)
    }
}

/// Why an apply is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// Fields belong to others: answer 409.
    #[error("{}", conflict_message(.0))]
    Conflicts(Vec<Conflict>),
    /// The configuration does not fit the schema: answer 400.
    #[error("{0}")]
    Invalid(String),
}

/// Owner of the fields of an object that was never tracked.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Applies `config` to the live object (none: creates it). The result carries updated `managedFields`.
///
/// Fields another manager owns with another value are conflicts, unless `force`. Through the main resource `status` is not applied where it
/// is a subresource, through `status` not `spec`.
pub fn apply(
    schema: &Schema,
    live: Option<&Value>,
    config: &Value,
    manager: &Manager,
    force: bool,
) -> Result<Value, ApplyError> {
    let (types, ty) = (&**schema.types(), Type::of(schema.id()));
    let config = configuration(schema, config, manager)?;
    let mut entries = managed::of_object(live);
    let live = live.map(without_managed_fields);
    let this = entry(manager, Operation::Apply);
    if let Some(live) = live.as_ref().filter(|_| entries.is_empty()) {
        let api_version = live["apiVersion"].as_str().unwrap_or(&manager.api_version).to_owned();
        let set = stripped(to_set(types, ty, live), schema, None);
        let manager = BEFORE_FIRST_APPLY.to_owned();
        entries.push(Entry {
            manager,
            operation: Operation::Update,
            api_version,
            subresource: String::new(),
            time: None,
            set,
        });
    }
    let merged = join::join(types, ty, live.as_ref(), &config);
    let last = entries.iter().position(|e| e.same_writer(&this)).map(|at| entries.remove(at));
    let applied = to_set(types, ty, &config);
    let last_set = last.as_ref().map(|e| e.set.clone()).unwrap_or_default();
    // Name and the like have no owner, but what is applied now keeps them.
    let mut merged = prune(types, ty, merged, &last_set, &applied, &entries);
    let set = stripped(applied, schema, manager.subresource.as_deref());
    let empty = Value::Object(Map::new());
    let difference = compare(types, ty, Some(live.as_ref().unwrap_or(&empty)), Some(&merged));
    let touched = difference.added.clone().union(&difference.modified);
    let conflicts = take_over(&mut entries, &touched, &difference.removed);
    if !force && !conflicts.is_empty() {
        return Err(ApplyError::Conflicts(conflicts));
    }
    let unchanged = last.as_ref().is_some_and(|l| l.set == set && l.api_version == this.api_version)
        && difference.is_empty();
    let time = if unchanged { last.and_then(|l| l.time) } else { Some(seconds(manager.time)) };
    entries.push(Entry { set, time, ..this });
    managed::write(&mut merged, entries);
    Ok(merged)
}

/// Records who wrote what after a create, update or patch: rewrites `new`'s `managedFields`.
///
/// `new` is the object as it will be stored; its own `managedFields` count when the client set them (`[{}]` forgets all), except through a
/// subresource. Objects that were never tracked stay so until the first apply.
pub fn update_managed_fields(schema: &Schema, old: Option<&Value>, new: &mut Value, manager: &Manager) {
    let (types, ty) = (&**schema.types(), Type::of(schema.id()));
    let sent = match new.get_mut("metadata").and_then(Value::as_object_mut) {
        Some(metadata) => metadata.remove("managedFields"),
        None => None,
    };
    let sent = sent.filter(|_| manager.subresource.is_none());
    if sent.as_ref().is_some_and(is_reset) {
        return;
    }
    let kept = sent.as_ref().and_then(managed::decode).filter(|entries| !entries.is_empty());
    let old_list = old.and_then(|o| o.pointer("/metadata/managedFields"));
    let empty = Value::Object(Map::new());
    // The old list itself shows as removed, which nobody owns.
    let difference = compare(types, ty, Some(old.unwrap_or(&empty)), Some(new));
    let mut entries = match kept {
        Some(entries) => entries,
        None => match old_list {
            Some(list) if nothing_ours(&difference, schema, manager) => {
                put_list(new, list.clone());
                return;
            }
            Some(list) => managed::decode(list).unwrap_or_default(),
            None if old.is_some() => return,
            None => Vec::new(),
        },
    };
    let touched = difference.added.union(&difference.modified);
    take_over(&mut entries, &touched, &difference.removed);
    let ours = stripped(touched, schema, manager.subresource.as_deref());
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
    managed::write(new, entries);
}

fn nothing_ours(difference: &walk::Difference, schema: &Schema, manager: &Manager) -> bool {
    let sub = manager.subresource.as_deref();
    [&difference.added, &difference.modified, &difference.removed]
        .into_iter()
        .all(|set| set.is_empty() || stripped(set.clone(), schema, sub).is_empty())
}

fn put_list(object: &mut Value, list: Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("managedFields".to_owned(), list);
    }
}

/// `[{}]`: the client wants all tracking forgotten.
fn is_reset(list: &Value) -> bool {
    let nothing =
        |entry: &Value| entry.as_object().is_some_and(|e| e.values().all(|v| v.is_null() || v == ""));
    matches!(list, Value::Array(items) if items.len() == 1 && items.iter().all(nothing))
}

/// The configuration without nulls, checked.
fn configuration(schema: &Schema, config: &Value, manager: &Manager) -> Result<Value, ApplyError> {
    let filled = |v: &Value| !v.is_null() && v.as_array().is_none_or(|a| !a.is_empty());
    if config.pointer("/metadata/managedFields").is_some_and(filled) {
        return Err(ApplyError::Invalid("metadata.managedFields must be nil".into()));
    }
    let problems = check::check(schema.types(), Type::of(schema.id()), config);
    if !problems.is_empty() {
        let text = |pointer: &str| config.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
        let what = format!("({namespace}/{name}; {}, Kind={})", manager.api_version, text("/kind"));
        let list = match &problems[..] {
            [one] => one.clone(),
            many => format!("errors:\n  {}", many.join("\n  ")),
        };
        return Err(ApplyError::Invalid(format!("failed to create typed patch object {what}: {list}")));
    }
    let mut config = without_managed_fields(config);
    drop_nulls(&mut config);
    let ignored = ignored_field(schema, manager.subresource.as_deref());
    if let (Some(field), Some(map)) = (ignored, config.as_object_mut()) {
        map.remove(field);
    }
    Ok(config)
}

/// The part of the object a write through this path never changes.
fn ignored_field(schema: &Schema, subresource: Option<&str>) -> Option<&'static str> {
    match subresource {
        None if schema.types().status_apart() => Some("status"),
        Some("status") => Some("spec"),
        _ => None,
    }
}

/// Without what no manager owns.
fn stripped(mut set: Set, schema: &Schema, subresource: Option<&str>) -> Set {
    set.forget(&["apiVersion"], false);
    set.forget(&["kind"], false);
    for field in [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    ] {
        set.forget(&["metadata", field], false);
    }
    set.forget(&["metadata"], true);
    if let Some(field) = ignored_field(schema, subresource) {
        set.forget(&[field], false);
    }
    set
}

/// Takes from all entries what was touched or removed; tells what was touched.
fn take_over(entries: &mut Vec<Entry>, touched: &Set, removed: &Set) -> Vec<Conflict> {
    let mut conflicts = Vec::new();
    for entry in entries.iter_mut() {
        let taken = entry.set.intersection(touched);
        if !taken.is_empty() {
            let manager = entry.shown();
            conflicts
                .extend(taken.paths().into_iter().map(|field| Conflict { field, manager: manager.clone() }));
            entry.set = entry.set.difference(&taken);
        }
        if !removed.is_empty() {
            entry.set = entry.set.difference(removed);
        }
    }
    entries.retain(|e| !e.set.is_empty());
    conflicts
}

/// Removes what this applier applied last time, does not now, and nobody else owns.
fn prune(types: &Types, ty: Type, merged: Value, last: &Set, now: &Set, others: &[Entry]) -> Value {
    if last.is_empty() {
        return merged;
    }
    let named = |set: &Set| set.with_named_fields(types, ty);
    let set_of = |value: &Value| named(&to_set(types, ty, value));
    let last = named(last);
    let merged_set = set_of(&merged);
    let without = |set: &Set| remove(types, ty, &merged, set).unwrap_or(Value::Null);
    let pruned = without(&last);
    // Add back what someone, also this applier now, owns.
    let owned = others.iter().fold(now.clone(), |all, entry| all.union(&entry.set));
    let pruned = without(&merged_set.difference(&set_of(&pruned).union(&named(&owned))));
    // Add back what this applier did not own either: it went only because what holds it went.
    without(&merged_set.difference(&set_of(&pruned)).intersection(&last))
}

fn entry(manager: &Manager, operation: Operation) -> Entry {
    Entry {
        manager: manager.name.clone(),
        operation,
        api_version: manager.api_version.clone(),
        subresource: manager.subresource.clone().unwrap_or_default(),
        time: None,
        set: Set::default(),
    }
}

fn seconds(time: jiff::Timestamp) -> String {
    jiff::Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

fn without_managed_fields(object: &Value) -> Value {
    let Value::Object(map) = object else { return object.clone() };
    let copied = map.iter().map(|(key, value)| match (key.as_str(), value) {
        ("metadata", Value::Object(metadata)) => {
            let kept = metadata.iter().filter(|(k, _)| *k != "managedFields");
            (key.clone(), Value::Object(kept.map(|(k, v)| (k.clone(), v.clone())).collect()))
        }
        _ => (key.clone(), value.clone()),
    });
    Value::Object(copied.collect())
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

fn conflict_message(conflicts: &[Conflict]) -> String {
    let count = conflicts.len();
    match conflicts {
        [one] => format!("Apply failed with 1 conflict: {}: {}", one.message(), one.field),
        _ => {
            let mut text = format!("Apply failed with {count} conflicts: ");
            let mut managers: Vec<&str> = conflicts.iter().map(|c| c.manager.as_str()).collect();
            managers.dedup();
            let parts: Vec<String> = managers
                .iter()
                .map(|manager| {
                    let fields: Vec<String> = conflicts
                        .iter()
                        .filter(|c| c.manager == *manager)
                        .map(|c| format!("- {}", c.field))
                        .collect();
                    format!("conflicts with {manager}:\n{}", fields.join("\n"))
                })
                .collect();
            text.push_str(&parts.join("\n"));
            text
        }
    }
}
