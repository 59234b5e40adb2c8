//! Strategic merge patch.

use super::PatchError;
use crate::schema::Schema;
use serde_json::Value;

/// Applies a strategic merge patch.
pub fn strategic(schema: &Schema, target: &Value, patch: &Value) -> Result<Value, PatchError> {
    let _ = schema;
    Ok(super::merge_patch(target, patch))
}
