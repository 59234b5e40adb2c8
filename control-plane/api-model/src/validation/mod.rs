//! Per-kind rules with upstream's texts: what may be created, and what may change.
//!
//! Objects come here pruned, defaulted and of the right shape ([`crate::Schema::validate`]); a missing part is read as empty. Rules walk
//! the object with a [`place::Place`], which knows its path and writes it only for a cause: a good object costs no allocation but for
//! what must be unique in it.
//!
//! Guarantees: the causes come in upstream's order, with upstream's reasons, paths and texts, each once. What was stored and does not
//! change is not judged again: rules grow stricter, and an object must stay deletable.
//!
//! What it does not do: compile expressions (CEL), look at other objects, or reproduce the dump of Go's types that upstream appends to
//! some texts; the changed fields stand there instead.

mod admission;
mod autoscaler;
mod batch;
mod classes;
mod cluster;
mod config;
mod cron;
mod devices;
mod endpoints;
mod events;
mod flow_control;
mod ip;
mod job_status;
mod metadata;
mod mutations;
pub mod names;
mod network;
mod persistent_volume;
mod place;
mod pod;
mod rbac;
mod report;
mod resources;
mod reviews;
mod rules;
mod same;
mod scheduling;
mod selectors;
mod service;
mod signers;
mod storage;
mod warnings;
mod workloads;

use crate::cause::Cause;
use crate::resource::Resource;
use place::Place;
use report::Report;
use serde_json::{Map, Value};

/// What is wrong with a new object.
pub fn validate_create(resource: &Resource, object: &Value) -> Vec<Cause> {
    let mut report = Report::default();
    let at = Place::root(object);
    let is_review = matches!(resource.group.as_str(), "authentication.k8s.io" | "authorization.k8s.io");
    if !is_review {
        metadata::create(resource, &at, &mut report);
    }
    if !resource.custom {
        let rules = rules::of(resource);
        for rule in [rules.always, rules.created].into_iter().flatten() {
            rule(&at, &mut report);
        }
    }
    report.causes
}

/// What is wrong with changing `old` into `new`.
pub fn validate_update(resource: &Resource, new: &Value, old: &Value) -> Vec<Cause> {
    validate_write(resource, "", new, old)
}

/// What is wrong with changing `old` into `new` through a subresource (empty: the object itself). Subresources that have no rules of
/// their own are judged by their metadata.
pub fn validate_write(resource: &Resource, subresource: &str, new: &Value, old: &Value) -> Vec<Cause> {
    let mut report = Report::default();
    let (at, had) = (Place::root(new), Place::root(old));
    metadata::update(resource, &at, &had, &mut report);
    if resource.custom {
        return report.causes;
    }
    let rules = rules::of(resource);
    let rule = match subresource {
        "" => {
            if let Some(always) = rules.always.filter(|_| body_changed(new, old)) {
                always(&at, &mut report);
            }
            rules.changes
        }
        "status" | "approval" => rules.status,
        "resize" => Some(pod::resize as rules::Change),
        "ephemeralcontainers" => Some(pod::ephemeral_containers as rules::Change),
        _ => None,
    };
    if let Some(rule) = rule {
        rule(&at, &had, &mut report);
    }
    report.causes
}

/// What is allowed about an object and probably a mistake, in upstream's words, for `Warning` headers. `old` is what it was before a
/// change.
pub fn warnings(resource: &Resource, new: &Value, old: Option<&Value>) -> Vec<String> {
    warnings::of(resource, new, old)
}

/// Whether a built-in kind has rules beside shape and metadata, or why it has none. `None` means that nobody has thought about it.
pub fn rules_of(resource: &Resource) -> Option<&'static str> {
    let rules = rules::of(resource);
    if rules.always.is_some() || rules.created.is_some() {
        return Some("");
    }
    (!rules.shape_only.is_empty()).then_some(rules.shape_only)
}

/// Whether anything but bookkeeping and status differs.
fn body_changed(new: &Value, old: &Value) -> bool {
    let empty = Map::new();
    let (new, old) = (new.as_object().unwrap_or(&empty), old.as_object().unwrap_or(&empty));
    let counts = |key: &&String| !matches!(key.as_str(), "metadata" | "status" | "apiVersion" | "kind");
    new.keys().chain(old.keys()).filter(counts).any(|key| new.get(key) != old.get(key))
}
