//! Reads the corpus notation (written by `cargo xtask corpus`, which documents it).

use crate::model::ModelError;
use crate::resource::{ALL_VERBS, Column, Group, Resource, Subresource};
use crate::schema::{Field, ListType, Node, NodeId, NodeKind, Scalar, Schema, Shape, Types};
use std::collections::HashMap;
use std::sync::Arc;

/// What a corpus holds.
pub(crate) struct Corpus {
    pub types: Arc<Types>,
    /// Names of the types in the file's order, with their field names, to find the prose.
    pub order: Vec<(NodeId, Vec<Arc<str>>)>,
    pub gvks: HashMap<NodeId, String>,
    pub resources: Vec<Resource>,
    pub groups: Vec<Group>,
    pub queries: Vec<Query>,
    /// What columns that most kinds have say, by their name.
    pub usual: Usual,
}

/// A query parameter, as OpenAPI shows it.
pub(crate) struct Query {
    /// The verb it goes with, or the subresource.
    pub usage: String,
    pub name: String,
    pub kind: String,
    pub description: String,
}

/// Parses the text.
pub(crate) fn parse(text: &str) -> Result<Corpus, ModelError> {
    let (types_text, resources_text) =
        text.split_once("\nresources\n").ok_or_else(|| bad("no line `resources`"))?;
    let mut reader = Reader { types: Types::default(), words: HashMap::new() };
    let (order, gvks) = reader.types(types_text)?;
    reader.types.set_status_apart(true);
    let types = Arc::new(reader.types);
    let mut corpus = Corpus {
        types,
        order,
        gvks,
        resources: Vec::new(),
        groups: Vec::new(),
        queries: Vec::new(),
        usual: Usual::new(),
    };
    corpus.read_resources(resources_text)?;
    Ok(corpus)
}

fn bad(what: impl Into<String>) -> ModelError {
    ModelError::Corpus(what.into())
}

struct Reader {
    types: Types,
    words: HashMap<String, NodeId>,
}

type Order = Vec<(NodeId, Vec<Arc<str>>)>;

