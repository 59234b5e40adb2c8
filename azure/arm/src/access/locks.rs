//! Locks: what even an owner may not do until the lock is gone.

use serde_json::Value;

use super::{Access, LOCK};
use crate::{ArmError, Resource, ResourceId};

fn level(lock: &Resource) -> String {
    lock.properties.get("level").and_then(Value::as_str).unwrap_or("").to_ascii_lowercase()
}

impl Access {
    /// Refuses what a lock forbids: everything but reading under `ReadOnly`, deleting under `CanNotDelete` (there also
    /// for locks on what lies below). `deed` is `write` or `delete`.
    pub fn check_locks(&self, deed: &'static str, id: &ResourceId) -> Result<(), ArmError> {
        let mut locks = self.above(id, LOCK);
        if deed == "delete" {
            locks.extend(self.resources.list_type(id, LOCK));
        }
        locks.retain(|lock| match level(lock).as_str() {
            "readonly" => true,
            "cannotdelete" => deed == "delete",
            _ => false,
        });
        if locks.is_empty() {
            return Ok(());
        }
        let mut at: Vec<String> = locks.iter().map(|l| l.id.scope().to_string()).collect();
        at.sort();
        at.dedup();
        Err(ArmError::conflict(
            "ScopeLocked",
            format!(
                "The scope '{id}' cannot perform {deed} operation because following scope(s) are locked: '{}'. Please remove the lock and try again.",
                at.join(",")
            ),
        ))
    }
}
