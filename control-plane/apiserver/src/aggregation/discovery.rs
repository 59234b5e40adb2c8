//! What extensions serve, for those who ask what is served.

use serde_json::{Value, json};

use super::Aggregator;
use crate::attributes::text;

/// A group version that an extension serves.
pub(crate) struct Extension {
    pub group: String,
    pub version: String,
    /// `groupPriorityMinimum`.
    pub group_priority: i64,
    /// `versionPriority`.
    pub version_priority: i64,
}

impl Aggregator {
    /// All group versions of extensions, first those that are told first.
    pub(crate) fn extensions(&self) -> Vec<Extension> {
        let remotes = self.remotes();
        let mut all: Vec<Extension> = remotes
            .iter()
            .map(|((group, version), remote)| Extension {
                group: group.clone(),
                version: version.clone(),
                group_priority: remote.service["spec"]["groupPriorityMinimum"].as_i64().unwrap_or(0),
                version_priority: remote.service["spec"]["versionPriority"].as_i64().unwrap_or(0),
            })
            .collect();
        all.sort_by(|a, b| {
            let by_group = b.group_priority.cmp(&a.group_priority).then_with(|| a.group.cmp(&b.group));
            by_group.then(b.version_priority.cmp(&a.version_priority)).then_with(|| a.version.cmp(&b.version))
        });
        all
    }

    /// `APIVersionDiscovery` of a group version, when an extension serves it; stale and empty while nothing is known.
    pub(crate) fn described(&self, group: &str, version: &str) -> Option<Value> {
        let remote = self.remote(group, version)?;
        let known = self.discovered.read().get(&(group.to_owned(), version.to_owned())).cloned();
        let unknown = || json!({"version": text(&remote.service, "/spec/version"), "freshness": "Stale"});
        Some(known.map_or_else(unknown, |known| known.version))
    }
}
