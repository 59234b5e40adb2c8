//! `/acr/v1/_deleted/…`: what the soft delete policy keeps, listed and restored.

use http::{Method, StatusCode};
use kit::http::{Request, Response};
use serde_json::{Value, json};

use super::acr::Part;
use super::attributes::{self, Right};
use super::deleted::{Deleted, Keeping};
use super::errors::Failure;
use super::manifests::page;
use super::route::{Route, is_tag};
use super::store::{Stored, hex_of};

const BODY_MAX_BYTES: usize = 16 * 1024;

fn json_of(deleted: &Deleted) -> Value {
    let mut shown =
        json!({"createdAt": deleted.created_at, "deletedAt": deleted.deleted_at, "digest": deleted.digest});
    if let Some(tag) = &deleted.tag {
        shown["tag"] = json!(tag);
    }
    shown
}

/// `/acr/v1/_deleted/_catalog`: the repositories of which nothing is left but what can be restored.
pub(super) fn catalog(store: &Stored, route: &Route, keeping: Keeping) -> Result<Response, Failure> {
    let prefix = format!("{}/", route.host);
    let mut found = Vec::new();
    for repository in store.repositories_with("_deleted")? {
        let Some(name) = repository.strip_prefix(&prefix) else { continue };
        if !store.manifests(&repository)?.is_empty() {
            continue;
        }
        let kept = store.deleted_manifests(&repository, keeping.expired_at)?;
        let Some(last) = kept.last() else { continue };
        let first = kept.iter().filter_map(|one| one.created_at).min();
        let shown = json!({"createdAt": first, "deletedAt": last.deleted_at, "repository": name});
        found.push((name.to_owned(), shown));
    }
    pages(route, found, |shown| json!({"repositories": shown}))
}

fn pages(
    route: &Route,
    found: Vec<(String, Value)>,
    body: impl Fn(Vec<&Value>) -> Value,
) -> Result<Response, Failure> {
    let names = found.iter().map(|(name, _)| name.clone()).collect();
    let shown = |names: &[String]| {
        body(found.iter().filter(|(name, _)| names.contains(name)).map(|(_, shown)| shown).collect())
    };
    page(route, names, shown, &route.path)
}

/// `/acr/v1/_deleted/<name>/…`
pub(super) async fn answer(
    store: &Stored,
    route: &Route,
    part: &Part,
    request: Request,
    keeping: Keeping,
) -> Result<Response, Failure> {
    let listed = |name: &str, all: Vec<Deleted>| {
        let found = all
            .iter()
            .map(|one| (format!("{}@{}", one.tag.as_deref().unwrap_or_default(), one.digest), json_of(one)));
        let base = json!({"registry": route.host, "imageName": route.name});
        pages(route, found.collect(), |shown| {
            let mut body = base.clone();
            body[name] = json!(shown);
            body
        })
    };
    match (request.method(), part) {
        (&Method::GET, Part::Manifests(None)) => {
            listed("manifests", store.deleted_manifests(&route.repository, keeping.expired_at)?)
        }
        (&Method::GET, Part::Tags(None)) => {
            listed("tags", store.deleted_tags(&route.repository, keeping.expired_at)?)
        }
        (&Method::POST, Part::Manifests(Some(digest))) => {
            let body = kit::http::read(request.into_body(), BODY_MAX_BYTES).await?;
            restore(store, route, digest, &body, keeping)
        }
        _ => Err(Failure::unsupported()),
    }
}

/// The tag that a restored manifest is to have; none is allowed.
fn wanted(body: &[u8]) -> Result<Option<String>, Failure> {
    let invalid = |message: String| Failure::new(StatusCode::BAD_REQUEST, "TAG_INVALID", message);
    let body: Value = match body {
        [] => Value::Null,
        body => serde_json::from_slice(body)
            .map_err(|error| invalid(format!("the request is not JSON: {error}")))?,
    };
    match body.get("tag") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(tag)) if is_tag(tag) => Ok(Some(tag.clone())),
        Some(tag) => Err(invalid(format!("`{tag}` is not a tag"))),
    }
}

/// Restores a manifest with at most one of its tags, or another tag of a manifest that is back already.
fn restore(
    store: &Stored,
    route: &Route,
    digest: &str,
    body: &[u8],
    keeping: Keeping,
) -> Result<Response, Failure> {
    let (repository, tag) = (&route.repository, wanted(body)?);
    if hex_of(digest).is_none() {
        return Err(Failure::digest("the digest is not a sha256 digest"));
    }
    let force = route.field("force").is_some_and(|force| force.eq_ignore_ascii_case("true"));
    let tags = store.deleted_tags(repository, keeping.expired_at)?;
    let tag_is_kept = tags.iter().any(|kept| kept.tag == tag && kept.digest == digest);
    let is_there = store.manifest(repository, digest)?.is_some();
    if !(store.is_kept(repository, digest, keeping.expired_at)? || is_there && tag_is_kept) {
        return Err(Failure::not_found("MANIFEST_UNKNOWN", &format!("the deleted manifest `{digest}`")));
    }
    let text: Value = serde_json::from_slice(&store.blob(digest)?.unwrap_or_default()).unwrap_or_default();
    if let Some(subject) = text["subject"]["digest"].as_str() {
        if store.manifest(repository, subject)?.is_none()
            && store.is_kept(repository, subject, keeping.expired_at)?
        {
            return Err(Failure::conflict(format!(
                "manifest `{digest}` refers to `{subject}`, which is deleted: restore that one first"
            )));
        }
    }
    if let Some(tag) = &tag {
        let now = store.manifest(repository, tag)?.map(|manifest| manifest.digest);
        if now.as_deref().is_some_and(|now| now != digest) {
            if !force {
                return Err(Failure::conflict(format!(
                    "tag `{tag}` already exists in repository `{}`",
                    route.name
                )));
            }
            attributes::require(store, repository, tag, Right::Write)?;
            if let Some(at) = keeping.deleted_at {
                store.keep_tag(repository, tag, at)?;
            }
        }
    }
    // The manifest first: a tag points to one that is stored.
    store.restore_manifest(repository, digest, keeping.expired_at)?;
    if let Some(tag) = &tag {
        store.restore_tag(repository, tag, digest)?;
    }
    Ok(kit::http::json(StatusCode::OK, &json!({"digest": digest, "tag": tag})))
}
