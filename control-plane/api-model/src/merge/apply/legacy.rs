//! Objects that `kubectl apply` kept by itself, in an annotation: moving them to apply by the server needs no force, and the annotation
//! stays true. Only for the manager `kubectl`, as upstream.

use super::fields::Set;
use super::owners::Conflict;
use super::walk::{Type, compare, to_set};
use crate::schema::Schema;
use serde_json::Value;

/// The manager this is for.
pub(super) const MANAGER: &str = "kubectl";
const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// What all annotations of an object may have, in bytes.
const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;

fn annotation(object: &Value) -> Option<&str> {
    object.get("metadata")?.get("annotations")?.get(ANNOTATION)?.as_str().filter(|text| !text.is_empty())
}

/// The conflicts that remain: not those about what the annotation says was applied, and is still so.
pub(super) fn remaining(
    schema: &Schema,
    api_version: &str,
    live: &Value,
    conflicts: Vec<Conflict>,
) -> Vec<Conflict> {
    let Some(allowed) = applied(schema, api_version, live) else { return conflicts };
    conflicts.into_iter().filter(|conflict| !conflict.set.difference(&allowed).is_empty()).collect()
}

fn applied(schema: &Schema, api_version: &str, live: &Value) -> Option<Set> {
    let config: Value = serde_json::from_str(annotation(live)?).ok()?;
    if config.get("apiVersion").and_then(Value::as_str) != Some(api_version) {
        return None;
    }
    let (types, ty) = (&**schema.types(), Type::of(schema.id()));
    if !super::check::check(types, ty, &config).is_empty() {
        return None;
    }
    let difference = compare(types, ty, Some(&config), Some(live));
    let set = to_set(types, ty, &config).difference(&difference.modified);
    Some(set.difference(&difference.added).difference(&difference.removed))
}

/// Writes what was applied now into the annotation, if the object has it.
pub(super) fn renew(object: &mut Value, config: &Value) {
    if annotation(object).is_none() {
        return;
    }
    let mut config = config.clone();
    if let Some(Value::Object(annotations)) = config.pointer_mut("/metadata/annotations") {
        annotations.remove(ANNOTATION);
    }
    let Some(Value::Object(annotations)) = object.pointer_mut("/metadata/annotations") else { return };
    let text = format!("{config}\n");
    let others = annotations.iter().filter(|(key, _)| *key != ANNOTATION);
    let total: usize = others.map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum();
    if total + ANNOTATION.len() + text.len() > ANNOTATIONS_BYTES_MAX {
        annotations.remove(ANNOTATION);
    } else {
        annotations.insert(ANNOTATION.to_owned(), text.into());
    }
}
