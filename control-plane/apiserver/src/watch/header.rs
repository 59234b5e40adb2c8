//! Reads the few values of an object that filters need, without building the object.
//!
//! Labels and the selectable fields of the kind are captured in one pass over the bytes; everything else is
//! skipped.

use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};

/// The labels of an object. Most objects have a handful, so a sorted list costs a tenth of a tree.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Labels(Box<[(Box<str>, Box<str>)]>);

impl Labels {
    /// The value of a label.
    pub fn get(&self, key: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(known, _)| (**known).cmp(key)).ok()?;
        Some(&self.0[at].1)
    }
}

impl FromIterator<(Box<str>, Box<str>)> for Labels {
    fn from_iter<I: IntoIterator<Item = (Box<str>, Box<str>)>>(labels: I) -> Self {
        let mut labels: Vec<_> = labels.into_iter().collect();
        labels.sort_by(|(a, _), (b, _)| a.cmp(b));
        Self(labels.into())
    }
}

/// What filters know of an object.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// `metadata.labels`.
    pub labels: Labels,
    /// The values of the kind's selectable fields, in the order of [`Paths`]; absent ones are empty.
    pub fields: Box<[Box<str>]>,
}

/// The selectable fields of a kind, as a tree.
#[derive(Debug, Default)]
pub struct Paths {
    names: Vec<String>,
    /// What an absent field counts as, by slot.
    absent: Vec<&'static str>,
    /// A field that stands in when another is empty: slot and stand-in's slot.
    stand_in: Option<(usize, usize)>,
    root: Node,
}

/// A selectable field that is not simply the value at its path.
struct Special {
    name: &'static str,
    path: &'static str,
    absent: &'static str,
}

/// The step into each element of a list; several values are joined with commas.
const EACH: &str = "[]";
/// As upstream converts field labels of pods, nodes, jobs and events.
const SPECIALS: [Special; 5] = [
    Special { name: "spec.unschedulable", path: "spec.unschedulable", absent: "false" },
    Special { name: "spec.hostNetwork", path: "spec.hostNetwork", absent: "false" },
    Special { name: "status.successful", path: "status.succeeded", absent: "0" },
    Special { name: "status.podIPs", path: "status.podIPs.[].ip", absent: "" },
    Special { name: "source", path: "source.component", absent: "" },
];
/// Events of the newer group say here who reports.
const REPORTER: &str = "reportingComponent";

#[derive(Debug, Default)]
struct Node {
    children: Vec<(String, Node)>,
    /// The index in `names` when a selectable field ends here.
    slot: Option<usize>,
}

impl Node {
    fn child(&self, step: &str) -> Option<&Self> {
        self.children.iter().find(|(name, _)| name == step).map(|(_, node)| node)
    }
}

impl Paths {
    /// The tree of these dotted paths. `metadata.name` and `metadata.namespace` need not be listed: they
    /// are known from the key.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        let mut paths = Self::default();
        for name in names {
            let path = name.clone();
            paths.add(name, &path, "");
        }
        paths
    }

    /// The same for a built-in kind, some of whose fields are not simply the value at their path.
    pub fn built_in(names: impl IntoIterator<Item = String>) -> Self {
        let mut paths = Self::default();
        for name in names {
            match SPECIALS.iter().find(|special| special.name == name) {
                Some(special) => paths.add(name, special.path, special.absent),
                None => paths.add(name.clone(), &name, ""),
            }
        }
        if let Some(source) = paths.slot("source") {
            paths.add(REPORTER.to_owned(), REPORTER, "");
            paths.stand_in = paths.slot(REPORTER).map(|reporter| (source, reporter));
        }
        paths
    }

    fn add(&mut self, name: String, path: &str, absent: &'static str) {
        if name == "metadata.name" || name == "metadata.namespace" || self.names.contains(&name) {
            return;
        }
        let mut node = &mut self.root;
        for step in path.split('.') {
            let at = match node.children.iter().position(|(known, _)| known == step) {
                Some(at) => at,
                None => {
                    node.children.push((step.to_owned(), Node::default()));
                    node.children.len() - 1
                }
            };
            node = &mut node.children[at].1;
        }
        node.slot = Some(self.names.len());
        self.names.push(name);
        self.absent.push(absent);
    }

    /// Whether these are the same fields.
    pub fn same_as(&self, other: &Self) -> bool {
        self.names == other.names
    }

    /// Where the value of `path` stands in [`Header::fields`].
    pub fn slot(&self, path: &str) -> Option<usize> {
        self.names.iter().position(|name| name == path)
    }
}

