//! Paths and operations of a resource.

use super::META;
use super::schemas::{Style, custom_name};
use crate::model::Model;
use crate::resource::Resource;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// What a body or an answer is: a reference, already written out.
struct Kinds {
    own: String,
    list: String,
}

/// Adds the paths of a resource and the names of the types they speak of.
pub(super) fn resource(
    model: &Model,
    r: &Resource,
    style: Style,
    paths: &mut Map<String, Value>,
    roots: &mut BTreeSet<String>,
) {
    let root = format!("/{}", r.group_path());
    let collection = if r.namespaced {
        format!("{root}/namespaces/{{namespace}}/{}", r.plural)
    } else {
        format!("{root}/{}", r.plural)
    };
    let kinds = kinds(r, style, roots);
    let has = |verb: &str| r.verbs.iter().any(|v| v == verb);
    let op = |verb: &str| operation(style, r, verb, (&r.group, &r.version, &r.kind), &kinds);
    let mut all = Map::new();
    for (verb, method) in [("list", "get"), ("create", "post"), ("deletecollection", "delete")] {
        if has(verb) {
            all.insert(method.into(), op(verb));
        }
    }
    insert(paths, &collection, all, r.namespaced, false, style);
    if r.namespaced && has("list") {
        let all = Map::from_iter([("get".to_owned(), op("list"))]);
        insert(paths, &format!("{root}/{}", r.plural), all, false, false, style);
    }
    let mut one = Map::new();
    for (verb, method) in [("get", "get"), ("update", "put"), ("patch", "patch"), ("delete", "delete")] {
        if has(verb) {
            one.insert(method.into(), op(verb));
        }
    }
    let item = format!("{collection}/{{name}}");
    insert(paths, &item, one, r.namespaced, true, style);
    for s in &r.subresources {
        let gvk = (s.group.as_str(), s.version.as_str(), s.kind.as_str());
        let name = model.kind_schema(&s.group, &s.version, &s.kind).and_then(|k| k.name().map(str::to_owned));
        let own = match name {
            Some(name) => {
                roots.insert(name.clone());
                style.reference(&name)
            }
            None if s.kind == r.kind => kinds.own.clone(),
            None => String::new(),
        };
        let kinds = Kinds { list: own.clone(), own };
        let mut operations = Map::new();
        for verb in &s.verbs {
            let method = match verb.as_str() {
                "create" => "post",
                "update" => "put",
                other => other,
            };
            operations.insert(method.to_owned(), operation(style, r, verb, gvk, &kinds));
        }
        insert(paths, &format!("{item}/{}", s.name), operations, r.namespaced, true, style);
    }
}

fn kinds(r: &Resource, style: Style, roots: &mut BTreeSet<String>) -> Kinds {
    let Some(name) = r.schema.name() else {
        let name = custom_name(r);
        return Kinds {
            own: style.reference_full(&name),
            list: style.reference_full(&format!("{name}List")),
        };
    };
    roots.insert(name.to_owned());
    roots.insert(format!("{name}List"));
    Kinds { own: style.reference(name), list: style.reference(&format!("{name}List")) }
}

fn insert(
    paths: &mut Map<String, Value>,
    path: &str,
    mut operations: Map<String, Value>,
    namespaced: bool,
    named: bool,
    style: Style,
) {
    if operations.is_empty() {
        return;
    }
    let mut parameters = Vec::new();
    for (wanted, name) in [(named, "name"), (namespaced, "namespace")] {
        if wanted {
            let mut parameter = json!({"name": name, "in": "path", "required": true, "uniqueItems": true});
            typed(&mut parameter, "string", style);
            parameters.push(parameter);
        }
    }
    operations.insert("parameters".into(), Value::Array(parameters));
    paths.insert(path.to_owned(), Value::Object(operations));
}

fn typed(parameter: &mut Value, kind: &str, style: Style) {
    match style {
        Style::V2 => parameter["type"] = json!(kind),
        Style::V3 => parameter["schema"] = json!({"type": kind, "uniqueItems": true}),
    }
}

