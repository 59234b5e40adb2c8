//! Azure's own view of a registry (`/acr/v1/…`), and the list of what refers to a manifest.
//!
//! Lists take `n` and `last`; tags also `digest`, and `orderby` (`timeasc`, `timedesc`).

use http::{Method, StatusCode};
use kit::http::Response;
use serde_json::{Value, json};

use super::attributes::{self, Right, rights};
use super::deleted::Keeping;
use super::errors::Failure;
use super::manifests::{delete, insert, page};
use super::route::Route;
use super::store::{Stored, hex_of};

/// What of `/acr/v1/` is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// The repository itself.
    Repository,
    /// Its tags, or one.
    Tags(Option<String>),
    /// Its manifests, or one.
    Manifests(Option<String>),
}

impl Part {
    /// The tag or digest that is asked for.
    pub(super) fn object(&self) -> Option<&str> {
        match self {
            Part::Repository => None,
            Part::Tags(one) | Part::Manifests(one) => one.as_deref(),
        }
    }
}

/// Splits what follows `/acr/v1/`.
pub(super) fn below(rest: &str) -> (String, Part) {
    for (marker, tags) in [("/_tags", true), ("/_manifests", false)] {
        let Some(at) = rest.rfind(marker) else { continue };
        let tail = &rest[at + marker.len()..];
        let one = tail.strip_prefix('/').filter(|t| !t.is_empty()).map(str::to_owned);
        if tail.is_empty() || one.is_some() {
            return (rest[..at].to_owned(), if tags { Part::Tags(one) } else { Part::Manifests(one) });
        }
    }
    (rest.trim_end_matches('/').to_owned(), Part::Repository)
}

fn unknown(route: &Route) -> Failure {
    Failure::not_found("NAME_UNKNOWN", &format!("repository `{}`", route.name))
}

fn tag(store: &Stored, route: &Route, name: &str) -> Result<Option<Value>, Failure> {
    let found = store.manifest(&route.repository, name)?;
    let rights = rights(store, &route.repository, name)?;
    let times = || store.tag_time(&route.repository, name).map_or(Value::Null, Value::from);
    Ok(found.map(|m| {
        json!({"name": name, "digest": m.digest, "createdTime": times(), "lastUpdateTime": times(), "signed": false,
            "changeableAttributes": rights})
    }))
}

fn manifest(
    store: &Stored,
    route: &Route,
    digest: &str,
    tags: &[(String, String)],
) -> Result<Option<Value>, Failure> {
    let Some(found) = store.manifest(&route.repository, digest)? else { return Ok(None) };
    let body: Value = serde_json::from_slice(&found.bytes).unwrap_or_default();
    let rights = rights(store, &route.repository, &found.digest)?;
    let size = |blob: &Value| blob["size"].as_u64().unwrap_or(0);
    let layers: u64 = body["layers"].as_array().into_iter().flatten().map(size).sum();
    let mine: Vec<&str> = tags.iter().filter(|(_, d)| *d == found.digest).map(|(t, _)| t.as_str()).collect();
    let mut shown = json!({
        "digest": found.digest, "imageSize": layers + size(&body["config"]), "mediaType": found.media_type, "tags": mine,
        "changeableAttributes": rights,
        "createdTime": store.manifest_time(&route.repository, &found.digest), "lastUpdateTime": store.manifest_time(&route.repository, &found.digest),
    });
    // An index has no configuration; that of an artifact says nothing about machines.
    if let Some(kind) = body["config"]["mediaType"].as_str() {
        shown["configMediaType"] = json!(kind);
    }
    let config = body["config"]["digest"].as_str().unwrap_or_default();
    let is_small = store.blob_length(config).is_some_and(|length| length <= CONFIG_MAX_BYTES);
    let config = if is_small { store.blob(config)? } else { None };
    let config: Value = config.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    for name in ["architecture", "os"] {
        if let Some(value) = config[name].as_str() {
            shown[name] = json!(value);
        }
    }
    Ok(Some(shown))
}

fn tags_of(store: &Stored, route: &Route) -> Result<Vec<(String, String)>, Failure> {
    let names = store.tags(&route.repository)?.ok_or_else(|| unknown(route))?;
    let mut found = Vec::new();
    for name in names {
        if let Some(manifest) = store.manifest(&route.repository, &name)? {
            found.push((name, manifest.digest));
        }
    }
    Ok(found)
}

/// Names in the order asked for; times are those of the files, so equal ones fall back to names.
fn ordered(route: &Route, mut names: Vec<String>, time: impl Fn(&str) -> Option<String>) -> Vec<String> {
    match route.field("orderby") {
        Some("timeasc") => names.sort_by_cached_key(|name| time(name)),
        Some("timedesc") => {
            names.sort_by_cached_key(|name| time(name));
            names.reverse();
        }
        _ => {}
    }
    names
}

