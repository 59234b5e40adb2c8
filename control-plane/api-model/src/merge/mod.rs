//! The four ways to change an object: JSON patch, JSON merge patch, strategic merge patch, server-side apply.

pub mod apply;
mod json_patch;
mod strategic;

pub use json_patch::{json_patch, json_patch_mut};
pub use strategic::strategic;

use serde_json::{Map, Value};

/// Why a patch cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The patch is not of its format: answer 400.
    #[error("{0}")]
    Malformed(String),
    /// A `test` does not hold, or a path does not exist: answer 422.
    #[error("{0}")]
    Unprocessable(String),
}

/// JSON merge patch (RFC 7396): objects merge, `null` removes, anything else replaces.
pub fn merge_patch(target: &Value, patch: &Value) -> Value {
    let mut result = target.clone();
    merge_patch_mut(&mut result, patch);
    result
}

/// As [`merge_patch`], in place.
pub fn merge_patch_mut(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge_patch_mut(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}
