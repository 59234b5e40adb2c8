//! Whether defaults are what their own schema allows.

use api_model::schema::custom;
use api_model::{Cause, FieldPath, Model};
use serde_json::Value;

use crate::registry::custom::rules::Rules;
use crate::registry::object::at;

/// What is wrong with the defaults of a schema and of what is below it.
pub(super) fn check(model: &Model, schema: &Value, path: &FieldPath) -> Vec<Cause> {
    let mut causes = Vec::new();
    level(model, schema, path, &mut causes);
    causes
}

fn level(model: &Model, schema: &Value, path: &FieldPath, causes: &mut Vec<Cause>) {
    if let Some(default) = schema.get("default").filter(|default| !default.is_null()) {
        one(model, schema, default, &path.child("default"), causes);
    }
    for (name, property) in at(schema, &["properties"]).as_object().into_iter().flatten() {
        level(model, property, &path.child("properties").key(name), causes);
    }
    for key in ["items", "additionalProperties"] {
        let below = at(schema, &[key]);
        if below.is_object() {
            level(model, below, &path.child(key), causes);
        }
    }
}

fn one(model: &Model, schema: &Value, default: &Value, path: &FieldPath, causes: &mut Vec<Cause>) {
    let compiled = custom::compile_part(model.types().clone(), schema);
    let mut pruned = default.clone();
    compiled.prune(&mut pruned);
    if pruned != *default {
        causes.push(Cause::invalid(path, default, "must not have unknown fields"));
    }
    let mut found = compiled.validate(default);
    if found.is_empty() {
        found.extend(Rules::of_part(schema).map(|rules| rules.validate(default, None)).unwrap_or_default());
    }
    causes.extend(found.into_iter().map(|mut cause| {
        cause.field = match cause.field.as_str() {
            "" | "<nil>" => path.to_string(),
            below => format!("{path}.{below}"),
        };
        cause
    }));
}
