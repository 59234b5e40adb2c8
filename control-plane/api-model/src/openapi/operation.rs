//! One operation: its name, parameters, body and answers.

use super::META;
use super::schemas::Style;
use crate::corpus::Query;
use crate::model::Model;
use crate::resource::Resource;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// What operations of a path speak of; bodies and answers are references, already written out.
pub(super) struct Subject {
    pub own: String,
    pub list: String,
    /// Group, version and kind.
    pub gvk: (String, String, String),
    /// The subresource, or nothing.
    pub part: String,
    /// Below a proxy: the path goes on.
    pub below: bool,
}

/// One operation to be.
#[derive(Clone, Copy)]
pub(super) struct Call {
    /// The verb; `connect`, `watch` and `watchlist` beside those of resources.
    pub verb: &'static str,
    /// The method, in lower case.
    pub method: &'static str,
    /// In all namespaces.
    pub everywhere: bool,
}

pub(super) struct Operations<'a> {
    pub model: &'a Model,
    pub style: Style,
    pub shared: &'a mut Map<String, Value>,
}

/// Kinds whose deletion answers with the object instead of a `Status`.
const RETURNED: [(&str, &str); 16] = [
    ("", "persistentvolumeclaims"),
    ("", "persistentvolumes"),
    ("", "pods"),
    ("", "podtemplates"),
    ("", "resourcequotas"),
    ("", "serviceaccounts"),
    ("", "services"),
    ("resource.k8s.io", "deviceclasses"),
    ("resource.k8s.io", "resourceclaims"),
    ("resource.k8s.io", "resourceclaimtemplates"),
    ("resource.k8s.io", "resourceslices"),
    ("storage.k8s.io", "csidrivers"),
    ("storage.k8s.io", "csinodes"),
    ("storage.k8s.io", "storageclasses"),
    ("storage.k8s.io", "volumeattachments"),
    ("storage.k8s.io", "volumeattributesclasses"),
];

/// Whether a deletion of such an object answers with it instead of a `Status`.
pub fn returns_deleted(group: &str, plural: &str) -> bool {
    RETURNED.contains(&(group, plural))
}

const PATCHES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