/// Reads the header of an object's JSON. Bytes that are no object give an empty header.
pub fn read(paths: &Paths, bytes: &[u8]) -> Header {
    let mut found = Found { labels: Vec::new(), fields: vec![None; paths.names.len()] };
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let seed = Seed { node: Some(&paths.root), place: Place::Root, found: &mut found };
    if let Err(error) = seed.deserialize(&mut json) {
        tracing::warn!(%error, "an object in the store is not readable");
    }
    let mut fields = found.fields;
    if let Some((slot, stand_in)) = paths.stand_in
        && fields[slot].as_ref().is_none_or(String::is_empty)
    {
        fields[slot] = fields[stand_in].clone();
    }
    let fields = fields.into_iter().zip(&paths.absent);
    let fields =
        fields.map(|(field, absent)| field.map_or((*absent).into(), String::into_boxed_str)).collect();
    Header { labels: found.labels.into_iter().collect(), fields }
}

/// A header in the making.
struct Found {
    labels: Vec<(Box<str>, Box<str>)>,
    fields: Vec<Option<String>>,
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
    found: &'a mut Found,
}

impl Seed<'_> {
    fn scalar(self, value: &str) {
        let Some(field) = self.node.and_then(|node| node.slot).map(|slot| &mut self.found.fields[slot])
        else {
            return;
        };
        match field {
            Some(before) => {
                before.push(',');
                before.push_str(value);
            }
            None => *field = Some(value.to_owned()),
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
        let each = self.node.and_then(|node| node.child(EACH));
        if each.is_none() {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        while seq
            .next_element_seed(Seed { node: each, place: Place::Other, found: &mut *self.found })?
            .is_some()
        {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if self.place == Place::Labels {
            while let Some(label) = map.next_entry()? {
                self.found.labels.push(label);
            }
            return Ok(());
        }
        while let Some(key) = map.next_key::<std::borrow::Cow<'_, str>>()? {
            let place = match (self.place, key.as_ref()) {
                (Place::Root, "metadata") => Place::Metadata,
                (Place::Metadata, "labels") => Place::Labels,
                _ => Place::Other,
            };
            let node = self.node.and_then(|node| node.child(&key));
            if node.is_none() && place == Place::Other {
                map.next_value::<IgnoredAny>()?;
            } else {
                map.next_value_seed(Seed { node, place, found: &mut *self.found })?;
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
        assert_eq!(header.labels.get("app"), Some("web"));
        assert_eq!(&*header.fields[paths.slot("spec.nodeName").unwrap()], "n1");
        assert_eq!(&*header.fields[paths.slot("spec.hostNetwork").unwrap()], "true");
        assert_eq!(&*header.fields[paths.slot("status.phase").unwrap()], "");
        assert_eq!(paths.slot("metadata.name"), None);
    }

    #[test]
    fn special_fields_of_built_in_kinds_are_what_upstream_makes_of_them() {
        let read = |names: &[&str], json: &str| {
            let paths = Paths::built_in(names.iter().map(|name| (*name).to_owned()));
            let header = super::read(&paths, json.as_bytes());
            names.iter().map(|name| header.fields[paths.slot(name).unwrap()].to_string()).collect::<Vec<_>>()
        };
        assert_eq!(read(&["spec.unschedulable"], "{}"), ["false"]);
        assert_eq!(read(&["status.successful"], "{}"), ["0"]);
        assert_eq!(read(&["status.successful"], r#"{"status":{"succeeded":3}}"#), ["3"]);
        assert_eq!(
            read(&["source"], r#"{"source":{"component":"kubelet"},"reportingComponent":"x"}"#),
            ["kubelet"]
        );
        assert_eq!(read(&["source"], r#"{"source":{},"reportingComponent":"x"}"#), ["x"]);
        let pod = r#"{"status":{"podIPs":[{"ip":"10.0.0.1"},{"ip":"fd00::1"}],"podIP":"10.0.0.1"}}"#;
        assert_eq!(read(&["status.podIPs", "status.podIP"], pod), ["10.0.0.1,fd00::1", "10.0.0.1"]);
    }
}
