//! Merges a configuration over a live object, along the schema.

use super::fields::Step;
use super::walk::{Keys, Shape, Type, field_type, item_step, shape};
use crate::schema::{NodeId, Types};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// `config` over `live`: what the configuration says wins, everything else stays.
pub(super) fn join(types: &Types, ty: Type, live: Option<&Value>, config: &Value) -> Value {
    let Some(live) = live else { return config.clone() };
    if config.is_null() && !matches!(shape(types, ty, live), Shape::Leaf) && !is_empty(live) {
        // To say nothing of what is merged part by part is to leave it.
        return live.clone();
    }
    if std::mem::discriminant(live) != std::mem::discriminant(config) {
        return config.clone();
    }
    match (shape(types, ty, config), live, config) {
        (Shape::Object, Value::Object(live), Value::Object(config)) => {
            let mut merged: Map<String, Value> = live.clone();
            for (key, value) in config {
                let below = join(types, field_type(types, ty, key).0, live.get(key), value);
                merged.insert(key.clone(), below);
            }
            Value::Object(merged)
        }
        (Shape::Items(item, keys), Value::Array(live), Value::Array(config)) => {
            Value::Array(items(types, item, keys, live, config))
        }
        _ => config.clone(),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// The items of both lists: those of the configuration in its order, the others where they stood between them.
fn items(types: &Types, item: NodeId, keys: Keys<'_>, live: &[Value], config: &[Value]) -> Vec<Value> {
    let step = |value: &Value| item_step(types, item, keys, value);
    let live: Vec<(Step, &Value)> = live.iter().map(|v| (step(v), v)).collect();
    let config: Vec<(Step, &Value)> = config.iter().map(|v| (step(v), v)).collect();
    let mut in_live: BTreeMap<&Step, Option<&Value>> = BTreeMap::new();
    for (step, value) in &live {
        // An item that stands twice has no single counterpart to merge with.
        in_live.entry(step).and_modify(|known| *known = None).or_insert(Some(value));
    }
    let in_config: BTreeMap<&Step, &Value> = config.iter().map(|(s, v)| (s, *v)).collect();
    let mut shared = config.iter().map(|(s, _)| s).filter(|s| in_live.contains_key(s)).peekable();
    let merged =
        |step: &Step, value: &Value| join(types, Type::of(item), in_live.get(step).copied().flatten(), value);
    let mut done: BTreeSet<&Step> = BTreeSet::new();
    let mut out = Vec::with_capacity(live.len() + config.len());
    let (mut l, mut r) = (0, 0);
    while l < live.len() || r < config.len() {
        if let (Some((left, _)), Some((right, value))) = (live.get(l), config.get(r)) {
            if left == right {
                out.push(merged(right, value));
                done.insert(right);
                (l, r) = (l + 1, r + 1);
                shared.next();
                continue;
            }
            if in_config.contains_key(left) && shared.peek().is_some_and(|next| *next != left) {
                // In both, but not its turn in the configuration's order.
                l += 1;
                continue;
            }
        }
        if let Some((left, value)) = live.get(l) {
            if !in_config.contains_key(left) {
                out.push((*value).clone());
                l += 1;
                continue;
            }
            if done.contains(left) {
                l += 1;
            }
        }
        if let Some((right, value)) = config.get(r) {
            out.push(merged(right, value));
            done.insert(right);
            r += 1;
            if shared.peek() == Some(&right) {
                shared.next();
            }
        } else if l < live.len() && live.get(l).is_some_and(|(left, _)| in_config.contains_key(left)) {
            l += 1;
        }
    }
    out
}