impl Reader {
    fn types(&mut self, text: &str) -> Result<(Order, HashMap<NodeId, String>), ModelError> {
        // Names first, so that references can point forward.
        let mut gvks = HashMap::new();
        for line in text.lines() {
            let Some(rest) = line.strip_prefix("type ") else { continue };
            let mut words = rest.split(' ');
            let name: Arc<str> = words.next().unwrap_or_default().into();
            let mut node = Node::of(NodeKind::Any);
            node.name = Some(name);
            let id = self.types.add(node);
            for word in words {
                if let Some(gvk) = word.strip_prefix("gvk=") {
                    gvks.insert(id, gvk.to_owned());
                }
            }
        }
        let mut order = Order::new();
        let mut open: Option<(NodeId, bool, Vec<Field>)> = None;
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("type ") {
                self.close(open.take(), &mut order);
                let name = rest.split(' ').next().unwrap_or_default();
                let id = self.types.named(name).ok_or_else(|| bad(line))?;
                if let Some((_, simple)) = rest.split_once(" = ") {
                    let kind = self.simple(simple).ok_or_else(|| bad(line))?;
                    self.types.set(id, Node { name: Some(name.into()), ..Node::of(kind) });
                    order.push((id, Vec::new()));
                } else {
                    open = Some((id, rest.contains(" map=atomic"), Vec::new()));
                }
            } else if let Some(rest) = line.strip_prefix('\t') {
                let field = self.field(rest)?;
                open.as_mut().ok_or_else(|| bad(line))?.2.push(field);
            }
        }
        self.close(open, &mut order);
        for (id, _) in &order {
            self.mark(*id);
        }
        Ok((order, gvks))
    }

    /// Says of each field what stands for it when it is not there; all types are known by now.
    fn mark(&mut self, id: NodeId) {
        let mut node = self.types.node(id).clone();
        if let NodeKind::Struct { fields, .. } = &mut node.kind {
            crate::schema::zero::mark(&self.types, fields);
            self.types.set(id, node);
        }
    }

    fn close(&mut self, open: Option<(NodeId, bool, Vec<Field>)>, order: &mut Order) {
        let Some((id, atomic, mut fields)) = open else { return };
        order.push((id, fields.iter().map(|f| f.name.clone()).collect()));
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        let name = self.types.node(id).name.clone();
        // A struct without fields upstream is an empty struct, except where it stands for any object.
        let kind = NodeKind::Struct { fields, preserve: false, rest: None, embedded: false };
        self.types.set(id, Node { name, kind, atomic, constraints: None });
    }

    fn simple(&self, word: &str) -> Option<NodeKind> {
        Some(match word {
            "any" => NodeKind::Any,
            "object" | "fields" => {
                NodeKind::Struct { fields: Vec::new(), preserve: true, rest: None, embedded: false }
            }
            "string" => NodeKind::Scalar(Scalar::String),
            "bool" => NodeKind::Scalar(Scalar::Bool),
            "int32" => NodeKind::Scalar(Scalar::Int32),
            "int64" => NodeKind::Scalar(Scalar::Int64),
            "double" => NodeKind::Scalar(Scalar::Double),
            "byte" => NodeKind::Scalar(Scalar::Byte),
            "time" => NodeKind::Scalar(Scalar::Time),
            "microtime" => NodeKind::Scalar(Scalar::MicroTime),
            "quantity" => NodeKind::Scalar(Scalar::Quantity),
            "intstr" => NodeKind::Scalar(Scalar::IntOrString),
            _ => return None,
        })
    }

    /// The node of a type expression; plain ones are shared.
    fn node(&mut self, word: &str) -> Result<NodeId, ModelError> {
        if let Some(name) = word.strip_prefix('@') {
            return self.types.named(name).ok_or_else(|| bad(format!("no type {name}")));
        }
        if let Some(id) = self.words.get(word) {
            return Ok(*id);
        }
        let kind = if let Some(item) = word.strip_prefix("{}") {
            NodeKind::Map(self.node(item)?)
        } else if let Some(item) = word.strip_prefix("[]") {
            NodeKind::List { item: self.node(item)?, list: ListType::Atomic, merge_key: None, merge: false }
        } else {
            self.simple(word).ok_or_else(|| bad(format!("no type {word}")))?
        };
        let id = self.types.add(Node::of(kind));
        self.words.insert(word.to_owned(), id);
        Ok(id)
    }

    fn field(&mut self, line: &str) -> Result<Field, ModelError> {
        let (rest, default) = match line.find(" default=").or_else(|| line.find(" default:=")) {
            Some(at) => (&line[..at], Some(&line[at + " default".len()..])),
            None => (line, None),
        };
        let mut words = rest.split(' ');
        let name = words.next().unwrap_or_default();
        let kind = words.next().ok_or_else(|| bad(line))?;
        let mut field = Field::new(name.trim_end_matches('!'), self.node(kind)?);
        field.required = name.ends_with('!');
        field.shape = if field.required { Shape::Value } else { Shape::Suggested };
        let (mut list, mut merge_key, mut merge) = (ListType::Atomic, None, false);
        let mut listed = false;
        for word in words {
            match word.split_once('=').ok_or_else(|| bad(line))? {
                ("go", shape) => {
                    field.shape = Shape::read(shape).ok_or_else(|| bad(line))?;
                    continue;
                }
                ("list", "set") => list = ListType::Set,
                ("list", "atomic") => {}
                ("list", keys) => {
                    let keys = keys.strip_prefix("map:").ok_or_else(|| bad(line))?;
                    list = ListType::Map(keys.split(',').map(Arc::from).collect());
                }
                ("map", "atomic") => field.atomic = true,
                ("map", "granular") => {}
                ("merge", key) => merge_key = Some(Arc::from(key)),
                ("patch", strategies) => {
                    for strategy in strategies.split(',') {
                        match strategy {
                            "merge" => merge = true,
                            "retainKeys" => field.retain_keys = true,
                            "replace" => field.replace = true,
                            _ => return Err(bad(line)),
                        }
                    }
                }
                _ => return Err(bad(line)),
            }
            listed = true;
        }
        if listed && let NodeKind::List { item, .. } = self.types.node(field.node).kind {
            field.node = self.types.add(Node::of(NodeKind::List { item, list, merge_key, merge }));
        }
        if let Some(default) = default {
            field.default_zero = default.starts_with(':');
            let json = default.trim_start_matches(':').trim_start_matches('=');
            field.default = Some(serde_json::from_str(json).map_err(|_| bad(line))?);
        }
        Ok(field)
    }
}

impl Corpus {
    fn read_resources(&mut self, text: &str) -> Result<(), ModelError> {
        let by_gvk: HashMap<&str, NodeId> = self.gvks.iter().map(|(id, gvk)| (gvk.as_str(), *id)).collect();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("query ") {
                self.queries.push(query(rest).ok_or_else(|| bad(line))?);
            } else if let Some((word, about)) =
                line.strip_prefix("about ").and_then(|rest| rest.split_once(" \""))
            {
                self.usual.insert(word.to_owned(), json_text(about).ok_or_else(|| bad(line))?.into());
            } else if let Some(rest) = line.strip_prefix("group ") {
                let mut words = rest.split(' ').map(str::to_owned);
                let name = words.next().filter(|n| n != "core").unwrap_or_default();
                self.groups.push(Group { name, versions: words.collect() });
            } else if let Some(rest) = line.strip_prefix('\t') {
                let resource = self.resources.last_mut().ok_or_else(|| bad(line))?;
                detail(resource, rest, &self.usual)?;
            } else {
                let group = self.groups.last().ok_or_else(|| bad(line))?;
                let mut resource = resource(line, group)?;
                let gvk = format!("{}/{}/{}", resource.group, resource.version, resource.kind);
                let id = by_gvk.get(gvk.as_str()).ok_or_else(|| bad(format!("no type for {gvk}")))?;
                resource.schema = Arc::new(Schema::new(self.types.clone(), *id));
                self.resources.push(resource);
            }
        }
        Ok(())
    }
}

