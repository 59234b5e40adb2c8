//! Which paths a resource has, and which operations each.

use super::META;
use super::operation::{Call, Operations, Subject};
use super::schemas::{Style, custom_name};
use crate::model::Model;
use crate::resource::{Resource, Subresource};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// The paths of a document in the making, and the types they speak of.
pub(super) struct Paths<'a> {
    pub model: &'a Model,
    pub style: Style,
    pub paths: Map<String, Value>,
    /// Names of definitions, without `io.k8s.`.
    pub roots: BTreeSet<String>,
    /// Parameters that operations share; only where the style has such a place.
    pub shared: Map<String, Value>,
}

/// How many a path speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// All of one namespace, or of the cluster.
    Collection,
    /// All of all namespaces.
    Everywhere,
    /// One.
    Item,
}

impl<'a> Paths<'a> {
    pub fn new(model: &'a Model, style: Style) -> Self {
        // Kinds every group and version speaks beside its own.
        const COMMON: [&str; 5] = ["DeleteOptions", "Status", "WatchEvent", "Patch", "APIResourceList"];
        let roots = COMMON.iter().map(|kind| format!("{META}{kind}")).collect();
        Self { model, style, paths: Map::new(), roots, shared: Map::new() }
    }

    /// Adds the paths of a resource and its subresources.
    pub fn resource(&mut self, r: &Resource) {
        let (root, watch) = (format!("/{}", r.group_path()), watch_root(r));
        let namespace = if r.namespaced { "/namespaces/{namespace}" } else { "" };
        let subject = self.subject(r);
        let has = |verb: &str| r.verbs.iter().any(|known| known == verb);
        let collection = format!("{root}{namespace}/{}", r.plural);
        let calls = [("list", "get"), ("create", "post"), ("deletecollection", "delete")];
        self.add(
            r,
            &collection,
            Place::Collection,
            &subject,
            calls.into_iter().filter(|(verb, _)| has(verb)),
        );
        if r.namespaced && has("list") {
            self.add(r, &format!("{root}/{}", r.plural), Place::Everywhere, &subject, [("list", "get")]);
        }
        let calls = [("get", "get"), ("update", "put"), ("patch", "patch"), ("delete", "delete")];
        let item = format!("{collection}/{{name}}");
        self.add(r, &item, Place::Item, &subject, calls.into_iter().filter(|(verb, _)| has(verb)));
        for sub in &r.subresources {
            self.subresource(r, sub, &item);
        }
        if has("watch") && !r.custom {
            let collection = format!("{watch}{namespace}/{}", r.plural);
            self.add(r, &collection, Place::Collection, &subject, [("watchlist", "get")]);
            self.add(r, &format!("{collection}/{{name}}"), Place::Item, &subject, [("watch", "get")]);
            if r.namespaced {
                self.add(
                    r,
                    &format!("{watch}/{}", r.plural),
                    Place::Everywhere,
                    &subject,
                    [("watchlist", "get")],
                );
            }
        }
    }

    fn subresource(&mut self, r: &Resource, sub: &Subresource, item: &str) {
        let gvk = (sub.group.clone(), sub.version.clone(), sub.kind.clone());
        let known = self.model.kind_schema(&sub.group, &sub.version, &sub.kind);
        let own = match known.and_then(|schema| schema.name().map(str::to_owned)) {
            Some(name) => {
                self.roots.insert(name.clone());
                self.style.reference(&name)
            }
            None if sub.kind == r.kind => self.style.reference_full(&custom_name(r)),
            None => String::new(),
        };
        let subject = Subject { list: own.clone(), own, gvk, part: sub.name.clone(), below: false };
        let path = format!("{item}/{}", sub.name);
        if sub.kind.ends_with("Options") {
            // What connects answers to every method that the other side may want.
            const METHODS: [&str; 7] = ["delete", "get", "head", "options", "patch", "post", "put"];
            let all = sub.verbs.iter().any(|verb| verb == "delete");
            let methods = METHODS.into_iter().filter(|method| all || matches!(*method, "get" | "post"));
            let calls: Vec<_> = methods.map(|method| ("connect", method)).collect();
            self.add(r, &path, Place::Item, &subject, calls.clone());
            if sub.name == "proxy" {
                let below = Subject { below: true, ..subject };
                self.add(r, &format!("{path}/{{path}}"), Place::Item, &below, calls);
            }
            return;
        }
        let calls = sub.verbs.iter().map(|verb| match verb.as_str() {
            "create" => ("create", "post"),
            "update" => ("update", "put"),
            "patch" => ("patch", "patch"),
            _ => ("get", "get"),
        });
        self.add(r, &path, Place::Item, &subject, calls.collect::<Vec<_>>());
    }

