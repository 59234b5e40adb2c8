//! Custom resources: definitions become served resources.
//!
//! What is served follows the cache of definitions and is brought up to date when somebody asks, so a
//! definition is served as soon as its creation is acknowledged. A kind is compiled when it is used first, and again only when
//! what its definition says has changed. Of a definition that nobody uses the server keeps its bytes and a few names.

pub mod check;
pub mod cleanup;
pub mod conditions;
pub mod convert;
pub mod define;
mod known;
mod late;
pub mod rules;
mod serve;

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use api_model::{Cause, FieldPath};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::kinds::Served;
use super::{Registry, object};
use crate::attributes::ApiError;
use crate::watch::Filter;
pub use known::Summary;
pub use late::LateRules;

/// Where definitions are.
pub const DEFINITIONS: &str = "apiextensions.k8s.io/customresourcedefinitions";
/// Holds a definition until its objects are gone.
pub const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Up to which change of the definitions the served resources are.
#[derive(Default)]
pub struct Synced {
    revision: AtomicU64,
    known: Mutex<BTreeMap<String, Known>>,
    /// Definitions whose objects are being removed.
    cleaning: Mutex<HashSet<String>>,
    /// Calls conversion webhooks.
    pub(super) caller: std::sync::OnceLock<Arc<crate::admission::Caller>>,
}

struct Known {
    revision: u64,
    /// Of what decides what is served.
    hash: u64,
    summary: Arc<Summary>,
}

impl Registry {
    /// Brings the served custom resources up to date with the definitions.
    pub fn sync_custom(&self) {
        let cache = self.hub.cache(DEFINITIONS);
        if cache.changed() == self.custom.revision.load(Ordering::Acquire) {
            return;
        }
        let mut known = self.custom.known.lock();
        let (page, changed) = cache.list(&Filter::default(), None, 0);
        let mut there = HashSet::with_capacity(page.entries.len());
        for entry in &page.entries {
            let name = entry.name();
            there.insert(name.to_owned());
            if known.get(name).is_some_and(|known| known.revision == entry.revision) {
                continue;
            }
            let definition = entry.parse();
            let hash = hash(&definition);
            let summary = Arc::new(Summary::of(&definition));
            let before = known.insert(name.to_owned(), Known { revision: entry.revision, hash, summary });
            if before.as_ref().is_some_and(|before| before.hash == hash) {
                continue;
            }
            self.kinds.set_custom(name, self.served_by(&definition, entry, hash));
            if before.is_some() {
                // Who follows a version that is served otherwise now has to look again.
                self.hub.cache(&storage(&definition)).end_subscriptions();
            }
        }
        let gone: Vec<String> = known.keys().filter(|name| !there.contains(*name)).cloned().collect();
        for name in gone {
            known.remove(&name);
            self.kinds.set_custom(&name, Vec::new());
            if let Some((plural, group)) = name.split_once('.') {
                self.hub.cache(&format!("{group}/{plural}")).end_subscriptions();
            }
        }
        self.custom.revision.store(changed, Ordering::Release);
    }

    fn taken_by_built_in(&self, definition: &Value) -> bool {
        let (group, plural) = (
            object::text(definition, &["spec", "group"]),
            object::text(definition, &["spec", "names", "plural"]),
        );
        self.model.resources().iter().any(|known| known.group == group && known.plural == plural)
    }
}

/// What decides what is served.
fn hash(definition: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    object::at(definition, &["spec"]).to_string().hash(&mut hasher);
    object::at(definition, &["status", "acceptedNames"]).to_string().hash(&mut hasher);
    conditions::holds(definition, "Established").hash(&mut hasher);
    object::terminating(definition).hash(&mut hasher);
    hasher.finish()
}

/// Where the objects of a definition are stored.
fn storage(definition: &Value) -> String {
    let group = object::text(definition, &["spec", "group"]);
    format!("{group}/{}", object::text(definition, &["spec", "names", "plural"]))
}

fn storage_version(definition: &Value) -> String {
    let versions = object::items(definition, &["spec", "versions"]);
    let stored = versions.iter().find(|version| object::at(version, &["storage"]) == &json!(true));
    stored.map(|version| object::text(version, &["name"]).to_owned()).unwrap_or_default()
}

/// The definition with the names that were accepted: those of others in its group are not its.
fn with_accepted_names(definition: &Value) -> Value {
    let accepted = object::at(definition, &["status", "acceptedNames"]);
    let mut named = definition.clone();
    if accepted.is_object() {
        object::set(&mut named["spec"], "names", accepted.clone());
    }
    named
}

impl Served {
    /// What is wrong with an object's shape, and by the rules of a custom kind; `old` is what it replaces.
    pub fn wrong_shape(&self, new: &Value, old: Option<&Value>) -> Vec<Cause> {
        let schema = &self.resource.schema;
        let mut causes = match old {
            Some(old) => schema.validate_update(new, old),
            None => schema.validate(new),
        };
        let Some(rules) = self.custom.as_ref().and_then(|custom| custom.rules.as_ref()?.get()) else {
            return causes;
        };
        const BLOCKING: [&str; 5] = [
            "FieldValueNotSupported",
            "FieldValueRequired",
            "FieldValueTooLong",
            "FieldValueTooMany",
            "FieldValueTypeInvalid",
        ];
        if causes.iter().any(|cause| BLOCKING.contains(&cause.reason)) {
            let detail = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
            causes.push(Cause::invalid(&FieldPath::new("<nil>"), &Value::Null, detail));
        } else {
            causes.extend(rules.validate(new, old));
        }
        causes
    }

    /// Refuses what is not done while the definition is being deleted.
    ///
    /// # Errors
    /// When it is.
    pub fn check_definition(&self, verb: &str) -> Result<(), ApiError> {
        match &self.custom {
            Some(custom) if custom.terminating => {
                let message = format!("{verb} not allowed while custom resource definition is terminating");
                Err(ApiError::new(405, "MethodNotAllowed", message))
            }
            _ => Ok(()),
        }
    }
}