/// Query parameters of a verb, with their types.
fn query(verb: &str) -> &'static [(&'static str, &'static str)] {
    match verb {
        "list" | "watch" => &[
            ("allowWatchBookmarks", "boolean"),
            ("continue", "string"),
            ("fieldSelector", "string"),
            ("labelSelector", "string"),
            ("limit", "integer"),
            ("pretty", "string"),
            ("resourceVersion", "string"),
            ("resourceVersionMatch", "string"),
            ("sendInitialEvents", "boolean"),
            ("timeoutSeconds", "integer"),
            ("watch", "boolean"),
        ],
        "create" | "update" => &[
            ("dryRun", "string"),
            ("fieldManager", "string"),
            ("fieldValidation", "string"),
            ("pretty", "string"),
        ],
        "patch" => &[
            ("dryRun", "string"),
            ("fieldManager", "string"),
            ("fieldValidation", "string"),
            ("force", "boolean"),
            ("pretty", "string"),
        ],
        "delete" => &[
            ("dryRun", "string"),
            ("gracePeriodSeconds", "integer"),
            ("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean"),
            ("orphanDependents", "boolean"),
            ("pretty", "string"),
            ("propagationPolicy", "string"),
        ],
        "deletecollection" => &[
            ("continue", "string"),
            ("dryRun", "string"),
            ("fieldSelector", "string"),
            ("gracePeriodSeconds", "integer"),
            ("labelSelector", "string"),
            ("limit", "integer"),
            ("orphanDependents", "boolean"),
            ("pretty", "string"),
            ("propagationPolicy", "string"),
            ("resourceVersion", "string"),
            ("timeoutSeconds", "integer"),
        ],
        _ => &[("pretty", "string")],
    }
}

const JSON: [&str; 3] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const PATCHES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

fn operation(style: Style, r: &Resource, verb: &str, gvk: (&str, &str, &str), kinds: &Kinds) -> Value {
    let action = match verb {
        "create" => "post",
        "update" => "put",
        other => other,
    };
    let mut parameters: Vec<Value> = query(verb)
        .iter()
        .map(|(name, kind)| {
            let mut parameter = json!({"name": name, "in": "query", "uniqueItems": true});
            typed(&mut parameter, kind, style);
            parameter
        })
        .collect();
    let body = match verb {
        "create" | "update" => Some(kinds.own.clone()).filter(|own| !own.is_empty()),
        "patch" => Some(style.reference(&format!("{META}Patch"))),
        "delete" | "deletecollection" => Some(style.reference(&format!("{META}DeleteOptions"))),
        _ => None,
    };
    let answer = match verb {
        "list" => kinds.list.clone(),
        "delete" | "deletecollection" => style.reference(&format!("{META}Status")),
        _ => kinds.own.clone(),
    };
    let consumes: Vec<&str> = match verb {
        // Custom kinds have no merge keys.
        "patch" => PATCHES.iter().copied().filter(|p| !(r.custom && p.contains("strategic"))).collect(),
        _ => vec!["*/*"],
    };
    let mut operation = json!({
        "operationId": format!("{action}{}{}", camel(&r.group_path()), gvk.2),
        "description": format!("{verb} {}", r.plural),
        "tags": [camel(&r.group_path())],
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": {"group": gvk.0, "version": gvk.1, "kind": gvk.2},
    });
    match style {
        Style::V2 => {
            if let Some(body) = body {
                parameters.push(json!({"name": "body", "in": "body", "required": verb != "delete", "schema": {"$ref": body}}));
            }
            operation["consumes"] = json!(consumes);
            operation["produces"] = json!(JSON);
        }
        Style::V3 => {
            if let Some(body) = body {
                let content: Map<String, Value> =
                    consumes.iter().map(|c| ((*c).to_owned(), json!({"schema": {"$ref": body}}))).collect();
                operation["requestBody"] =
                    json!({"content": content, "required": !verb.starts_with("delete")});
            }
        }
    }
    operation["responses"] = responses(style, verb, &answer);
    operation["parameters"] = Value::Array(parameters);
    operation
}

fn responses(style: Style, verb: &str, answer: &str) -> Value {
    let mut ok = json!({"description": "OK"});
    if !answer.is_empty() {
        match style {
            Style::V2 => ok["schema"] = json!({"$ref": answer}),
            Style::V3 => {
                let content: Map<String, Value> =
                    JSON.iter().map(|c| ((*c).to_owned(), json!({"schema": {"$ref": answer}}))).collect();
                ok["content"] = Value::Object(content);
            }
        }
    }
    let mut responses = Map::from_iter([("401".to_owned(), json!({"description": "Unauthorized"}))]);
    if matches!(verb, "create" | "update" | "patch") {
        responses.insert("201".into(), ok.clone());
    }
    responses.insert("200".into(), ok);
    Value::Object(responses)
}

/// A GET without parameters, of discovery documents.
pub(super) fn plain_get(description: &str, kind: Option<&str>) -> Value {
    let answer = kind.map(|kind| Style::V3.reference(&format!("{META}{kind}"))).unwrap_or_default();
    json!({"description": description, "responses": responses(Style::V3, "get", &answer)})
}

fn camel(path: &str) -> String {
    path.split(['/', '.'])
        .map(|word| {
            let mut chars = word.chars();
            chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
        })
        .collect()
}