    fn subject(&mut self, r: &Resource) -> Subject {
        let gvk = (r.group.clone(), r.version.clone(), r.kind.clone());
        let (own, list) = match r.schema.name() {
            Some(name) => {
                let list = format!("{name}List");
                self.roots.insert(name.to_owned());
                let references = (self.style.reference(name), self.style.reference(&list));
                self.roots.insert(list);
                references
            }
            None => {
                let name = custom_name(r);
                (self.style.reference_full(&name), self.style.reference_full(&format!("{name}List")))
            }
        };
        Subject { own, list, gvk, part: String::new(), below: false }
    }

    fn add(
        &mut self,
        r: &Resource,
        path: &str,
        place: Place,
        subject: &Subject,
        calls: impl IntoIterator<Item = (&'static str, &'static str)>,
    ) {
        let mut item = Map::new();
        let mut operations = Operations { model: self.model, style: self.style, shared: &mut self.shared };
        let everywhere = place == Place::Everywhere;
        for (verb, method) in calls {
            let call = Call { verb, method, everywhere };
            item.insert(method.to_owned(), operations.operation(r, subject, call));
        }
        if item.is_empty() {
            return;
        }
        let mut parameters = Vec::new();
        // What all operations of a path take stands with the path.
        if everywhere || path.starts_with(&format!("{}/", watch_root(r))) {
            parameters.extend(operations.queries("list"));
        } else if !item.values().any(|operation| operation["x-kubernetes-action"] == "connect") {
            parameters.extend(operations.queries("get"));
        }
        for (wanted, name) in [(place == Place::Item, "name"), (r.namespaced && !everywhere, "namespace")] {
            if wanted {
                parameters.push(operations.path_parameter(name, &subject.gvk.2));
            }
        }
        if subject.below {
            parameters.push(operations.path_parameter("path", ""));
        }
        if !subject.part.is_empty() {
            parameters.extend(operations.connect_queries(&subject.part));
        }
        parameters.sort_by(|a, b| order(a).cmp(order(b)));
        item.insert("parameters".into(), Value::Array(parameters));
        self.paths.insert(path.to_owned(), Value::Object(item));
    }

    /// Adds a path that says what is served.
    pub fn discovery(&mut self, path: &str, tag: &str, id: &str, description: &str, kind: &str) {
        self.roots.insert(format!("{META}{kind}"));
        let mut operations = Operations { model: self.model, style: self.style, shared: &mut self.shared };
        let get = operations.discovery(tag, id, description, &self.style.reference(&format!("{META}{kind}")));
        self.paths.insert(path.to_owned(), json!({"get": get}));
    }

    /// Adds a path that answers with text or JSON of no kind of the API's.
    pub fn plain(&mut self, path: &str, tag: &str, id: &str, description: &str, answer: &Value) {
        let mut operations = Operations { model: self.model, style: self.style, shared: &mut self.shared };
        self.paths.insert(path.to_owned(), json!({"get": operations.plain(tag, id, description, answer)}));
    }
}

fn watch_root(r: &Resource) -> String {
    let (first, rest) = if r.group.is_empty() {
        ("api", r.version.clone())
    } else {
        ("apis", format!("{}/{}", r.group, r.version))
    };
    format!("/{first}/{}/watch", rest)
}

fn order(parameter: &Value) -> &str {
    parameter["name"].as_str().or_else(|| parameter["$ref"].as_str()?.rsplit('/').next()).unwrap_or_default()
}
