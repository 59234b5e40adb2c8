//! Keys that are unknown or stand twice: which, where, and in upstream's words and order.

use super::document::Document;
use super::read::{KeySeed, too_deep};
use crate::path::FieldPath;
use crate::schema::{NodeId, NodeKind, Schema, Types};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IgnoredAny, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;

/// More complaints than this are not kept; as upstream.
const COMPLAINTS_MAX: usize = 100;
/// Lines of repeated keys in YAML take a look each; together not at more bytes than this.
const SCANNED_BYTES_MAX: usize = 16 << 20;

/// Complaints, each once.
#[derive(Default)]
struct Complaints {
    seen: HashSet<String>,
    list: Vec<String>,
}

impl Complaints {
    fn add(&mut self, complaint: String) {
        if self.list.len() < COMPLAINTS_MAX && self.seen.insert(complaint.clone()) {
            self.list.push(complaint);
        }
    }
}

/// `unknown field "spec.foo"` and `duplicate field "spec.paused"` of a built-in kind's JSON, in the text's order. An unknown field is not
/// looked into, and not called a duplicate.
pub fn unknown_and_repeated(schema: &Schema, document: &Document) -> Vec<String> {
    let mut walk = Walk { types: schema.types(), path: FieldPath::root(), complaints: Complaints::default() };
    walk.typed(schema.id(), document);
    walk.complaints.list
}

/// `duplicate field "spec.paused"` of a JSON text whose fields are not known here, in the text's order.
pub fn repeated_json(document: &Document) -> Vec<String> {
    let types = Types::default();
    let mut walk = Walk { types: &types, path: FieldPath::root(), complaints: Complaints::default() };
    walk.free(document);
    walk.complaints.list
}

/// What is wrong with the operations of a JSON patch: fields they do not have, and such that stand twice.
pub fn unknown_operations(document: &Document) -> Vec<String> {
    let types = Types::default();
    let mut walk = Walk { types: &types, path: FieldPath::root(), complaints: Complaints::default() };
    let Document::List(operations) = document else { return Vec::new() };
    for (index, operation) in operations.iter().enumerate() {
        let Document::Map(entries) = operation else { continue };
        walk.path.push_index(index);
        let mut seen = BTreeSet::new();
        for (key, value) in entries {
            let mark = walk.path.len();
            walk.path.push_field(key);
            if !matches!(key.as_str(), "op" | "path" | "from" | "value") {
                walk.unknown();
            } else if !seen.insert(key) {
                walk.duplicate();
            } else if key == "value" {
                walk.free(value);
            }
            walk.path.truncate(mark);
        }
        walk.path.truncate(0);
    }
    walk.complaints.list
}

struct Walk<'a> {
    types: &'a Types,
    path: FieldPath,
    complaints: Complaints,
}

impl Walk<'_> {
    fn unknown(&mut self) {
        self.complaints.add(format!("unknown field \"{}\"", self.path));
    }

    fn duplicate(&mut self) {
        self.complaints.add(format!("duplicate field \"{}\"", self.path));
    }

    fn typed(&mut self, id: NodeId, document: &Document) {
        match (&self.types.node(id).kind, document) {
            (NodeKind::Struct { preserve, rest, .. }, Document::Map(entries)) => {
                let mut seen = BTreeSet::new();
                for (key, value) in entries {
                    let mark = self.path.len();
                    self.path.push_field(key);
                    let below = self.types.field(id, key).map(|field| field.node).or(*rest);
                    match below {
                        None if !*preserve => self.unknown(),
                        _ => {
                            if !seen.insert(key) {
                                self.duplicate();
                            }
                            match below {
                                Some(below) => self.typed(below, value),
                                None => self.free(value),
                            }
                        }
                    }
                    self.path.truncate(mark);
                }
            }
            (NodeKind::Map(item), Document::Map(entries)) => {
                let item = *item;
                let mut seen = BTreeSet::new();
                for (key, value) in entries {
                    let mark = self.path.len();
                    self.path.push_field(key);
                    if !seen.insert(key) {
                        self.duplicate();
                    }
                    self.typed(item, value);
                    self.path.truncate(mark);
                }
            }
            (NodeKind::List { item, .. }, Document::List(items)) => {
                let item = *item;
                for (index, value) in items.iter().enumerate() {
                    let mark = self.path.len();
                    self.path.push_index(index);
                    self.typed(item, value);
                    self.path.truncate(mark);
                }
            }
            // Raw extensions are kept as they are.
            _ => {}
        }
    }

    fn free(&mut self, document: &Document) {
        match document {
            Document::Map(entries) => {
                let mut seen = BTreeSet::new();
                for (key, value) in entries {
                    let mark = self.path.len();
                    self.path.push_field(key);
                    if !seen.insert(key) {
                        self.duplicate();
                    }
                    self.free(value);
                    self.path.truncate(mark);
                }
            }
            Document::List(items) => {
                for (index, value) in items.iter().enumerate() {
                    let mark = self.path.len();
                    self.path.push_index(index);
                    self.free(value);
                    self.path.truncate(mark);
                }
            }
            _ => {}
        }
    }
}

