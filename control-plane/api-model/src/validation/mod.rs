//! Per-kind rules with upstream's texts: what may be created, and what may change.

pub mod names;

use crate::cause::Cause;
use crate::resource::Resource;
use serde_json::Value;

/// What is wrong with a new object.
pub fn validate_create(resource: &Resource, object: &Value) -> Vec<Cause> {
    let _ = (resource, object);
    Vec::new()
}

/// What is wrong with changing `old` into `new`.
pub fn validate_update(resource: &Resource, new: &Value, old: &Value) -> Vec<Cause> {
    let _ = (resource, new, old);
    Vec::new()
}
