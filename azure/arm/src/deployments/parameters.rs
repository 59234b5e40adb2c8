//! The parameters of a template: what is given, defaults, and the types they must have, the template's own types included.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::evaluate::Scope;
use super::plan::{invalid, wrong};
use crate::ArmError;

const SEE: &str = "Please see https://aka.ms/arm-parameter-definition for usage details.";

/// More parameters than this in one template are refused, as in the public cloud.
const PARAMETERS_MAX: usize = 256;

/// Fills `scope.parameters`. A default may use other parameters, in any order.
pub(super) fn fill(template: &Map<String, Value>, given: &Value, scope: &mut Scope) -> Result<(), ArmError> {
    let empty = Map::new();
    let declared = template.get("parameters").and_then(Value::as_object).unwrap_or(&empty);
    super::plan::few("parameters", PARAMETERS_MAX, declared.len())?;
    let definitions = template.get("definitions").unwrap_or(&Value::Null);
    for name in given.as_object().into_iter().flat_map(Map::keys) {
        if !declared.keys().any(|d| d.eq_ignore_ascii_case(name)) {
            return Err(invalid(format_args!(
                "The template parameters '{name}' in the parameters file are not valid; they are not present in the original template and can therefore not be provided at deployment time. The only supported parameters for this template are '{}'. Please see https://aka.ms/arm-pass-parameter-values for usage details.",
                declared.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
            )));
        }
    }
    let mut waiting: Vec<(&String, &Value)> = declared.iter().collect();
    while !waiting.is_empty() {
        let before = waiting.len();
        let mut last = None;
        let mut left = Vec::new();
        for (name, declaration) in waiting {
            match value(name, declaration, definitions, given, scope)? {
                Ok(value) => {
                    check(definitions, declaration, &value, name)?;
                    Arc::make_mut(&mut scope.parameters).insert(name.clone(), value);
                }
                Err(error) => {
                    last = Some(error);
                    left.push((name, declaration));
                }
            }
        }
        if let (Some(error), true) = (last, left.len() == before) {
            return Err(wrong(error));
        }
        waiting = left;
    }
    Ok(())
}

type Later = Result<Value, super::evaluate::Missing>;

fn value(
    name: &str,
    declaration: &Value,
    definitions: &Value,
    given: &Value,
    scope: &Scope,
) -> Result<Later, ArmError> {
    let sent = given.as_object().and_then(|m| m.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)));
    let sent = sent.map(|(_, v)| v);
    if sent.is_some_and(|s| s.get("reference").is_some_and(|r| !r.is_null())) {
        return Err(ArmError::not_implemented(format_args!("The Key Vault reference of parameter '{name}'")));
    }
    if let Some(value) = sent.and_then(|s| s.get("value")) {
        return Ok(Ok(value.clone()));
    }
    if let Some(default) = declaration.get("defaultValue") {
        return Ok(scope.value(default));
    }
    if flag(definitions, declaration, "nullable") {
        return Ok(Ok(Value::Null));
    }
    Err(invalid(format_args!(
        "The value for the template parameter '{name}' is not provided. Please see https://aka.ms/arm-create-parameter-file for usage details."
    )))
}

/// How many references in a row lead to a type.
const REFERENCES_MAX: usize = 20;

/// The declaration that a reference leads to.
fn resolved<'a>(definitions: &'a Value, mut declaration: &'a Value) -> &'a Value {
    for _ in 0..REFERENCES_MAX {
        let Some(name) = declaration.get("$ref").and_then(Value::as_str) else { break };
        let name = name.trim_start_matches("#/definitions/");
        match definitions.get(name) {
            Some(found) => declaration = found,
            None => break,
        }
    }
    declaration
}

fn flag(definitions: &Value, declaration: &Value, name: &str) -> bool {
    [declaration, resolved(definitions, declaration)].iter().any(|d| d.get(name) == Some(&Value::Bool(true)))
}

/// The kind of a declaration, in lower case, references followed.
pub(super) fn kind(definitions: &Value, declaration: &Value) -> String {
    let found = resolved(definitions, declaration).get("type").and_then(Value::as_str);
    found.unwrap_or("object").to_ascii_lowercase()
}

fn named(value: &Value) -> &'static str {
    match value {
        Value::Null => "Null",
        Value::Bool(_) => "Boolean",
        Value::Number(number) if number.is_f64() => "Float",
        Value::Number(_) => "Integer",
        Value::String(_) => "String",
        Value::Array(_) => "Array",
        Value::Object(_) => "Object",
    }
}

