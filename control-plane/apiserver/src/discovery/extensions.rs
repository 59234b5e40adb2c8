//! Group versions that extension API servers serve, among those served here.

use std::sync::Arc;

use super::{Discovery, Group};
use crate::aggregation::{Aggregator, Remote};
use crate::handlers::path::RequestInfo;

impl Discovery {
    /// The aggregation layer.
    pub(crate) fn aggregator(&self) -> &Arc<Aggregator> {
        &self.aggregator
    }

    /// Who answers a request instead of this server: about resources, or what there is, of an extension's group version.
    pub(crate) fn extension(&self, info: &RequestInfo) -> Option<Arc<Remote>> {
        if info.is_resource {
            return if info.group.is_empty() {
                None
            } else {
                self.aggregator.remote(&info.group, &info.version)
            };
        }
        let described = info.path.strip_prefix("/openapi/v3/");
        if described.is_some_and(|path| self.aggregator.legacy(path).is_some()) {
            return None;
        }
        let path = info.path.strip_prefix("/openapi/v3").unwrap_or(&info.path);
        let (group, version) = path.strip_prefix("/apis/")?.trim_end_matches('/').split_once('/')?;
        self.aggregator.remote(group, version)
    }

    /// Adds them to the groups; whole groups after those served here, in order of their priorities.
    pub(super) fn with_extensions(&self, mut groups: Vec<Group>) -> Vec<Group> {
        for extension in self.aggregator.extensions() {
            match groups.iter_mut().find(|group| group.name == extension.group) {
                Some(group) if group.versions.contains(&extension.version) => {}
                Some(group) => group.versions.push(extension.version),
                None => groups.push(Group { name: extension.group, versions: vec![extension.version] }),
            }
        }
        groups
    }

    /// Where the OpenAPI documents of extensions are, by path.
    pub(super) fn extension_documents(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for one in self.aggregator.extensions() {
            let Some(published) = self.aggregator.published(&one.group, &one.version) else { continue };
            match &published.v3 {
                Some(addresses) => all.extend(addresses.clone()),
                None if published.v2.is_some() => {
                    let path = format!("apis/{}/{}", one.group, one.version);
                    let url = super::openapi::relative_url(&path, &published.hash);
                    all.push((path, url));
                }
                None => {}
            }
        }
        all
    }
}
