//! Structural schemas in the notation of generated definitions, and the built-in types as such definitions embed them.

use serde_json::{Map, Value, json};

/// What generated definitions say of quantities.
const QUANTITY: &str = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$";
const LABEL: &str = r"^([A-Za-z0-9][-A-Za-z0-9_.\/]{0,251})?[A-Za-z0-9]$";

/// An object with these fields.
pub fn object(properties: Value) -> Value {
    json!({"type": "object", "properties": properties})
}

/// An object with these fields, some of which must be there.
pub fn demanding(required: &[&str], properties: Value) -> Value {
    json!({"type": "object", "required": required, "properties": properties})
}

/// A text.
pub fn text() -> Value {
    json!({"type": "string"})
}

/// One of these texts; the first is the default.
pub fn choice(values: &[&str]) -> Value {
    json!({"type": "string", "enum": values, "default": values[0]})
}

/// A list.
pub fn list(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

/// A list of different texts.
pub fn set() -> Value {
    json!({"type": "array", "x-kubernetes-list-type": "set", "maxItems": 64, "items": {"type": "string", "maxLength": 253}})
}

/// A list whose items a field tells apart.
pub fn keyed(key: &str, mut items: Value) -> Value {
    items["required"] = json!([key]);
    json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key], "items": items})
}

/// Texts by name.
pub fn texts() -> Value {
    json!({"type": "object", "additionalProperties": {"type": "string"}})
}

/// A number or a text.
pub fn int_or_string() -> Value {
    json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]})
}

/// Whatever somebody writes.
pub fn anything() -> Value {
    json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// A duration as Go writes it, with a default.
pub fn duration(default: &str) -> Value {
    json!({"type": "string", "default": default, "pattern": "^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"})
}

/// A reference to a key of a Secret, merged as a whole.
pub fn secret_key() -> Value {
    let mut made = demanding(
        &["name"],
        json!({"name": {"type": "string", "minLength": 1, "maxLength": 253}, "key": text()}),
    );
    made["x-kubernetes-map-type"] = json!("atomic");
    made
}

/// One field for each provider, each an object with these fields, secrets among them.
pub fn providers(names: &[&str], fields: &[&str]) -> Value {
    let mut made = Map::new();
    for provider in names {
        let mut own = Map::new();
        for field in fields {
            let described = format!(
                "{field} as the provider `{provider}` knows it; the empty text means its own default."
            );
            own.insert(
                (*field).to_owned(),
                json!({"type": "string", "description": described, "pattern": LABEL}),
            );
        }
        own.insert("credentialsSecretRef".to_owned(), secret_key());
        own.insert(
            "timeoutSeconds".to_owned(),
            json!({"type": "integer", "format": "int32", "minimum": 1, "maximum": 600, "default": 30}),
        );
        own.insert("insecure".to_owned(), json!({"type": "boolean", "nullable": true}));
        made.insert((*provider).to_owned(), demanding(&["credentialsSecretRef"], Value::Object(own)));
    }
    Value::Object(made)
}

/// The usual list of conditions.
pub fn conditions() -> Value {
    let item = json!({"type": "object", "properties": {
        "type": {"type": "string", "maxLength": 316, "pattern": LABEL},
        "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
        "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
        "lastTransitionTime": {"type": "string", "format": "date-time"},
        "reason": {"type": "string", "minLength": 1, "maxLength": 1024},
        "message": {"type": "string", "maxLength": 32768},
    }});
    keyed("type", item)
}

/// The built-in types, as `controller-gen` writes them into a definition.
pub struct Types {
    components: Map<String, Value>,
    described: bool,
}

impl Types {
    /// The types of a minor version; `described` with their documentation.
    pub fn load(minor: &str, described: bool) -> Self {
        let document = api_model::Model::load(minor).unwrap().openapi_v3("api/v1").unwrap();
        let mut document: Value = serde_json::from_slice(&document.plain()).unwrap();
        let Value::Object(components) = document["components"]["schemas"].take() else {
            panic!("there are no components")
        };
        Self { components, described }
    }

    /// A type of the core group, by its short name, written out.
    pub fn core(&self, name: &str) -> Value {
        self.named(&format!("io.k8s.api.core.v1.{name}"))
    }

    fn named(&self, name: &str) -> Value {
        match name.rsplit('.').next().unwrap() {
            "Quantity" => {
                let mut made = int_or_string();
                made["pattern"] = json!(QUANTITY);
                made
            }
            "IntOrString" => int_or_string(),
            "Time" => json!({"type": "string", "format": "date-time"}),
            "ObjectMeta" => object(json!({"name": text(), "annotations": texts(), "labels": texts()})),
            _ => self.written_out(&self.components[name]),
        }
    }

    fn written_out(&self, schema: &Value) -> Value {
        let reference = schema.get("$ref").or_else(|| schema.pointer("/allOf/0/$ref"));
        let mut made = match reference.and_then(Value::as_str) {
            Some(reference) => self.named(reference.rsplit('/').next().unwrap()),
            None => self.own(schema),
        };
        match schema.get("description") {
            Some(said) if self.described => made["description"] = said.clone(),
            _ => drop(made.as_object_mut().unwrap().remove("description")),
        }
        made
    }

    fn own(&self, schema: &Value) -> Value {
        let mut made = json!({"type": schema["type"]});
        for key in [
            "format",
            "required",
            "x-kubernetes-list-type",
            "x-kubernetes-list-map-keys",
            "x-kubernetes-map-type",
        ] {
            if let Some(value) = schema.get(key) {
                made[key] = value.clone();
            }
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            made["properties"][name] = self.written_out(property);
        }
        if let Some(values) = schema.get("additionalProperties") {
            made["additionalProperties"] = self.written_out(values);
        }
        if let Some(items) = schema.get("items") {
            made["items"] = self.written_out(items);
        }
        // A key that may be absent needs a default.
        for key in
            schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().filter_map(Value::as_str)
        {
            let required =
                made["items"]["required"].as_array().is_some_and(|all| all.iter().any(|one| one == key));
            if !required {
                made["items"]["properties"][key]["default"] =
                    json!(if key == "protocol" { "TCP" } else { "" });
            }
        }
        made
    }
}

/// How many fields a schema declares, all levels together.
pub fn fields(schema: &Value) -> usize {
    match schema {
        Value::Object(map) => {
            let own = map.get("properties").and_then(Value::as_object).map_or(0, Map::len);
            own + map.values().map(fields).sum::<usize>()
        }
        Value::Array(items) => items.iter().map(fields).sum(),
        _ => 0,
    }
}