fn bad(path: &str, why: impl std::fmt::Display) -> ArmError {
    invalid(format_args!("The provided value for the template parameter '{path}' is not valid. {why}. {SEE}"))
}

/// Refuses a value that its declaration does not allow.
pub(super) fn check(
    definitions: &Value,
    declaration: &Value,
    value: &Value,
    path: &str,
) -> Result<(), ArmError> {
    if value.is_null() && flag(definitions, declaration, "nullable") {
        return Ok(());
    }
    let found = resolved(definitions, declaration);
    let wanted = match kind(definitions, declaration).as_str() {
        "string" | "securestring" => (value.is_string(), "String"),
        "int" => (value.is_i64() || value.is_u64(), "Integer"),
        "bool" => (value.is_boolean(), "Boolean"),
        "array" => (value.is_array(), "Array"),
        "object" | "secureobject" => (value.is_object(), "Object"),
        "any" => (true, ""),
        other => return Err(bad(path, format_args!("The type '{other}' is not known"))),
    };
    if !wanted.0 {
        return Err(bad(
            path,
            format_args!(
                "Expected a value of type '{}', but received a value of type '{}'",
                wanted.1,
                named(value)
            ),
        ));
    }
    for limits in [declaration, found] {
        bounds(limits, value, path)?;
    }
    match value {
        Value::Array(list) => elements(definitions, found, list, path),
        Value::Object(map) => members(definitions, found, map, path),
        _ => Ok(()),
    }
}

fn bounds(limits: &Value, value: &Value, path: &str) -> Result<(), ArmError> {
    if let Some(allowed) = limits.get("allowedValues").and_then(Value::as_array) {
        let fits = allowed.contains(value)
            || value.as_array().is_some_and(|list| list.iter().all(|one| allowed.contains(one)));
        if !fits {
            let list: Vec<String> = allowed.iter().map(super::functions::text).collect();
            return Err(invalid(format_args!(
                "The provided value for the template parameter '{path}' is not valid. The value '{}' is not part of the allowed value(s): '{}'.",
                super::functions::text(value),
                list.join(",")
            )));
        }
    }
    let limit = |name: &str| limits.get(name).and_then(Value::as_i64);
    if let Some(number) = value.as_i64() {
        if let Some(least) = limit("minValue").filter(|least| number < *least) {
            return Err(bad(path, format_args!("Value should be greater than or equal to '{least}'")));
        }
        if let Some(most) = limit("maxValue").filter(|most| number > *most) {
            return Err(bad(path, format_args!("Value should be less than or equal to '{most}'")));
        }
    }
    let length = match value {
        Value::String(text) => text.chars().count(),
        Value::Array(list) => list.len(),
        _ => return Ok(()),
    };
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    if let Some(least) = limit("minLength").filter(|least| length < *least) {
        return Err(bad(
            path,
            format_args!("Length of the value should be greater than or equal to '{least}'"),
        ));
    }
    if let Some(most) = limit("maxLength").filter(|most| length > *most) {
        return Err(bad(path, format_args!("Length of the value should be less than or equal to '{most}'")));
    }
    Ok(())
}

fn elements(definitions: &Value, found: &Value, list: &[Value], path: &str) -> Result<(), ArmError> {
    let first = found.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for (at, value) in list.iter().enumerate() {
        let inside = format!("{path}[{at}]");
        match first.get(at).or_else(|| found.get("items")) {
            Some(Value::Bool(false)) => return Err(bad(&inside, "No more elements are allowed")),
            Some(declaration) if declaration.is_object() => check(definitions, declaration, value, &inside)?,
            _ => {}
        }
    }
    Ok(())
}

