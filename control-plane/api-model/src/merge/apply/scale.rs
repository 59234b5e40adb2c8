//! Ownership of the number of replicas, between an object and its `scale`.

use super::fields::Set;
use super::managed::{self, Entry};
use serde_json::Value;

const SCALE_VERSION: &str = "autoscaling/v1";
const REPLICAS: [&str; 2] = ["spec", "replicas"];

/// The `managedFields` of an object's `Scale`: whoever owns the number in the object (at `path`) owns `.spec.replicas` of the scale.
pub fn scale_managed_fields(object: &Value, path: &[&str]) -> Value {
    let entries = managed::of_object(Some(object)).into_iter().filter(|entry| entry.set.has_path(path));
    let scaled = entries.map(|entry| Entry {
        api_version: SCALE_VERSION.to_owned(),
        set: Set::of_path(&REPLICAS),
        ..entry
    });
    Value::Array(scaled.map(|entry| managed::encode(&entry)).collect())
}

/// Brings what a write of the `Scale` did to its `managedFields` back into the object's.
pub fn merge_scale_managed_fields(object: &mut Value, scale: &Value, path: &[&str], api_version: &str) {
    let mut scaled = managed::of_object(Some(scale));
    let writer = |a: &Entry, b: &Entry| {
        // The object's entries have its version, the scale's another.
        let same_version = Entry { api_version: b.api_version.clone(), ..a.clone() };
        same_version.same_writer(b)
    };
    let mut entries: Vec<Entry> = Vec::new();
    for mut entry in managed::of_object(Some(object)) {
        if entry.set.has_path(path) {
            match scaled.iter().position(|other| writer(&entry, other)) {
                Some(at) => {
                    scaled.remove(at);
                }
                None => entry.set = entry.set.difference(&Set::of_path(path)),
            }
        }
        entries.push(entry);
    }
    let added = scaled.into_iter().filter(|entry| entry.set.has_path(&REPLICAS));
    // Upstream gives no time to what was not there before.
    entries.extend(added.map(|entry| Entry {
        api_version: api_version.to_owned(),
        set: Set::of_path(path),
        time: None,
        ..entry
    }));
    managed::write(object, entries);
}
