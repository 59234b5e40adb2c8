//! Manifests, tags and the catalog.

use http::{HeaderValue, Method, StatusCode, header};
use kit::http::{Request, Response};
use serde_json::{Value, json};

use super::attributes;
use super::deleted::Keeping;
use super::errors::Failure;
use super::route::{Route, is_tag};
use super::store::{Stored, hex_of};

const MANIFEST_MAX_BYTES: usize = 4 * 1024 * 1024;
const PAGE_MAX: usize = 1000;

/// GET, HEAD, PUT and DELETE of a manifest.
pub(super) async fn manifest(
    store: &Stored,
    route: &Route,
    reference: &str,
    request: Request,
    keeping: Keeping,
) -> Result<Response, Failure> {
    if hex_of(reference).is_none() && !is_tag(reference) {
        return Err(Failure::new(
            StatusCode::BAD_REQUEST,
            "TAG_INVALID",
            format!("`{reference}` is not a tag"),
        ));
    }
    match *request.method() {
        Method::GET | Method::HEAD => get(store, route, reference, request.method() == Method::HEAD),
        Method::PUT => put(store, route, reference, request, keeping).await,
        Method::DELETE => delete(store, route, reference, keeping),
        _ => Err(Failure::unsupported()),
    }
}

/// Deletes a tag, or a manifest with its tags and all that refers to it.
pub(super) fn delete(
    store: &Stored,
    route: &Route,
    reference: &str,
    keeping: Keeping,
) -> Result<Response, Failure> {
    let repository = &route.repository;
    let mut all = vec![reference.to_owned()];
    let mut next = 0;
    while let Some(digest) = all.get(next).filter(|one| hex_of(one).is_some()) {
        let more = store.referrers(repository, digest)?.into_iter().map(|manifest| manifest.digest);
        let more: Vec<String> = more.filter(|digest| !all.contains(digest)).collect();
        all.extend(more);
        next += 1;
    }
    for one in &all {
        attributes::require(store, repository, one, attributes::Right::Delete)?;
    }
    // What refers goes before what it refers to.
    let mut there = false;
    for one in all.iter().rev() {
        there = store.delete_manifest(repository, one, keeping.deleted_at)?;
    }
    if there {
        Ok(kit::http::status(StatusCode::ACCEPTED))
    } else {
        Err(Failure::not_found("MANIFEST_UNKNOWN", reference))
    }
}

fn get(store: &Stored, route: &Route, reference: &str, head: bool) -> Result<Response, Failure> {
    attributes::require(store, &route.repository, reference, attributes::Right::Read)?;
    let Some(manifest) = store.manifest(&route.repository, reference)? else {
        let name = format!("manifest {reference} of `{}`", route.repository);
        return Err(Failure::not_found("MANIFEST_UNKNOWN", &name));
    };
    let length = manifest.bytes.len();
    let body = if head { kit::http::empty() } else { kit::http::full(manifest.bytes) };
    let mut response = http::Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    insert(headers, header::CONTENT_TYPE, &manifest.media_type);
    insert(headers, header::ETAG, &format!("\"{}\"", manifest.digest));
    insert(headers, DIGEST, &manifest.digest);
    Ok(response)
}

pub(super) const DIGEST: header::HeaderName = header::HeaderName::from_static("docker-content-digest");