/// Answers GET of `/acr/v1/<name>…`.
fn read(store: &Stored, route: &Route, part: &Part, tags: &[(String, String)]) -> Result<Response, Failure> {
    let base = json!({"registry": route.host, "imageName": route.name});
    let with = |name: &str, value: Value| {
        let mut body = base.clone();
        body[name] = value;
        body
    };
    let one = |name: &str, value: Value| Ok(kit::http::json(StatusCode::OK, &with(name, value)));
    match part {
        Part::Repository => {
            let manifests = store.manifests(&route.repository)?;
            let mut times: Vec<String> =
                manifests.iter().filter_map(|d| store.manifest_time(&route.repository, d)).collect();
            times.sort();
            let body = json!({"registry": route.host, "imageName": route.name, "manifestCount": manifests.len(), "tagCount": tags.len(),
                "createdTime": times.first(), "lastUpdateTime": times.last(),
                "changeableAttributes": rights(store, &route.repository, "")?});
            Ok(kit::http::json(StatusCode::OK, &body))
        }
        Part::Tags(None) => {
            let wanted = |digest: &String| route.field("digest").is_none_or(|d| d == digest);
            let names =
                tags.iter().filter(|(_, digest)| wanted(digest)).map(|(name, _)| name.clone()).collect();
            let names = ordered(route, names, |name| store.tag_time(&route.repository, name));
            let found: Result<Vec<_>, _> =
                names.iter().map(|name| Ok((name, tag(store, route, name)?))).collect();
            let found: std::collections::BTreeMap<_, _> =
                found.map_err(|e: Failure| e)?.into_iter().collect();
            page(
                route,
                names.clone(),
                |names| with("tags", names.iter().filter_map(|n| found.get(n).cloned().flatten()).collect()),
                &route.path,
            )
        }
        Part::Tags(Some(name)) => {
            let found = tag(store, route, name)?;
            one("tag", found.ok_or_else(|| Failure::not_found("TAG_UNKNOWN", &format!("tag `{name}`")))?)
        }
        Part::Manifests(None) => {
            let digests = store.manifests(&route.repository)?;
            let digests = ordered(route, digests, |digest| store.manifest_time(&route.repository, digest));
            let found: Result<Vec<_>, Failure> =
                digests.iter().map(|d| Ok((d, manifest(store, route, d, tags)?))).collect();
            let found: std::collections::BTreeMap<_, _> = found?.into_iter().collect();
            page(
                route,
                digests.clone(),
                |digests| {
                    with(
                        "manifests",
                        digests.iter().filter_map(|d| found.get(d).cloned().flatten()).collect(),
                    )
                },
                &route.path,
            )
        }
        Part::Manifests(Some(digest)) => {
            let found = manifest(store, route, digest, tags)?;
            one("manifest", found.ok_or_else(|| Failure::not_found("MANIFEST_UNKNOWN", digest))?)
        }
    }
}

/// Answers `/acr/v1/<name>…`.
pub(super) async fn answer(
    store: &Stored,
    route: &Route,
    part: &Part,
    request: kit::http::Request,
    keeping: Keeping,
) -> Result<Response, Failure> {
    let tags = tags_of(store, route)?;
    let object = part.object().unwrap_or("");
    match (request.method(), part) {
        (&Method::GET, _) => read(store, route, part, &tags),
        (_, Part::Tags(None) | Part::Manifests(None)) => Err(Failure::unsupported()),
        (&Method::PATCH, _) => {
            if !object.is_empty() && store.manifest(&route.repository, object)?.is_none() {
                return Err(Failure::not_found("MANIFEST_UNKNOWN", object));
            }
            let bytes = kit::http::read(request.into_body(), ATTRIBUTES_MAX_BYTES).await?;
            attributes::change(store, &route.repository, object, &bytes)?;
            read(store, route, part, &tags)
        }
        (&Method::DELETE, Part::Repository) => {
            let manifests = store.manifests(&route.repository)?;
            let names = tags.iter().map(|(name, _)| name).chain(&manifests);
            for object in names.map(String::as_str).chain([""]) {
                attributes::require(store, &route.repository, object, Right::Delete)?;
            }
            let deleted = json!({"manifestsDeleted": manifests, "tagsDeleted": tags.iter().map(|(t, _)| t).collect::<Vec<_>>()});
            store.delete_repository(&route.repository, keeping.deleted_at)?;
            Ok(kit::http::json(StatusCode::ACCEPTED, &deleted))
        }
        (&Method::DELETE, _) => delete(store, route, object, keeping),
        _ => Err(Failure::unsupported()),
    }
}

/// An image's configuration that is longer than a manifest may be is not looked into.
const CONFIG_MAX_BYTES: u64 = 4 * 1024 * 1024;
const ATTRIBUTES_MAX_BYTES: usize = 16 * 1024;

/// `/v2/<name>/referrers/<digest>`: the manifests whose `subject` it is, as an image index.
pub(super) fn referrers(store: &Stored, route: &Route, digest: &str) -> Result<Response, Failure> {
    if hex_of(digest).is_none() {
        return Err(Failure::digest("the digest is not a sha256 digest"));
    }
    let mut found = Vec::new();
    for manifest in store.referrers(&route.repository, digest)? {
        let body: Value = serde_json::from_slice(&manifest.bytes).unwrap_or_default();
        let kind = body.get("artifactType").unwrap_or(&body["config"]["mediaType"]);
        if route.field("artifactType").is_some_and(|wanted| kind.as_str() != Some(wanted)) {
            continue;
        }
        let mut descriptor = json!({"mediaType": manifest.media_type, "digest": manifest.digest,
            "size": manifest.bytes.len(), "artifactType": kind});
        if let Some(annotations) = body.get("annotations") {
            descriptor["annotations"] = annotations.clone();
        }
        found.push(descriptor);
    }
    let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": found});
    let mut response = kit::http::json(StatusCode::OK, &index);
    insert(response.headers_mut(), http::header::CONTENT_TYPE, "application/vnd.oci.image.index.v1+json");
    if route.field("artifactType").is_some() {
        insert(
            response.headers_mut(),
            http::header::HeaderName::from_static("oci-filters-applied"),
            "artifactType",
        );
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let table = [
            ("web", "web", Part::Repository),
            ("team/web/_tags", "team/web", Part::Tags(None)),
            ("web/_tags/v1", "web", Part::Tags(Some("v1".into()))),
            ("web/_manifests", "web", Part::Manifests(None)),
        ];
        for (text, name, part) in table {
            assert_eq!(below(text), (name.to_owned(), part));
        }
    }
}
