//! Certificate signing requests: who asked is what the server saw, and approval is a write of its own.

use serde_json::{Value, json};

use crate::attributes::UserInfo;
use crate::registry::object;

/// Writes down who asks; the request cannot say it.
pub fn prepare_create(request: &mut Value, user: &UserInfo) {
    let spec = object::map_mut(request, "spec");
    for key in ["username", "uid", "groups", "extra"] {
        spec.remove(key);
    }
    spec.insert("username".to_owned(), json!(user.name));
    if !user.uid.is_empty() {
        spec.insert("uid".to_owned(), json!(user.uid));
    }
    if !user.groups.is_empty() {
        spec.insert("groups".to_owned(), json!(user.groups));
    }
    if !user.extra.is_empty() {
        spec.insert("extra".to_owned(), json!(user.extra));
    }
    object::set(request, "status", json!({}));
}

/// The request itself never changes.
pub fn prepare_update(subresource: &str, new: &mut Value, old: &Value) {
    object::set(new, "spec", object::at(old, &["spec"]).clone());
    if subresource == "status" {
        // A signer cannot approve: those conditions stay as they were.
        let decision =
            |condition: &&Value| matches!(object::text(condition, &["type"]), "Approved" | "Denied");
        let kept = object::items(old, &["status", "conditions"]).iter().filter(decision).cloned();
        let written =
            object::items(new, &["status", "conditions"]).iter().filter(|one| !decision(one)).cloned();
        let all: Vec<Value> = kept.chain(written).collect();
        let status = object::map_mut(new, "status");
        status.remove("conditions");
        if !all.is_empty() {
            status.insert("conditions".to_owned(), Value::Array(all));
        }
    }
}

/// `/approval` writes conditions alone.
pub fn keep_all_but_approval(new: &mut Value, old: &Value) {
    let conditions = object::at(new, &["status", "conditions"]).clone();
    let managed = object::at(new, &["metadata", "managedFields"]).clone();
    let mut kept = old.clone();
    object::set_meta(&mut kept, "managedFields", managed);
    if conditions.is_array() {
        object::map_mut(&mut kept, "status").insert("conditions".to_owned(), conditions);
    }
    *new = kept;
}
