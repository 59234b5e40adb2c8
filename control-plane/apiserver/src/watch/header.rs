//! Reads the few values of an object that filters need, without building the object.
//!
//! Labels and the selectable fields of the kind are captured in one pass over the bytes; everything else is
//! skipped.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};

/// What filters know of an object.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// The values of the kind's selectable fields, in the order of [`Paths`]; absent ones are empty.
    pub fields: Box<[Box<str>]>,
}

/// The selectable fields of a kind, as a tree.
#[derive(Debug, Default)]
pub struct Paths {
    names: Vec<String>,
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    children: Vec<(String, Node)>,
    /// The index in `names` when a selectable field ends here.
    slot: Option<usize>,
}

impl Paths {
    /// The tree of these dotted paths. `metadata.name` and `metadata.namespace` need not be listed: they
    /// are known from the key.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        let mut paths = Self::default();
        for name in names {
            if name == "metadata.name" || name == "metadata.namespace" || paths.names.contains(&name) {
                continue;
            }
            let slot = paths.names.len();
            let mut node = &mut paths.root;
            for step in name.split('.') {
                let at = match node.children.iter().position(|(known, _)| known == step) {
                    Some(at) => at,
                    None => {
                        node.children.push((step.to_owned(), Node::default()));
                        node.children.len() - 1
                    }
                };
                node = &mut node.children[at].1;
            }
            node.slot = Some(slot);
            paths.names.push(name);
        }
        paths
    }

    /// Where the value of `path` stands in [`Header::fields`].
    pub fn slot(&self, path: &str) -> Option<usize> {
        self.names.iter().position(|name| name == path)
    }
}

/// Reads the header of an object's JSON. Bytes that are no object give an empty header.
pub fn read(paths: &Paths, bytes: &[u8]) -> Header {
    let mut header = Header {
        labels: BTreeMap::new(),
        fields: vec![Box::<str>::default(); paths.names.len()].into_boxed_slice(),
    };
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let seed = Seed { node: Some(&paths.root), place: Place::Root, header: &mut header };
    if let Err(error) = seed.deserialize(&mut json) {
        tracing::warn!(%error, "an object in the store is not readable");
    }
    header
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Root,
    Metadata,
    Labels,
    Other,
}

struct Seed<'a> {
    node: Option<&'a Node>,
    place: Place,
    header: &'a mut Header,
}

impl Seed<'_> {
    fn scalar(self, value: &str) {
        if let Some(slot) = self.node.and_then(|node| node.slot) {
            self.header.fields[slot] = value.into();
        }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = ();
    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }
    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.scalar(if value { "true" } else { "false" });
        Ok(())
    }
    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.scalar(&value.to_string());
        Ok(())
    }
    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.scalar(&value.to_string());
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.scalar(value);
        Ok(())
    }
    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if self.place == Place::Labels {
            while let Some((key, value)) = map.next_entry::<String, String>()? {
                self.header.labels.insert(key, value);
            }
            return Ok(());
        }
        while let Some(key) = map.next_key::<std::borrow::Cow<'_, str>>()? {
            let place = match (self.place, key.as_ref()) {
                (Place::Root, "metadata") => Place::Metadata,
                (Place::Metadata, "labels") => Place::Labels,
                _ => Place::Other,
            };
            let node = self
                .node
                .and_then(|node| node.children.iter().find(|(name, _)| name == key.as_ref()))
                .map(|(_, node)| node);
            if node.is_none() && place == Place::Other {
                map.next_value::<IgnoredAny>()?;
            } else {
                map.next_value_seed(Seed { node, place, header: &mut *self.header })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_selectable_fields_are_read_and_the_rest_is_skipped() {
        let paths = Paths::new(
            ["metadata.name", "spec.nodeName", "spec.hostNetwork", "status.phase"].map(String::from),
        );
        let bytes = br#"{"kind":"Pod","metadata":{"name":"x","labels":{"app":"web"}},"spec":{"nodeName":"n1","hostNetwork":true,"containers":[{"name":"nodeName"}]}}"#;
        let header = read(&paths, bytes);
        assert_eq!(header.labels.get("app").map(String::as_str), Some("web"));
        assert_eq!(&*header.fields[paths.slot("spec.nodeName").unwrap()], "n1");
        assert_eq!(&*header.fields[paths.slot("spec.hostNetwork").unwrap()], "true");
        assert_eq!(&*header.fields[paths.slot("status.phase").unwrap()], "");
        assert_eq!(paths.slot("metadata.name"), None);
    }
}