pub(super) fn insert(headers: &mut http::HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

async fn put(
    store: &Stored,
    route: &Route,
    reference: &str,
    request: Request,
    keeping: Keeping,
) -> Result<Response, Failure> {
    attributes::require(store, &route.repository, reference, attributes::Right::Write)?;
    let content_type = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let bytes = kit::http::read(request.into_body(), MANIFEST_MAX_BYTES).await?;
    let invalid = |why: String| Failure::new(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", why);
    let manifest: Value = serde_json::from_slice(&bytes)
        .map_err(|error| invalid(format!("the manifest is not JSON: {error}")))?;
    if !manifest.is_object() {
        return Err(invalid("the manifest is not an object".to_owned()));
    }
    if hex_of(reference).is_some() && super::store::digest(&bytes) != reference {
        return Err(Failure::digest("the manifest's digest is not the one it is put under"));
    }
    for digest in referenced(&manifest) {
        let there = match digest {
            Referenced::Blob(digest) => store.has_blob(&route.repository, digest)?,
            Referenced::Manifest(digest) => store.manifest(&route.repository, digest)?.is_some(),
        };
        if !there {
            let message = format!("{} is not known to the registry", digest.text());
            return Err(Failure::new(StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN", message));
        }
    }
    let digest = super::store::digest(&bytes);
    if store.is_kept(&route.repository, &digest, keeping.expired_at)? {
        return Err(Failure::conflict(format!(
            "manifest `{digest}` of repository `{}` is soft deleted: restore it instead",
            route.name
        )));
    }
    let media_type = manifest["mediaType"].as_str().unwrap_or(&content_type);
    let tag = hex_of(reference).is_none().then_some(reference);
    let digest = store.put_manifest(&route.repository, tag, media_type, &bytes)?;
    let mut response = kit::http::status(StatusCode::CREATED);
    insert(response.headers_mut(), header::LOCATION, &format!("/v2/{}/manifests/{digest}", route.name));
    insert(response.headers_mut(), DIGEST, &digest);
    if let Some(subject) = manifest["subject"]["digest"].as_str() {
        insert(response.headers_mut(), SUBJECT, subject);
    }
    Ok(response)
}

/// Says that the registry knows referrers by itself.
const SUBJECT: header::HeaderName = header::HeaderName::from_static("oci-subject");

enum Referenced<'a> {
    Blob(&'a str),
    Manifest(&'a str),
}

impl Referenced<'_> {
    fn text(&self) -> &str {
        match self {
            Referenced::Blob(digest) | Referenced::Manifest(digest) => digest,
        }
    }
}

/// What a manifest or index points to. Layers fetched from elsewhere (with `urls`) need not be here.
fn referenced(manifest: &Value) -> Vec<Referenced<'_>> {
    let config = manifest.get("config").into_iter();
    let layers =
        manifest["layers"].as_array().into_iter().flatten().filter(|layer| layer.get("urls").is_none());
    let blobs = config.chain(layers).filter_map(|blob| blob["digest"].as_str()).map(Referenced::Blob);
    let manifests = manifest["manifests"].as_array().into_iter().flatten();
    blobs.chain(manifests.filter_map(|entry| entry["digest"].as_str()).map(Referenced::Manifest)).collect()
}

/// `tags/list`
pub(super) fn tags(store: &Stored, route: &Route) -> Result<Response, Failure> {
    let Some(tags) = store.tags(&route.repository)? else {
        return Err(Failure::not_found("NAME_UNKNOWN", &format!("repository `{}`", route.name)));
    };
    page(route, tags, |tags| json!({"name": route.name, "tags": tags}), &route.path)
}

/// `_catalog`: the repositories of the host that is asked.
pub(super) fn catalog(store: &Stored, route: &Route) -> Result<Response, Failure> {
    let prefix = format!("{}/", route.host);
    let names = store.repositories()?;
    let names = names.into_iter().filter_map(|name| name.strip_prefix(&prefix).map(str::to_owned)).collect();
    page(route, names, |names| json!({"repositories": names}), &route.path)
}

/// A page of names: `last` is the last of the page before, `n` how many.
pub(super) fn page(
    route: &Route,
    mut names: Vec<String>,
    body: impl Fn(&[String]) -> Value,
    path: &str,
) -> Result<Response, Failure> {
    if let Some(last) = route.field("last") {
        match names.iter().position(|name| name == last) {
            Some(at) => drop(names.drain(..=at)),
            None => names.retain(|name| name.as_str() > last),
        }
    }
    let limit = match route.field("n") {
        None => PAGE_MAX,
        Some(text) => text.parse::<usize>().map(|n| n.min(PAGE_MAX)).map_err(|_| {
            Failure::new(
                StatusCode::BAD_REQUEST,
                "PAGINATION_NUMBER_INVALID",
                "invalid number of results requested",
            )
        })?,
    };
    let more = names.len() > limit;
    names.truncate(limit);
    let mut response = kit::http::json(StatusCode::OK, &body(&names));
    if let (true, Some(last)) = (more, names.last()) {
        let more: String =
            ["orderby", "digest"].iter().filter_map(|f| Some(format!("&{f}={}", route.field(f)?))).collect();
        let link = format!("<{path}?last={last}&n={limit}{more}>; rel=\"next\"");
        insert(response.headers_mut(), header::LINK, &link);
    }
    Ok(response)
}
