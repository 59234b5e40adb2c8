//! One object in several versions: which fields an entry means that was written in another one.

use crate::schema::Schema;
use serde_json::Value;
use std::sync::Arc;

/// How a version that an entry names relates to the one of the request.
#[derive(Debug, Clone)]
pub enum Version {
    /// The fields are the same.
    Same,
    /// The fields differ; this is that version's schema.
    Other(Arc<Schema>),
    /// It is not served any more: its entries are forgotten.
    Gone,
}

/// The versions of one kind.
pub trait Versions: Sync {
    /// What becomes of entries of that `apiVersion`.
    fn version(&self, api_version: &str) -> Version;

    /// The object in that version; `None` when it cannot be had.
    fn convert(&self, object: &Value, api_version: &str) -> Option<Value>;
}

/// All versions have the same fields.
pub struct SameFields;

impl Versions for SameFields {
    fn version(&self, _: &str) -> Version {
        Version::Same
    }

    fn convert(&self, object: &Value, _: &str) -> Option<Value> {
        Some(object.clone())
    }
}
