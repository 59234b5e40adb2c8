//! Conversion between served versions of the same kind.

use serde_json::Value;

/// Why an object has no form in another version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} has no conversion from {from} to {to}")]
pub struct ConvertError {
    /// The kind.
    pub kind: String,
    /// `apiVersion` it has.
    pub from: String,
    /// `apiVersion` wanted.
    pub to: String,
}

/// Rewrites `object` for `api_version` (`autoscaling/v1`).
pub fn convert(object: &mut Value, api_version: &str) -> Result<(), ConvertError> {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (kind, from) = (text("kind"), text("apiVersion"));
    if from == api_version {
        return Ok(());
    }
    Err(ConvertError { kind, from, to: api_version.to_owned() })
}
