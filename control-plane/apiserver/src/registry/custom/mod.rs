//! Custom resources: definitions become served resources.
//!
//! What is served follows the cache of definitions and is brought up to date when somebody asks, so a
//! definition is served as soon as its creation is acknowledged. A definition is compiled again only when what it
//! says has changed.

pub mod check;
pub mod cleanup;
pub mod conditions;
pub mod convert;
pub mod define;
pub mod rules;

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use api_model::{Cause, FieldPath, Resource};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::kinds::{Custom, Served, api_version};
use super::{Registry, object};
use crate::attributes::ApiError;
use crate::strategy::Rules;
use crate::watch::Filter;

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
            let before = known.insert(name.to_owned(), Known { revision: entry.revision, hash });
            if before.as_ref().is_some_and(|before| before.hash == hash) {
                continue;
            }
            self.kinds.set_custom(name, self.served_by(&definition, entry.revision));
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

    fn served_by(&self, definition: &Value, revision: u64) -> Vec<Arc<Served>> {
        if !conditions::holds(definition, "Established") || self.taken_by_built_in(definition) {
            return Vec::new();
        }
        let group = object::text(definition, &["spec", "group"]);
        let storage = storage(definition);
        let storage_version = storage_version(definition);
        let named = with_accepted_names(definition);
        let conversion = convert::Conversion::of(definition).map(Arc::new);
        let storage_schema = version_of(definition, &storage_version)
            .map(|version| schema_of(self, version))
            .unwrap_or_else(api_model::Schema::any);
        let mut labels = Vec::new();
        let mut served = Vec::new();
        for version in object::items(definition, &["spec", "versions"]) {
            let name = object::text(version, &["name"]);
            let Some(resource) = Resource::from_definition(&self.model, &named, name) else { continue };
            labels.extend(resource.field_labels.iter().cloned());
            let subresources = object::at(version, &["subresources"]);
            let status = subresources.get("status").is_some();
            let rules = rules::Rules::of(object::at(version, &["schema", "openAPIV3Schema"]));
            served.push(Arc::new(Served {
                resource,
                storage: storage.clone(),
                storage_api_version: api_version(group, &storage_version),
                rules: Rules::custom(status),
                storage_schema: None,
                custom: Some(Custom {
                    status,
                    scale: subresources.get("scale").cloned(),
                    definition: object::name(definition).to_owned(),
                    rules: rules.map(Arc::new),
                    storage_schema: Some(storage_schema.clone()),
                    conversion: conversion.clone(),
                    since: revision,
                    terminating: object::terminating(definition),
                }),
            }));
        }
        self.hub.cache(&storage).select_by(crate::watch::header::Paths::new(labels));
        served
    }

    fn taken_by_built_in(&self, definition: &Value) -> bool {
        let (group, plural) = (
            object::text(definition, &["spec", "group"]),
            object::text(definition, &["spec", "names", "plural"]),
        );
        self.model.resources().iter().any(|known| known.group == group && known.plural == plural)
    }
}

fn schema_of(registry: &Registry, version: &Value) -> Arc<api_model::Schema> {
    let schema = version.pointer("/schema/openAPIV3Schema");
    let status = version.pointer("/subresources/status").is_some();
    api_model::schema::custom::compile(registry.model.types().clone(), schema, status)
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

fn version_of<'d>(definition: &'d Value, name: &str) -> Option<&'d Value> {
    object::items(definition, &["spec", "versions"])
        .iter()
        .find(|version| object::text(version, &["name"]) == name)
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
        let Some(rules) = self.custom.as_ref().and_then(|custom| custom.rules.as_ref()) else {
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
