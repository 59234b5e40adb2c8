//! A configuration merged over an object without anybody owning its fields, as mutating admission policies do it.
//!
//! What merges as a whole may not be in it: who names some fields of such a value rarely means to remove all others.

use super::check;
use super::join;
use super::walk::{Shape, Type, field_type, shape};
use crate::schema::{NodeKind, Schema, Types};
use serde_json::Value;

/// `configuration` over `object`, which both are of this schema.
///
/// # Errors
/// What is wrong with the configuration, in upstream's words.
pub fn merge_configuration(schema: &Schema, object: &Value, configuration: &Value) -> Result<Value, String> {
    let (types, ty) = (&**schema.types(), Type::of(schema.id()));
    let problems = check::check(types, ty, configuration);
    if !problems.is_empty() {
        let list = super::listed(&problems);
        return Err(format!("failed to convert patch object to typed object: {list}"));
    }
    let mut whole = Vec::new();
    wholes(types, ty, configuration, &mut String::new(), &mut whole);
    if !whole.is_empty() {
        return Err(format!(
            "invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {}",
            whole.join(", ")
        ));
    }
    Ok(join::join(types, ty, Some(object), configuration))
}

/// Paths of lists and maps that merge as a whole; items are told by their index.
fn wholes(types: &Types, ty: Type, value: &Value, path: &mut String, found: &mut Vec<String>) {
    if !value.is_object() && !value.is_array() {
        return;
    }
    if matches!(shape(types, ty, value), Shape::Leaf) {
        found.push(path.clone());
    }
    let mark = path.len();
    match (&types.node(ty.id).kind, value) {
        (_, Value::Object(map)) => {
            for (key, value) in map {
                // Below what has no name in the schema nothing is looked for.
                let (below, true) = field_type(types, ty, key) else { continue };
                path.push('.');
                path.push_str(key);
                wholes(types, below, value, path, found);
                path.truncate(mark);
            }
        }
        (NodeKind::List { item, .. }, Value::Array(items)) => {
            for (index, value) in items.iter().enumerate() {
                path.push_str(&format!("[{index}]"));
                wholes(types, Type::of(*item), value, path, found);
                path.truncate(mark);
            }
        }
        _ => {}
    }
}
