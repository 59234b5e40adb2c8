//! Which objects a list or a watch is about.

use api_model::selector::{FieldSelector, LabelSelector, Operator};

use super::change::{Change, Kind};
use super::entry::Entry;
use super::header::Paths;
use super::index::By;
use super::subscribers::Trigger;

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

    /// The labels and fields that must have one certain value, with that value.
    pub fn equalities(&self, paths: &Paths) -> Vec<(By, &str)> {
        let fields = self.fields.iter().flat_map(FieldSelector::requirements).filter(|field| field.equal);
        let fields =
            fields.filter_map(|field| Some((By::Field(paths.slot(&field.field)?), field.value.as_str())));
        let labels = self.labels.iter().flat_map(LabelSelector::requirements);
        let labels = labels.filter_map(|label| match label.values.as_slice() {
            [value] if label.operator == Operator::In => {
                Some((By::Label(label.key.as_str().into()), value.as_str()))
            }
            _ => None,
        });
        fields.chain(labels).collect()
    }

    /// What a change must touch to be looked at.
    pub fn trigger(&self, resource_prefix: &str, paths: &Paths) -> Trigger {
        let named = self.exact_key(resource_prefix);
        // Without a namespace the key of a namespaced object is not known.
        let key = named.filter(|_| self.namespace.as_deref().is_some_and(|namespace| !namespace.is_empty()));
        if let Some(key) = key {
            return Trigger::Key(key.into());
        }
        let field = self.equalities(paths).into_iter().find_map(|(by, value)| match by {
            By::Field(slot) => Some(Trigger::Field(slot, value.into())),
            By::Label(_) => None,
        });
        let namespace = || self.namespace.as_deref().filter(|namespace| !namespace.is_empty());
        field.or_else(|| Some(Trigger::Namespace(namespace()?.into()))).unwrap_or(Trigger::Any)
    }

    /// Whether the object passes.
    pub fn matches(&self, entry: &Entry, paths: &Paths) -> bool {
        if self.namespace.as_deref().is_some_and(|wanted| wanted != entry.namespace()) {
            return false;
        }
        if self.name.as_deref().is_some_and(|wanted| wanted != entry.name()) {
            return false;
        }
        if self.labels.as_ref().is_some_and(|labels| !labels.matches_with(|key| entry.header.labels.get(key)))
        {
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
