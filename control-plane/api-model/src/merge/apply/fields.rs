//! Sets of fields: who owns what, as trees of steps, and their notation `fieldsV1`.

use crate::schema::{NodeKind, Types};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt::Write;

use super::walk::{Type, child, is_whole};

/// One step down an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A field of a struct or a key of a map.
    Field(String),
    /// A list's item, by its keys: canonical JSON of the keys and their values.
    Key(String),
    /// A set's item: its canonical JSON.
    Value(String),
    /// An item by position.
    Index(usize),
}

impl Step {
    fn notation(&self) -> String {
        match self {
            Step::Field(name) => ["f:", name].concat(),
            Step::Key(keys) => ["k:", keys].concat(),
            Step::Value(value) => ["v:", value].concat(),
            Step::Index(index) => format!("i:{index}"),
        }
    }

    fn parse(text: &str) -> Option<Step> {
        let canonical = |json: &str| serde_json::from_str::<Value>(json).ok().map(|v| v.to_string());
        Some(match text.split_at_checked(2)? {
            ("f:", name) => Step::Field(name.to_owned()),
            ("k:", json) => Step::Key(canonical(json)?),
            ("v:", json) => Step::Value(canonical(json)?),
            ("i:", index) => Step::Index(index.parse().ok()?),
            _ => return None,
        })
    }

    /// As conflicts show it: `.spec`, `[name="web"]`, `[="x"]`, `[3]`.
    pub fn shown(&self) -> String {
        match self {
            Step::Field(name) => format!(".{name}"),
            Step::Value(value) => format!("[={value}]"),
            Step::Index(index) => format!("[{index}]"),
            Step::Key(keys) => {
                let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
                let mut text = String::from("[");
                for (index, (key, value)) in keys.iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    let _ = write!(text, "{comma}{key}={value}");
                }
                text.push(']');
                text
            }
        }
    }
}

/// A set of paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Set {
    entries: BTreeMap<Step, Entry>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Entry {
    member: bool,
    below: Set,
}

impl Entry {
    fn is_empty(&self) -> bool {
        !self.member && self.below.is_empty()
    }
}

impl Set {
    /// Whether no path is in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Puts a step and what is below it in; nothing when both are empty.
    pub fn attach(&mut self, step: impl FnOnce() -> Step, member: bool, below: Set) {
        if member || !below.is_empty() {
            self.entries.insert(step(), Entry { member, below });
        }
    }

    /// Whether the step itself is in the set.
    pub fn has(&self, step: &Step) -> bool {
        self.entries.get(step).is_some_and(|e| e.member)
    }

    /// What is in the set below a step.
    pub fn below(&self, step: &Step) -> Option<&Set> {
        self.entries.get(step).map(|e| &e.below).filter(|b| !b.is_empty())
    }

    /// All paths of both.
    #[must_use]
    pub fn union(mut self, other: &Set) -> Set {
        for (step, theirs) in &other.entries {
            let mine = self.entries.entry(step.clone()).or_default();
            mine.member |= theirs.member;
            mine.below = std::mem::take(&mut mine.below).union(&theirs.below);
        }
        self
    }

