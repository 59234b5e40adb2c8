//! Which objects a list or a watch is about.

use api_model::selector::{FieldSelector, LabelSelector};

use super::change::{Change, Kind};
use super::entry::Entry;
use super::header::Paths;

/// Namespace, name, labels and fields to look for. The default passes everything.
#[derive(Debug, Default)]
pub struct Filter {
    /// Only this namespace.
    pub namespace: Option<String>,
    /// Only this name.
    pub name: Option<String>,
    /// Only objects with these labels.
    pub labels: Option<LabelSelector>,
    /// Only objects with these fields.
    pub fields: Option<FieldSelector>,
}

impl Filter {
    /// The objects of a namespace.
    pub fn namespace(namespace: &str) -> Self {
        Self { namespace: Some(namespace.to_owned()), ..Self::default() }
    }

    /// Whether a label or field selector may leave objects out.
    pub fn selective(&self) -> bool {
        self.labels.is_some() || self.fields.is_some() || self.name.is_some()
    }

    /// What the keys of the wanted objects begin with.
    pub fn key_prefix(&self, resource_prefix: &str) -> String {
        match &self.namespace {
            Some(namespace) => format!("{resource_prefix}{namespace}/"),
            None => resource_prefix.to_owned(),
        }
    }

    /// The key of the one object, when the filter names it.
    pub fn exact_key(&self, resource_prefix: &str) -> Option<String> {
        let name = self.name.as_ref()?;
        Some(format!("{}{name}", self.key_prefix(resource_prefix)))
    }

    /// Whether the object passes.
    pub fn matches(&self, entry: &Entry, paths: &Paths) -> bool {
        if self.namespace.as_deref().is_some_and(|wanted| wanted != entry.namespace()) {
            return false;
        }
        if self.name.as_deref().is_some_and(|wanted| wanted != entry.name()) {
            return false;
        }
        if self.labels.as_ref().is_some_and(|labels| {
            !labels.matches_with(|key| entry.header.labels.get(key).map(String::as_str))
        }) {
            return false;
        }
        self.fields.as_ref().is_none_or(|fields| fields.matches(|path| field(entry, paths, path)))
    }

    /// How a watcher with this filter sees a change; none when it does not.
    pub fn sees(&self, change: &Change, paths: &Paths) -> Option<Kind> {
        let now = change.now.as_ref().is_some_and(|entry| self.matches(entry, paths));
        let before = change.before.as_ref().is_some_and(|entry| self.matches(entry, paths));
        match (before, now) {
            (false, true) => Some(Kind::Added),
            (true, true) => Some(Kind::Modified),
            (true, false) => Some(Kind::Deleted),
            (false, false) => None,
        }
    }
}

fn field(entry: &Entry, paths: &Paths, path: &str) -> Option<String> {
    match path {
        "metadata.name" => Some(entry.name().to_owned()),
        "metadata.namespace" => Some(entry.namespace().to_owned()),
        _ => paths.slot(path).and_then(|slot| entry.header.fields.get(slot)).map(|value| value.to_string()),
    }
}
