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
    let grace = grace(served, old, options, now);
    let had_s = object::number(old, &["metadata", "deletionGracePeriodSeconds"]).unwrap_or(0);
    if !held && grace.map_or(had_s, |grace| grace.seconds) == 0 {
        return Plan::Remove;
    }
    if let Some(grace) = grace {
        object::set_meta(&mut new, "deletionTimestamp", json!(object::timestamp(grace.end)));
        object::set_meta(&mut new, "deletionGracePeriodSeconds", json!(grace.seconds));
    }
    if !object::terminating(old)
        && let Some(generation) = object::number(old, &["metadata", "generation"])
    {
        object::set_meta(&mut new, "generation", json!(generation + 1));
    }
    if is_namespace {
        object::map_mut(&mut new, "status").insert("phase".to_owned(), json!("Terminating"));
    }
    if new == *old { Plan::Nothing } else { Plan::Mark(new) }
}

/// When an object is to go.
#[derive(Debug, Clone, Copy)]
struct Grace {
    end: jiff::Timestamp,
    seconds: i64,
}

/// The grace that this deletion gives; none when an earlier one gave less, which stays.
fn grace(served: &Served, old: &Value, options: &DeleteOptions, now: jiff::Timestamp) -> Option<Grace> {
    let after = |from: jiff::Timestamp, seconds: i64| {
        let end = from.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap_or(from);
        Grace { end, seconds }
    };
    if !object::terminating(old) {
        let seconds =
            if served.rules.graceful { pods::grace_period_s(old, options.grace_period_s) } else { 0 };
        return Some(after(now, seconds));
    }
    let had_s = object::number(old, &["metadata", "deletionGracePeriodSeconds"]).unwrap_or(0);
    let had_end: Option<jiff::Timestamp> = object::text(old, &["metadata", "deletionTimestamp"]).parse().ok();
    let wanted_s = options.grace_period_s.filter(|wanted| served.rules.graceful && *wanted < had_s)?;
    // The shorter time counts from when the object was first deleted.
    let first = had_end.and_then(|end| end.checked_sub(jiff::SignedDuration::from_secs(had_s)).ok());
    Some(after(first.unwrap_or(now), wanted_s))
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
