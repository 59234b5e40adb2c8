//! Values made of a fuzzer's bytes.
//!
//! Bytes that are changed at random are hardly ever an object of some kind, so most targets make objects by the kind's schema: each byte
//! chooses a field, a length, a text from a small alphabet, now and then something wrong. The same bytes always make the same value.

pub mod door;

use api_model::schema::{ListType, NodeId, NodeKind, Scalar, Types};
use api_model::{Model, Resource};
use serde_json::{Map, Value, json};
use std::sync::{Arc, OnceLock};

/// How deep made values may be.
const DEPTH_MAX: usize = 9;

/// The object model, loaded once.
pub fn model() -> &'static Arc<Model> {
    static MODEL: OnceLock<Arc<Model>> = OnceLock::new();
    MODEL.get_or_init(|| Model::load("1.35").expect("the built-in corpus"))
}

/// Bytes to choose by; zeros when there are no more.
pub struct Choices<'a>(pub &'a [u8]);

impl Choices<'_> {
    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((byte, rest)) => {
                self.0 = rest;
                *byte
            }
            None => 0,
        }
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        if end <= 1 {
            return 0;
        }
        let number = if end > 256 {
            usize::from(self.byte()) << 8 | usize::from(self.byte())
        } else {
            self.byte().into()
        };
        number % end
    }

    /// One of several.
    pub fn of<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[self.below(from.len())]
    }

    /// Whether there is something left to choose by.
    pub fn more(&self) -> bool {
        !self.0.is_empty()
    }

    /// A built-in resource; the common ones more often.
    pub fn resource(&mut self) -> &'static Resource {
        let known = |group: &str, plural: &str| model().resource(group, "v1", plural);
        let common = [
            ("apps", "deployments"),
            ("", "pods"),
            ("", "services"),
            ("", "configmaps"),
            ("batch", "jobs"),
            ("", "nodes"),
        ];
        let at = self.byte();
        match common.get(usize::from(at)).and_then(|(group, plural)| known(group, plural)) {
            Some(resource) => resource,
            None => self.of(model().resources()),
        }
    }
}

const TEXTS: [&str; 20] = [
    "",
    "a",
    "b",
    "c",
    "web",
    "name",
    "TCP",
    "UDP",
    "1",
    "100m",
    "1Gi",
    "2026-01-02T03:04:05Z",
    "aGk=",
    "delete",
    "replace",
    "merge",
    "é",
    "x/y",
    "25%",
    "a.b-c",
];
const NUMBERS: [i64; 8] = [0, 1, 2, 80, 443, -1, 2_147_483_648, i64::MAX];
const WORDS: [&str; 14] = [
    "$patch",
    "$retainKeys",
    "name",
    "f:spec",
    "k:{\"name\":\"a\"}",
    ".",
    "v:1",
    "i:0",
    "-",
    "0",
    "~1",
    "key",
    "metadata",
    "managedFields",
];

/// Any JSON value.
pub fn any(choices: &mut Choices<'_>, depth: usize) -> Value {
    if depth == 0 || !choices.more() {
        return Value::Null;
    }
    match choices.byte() % 8 {
        0 => Value::Null,
        1 => Value::Bool(choices.byte() % 2 == 0),
        2 => json!(choices.of(&NUMBERS)),
        3 => json!(1.5),
        4 | 5 => json!(choices.of(&TEXTS)),
        6 => (0..choices.below(4)).map(|_| any(choices, depth - 1)).collect(),
        _ => {
            let count = choices.below(4);
            let entry =
                |choices: &mut Choices<'_>| ((*choices.of(&WORDS)).to_owned(), any(choices, depth - 1));
            Value::Object((0..count).map(|_| entry(choices)).collect())
        }
    }
}

/// How far made values may stray from the schema.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stray {
    /// Not at all.
    Never,
    /// Wrong values and unknown fields now and then.
    Values,
    /// Also directives of strategic merge patches, and `null`.
    Directives,
}

