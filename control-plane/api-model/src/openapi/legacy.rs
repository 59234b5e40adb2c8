//! A version 3 document of a version 2 one, for servers that publish only that.

use serde_json::{Map, Value, json};

/// What a server answers in when its document does not say.
const ANY: &str = "*/*";
/// Fields of a parameter that version 3 keeps beside its schema.
const OWN: [&str; 4] = ["description", "in", "name", "required"];

/// The same in version 3.
pub fn version_3(document: &Value) -> Value {
    let mut paths = Map::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        paths.insert(path.clone(), path_item(document, item));
    }
    let schemas: Map<String, Value> = (document["definitions"].as_object().into_iter().flatten())
        .map(|(name, schema)| (name.clone(), moved(schema)))
        .collect();
    json!({"openapi": "3.0.0", "info": document["info"], "paths": paths, "components": {"schemas": schemas}})
}

fn path_item(document: &Value, item: &Value) -> Value {
    let mut made = Map::new();
    for (key, value) in item.as_object().into_iter().flatten() {
        match key.as_str() {
            "get" | "put" | "post" | "delete" | "options" | "head" | "patch" => {
                made.insert(key.clone(), operation(document, value));
            }
            "parameters" => {
                let list = resolved(document, value).filter(|one| one["in"] != "body");
                made.insert(key.clone(), list.map(|one| parameter(&one)).collect());
            }
            _ => drop(made.insert(key.clone(), value.clone())),
        }
    }
    Value::Object(made)
}

/// Parameters, those that are named elsewhere read from there.
fn resolved<'v>(document: &'v Value, list: &'v Value) -> impl Iterator<Item = Value> + 'v {
    list.as_array().into_iter().flatten().map(move |one| {
        let named = one["$ref"].as_str().and_then(|reference| document.pointer(reference.strip_prefix('#')?));
        named.unwrap_or(one).clone()
    })
}

fn parameter(one: &Value) -> Value {
    let (mut made, mut schema) = (Map::new(), Map::new());
    for (key, value) in one.as_object().into_iter().flatten() {
        let place = if OWN.contains(&key.as_str()) { &mut made } else { &mut schema };
        place.insert(key.clone(), value.clone());
    }
    made.insert("schema".to_owned(), Value::Object(schema));
    Value::Object(made)
}

fn operation(document: &Value, operation: &Value) -> Value {
    let media = |key: &str| -> Vec<String> {
        let stated = operation[key].as_array().or_else(|| document[key].as_array());
        let stated: Vec<String> =
            stated.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        if stated.is_empty() { vec![ANY.to_owned()] } else { stated }
    };
    let mut made = Map::new();
    for (key, value) in operation.as_object().into_iter().flatten() {
        match key.as_str() {
            "consumes" | "produces" | "schemes" => {}
            "parameters" => {
                let (bodies, others): (Vec<Value>, Vec<Value>) =
                    resolved(document, value).partition(|one| one["in"] == "body");
                if !others.is_empty() {
                    made.insert(key.clone(), others.iter().map(parameter).collect());
                }
                if let Some(body) = bodies.first() {
                    let mut request = json!({"content": content(&media("consumes"), &body["schema"])});
                    if body["required"] == json!(true) {
                        request["required"] = json!(true);
                    }
                    made.insert("requestBody".to_owned(), request);
                }
            }
            "responses" => {
                let produces = media("produces");
                let answer = |(code, one): (&String, &Value)| {
                    let mut answer = json!({"description": one["description"]});
                    if one["schema"].is_object() {
                        answer["content"] = content(&produces, &one["schema"]);
                    }
                    (code.clone(), answer)
                };
                let all = value.as_object().into_iter().flatten().map(answer);
                made.insert(key.clone(), Value::Object(all.collect()));
            }
            _ => drop(made.insert(key.clone(), value.clone())),
        }
    }
    Value::Object(made)
}

fn content(media: &[String], schema: &Value) -> Value {
    let schema = moved(schema);
    media.iter().map(|media| (media.clone(), json!({"schema": schema}))).collect()
}

/// References point to where schemas are in version 3.
fn moved(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| match value.as_str().filter(|_| key == "$ref") {
                Some(reference) => {
                    (key.clone(), json!(reference.replacen("#/definitions/", "#/components/schemas/", 1)))
                }
                None => (key.clone(), moved(value)),
            })
            .collect(),
        Value::Array(items) => items.iter().map(moved).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_and_answers_have_their_media_types() {
        let two = json!({
            "swagger": "2.0", "info": {"title": "ext", "version": "v1"}, "produces": ["application/json"],
            "parameters": {"pretty": {"name": "pretty", "in": "query", "type": "string", "description": "x"}},
            "paths": {"/apis/e/v1/things": {"post": {
                "operationId": "make", "consumes": ["application/yaml"],
                "parameters": [{"$ref": "#/parameters/pretty"}, {"name": "body", "in": "body", "required": true, "schema": {"$ref": "#/definitions/Thing"}}],
                "responses": {"200": {"description": "OK", "schema": {"$ref": "#/definitions/Thing"}}, "401": {"description": "no"}},
            }}},
            "definitions": {"Thing": {"properties": {"list": {"type": "array", "items": {"$ref": "#/definitions/Thing"}}}}},
        });
        let thing = json!({"schema": {"$ref": "#/components/schemas/Thing"}});
        let three = version_3(&two);
        assert_eq!(
            three["paths"]["/apis/e/v1/things"]["post"],
            json!({
                "operationId": "make",
                "parameters": [{"name": "pretty", "in": "query", "description": "x", "schema": {"type": "string"}}],
                "requestBody": {"content": {"application/yaml": thing}, "required": true},
                "responses": {"200": {"description": "OK", "content": {"application/json": thing}}, "401": {"description": "no"}},
            })
        );
        let items = &three["components"]["schemas"]["Thing"]["properties"]["list"]["items"];
        assert_eq!(items["$ref"], "#/components/schemas/Thing");
    }
}
