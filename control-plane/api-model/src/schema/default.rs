//! Fills in documented defaults, in place.

use super::hooks::{self, Place};
use super::types::{NodeId, NodeKind, find};
use super::value::is_unset;
use super::{Schema, Types};
use serde_json::Value;

impl Schema {
    /// Fills in what is absent and has a default: first conditional rules of the type, then fixed values, then below. Running it
    /// twice changes nothing more.
    pub fn default(&self, object: &mut Value) {
        node(self.types(), self.id(), object, Place::default());
    }
}

fn node(types: &Types, id: NodeId, value: &mut Value, place: Place) {
    let this = types.node(id);
    match (&this.kind, value) {
        (NodeKind::Struct { fields, rest, .. }, Value::Object(map)) => {
            let place = place.into_type(this.name.as_deref());
            if let Some(name) = this.name.as_deref() {
                hooks::before(name, map, place);
            }
            for field in fields {
                let Some(default) = &field.default else { continue };
                let present = map.get(&*field.name);
                let unset = if field.nullable && present.is_some() { false } else { is_unset(present) };
                if (unset && present != Some(default)) || (field.default_zero && is_zero(present)) {
                    if place.in_status && place.custom_free() {
                        continue;
                    }
                    map.insert(field.name.to_string(), default.clone());
                }
            }
            for (key, value) in map.iter_mut() {
                if let Some(field) = find(fields, key) {
                    if needs_descent(types, field.node) {
                        node(types, field.node, value, place.into_field(key));
                    }
                } else if let Some(rest) = rest {
                    node(types, *rest, value, place.into_field(key));
                }
            }
            if let Some(name) = this.name.as_deref() {
                hooks::after(name, map, place);
            }
        }
        (NodeKind::Map(item), Value::Object(map)) if needs_descent(types, *item) => {
            map.values_mut().for_each(|value| node(types, *item, value, place));
        }
        (NodeKind::List { item, .. }, Value::Array(items)) if needs_descent(types, *item) => {
            items.iter_mut().for_each(|value| node(types, *item, value, place));
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
