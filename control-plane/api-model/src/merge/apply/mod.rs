//! Server-side apply and the tracking of who owns which field.
//!
//! Every write goes through here: [`apply`] for apply patches, [`update_managed_fields`] for create, update and all other patches.
//! Guarantees: applying the same configuration twice changes nothing; a field no applier lists any more is removed if its last applier
//! was its only owner; what nobody applied stays; after any write each changed field is owned by its writer.
//! Entries written in another version of the kind are judged by that version's fields ([`Versions`]).

mod check;
mod configuration;
mod fields;
mod ignored;
mod join;
mod legacy;
mod managed;
mod owners;
mod prune;
mod scale;
mod update;
mod versions;
mod walk;

pub use configuration::merge_configuration;
pub use fields::{Set, Step};
pub use owners::Conflict;
pub use scale::{merge_scale_managed_fields, scale_managed_fields};
pub use update::{update_managed_fields, update_managed_fields_in};
pub use versions::{SameFields, Version, Versions};

use crate::schema::Schema;
use ignored::Ignored;
use managed::{Entry, Operation};
use owners::Change;
use serde_json::{Map, Value};
use walk::{Type, compare, to_set};

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

/// Why an apply is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// Fields belong to others: answer 409.
    #[error("{}", owners::message(.0))]
    Conflicts(Vec<Conflict>),
    /// The configuration says what it must not: answer 400 with the reason `BadRequest`.
    #[error("{0}")]
    Malformed(String),
    /// The configuration does not fit the schema: answer 400; upstream gives no reason.
    #[error("{0}")]
    Misfit(String),
}

/// Applies `config` to the live object (none: creates it). The result carries updated `managedFields`.
///
/// Fields another manager owns with another value are conflicts, unless `force`. Through the main resource `status` is not applied where it
/// is a subresource, through `status` not `spec`. A `null` owns a field that shall not be.
///
/// # Errors
/// Conflicts, or what is wrong with the configuration.
pub fn apply(
    schema: &Schema,
    live: Option<&Value>,
    config: &Value,
    manager: &Manager,
    force: bool,
) -> Result<Value, ApplyError> {
    apply_in(schema, &SameFields, live, config, manager, force)
}

/// As [`apply`], for a kind whose versions differ.
///
/// # Errors
/// As [`apply`].
pub fn apply_in(
    schema: &Schema,
    versions: &dyn Versions,
    live: Option<&Value>,
    config: &Value,
    manager: &Manager,
    force: bool,
) -> Result<Value, ApplyError> {
    let ignored = Ignored::of(schema, manager.subresource.as_deref());
    checked(schema, config, manager)?;
    let given = config;
    let mut config = without_managed_fields(config);
    if let Value::Object(map) = &mut config {
        ignored.cut(map);
    }
    let mut entries = managed::of_object(live);
    let live = live.map(without_managed_fields);
    if let Some(live) = live.as_ref().filter(|_| entries.is_empty()) {
        entries.extend(update::before_first_apply(schema, live, manager, &ignored));
    }
    let (types, ty) = (&**schema.types(), Type::of(schema.id()));
    entries
        .iter_mut()
        .filter(|e| e.api_version == manager.api_version)
        .for_each(|e| e.set.reconcile(types, ty));

    let this = entry(manager, Operation::Apply);
    let merged = join::join(types, ty, live.as_ref(), &config);
    let last = entries.iter().position(|e| e.same_writer(&this)).map(|at| entries.remove(at));
    let applied = to_set(types, ty, &config);
    // Name and the like have no owner, but what is applied now keeps them.
    let mut merged = match &last {
        Some(last) => prune::prune(schema, versions, &manager.api_version, merged, last, &applied, &entries),
        None => merged,
    };
    if has_nulls(&config) {
        // What is empty owns nothing and may have gone with what was not, but it is said.
        merged = join::join(types, ty, Some(&merged), &config);
        schema.prune(&mut merged);
    }
    let empty = Value::Object(Map::new());
    let old = live.as_ref().unwrap_or(&empty);
    let difference = compare(types, ty, Some(old), Some(&merged));
    let change = Change {
        versions,
        ignored: &ignored,
        api_version: &manager.api_version,
        old,
        new: &merged,
        difference: &difference,
    };
    let mut conflicts = change.take_over(&mut entries);
    if !force && !conflicts.is_empty() {
        if manager.name == legacy::MANAGER {
            conflicts = legacy::remaining(schema, &manager.api_version, old, conflicts);
        }
        if !conflicts.is_empty() {
            return Err(ApplyError::Conflicts(conflicts));
        }
    }
    let unchanged = live.as_ref() == Some(&merged);
    let time = if unchanged { last.and_then(|l| l.time) } else { Some(seconds(manager.time)) };
    entries.push(Entry { set: ignored.strip_all(applied), time, ..this });
    if manager.name == legacy::MANAGER {
        legacy::renew(&mut merged, given);
    }
    managed::write(&mut merged, entries);
    Ok(merged)
}

/// Whether the configuration may be applied at all.
fn checked(schema: &Schema, config: &Value, manager: &Manager) -> Result<(), ApplyError> {
    let filled = |v: &Value| !v.is_null() && v.as_array().is_none_or(|a| !a.is_empty());
    if config.pointer("/metadata/managedFields").is_some_and(filled) {
        return Err(ApplyError::Malformed("metadata.managedFields must be nil".into()));
    }
    let problems = check::check(schema.types(), Type::of(schema.id()), config);
    if problems.is_empty() {
        return Ok(());
    }
    let text = |pointer: &str| config.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let slash = if manager.api_version.contains('/') { "" } else { "/" };
    let what = format!(
        "({}/{}; {slash}{}, Kind={})",
        text("/metadata/namespace"),
        text("/metadata/name"),
        manager.api_version,
        text("/kind")
    );
    let list = listed(&problems);
    Err(ApplyError::Misfit(format!("failed to create typed patch object {what}: {list}")))
}

/// Problems as upstream's structured merge joins them.
fn listed(problems: &[String]) -> String {
    match problems {
        [one] => one.clone(),
        many => format!("errors:\n  {}", many.join("\n  ")),
    }
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

/// Whether something in a value has to be tidied before it is stored: nulls and what is empty.
fn has_nulls(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty() || map.values().any(has_nulls),
        Value::Array(items) => items.is_empty() || items.iter().any(has_nulls),
        _ => false,
    }
}
