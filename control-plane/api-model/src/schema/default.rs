//! Fills in documented defaults, in place.

use super::hooks;
use super::types::{NodeId, NodeKind, find};
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
    !matches!(types.node(id).kind, NodeKind::Any | NodeKind::Scalar(_))
}

fn is_zero(value: Option<&Value>) -> bool {
    value.and_then(Value::as_i64) == Some(0)
}
