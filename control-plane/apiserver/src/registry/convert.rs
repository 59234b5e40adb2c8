//! Where objects of a resource are stored, and how one version becomes another.
//!
//! Most versions of a kind differ in `apiVersion` alone. For the exceptions, events of two groups and the first version of
//! autoscalers, the object model knows how ([`api_model::convert`]).

use serde_json::{Value, json};

use super::kinds::api_version;
use super::object;

/// The place of a resource in the store.
pub struct Place {
    /// `<group or core>/<plural>`.
    pub name: String,
    /// `apiVersion` of stored objects.
    pub api_version: String,
}

/// Where a built-in resource is stored.
pub fn storage_of(group: &str, version: &str, plural: &str) -> Place {
    let place = |group: &str, version: &str| Place {
        name: format!("{}/{plural}", if group.is_empty() { "core" } else { group }),
        api_version: api_version(group, version),
    };
    match (group, plural) {
        ("events.k8s.io", "events") => place("", "v1"),
        ("autoscaling", "horizontalpodautoscalers") => place(group, "v2"),
        // Where several versions of one shape are served, the finished one is stored.
        ("resource.k8s.io" | "networking.k8s.io" | "storage.k8s.io" | "admissionregistration.k8s.io", _) => {
            place(group, "v1")
        }
        _ => place(group, version),
    }
}

/// Whether versions of the kind have different fields.
pub fn changes_fields(kind: &str) -> bool {
    matches!(kind, "Event" | "HorizontalPodAutoscaler")
}

/// The object with another `apiVersion`.
pub fn convert(mut object: Value, kind: &str, to: &str) -> Value {
    object::set(&mut object, "kind", json!(kind));
    if api_model::convert::convert(&mut object, to).is_err() {
        // Versions of one shape.
        object::set(&mut object, "apiVersion", json!(to));
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_the_same_event_in_both_groups() {
        let event = json!({"kind": "Event", "apiVersion": "events.k8s.io/v1", "note": "hello", "regarding": {"name": "x"}});
        let core = convert(event.clone(), "Event", "v1");
        assert_eq!(core["message"], "hello");
        assert_eq!(core["involvedObject"]["name"], "x");
        assert_eq!(convert(core, "Event", "events.k8s.io/v1"), event);
    }
}
