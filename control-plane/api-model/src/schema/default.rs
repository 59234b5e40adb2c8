//! Fills in documented defaults, in place.

use super::hooks;
use super::types::{Node, NodeId, NodeKind, find};
use super::value::is_unset;
use super::{Schema, Types};
use serde_json::Value;

impl Schema {
    /// Fills in what is absent and has a default: first conditional rules of the type, then fixed values, then below. Running it
    /// twice changes nothing more.
    pub fn default(&self, object: &mut Value) {
        node(self.types(), self.id(), object);
    }
}

fn node(types: &Types, id: NodeId, value: &mut Value) {
    let this = types.node(id);
    match (&this.kind, value) {
        (NodeKind::Struct { fields, rest, .. }, Value::Object(map)) => {
            if let Some(name) = this.name.as_deref() {
                hooks::before(name, map);
            }
            let withheld = this.name.as_deref().map_or("", |name| hooks::withheld(name, map));
            for field in fields {
                let Some(default) = field.default.as_ref().filter(|_| &*field.name != withheld) else {
                    continue;
                };
                let present = map.get(&*field.name);
                // An empty text is no text in built-in kinds only; custom kinds tell it, and a declared null, from absence.
                let unset = match (&this.name, present) {
                    (_, None) => true,
                    (None, Some(value)) => value.is_null() && !field.nullable,
                    (Some(_), present) => is_unset(present),
                };
                if (unset && present != Some(default)) || (field.default_zero && is_zero(present)) {
                    map.insert(field.name.to_string(), default.clone());
                }
            }
            for (key, value) in map.iter_mut() {
                if let Some(field) = find(fields, key) {
                    if needs_descent(types, field.node) {
                        node(types, field.node, value);
                    }
                } else if let Some(rest) = rest {
                    node(types, *rest, value);
                }
            }
            if let Some(name) = this.name.as_deref() {
                hooks::after(name, map);
            }
        }
        (NodeKind::Map(item), Value::Object(map)) if needs_descent(types, *item) => {
            map.values_mut().for_each(|value| node(types, *item, value));
        }
        (NodeKind::List { item, .. }, Value::Array(items)) if needs_descent(types, *item) => {
            items.iter_mut().for_each(|value| node(types, *item, value));
        }
        _ => {}
    }
}

fn needs_descent(types: &Types, id: NodeId) -> bool {
    !matches!(types.node(id).kind, NodeKind::Any | NodeKind::Scalar(_)) && types.has_defaults(id)
}

/// Of each of these nodes, whether it has defaults: by its fields, by rules of its type, or in what is below it. Nodes of a table without
/// a base, so the place of each is its number.
pub(super) fn defaulted(nodes: &[Node]) -> Box<[bool]> {
    let own = |node: &Node| match &node.kind {
        NodeKind::Struct { fields, .. } => {
            node.name.as_deref().is_some_and(hooks::has_rules)
                || fields.iter().any(|field| field.default.is_some() || field.default_zero)
        }
        _ => false,
    };
    let mut known: Box<[bool]> = nodes.iter().map(own).collect();
    // Types hold themselves, so this goes on until nothing more is found.
    loop {
        let is = |id: &NodeId| known.get(*id as usize).copied().unwrap_or(true);
        let found = |(at, node): (usize, &Node)| {
            let below = match &node.kind {
                NodeKind::Struct { fields, rest, .. } => {
                    fields.iter().any(|field| is(&field.node)) || rest.as_ref().is_some_and(is)
                }
                NodeKind::Map(item) | NodeKind::List { item, .. } => is(item),
                NodeKind::Any | NodeKind::Scalar(_) => false,
            };
            (below && known.get(at) == Some(&false)).then_some(at)
        };
        let more: Vec<usize> = nodes.iter().enumerate().filter_map(found).collect();
        if more.is_empty() {
            return known;
        }
        for at in more {
            if let Some(slot) = known.get_mut(at) {
                *slot = true;
            }
        }
    }
}

fn is_zero(value: Option<&Value>) -> bool {
    value.and_then(Value::as_i64) == Some(0)
}
