//! What the server keeps in mind of each definition, so that nobody has to read all of them for a few words.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{CLEANUP, DEFINITIONS, conditions};
use crate::registry::{Registry, object};

/// A few words of a definition.
#[derive(Debug)]
pub struct Summary {
    /// `<plural>.<group>`.
    pub name: String,
    /// Its group.
    pub group: String,
    /// The versions it serves, in its order.
    pub served: Vec<String>,
    /// `status.acceptedNames`.
    pub accepted: Value,
    /// All names are its own.
    pub names_accepted: bool,
    /// It is being deleted, and its objects are to go first.
    pub cleanup_due: bool,
}

impl Summary {
    pub(super) fn of(definition: &Value) -> Self {
        let versions = object::items(definition, &["spec", "versions"]);
        let served = versions.iter().filter(|one| one["served"] == json!(true));
        Self {
            name: object::name(definition).to_owned(),
            group: object::text(definition, &["spec", "group"]).to_owned(),
            served: served.map(|one| object::text(one, &["name"]).to_owned()).collect(),
            accepted: object::at(definition, &["status", "acceptedNames"]).clone(),
            names_accepted: conditions::holds(definition, "NamesAccepted"),
            cleanup_due: object::terminating(definition) && object::finalizers(definition).contains(&CLEANUP),
        }
    }
}

impl Registry {
    /// All definitions, in order of their names.
    pub(crate) fn definitions(&self) -> Vec<Arc<Summary>> {
        self.sync_custom();
        self.custom.known.lock().values().map(|known| known.summary.clone()).collect()
    }

    /// A definition, read anew: it is large, and nobody keeps it so.
    pub(crate) fn definition(&self, name: &str) -> Option<Value> {
        let cache = self.hub.cache(DEFINITIONS);
        cache.get(&format!("{}{name}", cache.prefix)).map(|entry| entry.parse())
    }
}
