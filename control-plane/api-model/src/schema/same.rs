//! Which item of an old list is the same as an item of the new one: only lists that are maps can tell.

use super::types::ListType;
use serde_json::Value;
use std::collections::HashMap;

/// The items of the old list by what tells them apart.
pub struct Same<'o> {
    keys: Vec<String>,
    items: HashMap<String, &'o Value>,
}

impl<'o> Same<'o> {
    /// Of a list of this type.
    pub fn of(list: &ListType, old: Option<&'o Value>) -> Self {
        match list {
            ListType::Map(keys) => Self::by_keys(keys.iter().map(ToString::to_string).collect(), old),
            ListType::Atomic | ListType::Set => Self { keys: Vec::new(), items: HashMap::new() },
        }
    }

    /// Of a list whose items these fields tell apart.
    pub fn by_keys(keys: Vec<String>, old: Option<&'o Value>) -> Self {
        let old = old.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let items = old.iter().map(|item| (key(&keys, item), item)).collect();
        Self { keys, items }
    }

    /// The old one of a new item.
    pub fn find(&self, item: &Value) -> Option<&'o Value> {
        if self.items.is_empty() { None } else { self.items.get(&key(&self.keys, item)).copied() }
    }
}

fn key(keys: &[String], item: &Value) -> String {
    let mut text = String::new();
    for key in keys {
        text.push_str(&item.get(key).map(Value::to_string).unwrap_or_default());
        text.push('\0');
    }
    text
}
