//! The four ways to change an object: JSON patch, JSON merge patch, strategic merge patch, server-side apply.

pub mod apply;
mod go;
mod json_patch;
mod order;
mod strategic;

pub use go::shown as go_text;
pub use json_patch::{COPIED_BYTES_MAX, OPERATIONS_MAX, json_patch, json_patch_mut};
pub use strategic::{strategic, strategic_mut};

use serde_json::{Map, Value};

/// Why a patch cannot be done. The texts are upstream's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The patch is not of its format: answer 400.
    #[error("{0}")]
    Malformed(String),
    /// A `test` does not hold, a path does not exist, or the patch contradicts itself: answer 422.
    #[error("{0}")]
    Unprocessable(String),
    /// There is too much of it: answer 413.
    #[error("{0}")]
    TooLarge(String),
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
        } else if let Some(known) = target.get_mut(key) {
            merge_patch_mut(known, value);
        } else {
            let mut fresh = Value::Null;
            merge_patch_mut(&mut fresh, value);
            target.insert(key.clone(), fresh);
        }
    }
}
