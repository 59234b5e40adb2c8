//! Reading objects: one, many, pages of many, and lists of the past.

use std::sync::Arc;

use api_model::{Cause, FieldPath};
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
    #[serde(default)]
    v: String,
    /// The revision of the list; less than 0: whatever there is when the rest is asked for.
    #[serde(default)]
    rv: i64,
    #[serde(default)]
    start: String,
}

/// The revision of the rest of a list whose own revision is forgotten.
const INCONSISTENT: i64 = -1;

const TOKEN_VERSION: &str = "meta.k8s.io/v1";

/// What a continue token says that is too old.
pub const EXPIRED_TOKEN: &str = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";

fn encode(token: &Token) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(token).unwrap_or_default())
}

fn decode(text: &str) -> Result<Token, ApiError> {
    let wrong = |why: &str| {
        ApiError::bad_request(format!("invalid continue token: continue key is not valid: {why}"))
    };
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|error| wrong(&illegal_base64(text, &error)))?;
    let token: Token = serde_json::from_slice(&bytes).map_err(|error| wrong(&error.to_string()))?;
    if token.v != TOKEN_VERSION {
        return Err(wrong(&format!("server does not recognize this encoded version {:?}", token.v)));
    }
    if token.rv == 0 {
        return Err(wrong(&format!("incorrect encoded start resourceVersion (version {TOKEN_VERSION})")));
    }
    if token.start.is_empty() {
        return Err(wrong(&format!("encoded start key empty (version {TOKEN_VERSION})")));
    }
    Ok(token)
}

fn illegal_base64(text: &str, error: &base64::DecodeError) -> String {
    let at = match error {
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => *at,
        _ => text.len(),
    };
    format!("illegal base64 data at input byte {at}")
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
        check_match(options)?;
        let wanted = version(options.resource_version.as_deref())?;
        if let Some(token) = &options.continue_token {
            let token = decode(token)?;
            if wanted.is_some_and(|version| version != 0) {
                return Err(ApiError::bad_request(
                    "specifying resource version is not allowed when using continue",
                ));
            }
            return match u64::try_from(token.rv) {
                Ok(revision) => self.list_at(storage, options, revision, Some(token.start)).await,
                Err(_) => self.list_now(storage, options, None, Some(&token.start), options.limit).await,
            };
        }
        match (options.version_match.as_deref(), wanted) {
            (Some("Exact"), Some(version)) => self.list_at(storage, options, version, None).await,
            // With a limit and a version, exactly that version is listed, unless told otherwise.
            (None, Some(version)) if options.limit > 0 && version > 0 => {
                self.list_at(storage, options, version, None).await
            }
            // Whoever takes anything gets everything.
            (_, Some(0)) => self.list_now(storage, options, wanted, None, 0).await,
            _ => self.list_now(storage, options, wanted, None, options.limit).await,
        }
    }

    /// The list as it is, at least as new as `wanted`.
    async fn list_now(
        &self,
        storage: &str,
        options: &ListOptions,
        wanted: Option<u64>,
        start: Option<&str>,
        limit: usize,
    ) -> Result<Listed, ApiError> {
        let progress = self.reach(wanted).await?;
        let cache = self.hub.cache(storage);
        let start = start.map(|start| format!("{}{start}", cache.prefix));
        let (page, changed) = cache.list(&options.filter, start.as_deref(), limit);
        let remaining = page.remaining as u64;
        Ok(listed(options, page.entries, page.more, remaining, progress.max(changed)))
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
        let rest = start.clone();
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
            store::StoreError::Compacted { .. } => forgotten(rest),
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
    let token = last.filter(|_| more).map(|start| {
        encode(&Token {
            v: TOKEN_VERSION.to_owned(),
            rv: i64::try_from(revision).unwrap_or(INCONSISTENT),
            start,
        })
    });
    let remaining = (more && !options.filter.selective()).then_some(remaining);
    Listed { entries, revision, continue_token: token, remaining }
}

/// That a revision is forgotten; whoever continues a list may go on without it.
fn forgotten(rest: Option<String>) -> ApiError {
    match rest {
        None => ApiError::expired("The resourceVersion for the provided list is too old."),
        Some(start) => {
            let token = Token { v: TOKEN_VERSION.to_owned(), rv: INCONSISTENT, start };
            ApiError { continue_token: Some(encode(&token)), ..ApiError::expired(EXPIRED_TOKEN) }
        }
    }
}

/// Refuses a `resourceVersionMatch` that goes with nothing.
fn check_match(options: &ListOptions) -> Result<(), ApiError> {
    let Some(how) = options.version_match.as_deref() else { return Ok(()) };
    let path = FieldPath::new("resourceVersionMatch");
    let mut causes = Vec::new();
    if options.resource_version.is_none() {
        let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
        causes.push(Cause::forbidden(&path, why));
    }
    if options.continue_token.is_some() {
        causes.push(Cause::forbidden(&path, "resourceVersionMatch is forbidden when continue is provided"));
    }
    if !matches!(how, "Exact" | "NotOlderThan") {
        causes.push(Cause::unsupported(&path, &serde_json::json!(how), &["Exact", "NotOlderThan", ""]));
    }
    if how == "Exact" && options.resource_version.as_deref() == Some("0") {
        let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
        causes.push(Cause::forbidden(&path, why));
    }
    if causes.is_empty() { Ok(()) } else { Err(ApiError::invalid("meta.k8s.io", "ListOptions", "", &causes)) }
}
