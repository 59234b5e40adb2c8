//! Printer columns, selectable fields and subresources.

use api_model::{Cause, FieldPath};
use serde_json::{Value, json};

use super::place_of;
use crate::registry::object::{at, items, text};

/// Selectable fields at most.
const SELECTABLE_MAX: usize = 8;
const TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const FORMATS: [&str; 9] =
    ["byte", "date", "date-time", "double", "float", "int32", "int64", "name", "password"];

pub(super) fn check(definition: &Value, causes: &mut Vec<Cause>) {
    for (index, version) in items(definition, &["spec", "versions"]).iter().enumerate() {
        let place = |key: &str| place_of(definition, index, key, key);
        if let Some(path) = place("subresources") {
            scale(at(version, &["subresources", "scale"]), &path, causes);
        }
        if let Some(path) = place("additionalPrinterColumns") {
            for (index, column) in items(version, &["additionalPrinterColumns"]).iter().enumerate() {
                self::column(column, &path.index(index), causes);
            }
        }
        if let Some(path) = place("selectableFields") {
            let schema = at(version, &["schema", "openAPIV3Schema"]);
            selectable(items(version, &["selectableFields"]), schema, &path, causes);
        }
    }
}

fn simple_path(given: &str, path: &FieldPath, causes: &mut Vec<Cause>) -> bool {
    if given.starts_with('.') {
        return true;
    }
    let detail =
        if given.is_empty() { "must not be empty" } else { "must be a simple json path starting with ." };
    causes.push(Cause::invalid_str(path, given, detail));
    false
}

fn scale(scale: &Value, path: &FieldPath, causes: &mut Vec<Cause>) {
    if scale.is_null() {
        return;
    }
    for (key, under) in [("specReplicasPath", "spec"), ("statusReplicasPath", "status")] {
        let path = path.child(&format!("scale.{key}"));
        let given = text(scale, &[key]);
        if given.is_empty() {
            causes.push(Cause::required(&path, ""));
        } else if simple_path(given, &path, causes) && !given.starts_with(&format!(".{under}.")) {
            causes.push(Cause::invalid_str(&path, given, &format!("should be a json path under .{under}")));
        }
    }
    let given = text(scale, &["labelSelectorPath"]);
    let path = path.child("scale.labelSelectorPath");
    if !given.is_empty()
        && simple_path(given, &path, causes)
        && !given.starts_with(".spec.")
        && !given.starts_with(".status.")
    {
        causes.push(Cause::invalid_str(&path, given, "should be a json path under either .spec or .status"));
    }
}

fn column(column: &Value, path: &FieldPath, causes: &mut Vec<Cause>) {
    if text(column, &["name"]).is_empty() {
        causes.push(Cause::required(&path.child("name"), ""));
    }
    let (kind, format) = (text(column, &["type"]), text(column, &["format"]));
    let one_of = |known: &[&str]| format!("must be one of {}", known.join(","));
    if kind.is_empty() {
        causes.push(Cause::required(&path.child("type"), &one_of(&TYPES)));
    } else if !TYPES.contains(&kind) {
        causes.push(Cause::invalid_str(&path.child("type"), kind, &one_of(&TYPES)));
    }
    if !format.is_empty() && !FORMATS.contains(&format) {
        causes.push(Cause::invalid_str(&path.child("format"), format, &one_of(&FORMATS)));
    }
    let given = text(column, &["jsonPath"]);
    if given.is_empty() {
        causes.push(Cause::required(&path.child("JSONPath"), ""));
    } else {
        simple_path(given, &path.child("JSONPath"), causes);
    }
}

fn selectable(fields: &[Value], schema: &Value, path: &FieldPath, causes: &mut Vec<Cause>) {
    let mut known: Vec<&str> = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        let path = path.index(index).child("jsonPath");
        let given = text(field, &["jsonPath"]);
        if given.is_empty() {
            causes.push(Cause::required(&path, ""));
            continue;
        }
        let found = match find(given, schema, false) {
            Ok(found) => found,
            Err(why) => {
                causes.push(Cause::invalid_str(&path, given, &format!("is an invalid path: {why}")));
                continue;
            }
        };
        if given == ".metadata" || given.starts_with(".metadata.") {
            causes.push(Cause::invalid_str(&path, given, "must not point to fields in metadata"));
        }
        if !matches!(text(found, &["type"]), "string" | "boolean" | "integer") {
            let detail = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
            causes.push(Cause::invalid_str(&path, given, detail));
        }
        if known.contains(&given) {
            causes.push(Cause::duplicate(&path, &json!(given)));
        } else {
            known.push(given);
        }
    }
    if known.len() > SELECTABLE_MAX {
        causes.push(Cause::too_many(path, known.len(), SELECTABLE_MAX));
    }
}

/// The part of a schema that a path of fields and keys (`.spec['a']`) means. `brackets`: keys may be written so.
pub(super) fn find<'s>(path: &str, schema: &'s Value, brackets: bool) -> Result<&'s Value, String> {
    let (mut rest, mut schema) = (path, schema);
    while !rest.is_empty() {
        let name;
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[', ']']).unwrap_or(after.len());
            let (found, after) = after.split_at_checked(end).unwrap_or((after, ""));
            if found.is_empty() {
                return Err("unexpected end of JSON path".to_owned());
            }
            (name, rest) = (found.to_owned(), after);
        } else if let Some(after) = rest.strip_prefix('[') {
            if !brackets {
                return Err("array notation is not allowed".to_owned());
            }
            let quoted = after.strip_prefix('\'').and_then(|after| after.split_once("']"));
            let Some((found, after)) = quoted else {
                let found = after.split(']').next().unwrap_or_default();
                return Err(format!("expected single quoted string but got {found}"));
            };
            (name, rest) = (found.replace("\\'", "'").replace("\\\\", "\\"), after);
        } else {
            let found = rest.split(['.', '[', ']']).next().unwrap_or_default();
            return Err(format!("expected [ or . but got: {found}"));
        }
        let known = match (schema.get("properties"), schema.get("additionalProperties")) {
            (Some(properties), _) => properties.get(&name),
            (None, Some(values @ Value::Object(_))) => Some(values),
            _ => None,
        };
        schema = known.ok_or("does not refer to a valid field")?;
    }
    Ok(schema)
}
