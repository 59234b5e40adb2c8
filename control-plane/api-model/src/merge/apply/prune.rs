//! What goes because its applier does not apply it any more.

use super::fields::Set;
use super::managed::Entry;
use super::versions::{Version, Versions};
use super::walk::{Type, remove, to_set, without_emptied};
use crate::schema::{Schema, Types};
use serde_json::Value;
use std::collections::BTreeMap;

/// A form of the object in one version, with the types to walk it by.
struct View<'a> {
    versions: &'a dyn Versions,
    request: &'a Schema,
    api_version: &'a str,
}

/// What is walked in one version.
struct At {
    schema: Schema,
    converts: bool,
}

impl View<'_> {
    /// How to look at the object in a version; none when it cannot be had.
    fn at(&self, version: &str) -> Option<At> {
        let request = || At { schema: self.request.clone(), converts: false };
        if version == self.api_version {
            return Some(request());
        }
        match self.versions.version(version) {
            Version::Same => Some(request()),
            Version::Other(schema) => Some(At { schema: (*schema).clone(), converts: true }),
            Version::Gone => None,
        }
    }

    fn convert(&self, object: Value, version: &str, at: &At) -> Option<Value> {
        if at.converts { self.versions.convert(&object, version) } else { Some(object) }
    }
}

impl At {
    fn types(&self) -> (&Types, Type) {
        (self.schema.types(), Type::of(self.schema.id()))
    }

    fn set_of(&self, value: &Value) -> Set {
        let (types, ty) = self.types();
        to_set(types, ty, value).with_named_fields(types, ty)
    }

    fn named(&self, set: &Set) -> Set {
        let (types, ty) = self.types();
        set.with_named_fields(types, ty)
    }

    fn without(&self, value: &Value, set: &Set) -> Value {
        let (types, ty) = self.types();
        remove(types, ty, value, set)
    }
}

/// Removes what this applier applied last time, does not now (`now`), and nobody else owns.
pub(super) fn prune(
    request: &Schema,
    versions: &dyn Versions,
    api_version: &str,
    merged: Value,
    last: &Entry,
    now: &Set,
    others: &[Entry],
) -> Value {
    let view = View { versions, request, api_version };
    let Some(at) = view.at(&last.api_version).filter(|_| !last.set.is_empty()) else { return merged };
    let Some(whole) = view.convert(merged.clone(), &last.api_version, &at) else { return merged };
    let last_set = at.named(&last.set);
    let mut pruned = at.without(&whole, &last_set);
    if pruned == whole {
        return merged;
    }
    // Add back what someone, also this applier now, owns: first in the version at hand, which others may need to be complete.
    let mut owned: BTreeMap<(bool, &str), Set> = BTreeMap::new();
    let all = others.iter().map(|entry| (entry.api_version.as_str(), &entry.set)).chain([(api_version, now)]);
    for (version, set) in all {
        let alike =
            version == last.api_version || !at.converts && view.at(version).is_some_and(|at| !at.converts);
        let known =
            owned.entry(if alike { (false, &last.api_version) } else { (true, version) }).or_default();
        *known = std::mem::take(known).union(set);
    }
    let mut current = last.api_version.as_str();
    let mut full = whole.clone();
    for ((_, version), set) in owned {
        let Some(here) = view.at(version) else { continue };
        if version != current {
            let (Some(a), Some(b)) = (versions.convert(&full, version), versions.convert(&pruned, version))
            else {
                continue;
            };
            (full, pruned, current) = (a, b, version);
        }
        let kept = here.set_of(&pruned).union(&here.named(&set));
        pruned = here.without(&full, &here.set_of(&full).difference(&kept));
    }
    if current != last.api_version
        && let Some(back) = versions.convert(&pruned, &last.api_version)
    {
        pruned = back;
    }
    // Add back what this applier did not own either: it went only because what holds it went.
    let pruned =
        at.without(&whole, &at.set_of(&whole).difference(&at.set_of(&pruned)).intersection(&last_set));
    let mut pruned = if at.converts {
        let Some(back) = versions.convert(&pruned, api_version) else { return merged };
        back
    } else {
        pruned
    };
    without_emptied(&mut pruned, &merged);
    pruned
}
