//! `Table` output: what `kubectl get` prints.

use crate::resource::Resource;
use serde_json::{Value, json};

/// What each row carries of its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// `PartialObjectMetadata`.
    Metadata,
    /// All.
    Object,
}

/// Makes the table of some objects.
pub fn table(resource: &Resource, objects: &[Value], include: IncludeObject, now: jiff::Timestamp) -> Value {
    let _ = (resource, objects, include, now);
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "columnDefinitions": [], "rows": []})
}
