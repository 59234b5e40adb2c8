//! Finds objects by one label or field without looking at the others.
//!
//! An index is made when a list first asks for it and the resource has many objects; it is kept up with every
//! change from then on. Memory is spent only on what clients really select by.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::entry::Entry;
use super::filter::Filter;
use super::header::Paths;

/// Objects from which on an index pays.
pub const OBJECTS_MIN: usize = 256;
/// Indexes of one resource.
const INDEXES_MAX: usize = 8;

/// Objects by key.
pub type Objects = BTreeMap<Arc<str>, Arc<Entry>>;

/// What an index goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// The value of a label; objects without it are not in the index.
    Label(Box<str>),
    /// The value of the selectable field in this slot.
    Field(usize),
}

impl By {
    fn value<'e>(&self, entry: &'e Entry) -> Option<&'e str> {
        match self {
            Self::Label(key) => entry.header.labels.get(key),
            Self::Field(slot) => entry.header.fields.get(*slot).map(|value| &**value),
        }
    }
}

struct Index {
    by: By,
    objects: HashMap<Box<str>, Objects>,
}

impl Index {
    fn insert(&mut self, entry: &Arc<Entry>) {
        if let Some(value) = self.by.value(entry) {
            match self.objects.get_mut(value) {
                Some(objects) => drop(objects.insert(entry.key.clone(), entry.clone())),
                None => {
                    let objects = Objects::from([(entry.key.clone(), entry.clone())]);
                    self.objects.insert(value.into(), objects);
                }
            }
        }
    }

    fn remove(&mut self, entry: &Entry) {
        let Some(value) = self.by.value(entry) else { return };
        if let Some(objects) = self.objects.get_mut(value) {
            objects.remove(&entry.key);
            if objects.is_empty() {
                self.objects.remove(value);
            }
        }
    }
}

/// The indexes of one resource.
#[derive(Default)]
pub struct Indexes(Vec<Index>);

impl Indexes {
    /// The objects that can pass a filter, when an index knows; none when all are to be looked at.
    pub fn find(&self, filter: &Filter, paths: &Paths) -> Option<&Objects> {
        static NOTHING: Objects = Objects::new();
        let wanted = filter.equalities(paths);
        let (index, value) = self.0.iter().find_map(|index| {
            let (_, value) = wanted.iter().find(|(by, _)| *by == index.by)?;
            Some((index, *value))
        })?;
        Some(index.objects.get(value).unwrap_or(&NOTHING))
    }

    /// What an index for this filter would go by; none when there is one, or too many.
    pub fn missing(&self, filter: &Filter, paths: &Paths) -> Option<By> {
        if self.0.len() >= INDEXES_MAX {
            return None;
        }
        let wanted = filter.equalities(paths);
        if wanted.iter().any(|(by, _)| self.0.iter().any(|index| index.by == *by)) {
            return None;
        }
        wanted.into_iter().next().map(|(by, _)| by)
    }

    /// Makes an index.
    pub fn add(&mut self, by: By, objects: &Objects) {
        if self.0.len() < INDEXES_MAX && self.0.iter().all(|index| index.by != by) {
            let mut index = Index { by, objects: HashMap::new() };
            objects.values().for_each(|entry| index.insert(entry));
            self.0.push(index);
        }
    }

    /// Takes a change over.
    pub fn apply(&mut self, now: Option<&Arc<Entry>>, before: Option<&Arc<Entry>>) {
        for index in &mut self.0 {
            let value = |entry: Option<&Arc<Entry>>| {
                entry.and_then(|entry| index.by.value(entry)).map(Box::<str>::from)
            };
            if value(now) != value(before)
                && let Some(before) = before
            {
                index.remove(before);
            }
            if let Some(now) = now {
                index.insert(now);
            }
        }
    }

    /// Forgets all, as when the objects are loaded anew.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}
