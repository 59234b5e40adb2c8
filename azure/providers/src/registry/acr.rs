//! Azure's own view of a registry (`/acr/v1/…`), and the list of what refers to a manifest.

use http::{Method, StatusCode};
use kit::http::Response;
use serde_json::{Value, json};

use super::errors::Failure;
use super::manifests::insert;
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

fn rights() -> Value {
    json!({"deleteEnabled": true, "writeEnabled": true, "readEnabled": true, "listEnabled": true})
}

fn tag(store: &Stored, route: &Route, name: &str) -> Result<Option<Value>, Failure> {
    let found = store.manifest(&route.repository, name)?;
    let times = || store.tag_time(&route.repository, name).map_or(Value::Null, Value::from);
    Ok(found.map(|m| {
        json!({"name": name, "digest": m.digest, "createdTime": times(), "lastUpdateTime": times(), "signed": false,
            "changeableAttributes": rights()})
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
    let size = |blob: &Value| blob["size"].as_u64().unwrap_or(0);
    let layers: u64 = body["layers"].as_array().into_iter().flatten().map(size).sum();
    let mine: Vec<&str> = tags.iter().filter(|(_, d)| *d == found.digest).map(|(t, _)| t.as_str()).collect();
    Ok(Some(json!({
        "digest": found.digest, "imageSize": layers + size(&body["config"]), "mediaType": found.media_type, "tags": mine,
        "configMediaType": body["config"]["mediaType"], "changeableAttributes": rights(),
        "createdTime": store.manifest_time(&route.repository, &found.digest), "lastUpdateTime": store.manifest_time(&route.repository, &found.digest),
        "architecture": "amd64", "os": "linux",
    })))
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

/// Answers `/acr/v1/<name>…`.
pub(super) fn answer(
    store: &Stored,
    route: &Route,
    part: &Part,
    method: &Method,
) -> Result<Response, Failure> {
    let tags = tags_of(store, route)?;
    let base = json!({"registry": route.host, "imageName": route.name});
    let with = |name: &str, value: Value| {
        let mut body = base.clone();
        body[name] = value;
        Ok(kit::http::json(StatusCode::OK, &body))
    };
    match (method, part) {
        (&Method::GET, Part::Repository) => {
            let count = store.manifests(&route.repository)?.len();
            let body = json!({"registry": route.host, "imageName": route.name, "manifestCount": count, "tagCount": tags.len(),
                "changeableAttributes": rights()});
            Ok(kit::http::json(StatusCode::OK, &body))
        }
        (&Method::GET, Part::Tags(None)) => {
            let mut list = Vec::new();
            for (name, _) in &tags {
                list.extend(tag(store, route, name)?);
            }
            with("tags", json!(list))
        }
        (&Method::GET, Part::Tags(Some(name))) => with(
            "tag",
            tag(store, route, name)?
                .ok_or_else(|| Failure::not_found("TAG_UNKNOWN", &format!("tag `{name}`")))?,
        ),
        (&Method::GET, Part::Manifests(None)) => {
            let mut list = Vec::new();
            for digest in store.manifests(&route.repository)? {
                list.extend(manifest(store, route, &digest, &tags)?);
            }
            with("manifests", json!(list))
        }
        (&Method::GET, Part::Manifests(Some(digest))) => {
            let found = manifest(store, route, digest, &tags)?;
            with("manifest", found.ok_or_else(|| Failure::not_found("MANIFEST_UNKNOWN", digest))?)
        }
        (&Method::DELETE, Part::Repository) => {
            let deleted = json!({"manifestsDeleted": store.manifests(&route.repository)?,
                "tagsDeleted": tags.iter().map(|(t, _)| t).collect::<Vec<_>>()});
            store.delete_repository(&route.repository)?;
            Ok(kit::http::json(StatusCode::ACCEPTED, &deleted))
        }
        (&Method::DELETE, Part::Tags(Some(reference)) | Part::Manifests(Some(reference))) => {
            match store.delete_manifest(&route.repository, reference)? {
                true => Ok(kit::http::status(StatusCode::ACCEPTED)),
                false => Err(Failure::not_found("MANIFEST_UNKNOWN", reference)),
            }
        }
        _ => Err(Failure::unsupported()),
    }
}

/// `/v2/<name>/referrers/<digest>`: the manifests whose `subject` it is, as an image index.
pub(super) fn referrers(store: &Stored, route: &Route, digest: &str) -> Result<Response, Failure> {
    if hex_of(digest).is_none() {
        return Err(Failure::digest("the digest is not a sha256 digest"));
    }
    let mut found = Vec::new();
    for candidate in store.manifests(&route.repository)? {
        let Some(manifest) = store.manifest(&route.repository, &candidate)? else { continue };
        let body: Value = serde_json::from_slice(&manifest.bytes).unwrap_or_default();
        if body["subject"]["digest"].as_str() == Some(digest) {
            let kind = body.get("artifactType").unwrap_or(&body["config"]["mediaType"]);
            found.push(json!({"mediaType": manifest.media_type, "digest": manifest.digest, "size": manifest.bytes.len(),
                "artifactType": kind, "annotations": body.get("annotations")}));
        }
    }
    let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": found});
    let mut response = kit::http::json(StatusCode::OK, &index);
    insert(response.headers_mut(), http::header::CONTENT_TYPE, "application/vnd.oci.image.index.v1+json");
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