/// `line 12: key "paused" already set in map` of a YAML text, in the text's order.
pub fn repeated_yaml(bytes: &[u8]) -> Vec<String> {
    let mut found: BTreeMap<(usize, usize), String> = BTreeMap::new();
    if too_deep(bytes) {
        return Vec::new();
    }
    let looks = (SCANNED_BYTES_MAX / bytes.len().max(1)).clamp(1, COMPLAINTS_MAX);
    for nth in 0..looks {
        let look = Look { skip: Cell::new(nth), key: Cell::new(String::new()) };
        let Some(document) = serde_yaml_ng::Deserializer::from_slice(bytes).next() else { break };
        let Err(error) = Any(&look).deserialize(document) else { break };
        let (key, Some(at)) = (look.key.take(), error.location()) else { break };
        if key.is_empty() && !error.to_string().contains(REPEATED) {
            break;
        }
        found.insert((at.line(), nth), format!("line {}: key {key:?} already set in map", at.line()));
    }
    found.into_values().collect()
}

const REPEATED: &str = "already set in map";

/// A look for the key that stands twice after `skip` others. It ends with an error at that key, whose place is what is wanted.
struct Look {
    skip: Cell<usize>,
    key: Cell<String>,
}

struct Any<'a>(&'a Look);

impl<'de> DeserializeSeed<'de> for Any<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Any<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Any(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(()) = entries.next_key_seed(Key { look: self.0, seen: &mut seen })? {
            entries.next_value_seed(Any(self.0))?;
        }
        Ok(())
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<(), A::Error> {
        // A tag nobody knows says nothing; what it stands before has to be read all the same.
        let (_, content) = tagged.variant::<IgnoredAny>()?;
        content.newtype_variant_seed(self)
    }
}

struct Key<'a> {
    look: &'a Look,
    seen: &'a mut HashSet<String>,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Key<'_> {
    fn judge<E: Error>(self, key: String) -> Result<(), E> {
        if self.seen.insert(key.clone()) {
            return Ok(());
        }
        let skip = self.look.skip.get();
        if skip > 0 {
            self.look.skip.set(skip - 1);
            return Ok(());
        }
        self.look.key.set(key);
        Err(E::custom(REPEATED))
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<(), E> {
        let key = KeySeed.visit_str(key)?;
        self.judge(key)
    }

    fn visit_bool<E: Error>(self, key: bool) -> Result<(), E> {
        self.judge(key.to_string())
    }

    fn visit_i64<E: Error>(self, key: i64) -> Result<(), E> {
        self.judge(key.to_string())
    }

    fn visit_u64<E: Error>(self, key: u64) -> Result<(), E> {
        self.judge(key.to_string())
    }

    fn visit_f64<E: Error>(self, key: f64) -> Result<(), E> {
        self.judge(key.to_string())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.judge("null".to_owned())
    }
}