impl Operations<'_> {
    /// The operation of a resource.
    pub fn operation(&mut self, r: &Resource, subject: &Subject, call: Call) -> Value {
        let action = match call.verb {
            "create" => "post",
            "update" => "put",
            other => other,
        };
        let (group, version, kind) = &subject.gvk;
        let mut operation = json!({
            "operationId": id(r, subject, call),
            "description": description(subject, call),
            "tags": [tag(&r.group, &r.version)],
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind},
        });
        let usage = call.verb;
        let shown_with_path = call.everywhere || matches!(usage, "connect" | "watch" | "watchlist" | "get");
        let mut parameters: Vec<Value> = Vec::new();
        if !shown_with_path {
            parameters = self.queries(usage);
            // With the path stands what all its operations take.
            parameters.retain(|parameter| !is_named(parameter, "pretty"));
        }
        let body = match usage {
            "create" | "update" => Some((subject.own.clone(), true)),
            "patch" => Some((self.style.reference(&format!("{META}Patch")), true)),
            "delete" | "deletecollection" => {
                Some((self.style.reference(&format!("{META}DeleteOptions")), false))
            }
            _ => None,
        };
        let consumes: Vec<&str> = match usage {
            // Custom kinds have no merge keys.
            "patch" => PATCHES.iter().copied().filter(|p| !(r.custom && p.contains("strategic"))).collect(),
            _ if r.custom => vec!["application/json", "application/yaml"],
            _ => vec!["*/*"],
        };
        let produces = produces(r, usage, &subject.part);
        if let Some((body, required)) = body {
            self.body(&mut operation, &mut parameters, &body, required, &consumes);
        } else if self.style == Style::V2 {
            operation["consumes"] = json!(["*/*"]);
        }
        if self.style == Style::V2 {
            operation["produces"] = json!(produces);
            operation["schemes"] = json!(["https"]);
        }
        operation["responses"] = self.responses(r, subject, usage, &produces);
        if !parameters.is_empty() {
            operation["parameters"] = Value::Array(parameters);
        }
        if matches!(usage, "watch" | "watchlist") {
            operation["deprecated"] = json!(true);
        }
        operation
    }

    fn body(
        &self,
        operation: &mut Value,
        parameters: &mut Vec<Value>,
        body: &str,
        required: bool,
        consumes: &[&str],
    ) {
        match self.style {
            Style::V2 => {
                let mut parameter = json!({"name": "body", "in": "body", "schema": {"$ref": body}});
                if required {
                    parameter["required"] = json!(true);
                }
                parameters.push(parameter);
                operation["consumes"] = json!(consumes);
            }
            Style::V3 => {
                let schema = || json!({"schema": {"$ref": body}});
                let content: Map<String, Value> =
                    consumes.iter().map(|c| ((*c).to_owned(), schema())).collect();
                operation["requestBody"] = json!({"content": content});
                if required {
                    operation["requestBody"]["required"] = json!(true);
                }
            }
        }
    }

    fn responses(&self, r: &Resource, subject: &Subject, verb: &str, produces: &[&str]) -> Value {
        let status = self.style.reference(&format!("{META}Status"));
        let answer = match verb {
            "connect" => String::new(),
            _ if subject.part == "log" => String::new(),
            "list" => subject.list.clone(),
            "watch" | "watchlist" => self.style.reference(&format!("{META}WatchEvent")),
            "delete" if returns_deleted(&r.group, &r.plural) => subject.own.clone(),
            "delete" | "deletecollection" => status,
            _ => subject.own.clone(),
        };
        let schema = if answer.is_empty() { json!({"type": "string"}) } else { json!({"$ref": answer}) };
        let codes: &[(&str, &str)] = match verb {
            "create" => &[("200", "OK"), ("201", "Created"), ("202", "Accepted")],
            "update" | "patch" => &[("200", "OK"), ("201", "Created")],
            "delete" => &[("200", "OK"), ("202", "Accepted")],
            _ => &[("200", "OK")],
        };
        let mut responses = Map::from_iter([("401".to_owned(), json!({"description": "Unauthorized"}))]);
        for (code, description) in codes {
            responses.insert((*code).to_owned(), self.response(description, &schema, produces));
        }
        Value::Object(responses)
    }

    fn response(&self, description: &str, schema: &Value, produces: &[&str]) -> Value {
        match self.style {
            Style::V2 => json!({"description": description, "schema": schema}),
            Style::V3 => {
                let content: Map<String, Value> =
                    produces.iter().map(|c| ((*c).to_owned(), json!({"schema": schema}))).collect();
                json!({"description": description, "content": content})
            }
        }
    }

    /// The query parameters of a verb.
    pub fn queries(&mut self, usage: &str) -> Vec<Value> {
        let model = self.model;
        model.queries(usage).map(|query| self.parameter(query, "query", &query.description)).collect()
    }

    /// The query parameters of a subresource that connects to a node; none of others.
    pub fn connect_queries(&mut self, part: &str) -> Vec<Value> {
        if !matches!(part, "attach" | "exec" | "log" | "portforward" | "proxy") {
            return Vec::new();
        }
        let mut found = self.queries(part);
        // The log's own parameters name this one as well.
        found.retain(|parameter| !is_named(parameter, "pretty"));
        found
    }

    /// A parameter in the path.
    pub fn path_parameter(&mut self, name: &str, kind: &str) -> Value {
        let usage = if name == "path" { "proxy-path" } else { "path" };
        let model = self.model;
        let Some(query) = model.queries(usage).find(|query| query.name == name) else {
            return json!({"name": name, "in": "path", "required": true});
        };
        let about =
            if name == "name" { format!("{} {kind}", query.description) } else { query.description.clone() };
        self.parameter(query, "path", &about)
    }

    fn parameter(&mut self, query: &Query, place: &str, description: &str) -> Value {
        let mut parameter = json!({"name": query.name, "in": place, "description": description});
        if place == "path" {
            parameter["required"] = json!(true);
        }
        match self.style {
            Style::V3 => {
                parameter["schema"] = json!({"type": query.kind, "uniqueItems": true});
                parameter
            }
            Style::V2 => {
                parameter["type"] = json!(query.kind);
                parameter["uniqueItems"] = json!(true);
                if query.name == "name" {
                    return parameter;
                }
                // Shared: as long as it says the same, it has the same name.
                let digest = Sha256::digest(parameter.to_string());
                let name = format!(
                    "{}-{}",
                    query.name,
                    digest.iter().take(4).map(|b| format!("{b:02x}")).collect::<String>()
                );
                let reference = json!({"$ref": format!("#/parameters/{name}")});
                self.shared.insert(name, parameter);
                reference
            }
        }
    }

    /// A GET that says what is served.
    pub fn discovery(&mut self, tag: &str, id: &str, description: &str, answer: &str) -> Value {
        let types = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
        let mut operation = self.get(tag, id, description, &json!({"$ref": answer}), &types);
        if self.style == Style::V2 {
            operation["consumes"] = json!(types);
        }
        operation
    }

    /// A GET of something that is no kind.
    pub fn plain(&mut self, tag: &str, id: &str, description: &str, answer: &Value) -> Value {
        self.get(tag, id, description, answer, &["application/json"])
    }

    fn get(&self, tag: &str, id: &str, description: &str, answer: &Value, types: &[&str]) -> Value {
        let mut operation = json!({
            "tags": [tag], "operationId": id, "description": description,
            "responses": {"200": self.response("OK", answer, types), "401": {"description": "Unauthorized"}},
        });
        if self.style == Style::V2 {
            operation["produces"] = json!(types);
            operation["schemes"] = json!(["https"]);
        }
        operation
    }
}