/// Descriptions by a column's name.
type Usual = HashMap<String, Arc<str>>;

/// A JSON text without its first quote.
fn json_text(rest: &str) -> Option<String> {
    serde_json::from_str(&format!("\"{rest}")).ok()
}

fn query(line: &str) -> Option<Query> {
    let (head, about) = line.split_once(" \"")?;
    let words: Vec<&str> = head.split(' ').collect();
    let [usage, name, kind] = words[..] else { return None };
    let (usage, name, kind) = (usage.to_owned(), name.to_owned(), kind.to_owned());
    Some(Query { usage, name, kind, description: json_text(about)? })
}

fn verbs(letters: &str) -> Vec<String> {
    let mut verbs: Vec<String> = letters
        .chars()
        .filter_map(|letter| {
            let verb = match letter {
                'c' => "create",
                'd' => "delete",
                'D' => "deletecollection",
                'g' => "get",
                'l' => "list",
                'p' => "patch",
                'u' => "update",
                'w' => "watch",
                _ => return None,
            };
            Some(verb.to_owned())
        })
        .collect();
    verbs.sort();
    verbs
}

fn resource(line: &str, group: &Group) -> Result<Resource, ModelError> {
    let mut words = line.split(' ');
    let (Some(plural), Some(kind)) = (words.next(), words.next()) else { return Err(bad(line)) };
    let mut resource = Resource {
        group: group.name.clone(),
        version: group.versions.first().cloned().unwrap_or_default(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
        singular: kind.to_lowercase(),
        short_names: Vec::new(),
        categories: Vec::new(),
        namespaced: false,
        verbs: ALL_VERBS.iter().map(|v| (*v).to_owned()).collect(),
        subresources: Vec::new(),
        schema: Schema::any(),
        columns: Vec::new(),
        field_labels: vec!["metadata.name".into(), "metadata.namespace".into()],
        custom: false,
        storage_version: String::new(),
    };
    let list = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
    for word in words {
        match word.split_once('=') {
            None if word == "ns" => resource.namespaced = true,
            None if word.starts_with('@') => resource.version = word[1..].to_owned(),
            Some(("short", names)) => resource.short_names = list(names),
            Some(("cat", names)) => resource.categories = list(names),
            Some(("singular", name)) => resource.singular = name.to_owned(),
            Some(("verbs", letters)) => resource.verbs = verbs(letters),
            Some(("storage", version)) => resource.storage_version = version.to_owned(),
            _ => return Err(bad(line)),
        }
    }
    if resource.storage_version.is_empty() {
        resource.storage_version.clone_from(&resource.version);
    }
    Ok(resource)
}

fn detail(resource: &mut Resource, line: &str, usual: &Usual) -> Result<(), ModelError> {
    let (word, rest) = line.split_once(' ').ok_or_else(|| bad(line))?;
    match word {
        "sub" => {
            let words: Vec<&str> = rest.split(' ').collect();
            let [name, kind, letters] = words[..] else { return Err(bad(line)) };
            let parts: Vec<&str> = kind.split('/').collect();
            let (group, version, kind) = match parts[..] {
                [kind] => (resource.group.as_str(), resource.version.as_str(), kind),
                [group, version, kind] => (group, version, kind),
                _ => return Err(bad(line)),
            };
            let (group, version) = (group.to_owned(), version.to_owned());
            resource.subresources.push(Subresource {
                name: name.into(),
                group,
                version,
                kind: kind.into(),
                verbs: verbs(letters),
            });
        }
        "fields" => resource.field_labels.extend(rest.split(", ").map(str::to_owned)),
        "col" => resource.columns.push(column(rest, usual).ok_or_else(|| bad(line))?),
        _ => return Err(bad(line)),
    }
    Ok(())
}

/// `<name>[*] [<type>[:<format>] "<description>"]`.
fn column(line: &str, usual: &Usual) -> Option<Column> {
    let (name, kind, description) = match line.split_once(" \"") {
        Some((head, about)) => {
            let (name, kind) = head.rsplit_once(' ')?;
            (name, kind, json_text(about)?.into())
        }
        None => {
            let kind = match line.trim_end_matches('*') {
                "Name" => "string:name",
                "Created At" => "date",
                _ => "string",
            };
            (line, kind, usual.get(line.trim_end_matches('*'))?.clone())
        }
    };
    let (kind, format) = kind.split_once(':').unwrap_or((kind, ""));
    Some(Column {
        name: name.trim_end_matches('*').to_owned(),
        kind: kind.to_owned(),
        format: format.to_owned(),
        description,
        priority: i64::from(name.ends_with('*')),
        json_path: String::new(),
    })
}
