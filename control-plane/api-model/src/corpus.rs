//! Reads the corpus notation (written by `cargo xtask corpus`, which documents it).

use crate::model::ModelError;
use crate::resource::{ALL_VERBS, Column, Group, Resource, Subresource, name_column};
use crate::schema::{Field, ListType, Node, NodeId, NodeKind, Scalar, Schema, Types};
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
}

/// Parses the text.
pub(crate) fn parse(text: &str) -> Result<Corpus, ModelError> {
    let (types_text, resources_text) =
        text.split_once("\nresources\n").ok_or_else(|| bad("no line `resources`"))?;
    let mut reader = Reader { types: Types::default(), words: HashMap::new() };
    let (order, gvks) = reader.types(types_text)?;
    reader.types.set_status_apart(true);
    let types = Arc::new(reader.types);
    let (resources, groups) = read_resources(resources_text, &types, &gvks)?;
    Ok(Corpus { types, order, gvks, resources, groups })
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
        if let (NodeKind::Struct { fields, .. }, Some(name)) = (&mut node.kind, &node.name) {
            crate::schema::zero::mark(&self.types, name, fields);
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
        let (mut list, mut merge_key, mut merge) = (ListType::Atomic, None, false);
        let mut listed = false;
        for word in words {
            match word.split_once('=').ok_or_else(|| bad(line))? {
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

fn read_resources(
    text: &str,
    types: &Arc<Types>,
    gvks: &HashMap<NodeId, String>,
) -> Result<(Vec<Resource>, Vec<Group>), ModelError> {
    let by_gvk: HashMap<&str, NodeId> = gvks.iter().map(|(id, gvk)| (gvk.as_str(), *id)).collect();
    let (mut resources, mut groups): (Vec<Resource>, Vec<Group>) = (Vec::new(), Vec::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("group ") {
            let mut words = rest.split(' ').map(str::to_owned);
            let name = words.next().filter(|n| n != "core").unwrap_or_default();
            groups.push(Group { name, versions: words.collect() });
        } else if let Some(rest) = line.strip_prefix('\t') {
            let resource = resources.last_mut().ok_or_else(|| bad(line))?;
            detail(resource, rest)?;
        } else {
            let group = groups.last().ok_or_else(|| bad(line))?;
            let mut resource = resource(line, group)?;
            let gvk = format!("{}/{}/{}", resource.group, resource.version, resource.kind);
            let id = by_gvk.get(gvk.as_str()).ok_or_else(|| bad(format!("no type for {gvk}")))?;
            resource.schema = Arc::new(Schema::new(types.clone(), *id));
            resources.push(resource);
        }
    }
    Ok((resources, groups))
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
            _ => return Err(bad(line)),
        }
    }
    Ok(resource)
}

fn detail(resource: &mut Resource, line: &str) -> Result<(), ModelError> {
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
        "columns" => resource.columns = rest.split(", ").map(column).collect(),
        _ => return Err(bad(line)),
    }
    Ok(())
}

fn column(word: &str) -> Column {
    let name = word.trim_end_matches(['#', '*']);
    let marks = &word[name.len()..];
    let mut column = name_column();
    if name != "Name" {
        column.name = name.to_owned();
        column.format = String::new();
        column.description = String::new();
    }
    if marks.contains('#') {
        column.kind = "integer".to_owned();
    }
    column.priority = i64::from(marks.contains('*'));
    column
}
