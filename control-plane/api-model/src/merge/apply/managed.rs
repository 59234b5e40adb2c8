//! `metadata.managedFields`: read, kept bounded, written.

use super::fields::Set;
use serde_json::{Map, Value};
use std::collections::HashMap;

/// How a manager wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Apply,
    Update,
}

/// One manager's entry.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub manager: String,
    pub operation: Operation,
    pub api_version: String,
    pub subresource: String,
    /// RFC 3339, seconds.
    pub time: Option<String>,
    pub set: Set,
}

impl Entry {
    /// Whether both are the same writer: appliers whatever version they speak.
    pub fn same_writer(&self, other: &Entry) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    /// As upstream prints an owner.
    pub fn shown(&self) -> String {
        let mut text = format!("{:?}", self.manager);
        if !self.subresource.is_empty() {
            text.push_str(&format!(" with subresource {:?}", self.subresource));
        }
        if self.operation == Operation::Update {
            text.push_str(&format!(" using {}", self.api_version));
        }
        text
    }

    /// What upstream tells writers apart by, and sorts owners by: the entry's JSON without fields and time.
    pub fn identifier(&self) -> String {
        let mut parts = Vec::with_capacity(4);
        let mut part = |key: &str, value: &str| {
            if !value.is_empty() {
                parts.push(format!("{key:?}:{}", Value::from(value)));
            }
        };
        part("manager", &self.manager);
        part("operation", if self.operation == Operation::Apply { "Apply" } else { "Update" });
        if self.operation == Operation::Update {
            part("apiVersion", &self.api_version);
        }
        part("subresource", &self.subresource);
        format!("{{{}}}", parts.join(","))
    }
}

/// At most this many updaters are told apart; the oldest others become one per version.
const MAX_UPDATERS: usize = 10;
const ANCIENT: &str = "ancient-changes";

/// Reads entries; `None` when any of them is not understood.
pub(super) fn decode(list: &Value) -> Option<Vec<Entry>> {
    list.as_array()?
        .iter()
        .map(|entry| {
            let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            let operation = match entry.get("operation").and_then(Value::as_str) {
                Some("Apply") => Operation::Apply,
                Some("Update") => Operation::Update,
                _ => return None,
            };
            let api_version = text("apiVersion");
            if api_version.is_empty() || entry.get("fieldsType").and_then(Value::as_str) != Some("FieldsV1") {
                return None;
            }
            Some(Entry {
                manager: text("manager"),
                operation,
                api_version,
                subresource: text("subresource"),
                time: entry.get("time").and_then(Value::as_str).map(str::to_owned),
                set: match entry.get("fieldsV1") {
                    Some(fields) => Set::decode(fields)?,
                    None => Set::default(),
                },
            })
        })
        .collect()
}

/// Entries of an object, none when there are none or they are damaged.
pub(super) fn of_object(object: Option<&Value>) -> Vec<Entry> {
    object.and_then(|o| o.pointer("/metadata/managedFields")).and_then(decode).unwrap_or_default()
}

/// Writes entries into the object, sorted as upstream sorts; none removes the list.
pub(super) fn write(object: &mut Value, mut entries: Vec<Entry>) {
    entries.retain(|e| !e.set.is_empty());
    entries.sort_by(|a, b| {
        let key = |e: &Entry| {
            (e.operation, e.time.clone(), e.manager.clone(), e.api_version.clone(), e.subresource.clone())
        };
        key(a).cmp(&key(b))
    });
    let Some(object) = object.as_object_mut() else { return };
    if entries.is_empty() {
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
        return;
    }
    let list = Value::Array(entries.iter().map(encode).collect());
    if let Value::Object(metadata) = object.entry("metadata").or_insert_with(|| Value::Object(Map::new())) {
        metadata.insert("managedFields".to_owned(), list);
    }
}

pub(super) fn encode(entry: &Entry) -> Value {
    let mut map = Map::new();
    let mut put = |key: &str, value: &str| {
        if !value.is_empty() {
            map.insert(key.to_owned(), Value::from(value));
        }
    };
    put("manager", &entry.manager);
    put("operation", if entry.operation == Operation::Apply { "Apply" } else { "Update" });
    put("apiVersion", &entry.api_version);
    put("time", entry.time.as_deref().unwrap_or_default());
    put("fieldsType", "FieldsV1");
    put("subresource", &entry.subresource);
    map.insert("fieldsV1".to_owned(), entry.set.encode());
    Value::Object(map)
}

/// Merges the oldest updaters of a version into one entry, until there are few enough.
pub(super) fn bound(entries: &mut Vec<Entry>) {
    let mut count = entries.iter().filter(|e| e.operation == Operation::Update).count();
    if count <= MAX_UPDATERS {
        return;
    }
    let (mut updaters, mut kept): (Vec<Entry>, Vec<Entry>) =
        std::mem::take(entries).into_iter().partition(|e| e.operation == Operation::Update);
    updaters.sort_by_cached_key(|e| (e.time.clone(), e.identifier()));
    let is_bucket = |e: &Entry, version: &str| {
        e.manager == ANCIENT && e.subresource.is_empty() && e.api_version == version
    };
    // The first of each version stays what it is until a second one joins it.
    let mut firsts: HashMap<String, Entry> = HashMap::new();
    let mut updaters = updaters.into_iter();
    let mut rest: Vec<Entry> = Vec::new();
    while count > MAX_UPDATERS {
        let Some(next) = updaters.next() else { break };
        let version = next.api_version.clone();
        match firsts.get_mut(&version) {
            None => {
                firsts.insert(version, next);
            }
            Some(first) => {
                first.set = std::mem::take(&mut first.set).union(&next.set);
                first.time = next.time;
                if !is_bucket(first, &version) {
                    ANCIENT.clone_into(&mut first.manager);
                    first.subresource.clear();
                }
                count -= 1;
            }
        }
    }
    rest.extend(updaters);
    for (version, mut first) in firsts {
        // A bucket of before may be younger than what now joins it.
        if first.manager == ANCIENT
            && let Some(at) = rest.iter().position(|e| is_bucket(e, &version))
        {
            let known = rest.swap_remove(at);
            first.set = std::mem::take(&mut first.set).union(&known.set);
        }
        kept.push(first);
    }
    kept.append(&mut rest);
    *entries = kept;
}
