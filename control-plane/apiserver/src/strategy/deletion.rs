//! How an object goes: at once, after a grace period, or when its last finalizer is off.

use serde_json::{Value, json};

use super::{namespaces, pods};
use crate::handlers::options::{DeleteOptions, Propagation};
use crate::registry::kinds::Served;
use crate::registry::object;

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// What a deletion does to the object.
#[derive(Debug, PartialEq)]
pub enum Plan {
    /// It goes now.
    Remove,
    /// It is marked and stays until its keeper or its finalizers let go.
    Mark(Value),
    /// It is marked already; nothing changes.
    Nothing,
}

/// Plans the deletion of `old` at `now`.
pub fn plan(served: &Served, old: &Value, options: &DeleteOptions, now: jiff::Timestamp) -> Plan {
    let mut new = old.clone();
    set_dependents_finalizers(served, &mut new, options);
    let is_namespace = served.storage == "core/namespaces";
    let held = !object::finalizers(&new).is_empty() || (is_namespace && namespaces::held(&new));
    let grace_s = if served.rules.graceful { pods::grace_period_s(old, options.grace_period_s) } else { 0 };
    if !held && grace_s == 0 {
        return Plan::Remove;
    }
    let marked = object::terminating(old);
    let had_s = object::number(old, &["metadata", "deletionGracePeriodSeconds"]).unwrap_or(0);
    if !marked || (served.rules.graceful && grace_s < had_s) {
        let at = now.checked_add(jiff::SignedDuration::from_secs(grace_s)).unwrap_or(now);
        object::set_meta(&mut new, "deletionTimestamp", json!(object::timestamp(at)));
        object::set_meta(&mut new, "deletionGracePeriodSeconds", json!(grace_s));
        if let Some(generation) = object::number(old, &["metadata", "generation"]) {
            object::set_meta(&mut new, "generation", json!(generation + 1));
        }
    }
    if is_namespace {
        object::map_mut(&mut new, "status").insert("phase".to_owned(), json!("Terminating"));
    }
    if new == *old { Plan::Nothing } else { Plan::Mark(new) }
}

fn set_dependents_finalizers(served: &Served, object: &mut Value, options: &DeleteOptions) {
    let default = if served.rules.orphans_dependents { Propagation::Orphan } else { Propagation::Background };
    let existing: Vec<String> = object::finalizers(object).into_iter().map(str::to_owned).collect();
    let has = |name: &str| existing.iter().any(|have| have == name);
    let wanted = match options.propagation {
        Some(Propagation::Orphan) => Some(ORPHAN),
        Some(Propagation::Foreground) => Some(FOREGROUND),
        Some(Propagation::Background) => None,
        // Who says nothing keeps what an earlier deletion said.
        None if has(ORPHAN) => Some(ORPHAN),
        None if has(FOREGROUND) => Some(FOREGROUND),
        None if default == Propagation::Orphan => Some(ORPHAN),
        None => None,
    };
    let mut finalizers: Vec<String> =
        existing.iter().filter(|name| *name != ORPHAN && *name != FOREGROUND).cloned().collect();
    finalizers.extend(wanted.map(str::to_owned));
    if finalizers != existing {
        let value = if finalizers.is_empty() { Value::Null } else { json!(finalizers) };
        object::set_meta(object, "finalizers", value);
    }
}

/// Whether an object that was just written has nothing left that holds it.
pub fn done(served: &Served, new: &Value) -> bool {
    object::terminating(new)
        && object::finalizers(new).is_empty()
        && object::number(new, &["metadata", "deletionGracePeriodSeconds"]).unwrap_or(0) == 0
        && !(served.storage == "core/namespaces" && namespaces::held(new))
}
