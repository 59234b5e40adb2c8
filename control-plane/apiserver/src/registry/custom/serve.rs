//! What a definition serves: a resource for each version, with what is made of its schema when it is used.

use std::sync::Arc;

use api_model::{Resource, Schema};
use serde_json::Value;

use super::late::{LateRules, Source};
use super::{Registry, convert, object, storage, storage_version, with_accepted_names};
use crate::registry::kinds::{Custom, Served, api_version};
use crate::strategy::Rules;
use crate::watch::Entry;

/// What is made of the schemas of a definition. Versions that say the same have the same.
struct Made<'d> {
    entry: &'d Arc<Entry>,
    known: Vec<(&'d Value, bool, Arc<Schema>, Arc<LateRules>)>,
}

impl<'d> Made<'d> {
    fn of(&mut self, registry: &Registry, version: &'d Value) -> (Arc<Schema>, Arc<LateRules>) {
        let said = object::at(version, &["schema"]);
        let status = has_status(version);
        let alike = self.known.iter().find(|(known, apart, ..)| *known == said && *apart == status);
        if let Some((_, _, schema, rules)) = alike {
            return (schema.clone(), rules.clone());
        }
        let source = Source::new(self.entry.clone(), object::text(version, &["name"]));
        let rules = Arc::new(LateRules::new(source.clone()));
        let base = registry.model.types().clone();
        let schema = api_model::schema::custom::compile_later(base, status, move || source.schema());
        self.known.push((said, status, schema.clone(), rules.clone()));
        (schema, rules)
    }
}

fn has_status(version: &Value) -> bool {
    version.pointer("/subresources/status").is_some()
}

impl Registry {
    /// The resources of a definition, which is what the entry holds; `content` is the hash of what it says.
    pub(super) fn served_by(&self, definition: &Value, entry: &Arc<Entry>, content: u64) -> Vec<Arc<Served>> {
        if !super::conditions::holds(definition, "Established") || self.taken_by_built_in(definition) {
            return Vec::new();
        }
        let group = object::text(definition, &["spec", "group"]);
        let storage = storage(definition);
        let storage_version = storage_version(definition);
        let named = with_accepted_names(definition);
        let conversion = convert::Conversion::of(definition).map(Arc::new);
        let versions = object::items(definition, &["spec", "versions"]);
        let mut made = Made { entry, known: Vec::new() };
        let stored = versions.iter().find(|version| object::text(version, &["name"]) == storage_version);
        let storage_schema = stored.map(|version| made.of(self, version).0);
        let mut labels = Vec::new();
        let mut served = Vec::new();
        for version in versions {
            let name = object::text(version, &["name"]);
            let (schema, rules) = made.of(self, version);
            let Some(resource) = Resource::with_schema(&self.model, &named, name, schema) else { continue };
            labels.extend(resource.field_labels.iter().cloned());
            let status = has_status(version);
            served.push(Arc::new(Served {
                resource,
                storage: storage.clone(),
                storage_api_version: api_version(group, &storage_version),
                rules: Rules::custom(status),
                storage_schema: None,
                custom: Some(Custom {
                    status,
                    scale: version.pointer("/subresources/scale").cloned(),
                    definition: object::name(definition).to_owned(),
                    content,
                    rules: Some(rules),
                    storage_schema: storage_schema.clone(),
                    conversion: conversion.clone(),
                    since: entry.revision,
                    terminating: object::terminating(definition),
                }),
            }));
        }
        self.hub.cache(&storage).select_by(crate::watch::header::Paths::new(labels));
        served
    }
}
