//! Judges definitions of custom resources, in upstream's words and places.
//!
//! Where all versions have the same schema (as when there is one), upstream keeps it once and names it `spec.validation`; so
//! do the paths here.

mod columns;
mod conversion;
mod defaults;
mod names;
mod rules;
mod schema;
mod structural;

use api_model::{Cause, FieldPath, Model};
pub(crate) use names::{approves, protected};
use serde_json::{Value, json};

use crate::registry::object::{at, items, text};

/// Where a schema stands, and whether its kind has a status of its own.
pub(super) struct Place<'d> {
    pub path: FieldPath,
    pub schema: &'d Value,
    pub status: bool,
    /// The same schema in the definition that this one replaces: its costs are not judged again.
    pub unchanged: bool,
}

/// What is wrong with a definition. `old` is the one it replaces.
pub fn definition(model: &Model, new: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    let spec = FieldPath::new("spec");
    names::metadata(new, old, &mut causes);
    names::spec(new, &mut causes);
    versions(new, &spec, &mut causes);
    for place in schemas(new, old) {
        schema::check(model, &place, &mut causes);
    }
    columns::check(new, &mut causes);
    conversion::check(new, &mut causes);
    if let Some(old) = old {
        names::unchanged(new, old, &mut causes);
        stored_versions(new, &mut causes);
    }
    causes
}

/// Whether all versions say the same under a key; upstream then keeps it once, at the top.
pub(super) fn shared(definition: &Value, key: &str) -> bool {
    let versions = items(definition, &["spec", "versions"]);
    let first = versions.first().map(|version| at(version, &[key]));
    first.is_some_and(|first| !first.is_null() && versions.iter().all(|version| at(version, &[key]) == first))
}

/// Where `versions[index].key` is named.
pub(super) fn place_of(definition: &Value, index: usize, key: &str, top: &str) -> Option<FieldPath> {
    let spec = FieldPath::new("spec");
    if !shared(definition, key) {
        return Some(spec.child("versions").index(index).child(key));
    }
    (index == 0).then(|| spec.child(top))
}

fn has_status(version: &Value) -> bool {
    !at(version, &["subresources", "status"]).is_null()
}

fn schemas<'d>(definition: &'d Value, old: Option<&Value>) -> Vec<Place<'d>> {
    let versions = items(definition, &["spec", "versions"]);
    let mut places = Vec::new();
    for (index, version) in versions.iter().enumerate() {
        let schema = at(version, &["schema", "openAPIV3Schema"]);
        let Some(path) = place_of(definition, index, "schema", "validation") else { continue };
        if !schema.is_object() {
            continue;
        }
        let before = old.map(|old| items(old, &["spec", "versions"])).unwrap_or_default();
        let unchanged = before.iter().any(|before| {
            text(before, &["name"]) == text(version, &["name"])
                && at(before, &["schema"]) == at(version, &["schema"])
        });
        let status =
            if shared(definition, "schema") { versions.iter().any(has_status) } else { has_status(version) };
        places.push(Place { path: path.child("openAPIV3Schema"), schema, status, unchanged });
    }
    places
}

fn versions(definition: &Value, spec: &FieldPath, causes: &mut Vec<Cause>) {
    let versions = items(definition, &["spec", "versions"]);
    let path = spec.child("versions");
    let whole = at(definition, &["spec", "versions"]);
    for (index, version) in versions.iter().enumerate() {
        let path = path.index(index);
        let name = text(version, &["name"]);
        let wrong = api_model::validation::names::dns1035_label(name);
        if !wrong.is_empty() {
            causes.push(Cause::invalid_str(&path.child("name"), name, &wrong.join(",")));
        }
        if !at(version, &["schema", "openAPIV3Schema"]).is_object() {
            causes.push(Cause::required(
                &path.child("schema").child("openAPIV3Schema"),
                "schemas are required",
            ));
        }
        deprecation(version, &path.child("deprecationWarning"), causes);
    }
    let mut names: Vec<&str> = versions.iter().map(|version| text(version, &["name"])).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    if names.len() != count {
        causes.push(Cause::invalid(&path, whole, "must contain unique version names"));
    }
    let stored = versions.iter().filter(|version| at(version, &["storage"]) == &json!(true)).count();
    if stored != 1 {
        causes.push(Cause::invalid(&path, whole, "must have exactly one version marked as storage version"));
    }
    if at(definition, &["spec", "preserveUnknownFields"]) == &json!(true) {
        let detail = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        causes.push(Cause::invalid(&spec.child("preserveUnknownFields"), &json!(true), detail));
    }
}

fn deprecation(version: &Value, path: &FieldPath, causes: &mut Vec<Cause>) {
    let Some(warning) = at(version, &["deprecationWarning"]).as_str() else { return };
    let mut wrong = |detail: &str| causes.push(Cause::invalid_str(path, warning, detail));
    if at(version, &["deprecated"]) != &json!(true) {
        return wrong("can only be set for deprecated versions");
    }
    if warning.len() > 256 {
        wrong("must be <= 256 characters long");
    }
    if warning.is_empty() {
        wrong("must not be an empty string");
    }
    if let Some((at, _)) = warning.char_indices().find(|(_, c)| c.is_control()) {
        wrong(&format!(
            "must only contain printable UTF-8 characters; non-printable character found at index {at}"
        ));
    }
}

/// Versions in which objects may still be stored stay.
fn stored_versions(definition: &Value, causes: &mut Vec<Cause>) {
    let path = FieldPath::new("status.storedVersions");
    let stored = items(definition, &["status", "storedVersions"]);
    let known = items(definition, &["spec", "versions"]);
    for (index, version) in stored.iter().enumerate() {
        let Some(name) = version.as_str() else { continue };
        if !known.iter().any(|known| text(known, &["name"]) == name) {
            let detail = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"
            );
            causes.push(Cause::invalid_str(&path.index(index), name, &detail));
        }
    }
}
