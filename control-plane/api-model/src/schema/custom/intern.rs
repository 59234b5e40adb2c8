//! Nodes of a custom kind while they are made: those that are alike are kept once, and so are names.
//!
//! Definitions repeat themselves: each container of a pod has the same fields, each probe the same ways to ask. A kind with whole
//! pods in it shrinks to a fraction by this.

use super::super::types::{Field, Node, NodeId, NodeKind, Scalar};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;

/// What a schema says that makes no difference to its values, or is told by the node itself.
const ELSEWHERE: [&str; 9] = [
    "additionalProperties",
    "default",
    "description",
    "example",
    "externalDocs",
    "items",
    "properties",
    "title",
    "x-kubernetes-validations",
];

/// Nodes, each once. The first is kept free for the root.
pub(super) struct Interned {
    offset: NodeId,
    nodes: Vec<Node>,
    known: HashMap<String, NodeId>,
    names: HashSet<Arc<str>>,
}

impl Interned {
    /// None yet; the first will have this number.
    pub fn from(offset: NodeId) -> Self {
        let root = Node::of(NodeKind::Any);
        Self { offset, nodes: vec![root], known: HashMap::new(), names: HashSet::new() }
    }

    /// The number of the node of a schema.
    pub fn add(&mut self, schema: &Value, node: Node) -> NodeId {
        let key = key(schema, &node.kind);
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let id = self.offset + NodeId::try_from(self.nodes.len()).unwrap_or(NodeId::MAX);
        self.nodes.push(node);
        self.known.insert(key, id);
        id
    }

    /// The number of a node without limits.
    pub fn plain(&mut self, kind: NodeKind) -> NodeId {
        let said = match kind {
            NodeKind::Scalar(Scalar::String) => serde_json::json!({"type": "string"}),
            _ => Value::Null,
        };
        self.add(&said, Node::of(kind))
    }

    /// An optional field.
    pub fn field(&mut self, name: &str, node: NodeId) -> Field {
        let shared = match self.names.get(name) {
            Some(known) => known.clone(),
            None => {
                let made: Arc<str> = name.into();
                self.names.insert(made.clone());
                made
            }
        };
        Field::named(shared, node)
    }

    /// All nodes, with the root in its place.
    pub fn finish(mut self, root: Node) -> Vec<Node> {
        if let Some(first) = self.nodes.first_mut() {
            *first = root;
        }
        self.nodes.shrink_to_fit();
        self.nodes
    }
}

/// What tells nodes apart: what the schema says itself, and what the node made of it has below.
fn key(schema: &Value, kind: &NodeKind) -> String {
    let mut key = String::new();
    for (name, value) in schema.as_object().into_iter().flatten() {
        if !ELSEWHERE.contains(&name.as_str()) {
            // Writing to a text does not fail.
            let _ = write!(key, "{name}={value};");
        }
    }
    let _ = match kind {
        NodeKind::Any => write!(key, "any"),
        NodeKind::Scalar(scalar) => write!(key, "{scalar:?}"),
        NodeKind::Map(value) => write!(key, "map {value}"),
        NodeKind::List { item, list, .. } => write!(key, "list {item} {list:?}"),
        NodeKind::Struct { fields, preserve, rest, embedded } => {
            for field in fields {
                let default = field.default.as_ref().map(Value::to_string).unwrap_or_default();
                let _ = write!(
                    key,
                    "{:?} {} {} {} {default};",
                    field.name, field.node, field.required, field.nullable
                );
            }
            write!(key, "struct {preserve} {rest:?} {embedded}")
        }
    };
    key
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{compile, compile_later};

    #[test]
    fn what_is_alike_is_kept_once_and_what_is_not_apart() {
        let probe = json!({"type": "object", "description": "one", "properties": {"port": {"type": "integer", "default": 80}, "path": {"type": "string"}}});
        let mut other = probe.clone();
        other["description"] = json!("other");
        let mut apart = probe.clone();
        apart["properties"]["port"]["default"] = json!(81);
        let mut limited = probe.clone();
        limited["properties"]["path"]["maxLength"] = json!(1);
        let schema =
            json!({"type": "object", "properties": {"a": probe, "b": other, "c": apart, "d": limited}});
        let model = crate::Model::load("1.35").unwrap();
        let made = compile(model.types().clone(), Some(&schema), true);
        let of = |name: &str| made.types().step(made.id(), name).unwrap();
        assert_eq!(of("a"), of("b"));
        assert!(of("a") != of("c") && of("a") != of("d"));
        let mut object = json!({"a": {}, "c": {}, "d": {"path": "xy"}});
        made.default(&mut object);
        assert_eq!(object, json!({"a": {"port": 80}, "c": {"port": 81}, "d": {"path": "xy", "port": 80}}));
        assert_eq!(made.validate(&object).len(), 1);
    }

    #[test]
    fn nothing_is_made_before_it_is_needed() {
        let model = crate::Model::load("1.35").unwrap();
        let made = compile_later(model.types().clone(), false, || {
            Some(json!({"type": "object", "properties": {"spec": {"type": "string"}}}))
        });
        assert!(!made.types().is_made());
        let mut object = json!({"spec": "x", "other": 1});
        made.prune(&mut object);
        assert_eq!(object, json!({"spec": "x"}));
        assert!(made.types().is_made());
    }
}
