//! What extensions publish of their kinds (OpenAPI): read whenever they are asked whether they are there, kept compressed.
//!
//! Of version 2 only what is below the extension's group is kept, as upstream filters it. An extension that knows nothing of
//! version 3 is described there by what it says in version 2.

use std::collections::BTreeMap;
use std::sync::Arc;

use api_model::openapi::{self, Document};
use http::header;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::Aggregator;
use super::remote::Remote;
use crate::attributes::text;

const JSON: &str = "application/json";

/// What one extension publishes.
#[derive(Debug)]
pub(crate) struct Published {
    /// Version 2.
    pub v2: Option<Arc<Document>>,
    /// A hash of version 2.
    pub hash: String,
    /// What its server calls the state of version 2.
    etag: String,
    /// Where its server has the version 3 document of a path (`apis/<group>/<version>`).
    pub v3: Option<BTreeMap<String, String>>,
}

impl Published {
    fn says_the_same(&self, other: &Self) -> bool {
        self.hash == other.hash && self.v3 == other.v3
    }
}

impl Aggregator {
    /// Reads what an extension publishes. What cannot be read now stays as it was.
    pub(super) async fn read_published(&self, remote: &Remote) {
        let (group, version) = (text(&remote.service, "/spec/group"), text(&remote.service, "/spec/version"));
        let key = (group.to_owned(), version.to_owned());
        let before = self.published.read().get(&key).cloned();
        let v3 = match self.read(remote, "/openapi/v3", JSON).await {
            Some((_, index)) => Some(addresses(&index, group)),
            None => before.as_ref().and_then(|before| before.v3.clone()),
        };
        let etag = before.as_ref().map(|before| before.etag.clone()).unwrap_or_default();
        let read = self.read_version_2(remote, group, &etag).await;
        let (v2, hash, etag) = match (read, &before) {
            (Some(read), _) => read,
            (None, Some(before)) => (before.v2.clone(), before.hash.clone(), etag),
            (None, None) => (None, String::new(), String::new()),
        };
        let now = Published { v2, hash, etag, v3 };
        let same = before.is_some_and(|before| before.says_the_same(&now));
        self.published.write().insert(key, Arc::new(now));
        if !same {
            self.changed();
        }
    }

    /// The document, its hash and its tag; none when there is nothing new.
    async fn read_version_2(
        &self,
        remote: &Remote,
        group: &str,
        etag: &str,
    ) -> Option<(Option<Arc<Document>>, String, String)> {
        let mut request = http::Request::get("/openapi/v2").header(header::ACCEPT, JSON);
        if !etag.is_empty() {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        let response = self.sent(remote, request.body(kit::http::empty()).ok()?).await.ok()?;
        if response.status() == http::StatusCode::NOT_FOUND {
            return Some((None, String::new(), String::new()));
        }
        let tag = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok());
        let tag = tag.unwrap_or_default().to_owned();
        let (_, mut document) = super::availability::read_json(response).await?;
        openapi::restrict(&mut document, &format!("/apis/{group}/"));
        let bytes = document.to_string();
        let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Some((Some(Arc::new(Document::of(bytes.as_bytes()))), hash, tag))
    }

    /// What the extension of a group version publishes.
    pub(crate) fn published(&self, group: &str, version: &str) -> Option<Arc<Published>> {
        self.published.read().get(&(group.to_owned(), version.to_owned())).cloned()
    }

    /// The version 2 documents of all extensions, those that count first first.
    pub(crate) fn documents(&self) -> Vec<Arc<Published>> {
        let all = self.extensions().into_iter().filter_map(|one| self.published(&one.group, &one.version));
        all.filter(|published| published.v2.is_some()).collect()
    }

    /// What has to be converted to describe a path (`apis/<group>/<version>`) in version 3.
    pub(crate) fn legacy(&self, path: &str) -> Option<Arc<Published>> {
        let (group, version) = path.strip_prefix("apis/")?.split_once('/')?;
        let published = self.published(group, version)?;
        (published.v3.is_none() && published.v2.is_some()).then_some(published)
    }
}

/// Where an index says that the documents of a group are.
fn addresses(index: &Value, group: &str) -> BTreeMap<String, String> {
    let root = format!("apis/{group}");
    let is_own =
        |path: &str| path.strip_prefix(&root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let all = index["paths"].as_object().into_iter().flatten();
    all.filter(|(path, _)| is_own(path))
        .map(|(path, one)| (path.clone(), text(one, "/serverRelativeURL").to_owned()))
        .collect()
}