/// A value of a type.
pub fn typed(types: &Types, id: NodeId, choices: &mut Choices<'_>, stray: Stray, depth: usize) -> Value {
    if stray != Stray::Never && choices.more() && choices.byte() == 7 {
        return any(choices, 3);
    }
    match &types.node(id).kind {
        NodeKind::Any => any(choices, 3),
        NodeKind::Scalar(scalar) => self::scalar(*scalar, choices),
        NodeKind::Struct { fields, .. } => {
            let mut map = Map::new();
            for field in fields.iter().filter(|field| field.required && depth > 0 && stray == Stray::Never) {
                map.insert(field.name.to_string(), typed(types, field.node, choices, stray, depth - 1));
            }
            while depth > 0 && choices.more() && !fields.is_empty() && choices.byte() % 4 != 0 {
                let field = choices.of(fields);
                let value = match stray {
                    Stray::Directives if choices.byte() == 9 => Value::Null,
                    _ => typed(types, field.node, choices, stray, depth - 1),
                };
                map.insert(field.name.to_string(), value);
                if stray == Stray::Directives {
                    directive(&mut map, &field.name, choices);
                }
            }
            Value::Object(map)
        }
        NodeKind::Map(item) => {
            let count = choices.below(4);
            let entry = |choices: &mut Choices<'_>| {
                (
                    (*choices.of(&TEXTS)).to_owned(),
                    typed(types, *item, choices, stray, depth.saturating_sub(1)),
                )
            };
            Value::Object((0..count).map(|_| entry(choices)).collect())
        }
        NodeKind::List { item, list, merge_key, .. } => {
            let mut items: Vec<Value> = Vec::new();
            for _ in 0..choices.below(4) {
                let mut made = typed(types, *item, choices, stray, depth.saturating_sub(1));
                let keys: Vec<&str> = match list {
                    ListType::Map(keys) => keys.iter().map(|key| &**key).collect(),
                    _ => merge_key.iter().map(|key| &**key).collect(),
                };
                if stray != Stray::Values {
                    complete(types, *item, &mut made, &keys, choices);
                }
                if stray == Stray::Directives && choices.byte() == 3 && made.is_object() {
                    made["$patch"] = json!(choices.of(&TEXTS[13..16]));
                }
                items.push(made);
            }
            if stray == Stray::Never {
                unique(list, &mut items);
            }
            Value::Array(items)
        }
    }
}

fn scalar(scalar: Scalar, choices: &mut Choices<'_>) -> Value {
    match scalar {
        Scalar::String => json!(choices.of(&TEXTS)),
        Scalar::Bool => json!(choices.byte() % 2 == 0),
        Scalar::Int32 => json!(choices.of(&NUMBERS[..6])),
        Scalar::Int64 => json!(choices.of(&NUMBERS)),
        Scalar::Double => json!(1.5),
        Scalar::Byte => json!(choices.of(&["", "aGk=", "AAAA"])),
        Scalar::Time => json!(choices.of(&["2026-01-02T03:04:05Z", "1969-12-31T23:59:59Z"])),
        Scalar::MicroTime => json!("2026-01-02T03:04:05.123456Z"),
        Scalar::Quantity => json!(choices.of(&["0", "100m", "1Gi", "1.5", "2e3"])),
        Scalar::IntOrString => match choices.byte() % 2 {
            0 => json!(choices.of(&NUMBERS[..6])),
            _ => json!(choices.of(&["25%", "http"])),
        },
    }
}

/// Gives an item the keys its list tells items apart by.
fn complete(types: &Types, id: NodeId, item: &mut Value, keys: &[&str], choices: &mut Choices<'_>) {
    let Value::Object(map) = item else { return };
    for key in keys {
        if let Some(field) = types.field(id, key)
            && field.default.is_none()
            && !map.contains_key(*key)
        {
            let value = typed(types, field.node, choices, Stray::Never, 1);
            map.insert((*key).to_owned(), value);
        }
    }
}

fn unique(list: &ListType, items: &mut Vec<Value>) {
    let mut seen = std::collections::BTreeSet::new();
    match list {
        ListType::Atomic => {}
        ListType::Set => items.retain(|item| {
            !item.is_null() && !item.is_object() && !item.is_array() && seen.insert(item.to_string())
        }),
        // What a default may stand for is one with it.
        ListType::Map(keys) => items.retain(|item| {
            let key = |key: &Arc<str>| item.get(&**key).cloned().unwrap_or(json!("TCP")).to_string();
            seen.insert(keys.iter().map(key).collect::<Vec<_>>().join(","))
        }),
    }
}

fn directive(map: &mut Map<String, Value>, field: &str, choices: &mut Choices<'_>) {
    match choices.byte() {
        1 => {
            map.insert(format!("$setElementOrder/{field}"), any(choices, 3));
        }
        2 => {
            map.insert(format!("$deleteFromPrimitiveList/{field}"), any(choices, 3));
        }
        3 => {
            let keys: Vec<Value> = map.keys().map(|key| json!(key)).collect();
            map.insert("$retainKeys".to_owned(), Value::Array(keys));
        }
        4 => {
            map.insert("$patch".to_owned(), json!(choices.of(&TEXTS[13..16])));
        }
        _ => {}
    }
}

/// An object of a resource.
pub fn object(resource: &Resource, choices: &mut Choices<'_>, stray: Stray) -> Value {
    let mut made = typed(resource.schema.types(), resource.schema.id(), choices, stray, DEPTH_MAX);
    if let Value::Object(map) = &mut made {
        map.insert("apiVersion".to_owned(), json!(resource.api_version()));
        map.insert("kind".to_owned(), json!(resource.kind));
    }
    made
}
