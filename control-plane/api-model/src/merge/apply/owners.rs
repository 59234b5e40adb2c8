//! Who loses what by a change, and the conflicts that are.

use super::fields::Set;
use super::ignored::Ignored;
use super::managed::Entry;
use super::versions::{Version, Versions};
use super::walk::{Difference, Type, compare};
use serde_json::Value;
use std::collections::HashMap;

/// One field another manager owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Path, as in `.spec.replicas`.
    pub field: String,
    /// Who owns it, as upstream prints it: `"kubectl" using apps/v1`.
    pub manager: String,
    /// What owners are sorted by.
    pub(super) identifier: String,
    /// The field as a set, to compare with others.
    pub(super) set: Set,
}

impl Conflict {
    /// Message of the `Status` cause `FieldManagerConflict`.
    pub fn message(&self) -> String {
        format!("conflict with {}", self.manager)
    }
}

/// A change, as each version sees it.
pub(super) struct Change<'a> {
    pub versions: &'a dyn Versions,
    pub ignored: &'a Ignored,
    pub api_version: &'a str,
    pub old: &'a Value,
    pub new: &'a Value,
    pub difference: &'a Difference,
}

/// What a change does to one version's fields.
struct Effect {
    touched: Set,
    removed: Set,
}

impl Effect {
    fn of(difference: &Difference, ignored: &Ignored) -> Self {
        let touched = difference.added.clone().union(&difference.modified);
        Self { touched: ignored.strip(touched), removed: ignored.strip(difference.removed.clone()) }
    }
}

impl Change<'_> {
    /// Takes from all entries what was touched or removed; entries without fields or version go. Tells what was touched.
    pub fn take_over(&self, entries: &mut Vec<Entry>) -> Vec<Conflict> {
        if entries.is_empty() {
            return Vec::new();
        }
        let mut effects: HashMap<String, Option<Effect>> = HashMap::new();
        effects.insert(self.api_version.to_owned(), Some(Effect::of(self.difference, self.ignored)));
        let mut conflicts = Vec::new();
        entries.retain_mut(|entry| {
            let effect =
                effects.entry(entry.api_version.clone()).or_insert_with_key(|version| self.effect(version));
            let Some(effect) = effect else { return false };
            let taken = entry.set.intersection(&effect.touched);
            if !taken.is_empty() {
                conflicts.push((entry.identifier(), entry.shown(), taken.clone()));
                entry.set = entry.set.difference(&taken);
            }
            if !effect.removed.is_empty() {
                entry.set = entry.set.difference(&effect.removed);
            }
            !entry.set.is_empty()
        });
        conflicts.sort_by(|a, b| a.0.cmp(&b.0));
        let one = |(identifier, manager, taken): (String, String, Set)| {
            let split = taken.split();
            split.into_iter().map(move |(field, set)| Conflict {
                field,
                manager: manager.clone(),
                identifier: identifier.clone(),
                set,
            })
        };
        conflicts.into_iter().flat_map(one).collect()
    }

    fn effect(&self, version: &str) -> Option<Effect> {
        match self.versions.version(version) {
            Version::Same => Some(Effect::of(self.difference, self.ignored)),
            Version::Gone => None,
            Version::Other(schema) => {
                let old = self.versions.convert(self.old, version)?;
                let new = self.versions.convert(self.new, version)?;
                let difference = compare(schema.types(), Type::of(schema.id()), Some(&old), Some(&new));
                Some(Effect::of(&difference, self.ignored))
            }
        }
    }
}

/// The message of the `Status`.
pub(super) fn message(conflicts: &[Conflict]) -> String {
    if let [one] = conflicts {
        return format!("Apply failed with 1 conflict: {}: {}", one.message(), one.field);
    }
    let mut lines: Vec<String> = Vec::new();
    let mut last = None;
    for conflict in conflicts {
        if last.replace(&conflict.identifier) != Some(&conflict.identifier) {
            lines.push(format!("conflicts with {}:", conflict.manager));
        }
        lines.push(format!("- {}", conflict.field));
    }
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}
