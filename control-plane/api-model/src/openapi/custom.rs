//! Components of custom kinds.

use super::META;
use super::schemas::{Style, custom_name};
use crate::resource::Resource;
use serde_json::{Map, Value, json};

const CONVENTIONS: &str =
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md";
const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";

/// The components of a custom kind and of its list.
pub(super) fn components(resource: &Resource, schema: &Value, style: Style) -> [(String, Value); 2] {
    let gvk = |kind: &str| json!([{"group": resource.group, "version": resource.version, "kind": kind}]);
    let name = custom_name(resource);
    let mut own = own(schema, style);
    own.insert("x-kubernetes-group-version-kind".into(), gvk(&resource.kind));
    let mut list = json!({
        "type": "object", "required": ["items"],
        "description": format!("{} is a list of {}", resource.list_kind(), resource.kind),
        "properties": {
            "metadata": meta("ListMeta", style),
            "items": {
                "type": "array",
                "items": reference(style, &name),
                "description": format!("List of {}. More info: {CONVENTIONS}", resource.plural),
            },
        },
        "x-kubernetes-group-version-kind": gvk(&resource.list_kind()),
    });
    if let Value::Object(properties) = &mut list["properties"] {
        type_meta(properties);
    }
    [(name.clone(), Value::Object(own)), (format!("{name}List"), list)]
}

fn own(schema: &Value, style: Style) -> Map<String, Value> {
    let open = style == Style::V2 && schema.get(PRESERVE) == Some(&Value::Bool(true));
    let mut own = match schema {
        Value::Object(map) if !open => map.clone(),
        // kubectl would refuse what such a kind takes, so it is told nothing.
        _ => return Map::from_iter([("type".to_owned(), json!("object"))]),
    };
    if style == Style::V2 {
        simplify(&mut own);
    }
    embedded(&mut own, style);
    if let Value::Object(properties) = own.entry("properties").or_insert_with(|| json!({})) {
        type_meta(properties);
        properties.insert("metadata".into(), meta("ObjectMeta", style));
    }
    own
}

fn type_meta(properties: &mut Map<String, Value>) {
    let version = format!(
        "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas \
         to the latest internal value, and may reject unrecognized values. More info: {CONVENTIONS}#resources"
    );
    let kind = format!(
        "Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint \
         the client submits requests to. Cannot be updated. In CamelCase. More info: {CONVENTIONS}#types-kinds"
    );
    properties.insert("apiVersion".into(), json!({"type": "string", "description": version}));
    properties.insert("kind".into(), json!({"type": "string", "description": kind}));
}

fn meta(kind: &str, style: Style) -> Value {
    let mut meta = reference(style, &format!("io.k8s.{META}{kind}"));
    let what = if kind == "ListMeta" { "list metadata" } else { "object's metadata" };
    meta["description"] = format!("Standard {what}. More info: {CONVENTIONS}#metadata").into();
    meta
}

fn reference(style: Style, name: &str) -> Value {
    let reference = json!({"$ref": style.reference_full(name)});
    match style {
        // Beside a reference nothing may stand in version 3.
        Style::V3 => json!({"allOf": [reference]}),
        Style::V2 => reference,
    }
}

/// Whole objects inside of an object have the fields of all objects.
fn embedded(schema: &mut Map<String, Value>, style: Style) {
    if schema.get("x-kubernetes-embedded-resource") == Some(&Value::Bool(true))
        && let Value::Object(properties) = schema.entry("properties").or_insert_with(|| json!({}))
    {
        type_meta(properties);
        properties.insert("metadata".into(), meta("ObjectMeta", style));
    }
    below(schema, &mut |schema| embedded(schema, style));
}

fn below(schema: &mut Map<String, Value>, visit: &mut dyn FnMut(&mut Map<String, Value>)) {
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.values_mut().filter_map(Value::as_object_mut).for_each(&mut *visit);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(Value::Object(inner)) = schema.get_mut(key) {
            visit(inner);
        }
    }
}

/// Leaves out what version 2 has no words for, and what makes old clients refuse good objects.
fn simplify(schema: &mut Map<String, Value>) {
    for key in ["allOf", "anyOf", "oneOf", "not"] {
        schema.remove(key);
    }
    let is = |schema: &Map<String, Value>, key: &str| schema.get(key) == Some(&Value::Bool(true));
    if is(schema, "x-kubernetes-int-or-string") {
        schema.remove("type");
    }
    if schema.remove("nullable") == Some(Value::Bool(true)) {
        for key in ["type", "items", "properties"] {
            schema.remove(key);
        }
    }
    if is(schema, PRESERVE) {
        schema.remove("items");
        schema.remove("properties");
    }
    let nullable: Vec<String> = schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter(|(_, property)| property["nullable"] == Value::Bool(true))
        .map(|(name, _)| name.clone())
        .collect();
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.retain(|name| !nullable.iter().any(|known| name == known));
    }
    if schema.get("required") == Some(&json!([])) {
        schema.remove("required");
    }
    below(schema, &mut simplify);
}