fn is_named(parameter: &Value, name: &str) -> bool {
    let shared =
        || parameter["$ref"].as_str().is_some_and(|r| r.starts_with(&format!("#/parameters/{name}-")));
    parameter["name"] == name || shared()
}

fn produces(r: &Resource, verb: &str, part: &str) -> Vec<&'static str> {
    const PLAIN: [&str; 3] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
    const STREAMS: [&str; 2] =
        ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];
    match verb {
        "connect" => vec!["*/*"],
        _ if part == "log" => [&["text/plain"], &PLAIN[..]].concat(),
        _ if r.custom => PLAIN[..2].to_vec(),
        "list" | "watch" | "watchlist" => [&PLAIN[..], &STREAMS].concat(),
        _ => PLAIN.to_vec(),
    }
}

/// `read the specified Pod`.
fn description(subject: &Subject, call: Call) -> String {
    let (kind, part) = (&subject.gvk.2, &subject.part);
    let of = if part.is_empty() { String::new() } else { format!("{part} of ") };
    match call.verb {
        "get" => format!("read {of}the specified {kind}"),
        "list" => format!("list or watch objects of kind {kind}"),
        "create" if part.is_empty() => format!("create a {kind}"),
        "create" => format!("create {part} of a {kind}"),
        "update" => format!("replace {of}the specified {kind}"),
        "patch" => format!("partially update {of}the specified {kind}"),
        "delete" => format!("delete a {kind}"),
        "deletecollection" => format!("delete collection of {kind}"),
        "watch" => format!(
            "watch changes to an object of kind {kind}. deprecated: use the 'watch' parameter with a list operation instead, \
             filtered to a single item with the 'fieldSelector' parameter."
        ),
        "watchlist" => format!(
            "watch individual changes to a list of {kind}. deprecated: use the 'watch' parameter with a list operation instead."
        ),
        _ => {
            let kind = kind.trim_end_matches("AttachOptions").trim_end_matches("ExecOptions");
            let kind = kind.trim_end_matches("PortForwardOptions").trim_end_matches("ProxyOptions");
            format!("connect {} requests to {part} of {kind}", call.method.to_uppercase())
        }
    }
}

/// `readCoreV1NamespacedPodStatus`.
fn id(r: &Resource, subject: &Subject, call: Call) -> String {
    let (verb, middle) = match call.verb {
        "get" => ("read", ""),
        "update" => ("replace", ""),
        "deletecollection" => ("delete", "Collection"),
        "watchlist" => ("watch", ""),
        other => (other, ""),
    };
    let method = if call.verb == "connect" { capital(call.method) } else { String::new() };
    let namespaced = if r.namespaced && !call.everywhere { "Namespaced" } else { "" };
    let mut name = format!("{}{}{namespaced}{}{}", method, middle, r.kind, capital(&subject.part));
    if call.verb == "watchlist" {
        name.push_str("List");
    }
    if call.everywhere {
        name.push_str("ForAllNamespaces");
    }
    if subject.below {
        name.push_str("WithPath");
    }
    format!("{verb}{}{}{name}", capital(&group_word(&r.group)), capital(&r.version))
}

/// `core_v1`, `rbacAuthorization_v1`.
pub(super) fn tag(group: &str, version: &str) -> String {
    format!("{}_{version}", group_word(group))
}

/// The group as one word: `core`, `apps`, `rbacAuthorization`, `stableExampleCom`.
pub(super) fn group_word(group: &str) -> String {
    if group.is_empty() {
        return "core".to_owned();
    }
    let mut words = group.strip_suffix(".k8s.io").unwrap_or(group).split(['.', '-']);
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |word, next| word + &capital(next))
}

/// With its first letter upper case.
pub(super) fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