    /// The paths of this that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Set) -> Set {
        self.combine(other, |mine, theirs| mine && !theirs, true)
    }

    /// The paths in both.
    #[must_use]
    pub fn intersection(&self, other: &Set) -> Set {
        self.combine(other, |mine, theirs| mine && theirs, false)
    }

    fn combine(&self, other: &Set, keep: fn(bool, bool) -> bool, keep_alone: bool) -> Set {
        let mut result = Set::default();
        for (step, mine) in &self.entries {
            let entry = match other.entries.get(step) {
                Some(theirs) => Entry {
                    member: keep(mine.member, theirs.member),
                    below: mine.below.combine(&theirs.below, keep, keep_alone),
                },
                None if keep_alone => mine.clone(),
                None => continue,
            };
            if !entry.is_empty() {
                result.entries.insert(step.clone(), entry);
            }
        }
        result
    }

    /// Takes out a field below the root with everything below it; `member_only` leaves what is below.
    pub fn forget(&mut self, path: &[&str], member_only: bool) {
        let Some((first, rest)) = path.split_first() else { return };
        let step = Step::Field((*first).to_owned());
        let Some(entry) = self.entries.get_mut(&step) else { return };
        if !rest.is_empty() {
            entry.below.forget(rest, member_only);
        } else {
            entry.member = false;
            if !member_only {
                entry.below = Set::default();
            }
        }
        if entry.is_empty() {
            self.entries.remove(&step);
        }
    }

    /// With every struct field that has something below it as a member of its own.
    #[must_use]
    pub(super) fn with_named_fields(&self, types: &Types, ty: Type) -> Set {
        let is_struct = matches!(types.node(ty.id).kind, NodeKind::Struct { .. });
        let mut result = Set::default();
        for (step, entry) in &self.entries {
            let (below_type, named) = child(types, ty, step);
            let member = entry.member || (is_struct && named && !entry.below.is_empty());
            result.entries.insert(
                step.clone(),
                Entry { member, below: entry.below.with_named_fields(types, below_type) },
            );
        }
        result
    }

    /// Fits the set to a schema that has changed since it was made: of what is one value now, all parts become the whole.
    pub(super) fn reconcile(&mut self, types: &Types, ty: Type) {
        for (step, entry) in self.entries.iter_mut().filter(|(_, entry)| !entry.below.is_empty()) {
            let (below, _) = child(types, ty, step);
            if is_whole(types, below) {
                *entry = Entry { member: true, below: Set::default() };
            } else {
                entry.below.reconcile(types, below);
            }
        }
    }

    /// Only what a condition on the first steps lets stay.
    pub(super) fn keep_fields(&mut self, keep: impl Fn(&str) -> bool) {
        self.entries.retain(|step, _| matches!(step, Step::Field(name) if keep(name)));
    }

    /// Whether the path of fields is in the set.
    pub(super) fn has_path(&self, path: &[&str]) -> bool {
        let Some((first, rest)) = path.split_first() else { return false };
        let Some(entry) = self.entries.get(&Step::Field((*first).to_owned())) else { return false };
        if rest.is_empty() { entry.member } else { entry.below.has_path(rest) }
    }

    /// A set of one path of fields.
    pub(super) fn of_path(path: &[&str]) -> Set {
        let mut set = Set::default();
        for (depth, step) in path.iter().rev().enumerate() {
            let below = std::mem::take(&mut set);
            set.attach(|| Step::Field((*step).to_owned()), depth == 0, below);
        }
        set
    }

    /// All paths, as conflicts show them: at each level first its own, then what is below.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect(&mut String::new(), &mut paths);
        paths
    }

    /// Each path, as conflicts show it, and as a set of its own.
    pub(super) fn split(&self) -> Vec<(String, Set)> {
        let mut all = Vec::new();
        for (step, _) in self.entries.iter().filter(|(_, entry)| entry.member) {
            let mut one = Set::default();
            one.attach(|| step.clone(), true, Set::default());
            all.push((step.shown(), one));
        }
        for (step, entry) in &self.entries {
            for (path, below) in entry.below.split() {
                let mut one = Set::default();
                one.attach(|| step.clone(), false, below);
                all.push((format!("{}{path}", step.shown()), one));
            }
        }
        all
    }

    fn collect(&self, prefix: &mut String, paths: &mut Vec<String>) {
        for (step, _) in self.entries.iter().filter(|(_, entry)| entry.member) {
            paths.push(format!("{prefix}{}", step.shown()));
        }
        for (step, entry) in self.entries.iter().filter(|(_, entry)| !entry.below.is_empty()) {
            let mark = prefix.len();
            prefix.push_str(&step.shown());
            entry.below.collect(prefix, paths);
            prefix.truncate(mark);
        }
    }

    /// Writes `fieldsV1`.
    pub fn encode(&self) -> Value {
        let mut map = Map::new();
        for (step, entry) in &self.entries {
            let mut below = match entry.below.encode() {
                Value::Object(below) => below,
                _ => Map::new(),
            };
            if entry.member && !below.is_empty() {
                below.insert(".".to_owned(), Value::Object(Map::new()));
            }
            map.insert(step.notation(), Value::Object(below));
        }
        Value::Object(map)
    }

    /// Reads `fieldsV1`; `None` when it is not of that notation.
    pub fn decode(fields: &Value) -> Option<Set> {
        let mut set = Set::default();
        for (key, below) in fields.as_object()? {
            if key == "." {
                continue;
            }
            let step = Step::parse(key)?;
            let map = below.as_object()?;
            let member = map.is_empty() || map.contains_key(".");
            set.entries.insert(step, Entry { member, below: Set::decode(below)? });
        }
        Some(set)
    }
}
