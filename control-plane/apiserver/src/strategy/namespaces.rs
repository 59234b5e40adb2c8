//! Namespaces: finalizers of their own, and a phase.

use serde_json::{Value, json};

use crate::registry::object;

/// The finalizer that the namespace controller takes off when the namespace is empty.
pub const FINALIZER: &str = "kubernetes";

/// Sets what every namespace has.
pub fn prepare(namespace: &mut Value, new: bool) {
    let name = object::name(namespace).to_owned();
    let labels = object::meta_mut(namespace).entry("labels").or_insert_with(|| json!({}));
    if let Value::Object(labels) = labels {
        labels.insert("kubernetes.io/metadata.name".to_owned(), json!(name));
    }
    if !new {
        return;
    }
    object::set(namespace, "status", json!({"phase": "Active"}));
    let finalizers = object::map_mut(namespace, "spec").entry("finalizers").or_insert_with(|| json!([]));
    if let Value::Array(list) = finalizers
        && !list.iter().any(|have| have == FINALIZER)
    {
        list.push(json!(FINALIZER));
    }
}

/// Whether something still holds the namespace itself.
pub fn held(namespace: &Value) -> bool {
    !object::items(namespace, &["spec", "finalizers"]).is_empty()
}
