//! Holds values against the limits of their schema, in upstream's words.

use super::super::types::{Constraints, Judge};
use super::format::has_format;
use crate::cause::{Cause, type_name};
use crate::path::FieldPath;
use serde_json::Value;

/// Appends what `value` violates.
pub(in crate::schema) fn limits(c: &Constraints, value: &Value, path: &FieldPath, causes: &mut Vec<Cause>) {
    if !c.allowed.is_empty() && !c.allowed.contains(value) {
        let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let supported: Vec<String> = c.allowed.iter().map(shown).collect();
        let supported: Vec<&str> = supported.iter().map(String::as_str).collect();
        causes.push(Cause::unsupported(path, value, &supported));
    }
    match value {
        Value::String(text) => text_limits(c, text, path, causes),
        Value::Number(_) => number_limits(c, value, path, causes),
        Value::Array(items) => {
            length(c, items.len(), path, value, "items", causes);
            if c.unique && items.iter().enumerate().any(|(i, item)| items[..i].contains(item)) {
                invalid(path, value, "shouldn't contain duplicates", causes);
            }
        }
        Value::Object(map) => length(c, map.len(), path, value, "properties", causes),
        _ => {}
    }
    combinations(c, value, path, causes);
}

fn invalid(path: &FieldPath, value: &Value, detail: &str, causes: &mut Vec<Cause>) {
    causes.push(Cause::invalid(path, value, &format!("{path} in body {detail}")));
}

fn text_limits(c: &Constraints, text: &str, path: &FieldPath, causes: &mut Vec<Cause>) {
    let value = Value::from(text);
    if let Some(pattern) = &c.pattern
        && !pattern.is_in(text)
    {
        invalid(path, &value, &format!("should match '{}'", pattern.source()), causes);
    }
    let count = text.chars().count() as u64;
    if let Some(min) = c.min_length.filter(|min| count < *min) {
        invalid(path, &value, &format!("should be at least {min} chars long"), causes);
    }
    if let Some(max) = c.max_length.filter(|max| count > *max) {
        causes.push(Cause::too_long(path, usize::try_from(max).unwrap_or(usize::MAX)));
    }
    if let Some(format) = c.format.as_deref()
        && !has_format(format, text)
    {
        invalid(path, &value, &format!("must be of type {format}: {text:?}"), causes);
    }
}

fn number_limits(c: &Constraints, value: &Value, path: &FieldPath, causes: &mut Vec<Cause>) {
    let Some(number) = value.as_f64() else { return };
    if let Some((min, exclusive)) = c.minimum
        && (number < min || (exclusive && number <= min))
    {
        let than = if exclusive { "greater than" } else { "greater than or equal to" };
        invalid(path, value, &format!("should be {than} {min}"), causes);
    }
    if let Some((max, exclusive)) = c.maximum
        && (number > max || (exclusive && number >= max))
    {
        let than = if exclusive { "less than" } else { "less than or equal to" };
        invalid(path, value, &format!("should be {than} {max}"), causes);
    }
    if let Some(of) = c.multiple_of.filter(|of| *of > 0.0 && (number / of).fract() != 0.0) {
        invalid(path, value, &format!("should be a multiple of {of}"), causes);
    }
}

fn length(
    c: &Constraints,
    count: usize,
    path: &FieldPath,
    value: &Value,
    what: &str,
    causes: &mut Vec<Cause>,
) {
    if let Some(min) = c.min_length.filter(|min| (count as u64) < *min) {
        invalid(path, value, &format!("should have at least {min} {what}"), causes);
    }
    if let Some(max) = c.max_length.filter(|max| (count as u64) > *max) {
        causes.push(Cause::too_many(path, count, usize::try_from(max).unwrap_or(usize::MAX)));
    }
}

/// Upstream has no place for these; it names them inside the text.
fn whole(path: &FieldPath, detail: &str, causes: &mut Vec<Cause>) {
    let name = path.as_str();
    causes.push(Cause::invalid_str(&FieldPath::new("<nil>"), "", &format!("{name:?} {detail}")));
}

fn combinations(c: &Constraints, value: &Value, path: &FieldPath, causes: &mut Vec<Cause>) {
    if !c.any_of.is_empty()
        && let Err(best) = any(&c.any_of, value, path)
    {
        whole(path, "must validate at least one schema (anyOf)", causes);
        causes.extend(best);
    }
    if !c.one_of.is_empty() {
        let holding = c.one_of.iter().filter(|judge| wrong(judge, value, path).is_empty()).count();
        if holding != 1 {
            let found = match holding {
                0 => "Found none valid".to_owned(),
                more => format!("Found {more} valid alternatives"),
            };
            whole(path, &format!("must validate one and only one schema (oneOf). {found}"), causes);
            causes.extend(any(&c.one_of, value, path).err().unwrap_or_default());
        }
    }
    let mut holding = 0;
    for judge in &c.all_of {
        let found = wrong(judge, value, path);
        holding += usize::from(found.is_empty());
        causes.extend(found);
    }
    if holding != c.all_of.len() {
        let none = if holding == 0 { ". None validated" } else { "" };
        whole(path, &format!("must validate all the schemas (allOf){none}"), causes);
    }
    if c.not.as_ref().is_some_and(|judge| wrong(judge, value, path).is_empty()) {
        whole(path, "must not validate the schema (not)", causes);
    }
}

/// That one of them holds; else what is wrong by the one that comes closest.
fn any(judges: &[Judge], value: &Value, path: &FieldPath) -> Result<(), Vec<Cause>> {
    let mut best: Option<Vec<Cause>> = None;
    for judge in judges {
        let found = wrong(judge, value, path);
        if found.is_empty() {
            return Ok(());
        }
        if best.as_ref().is_none_or(|best| found.len() < best.len()) {
            best = Some(found);
        }
    }
    Err(best.unwrap_or_default())
}

fn wrong(judge: &Judge, value: &Value, path: &FieldPath) -> Vec<Cause> {
    let mut causes = Vec::new();
    judged(judge, value, path, &mut causes);
    causes
}

fn judged(judge: &Judge, value: &Value, path: &FieldPath, causes: &mut Vec<Cause>) {
    if let Some(wanted) = judge.kind.as_deref() {
        let found = type_name(value);
        if wanted != found && !(wanted == "number" && found == "integer") {
            causes.push(Cause::wrong_type(path, value, wanted));
            return;
        }
    }
    for name in &judge.required {
        if value.is_object() && value.get(name).is_none() {
            causes.push(Cause::required(&path.child(name), ""));
        }
    }
    for (name, below) in &judge.properties {
        if let Some(value) = value.get(name) {
            judged(below, value, &path.child(name), causes);
        }
    }
    if let (Some(below), Value::Array(items)) = (&judge.items, value) {
        items.iter().enumerate().for_each(|(index, item)| judged(below, item, &path.index(index), causes));
    }
    if let Some(constraints) = &judge.limits {
        limits(constraints, value, path, causes);
    }
}
