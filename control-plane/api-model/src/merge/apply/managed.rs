//! `metadata.managedFields`: read, kept bounded, written.

use super::fields::Set;
use serde_json::{Map, Value};

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
}

/// At most this many updaters are told apart; the oldest others become one.
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
            if !matches!(entry.get("fieldsType").and_then(Value::as_str), Some("FieldsV1")) {
                return None;
            }
            Some(Entry {
                manager: text("manager"),
                operation,
                api_version: text("apiVersion"),
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
    bound(&mut entries);
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

fn encode(entry: &Entry) -> Value {
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

fn bound(entries: &mut Vec<Entry>) {
    while entries.iter().filter(|e| e.operation == Operation::Update).count() > MAX_UPDATERS {
        let mut updaters: Vec<usize> = (0..entries.len())
            .filter(|i| entries[*i].operation == Operation::Update && entries[*i].manager != ANCIENT)
            .collect();
        updaters.sort_by(|a, b| entries[*a].time.cmp(&entries[*b].time));
        let Some(oldest) = updaters.first().copied() else { return };
        let old = entries.remove(oldest);
        let bucket = entries.iter_mut().find(|e| {
            e.manager == ANCIENT && e.operation == Operation::Update && e.api_version == old.api_version
        });
        match bucket {
            Some(bucket) => {
                bucket.set = std::mem::take(&mut bucket.set).union(&old.set);
                bucket.time = bucket.time.take().max(old.time);
            }
            None => {
                entries.push(Entry { manager: ANCIENT.to_owned(), subresource: String::new(), ..old });
                // A first bucket takes the place of what it holds; one more must go into it to gain anything.
                if updaters.len() <= 1 {
                    return;
                }
            }
        }
    }
}