fn members(definitions: &Value, found: &Value, map: &Map<String, Value>, path: &str) -> Result<(), ArmError> {
    let mut found = found;
    for _ in 0..REFERENCES_MAX {
        let Some(discriminator) = found.get("discriminator") else { break };
        let name = discriminator.get("propertyName").and_then(Value::as_str).unwrap_or("");
        let said = map.get(name).and_then(Value::as_str).unwrap_or("");
        let Some(declaration) = discriminator.get("mapping").and_then(|m| m.get(said)) else {
            return Err(bad(
                path,
                format_args!("The property '{name}' with the value '{said}' names no type"),
            ));
        };
        found = resolved(definitions, declaration);
    }
    let empty = Map::new();
    let declared = found.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    for (name, declaration) in declared {
        let inside = format!("{path}.{name}");
        match map.get(name) {
            Some(value) => check(definitions, declaration, value, &inside)?,
            None if flag(definitions, declaration, "nullable") => {}
            None => return Err(bad(&inside, "The property is required")),
        }
    }
    for (name, value) in map.iter().filter(|(name, _)| !declared.contains_key(*name)) {
        let inside = format!("{path}.{name}");
        match found.get("additionalProperties") {
            Some(Value::Bool(false)) => {
                return Err(bad(&inside, "The property is not known and no more properties are allowed"));
            }
            Some(declaration) if declaration.is_object() => check(definitions, declaration, value, &inside)?,
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::check;

    #[test]
    fn values_are_held_against_their_types() {
        let definitions = json!({
            "size": {"type": "string", "allowedValues": ["small", "large"]},
            "pool": {"type": "object", "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 12},
                "count": {"type": "int", "minValue": 1, "maxValue": 10, "nullable": true}, "size": {"$ref": "#/definitions/size"}},
                "additionalProperties": false},
            "shape": {"type": "object", "discriminator": {"propertyName": "kind", "mapping": {
                "round": {"type": "object", "properties": {"kind": {"type": "string"}, "radius": {"type": "int"}}},
                "flat": {"$ref": "#/definitions/flat"}}}},
            "flat": {"type": "object", "properties": {"kind": {"type": "string"}}},
        });
        let reference = |name: &str| json!({"$ref": format!("#/definitions/{name}")});
        let pools = json!({"type": "array", "items": reference("pool"), "maxLength": 2});
        let table: [(Value, Value, Option<&str>); 17] = [
            (json!({"type": "string"}), json!("x"), None),
            (
                json!({"type": "string"}),
                json!(1),
                Some("Expected a value of type 'String', but received a value of type 'Integer'"),
            ),
            (json!({"type": "int", "nullable": true}), json!(null), None),
            (json!({"type": "int"}), json!(null), Some("received a value of type 'Null'")),
            (json!({"type": "array", "allowedValues": ["a", "b"]}), json!(["b"]), None),
            (reference("size"), json!("medium"), Some("not part of the allowed value(s): 'small,large'")),
            (pools.clone(), json!([{"name": "a", "size": "small"}]), None),
            (
                pools.clone(),
                json!([{"name": "a", "size": "small", "count": 11}]),
                Some("'p[0].count' is not valid. Value should be less than or equal to '10'"),
            ),
            (
                pools.clone(),
                json!([{"name": "", "size": "small"}]),
                Some("Length of the value should be greater"),
            ),
            (
                pools.clone(),
                json!([{"size": "small"}]),
                Some("'p[0].name' is not valid. The property is required"),
            ),
            (pools.clone(), json!([{"name": "a", "size": "small", "more": 1}]), Some("'p[0].more'")),
            (pools, json!([{}, {}, {}]), Some("less than or equal to '2'")),
            (reference("shape"), json!({"kind": "round", "radius": 1}), None),
            (reference("shape"), json!({"kind": "round", "radius": "1"}), Some("'p.radius'")),
            (reference("shape"), json!({"kind": "square"}), Some("names no type")),
            (
                json!({"type": "array", "prefixItems": [{"type": "int"}], "items": false}),
                json!([1, 2]),
                Some("No more elements"),
            ),
            (json!({"type": "thing"}), json!(1), Some("not known")),
        ];
        for (declaration, value, expected) in table {
            let found = check(&definitions, &declaration, &value, "p").err().map(|e| e.message);
            match (&found, expected) {
                (None, None) => {}
                (Some(message), Some(part)) => assert!(message.contains(part), "{message} should say {part}"),
                _ => panic!("{declaration} {value}: {found:?}"),
            }
        }
        // A type that is told apart into itself.
        let choice =
            json!({"discriminator": {"propertyName": "kind", "mapping": {"x": {"$ref": "#/definitions/a"}}}});
        let again = json!({"a": choice});
        assert!(check(&again, &json!({"$ref": "#/definitions/a"}), &json!({"kind": "x"}), "p").is_ok());
        let circle = json!({"a": {"$ref": "#/definitions/b"}, "b": {"$ref": "#/definitions/a"}});
        assert!(check(&circle, &json!({"$ref": "#/definitions/a"}), &json!({}), "p").is_ok());
    }
}
