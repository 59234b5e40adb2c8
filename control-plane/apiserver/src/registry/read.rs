//! Reading objects: one, many, pages of many, and lists of the past.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use store::Range;

use super::{Registry, Target, behind, store_failed};
use crate::attributes::ApiError;
use crate::watch::{Entry, Filter};

/// Which objects, as of when.
#[derive(Debug, Default)]
pub struct ListOptions {
    /// Which.
    pub filter: Filter,
    /// At most so many; 0: all.
    pub limit: usize,
    /// Where the page before ended.
    pub continue_token: Option<String>,
    /// As of this resource version.
    pub resource_version: Option<String>,
    /// How that is meant: `Exact`, `NotOlderThan`.
    pub version_match: Option<String>,
}

/// A list or a page of one.
pub struct Listed {
    /// The objects.
    pub entries: Vec<Arc<Entry>>,
    /// As of this revision.
    pub revision: u64,
    /// Where the next page begins.
    pub continue_token: Option<String>,
    /// How many more there are; only known without selectors.
    pub remaining: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct Token {
    v: String,
    rv: u64,
    start: String,
}

const TOKEN_VERSION: &str = "meta.k8s.io/v1";

/// What a continue token says that is too old.
pub const EXPIRED_TOKEN: &str = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";

fn encode(token: &Token) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(token).unwrap_or_default())
}

fn decode(text: &str) -> Result<Token, ApiError> {
    let wrong = || ApiError::bad_request("continue key is not valid");
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
    let token: Token = serde_json::from_slice(&bytes).map_err(|_| wrong())?;
    if token.v == TOKEN_VERSION { Ok(token) } else { Err(wrong()) }
}

/// A resource version from a query; none when it is absent.
///
/// # Errors
/// When it is no number.
pub fn version(text: Option<&str>) -> Result<Option<u64>, ApiError> {
    match text {
        None | Some("") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| {
            ApiError::bad_request(format!("resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"))
        }),
    }
}

impl Registry {
    /// One object.
    ///
    /// # Errors
    /// When it is not there, or the version asked for did not come in time.
    pub async fn get(&self, target: &Target, resource_version: Option<&str>) -> Result<Arc<Entry>, ApiError> {
        self.reach(version(resource_version)?).await?;
        self.hub.cache(&target.served.storage).get(&target.key()).ok_or_else(|| target.not_found())
    }

    /// Waits until reads are as new as asked: now, anything, or at least a version.
    pub(crate) async fn reach(&self, version: Option<u64>) -> Result<u64, ApiError> {
        match version {
            None => self.hub.fresh().await.map_err(behind),
            Some(0) => Ok(self.hub.progress()),
            Some(version) => {
                self.hub.reach(version).await.map_err(behind)?;
                Ok(self.hub.progress())
            }
        }
    }

    /// Many objects.
    ///
    /// # Errors
    /// As the API answers them.
    pub async fn list(&self, storage: &str, options: &ListOptions) -> Result<Listed, ApiError> {
        let wanted = version(options.resource_version.as_deref())?;
        check_match(options, wanted)?;
        let exact = match (&options.continue_token, options.version_match.as_deref()) {
            (Some(token), _) => {
                let token = decode(token)?;
                Some((token.rv, Some(token.start)))
            }
            (None, Some("Exact")) => wanted.map(|version| (version, None)),
            // With a limit and a version, upstream lists exactly that version, unless told otherwise.
            (None, None) if options.limit > 0 => {
                wanted.filter(|version| *version > 0).map(|version| (version, None))
            }
            _ => None,
        };
        match exact {
            Some((revision, start)) => self.list_at(storage, options, revision, start).await,
            None => {
                let progress = self.reach(wanted).await?;
                let cache = self.hub.cache(storage);
                let (page, changed) = cache.list(&options.filter, None, options.limit);
                let remaining = page.remaining as u64;
                Ok(listed(options, page.entries, page.more, remaining, progress.max(changed)))
            }
        }
    }

    /// The list as it was at `revision`: from the cache when nothing has changed since, else from the store.
    async fn list_at(
        &self,
        storage: &str,
        options: &ListOptions,
        revision: u64,
        start: Option<String>,
    ) -> Result<Listed, ApiError> {
        self.hub.reach(revision).await.map_err(behind)?;
        let cache = self.hub.cache(storage);
        let start = start.map(|start| format!("{}{start}", cache.prefix));
        let (page, changed) = cache.list(&options.filter, start.as_deref(), options.limit);
        if changed <= revision {
            let remaining = page.remaining as u64;
            return Ok(listed(options, page.entries, page.more, remaining, revision));
        }
        let selective = options.filter.selective();
        let mut range = Range {
            prefix: options.filter.key_prefix(&cache.prefix),
            start_after: start,
            limit: if selective { 0 } else { options.limit },
            revision: Some(revision),
        };
        range.start_after = range.start_after.filter(|start| start.starts_with(&range.prefix));
        let found = self.store.range(range).await.map_err(|error| match error {
            store::StoreError::Compacted { .. } if options.continue_token.is_some() => {
                ApiError::expired(EXPIRED_TOKEN)
            }
            error => store_failed(&error),
        })?;
        let paths = cache.paths.read().clone();
        let mut entries: Vec<Arc<Entry>> = found
            .items
            .into_iter()
            .map(|item| Arc::new(cache.entry(item.key, item.value, item.mod_revision)))
            .filter(|entry| options.filter.matches(entry, &paths))
            .collect();
        let mut remaining = found.remaining;
        if selective && options.limit > 0 && entries.len() > options.limit {
            remaining = (entries.len() - options.limit) as u64;
            entries.truncate(options.limit);
        }
        Ok(listed(options, entries, remaining > 0, remaining, revision))
    }
}

fn listed(
    options: &ListOptions,
    entries: Vec<Arc<Entry>>,
    more: bool,
    remaining: u64,
    revision: u64,
) -> Listed {
    let last = entries.last().map(|entry| match entry.namespace() {
        "" => entry.name().to_owned(),
        namespace => format!("{namespace}/{}", entry.name()),
    });
    let token = last
        .filter(|_| more)
        .map(|start| encode(&Token { v: TOKEN_VERSION.to_owned(), rv: revision, start }));
    let remaining = (more && !options.filter.selective()).then_some(remaining);
    Listed { entries, revision, continue_token: token, remaining }
}

fn check_match(options: &ListOptions, wanted: Option<u64>) -> Result<(), ApiError> {
    let Some(how) = options.version_match.as_deref() else {
        if options.continue_token.is_some() && wanted.is_some_and(|version| version != 0) {
            return Err(ApiError::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        return Ok(());
    };
    let forbidden = |why: &str| Err(ApiError::bad_request(format!("resourceVersionMatch: Forbidden: {why}")));
    if options.continue_token.is_some() {
        return forbidden("resourceVersionMatch is forbidden when continue is provided");
    }
    match (how, wanted) {
        (_, None) => forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided"),
        ("Exact", Some(0)) => {
            forbidden("resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"")
        }
        ("Exact" | "NotOlderThan", Some(_)) => Ok(()),
        _ => Err(ApiError::bad_request(format!(
            "resourceVersionMatch: Unsupported value: {how:?}: supported values: \"Exact\", \"NotOlderThan\", \"\""
        ))),
    }
}
