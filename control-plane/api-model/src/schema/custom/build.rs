//! Reads the limits that a schema sets.

use super::super::types::{Constraints, Judge};
use serde_json::Value;

const RELEVANT: [&str; 19] = [
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "multipleOf",
    "minLength",
    "minItems",
    "minProperties",
    "maxLength",
    "maxItems",
    "maxProperties",
    "uniqueItems",
    "format",
    "nullable",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "x-kubernetes-int-or-string",
];

/// The limits of a schema; `None` when it sets none.
pub(super) fn constraints(schema: &Value) -> Option<Constraints> {
    if !RELEVANT.iter().any(|key| schema.get(*key).is_some()) {
        return None;
    }
    let list = |key: &str| schema[key].as_array().map(Vec::as_slice).unwrap_or_default();
    let judges = |key: &str| list(key).iter().map(judge).collect::<Vec<_>>();
    let count = |keys: [&str; 3]| keys.iter().find_map(|key| schema[*key].as_u64());
    let limit = |key: &str, exclusive: &str| {
        schema[key].as_f64().map(|n| (n, schema[exclusive] == Value::Bool(true)))
    };
    let pattern = schema["pattern"].as_str().map(crate::pattern::Pattern::shared);
    Some(Constraints {
        allowed: list("enum").to_vec(),
        pattern,
        minimum: limit("minimum", "exclusiveMinimum"),
        maximum: limit("maximum", "exclusiveMaximum"),
        multiple_of: schema["multipleOf"].as_f64(),
        min_length: count(["minLength", "minItems", "minProperties"]),
        max_length: count(["maxLength", "maxItems", "maxProperties"]),
        unique: schema["uniqueItems"] == Value::Bool(true),
        format: schema["format"].as_str().map(str::to_owned),
        nullable: schema["nullable"] == Value::Bool(true),
        int_or_string: schema["x-kubernetes-int-or-string"] == Value::Bool(true),
        all_of: judges("allOf"),
        any_of: judges("anyOf"),
        one_of: judges("oneOf"),
        not: schema.get("not").map(|schema| Box::new(judge(schema))),
    })
}

fn judge(schema: &Value) -> Judge {
    let texts = |key: &str| schema[key].as_array().into_iter().flatten().filter_map(Value::as_str);
    let properties = schema["properties"].as_object().into_iter().flatten();
    Judge {
        kind: schema["type"].as_str().map(str::to_owned),
        required: texts("required").map(str::to_owned).collect(),
        properties: properties.map(|(name, below)| (name.clone(), judge(below))).collect(),
        items: schema.get("items").filter(|items| items.is_object()).map(|items| Box::new(judge(items))),
        limits: constraints(schema).map(Box::new),
    }
}
