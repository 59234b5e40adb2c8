//! Blobs on their way up, in one piece or many.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use http::{Method, StatusCode, header};
use http_body_util::BodyExt;
use kit::http::{Body, Request, Response};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::errors::Failure;
use super::manifests::{DIGEST, insert};
use super::route::Route;
use super::store::{Stored, hex_of};

const BLOB_MAX_BYTES: u64 = 20 * 1024 * 1024 * 1024;

/// POST, PATCH, PUT, GET and DELETE of an upload. `mount` is a repository that a blob may be taken over from.
pub(super) async fn upload(
    store: &Stored,
    route: &Route,
    id: Option<&str>,
    mount: Option<&str>,
    request: Request,
) -> Result<Response, Failure> {
    let method = request.method().clone();
    let Some(id) = id else {
        return if method == Method::POST {
            begin(store, route, mount, request).await
        } else {
            Err(Failure::unsupported())
        };
    };
    let unknown = || Failure::not_found("BLOB_UPLOAD_UNKNOWN", "the upload");
    let id: Uuid = id.parse().map_err(|_| unknown())?;
    let path = store.upload_path(&id);
    let have = std::fs::metadata(&path).map_err(|_| unknown())?.len();
    match method {
        Method::GET => Ok(progress(route, &id, have, StatusCode::NO_CONTENT)),
        Method::PATCH => {
            if request.headers().contains_key(header::CONTENT_RANGE) && range_start(&request) != Some(have) {
                return Err(Failure::new(
                    StatusCode::RANGE_NOT_SATISFIABLE,
                    "BLOB_UPLOAD_INVALID",
                    format!("the upload has {have} bytes; go on from there"),
                ));
            }
            let have = append(store, &id, request.into_body()).await?;
            Ok(progress(route, &id, have, StatusCode::ACCEPTED))
        }
        Method::PUT => {
            append(store, &id, request.into_body()).await?;
            finish(store, route, &id)
        }
        Method::DELETE => {
            kit::files::remove(&path).map_err(super::StoreError::from)?;
            Ok(kit::http::status(StatusCode::NO_CONTENT))
        }
        _ => Err(Failure::unsupported()),
    }
}

async fn begin(
    store: &Stored,
    route: &Route,
    mount: Option<&str>,
    request: Request,
) -> Result<Response, Failure> {
    if let (Some(digest), Some(from)) = (route.field("mount"), mount)
        && store.has_blob(from, digest)?
    {
        store.link_blob(&route.repository, hex_of(digest).unwrap_or_default())?;
        return Ok(created(route, digest));
    }
    let id = Uuid::new_v4();
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(store.upload_path(&id))
        .map_err(|error| broken(&error))?;
    if route.field("digest").is_some() {
        append(store, &id, request.into_body()).await?;
        return finish(store, route, &id);
    }
    Ok(progress(route, &id, 0, StatusCode::ACCEPTED))
}

pub(super) fn broken(error: &std::io::Error) -> Failure {
    tracing::error!(%error, "a blob failed");
    Failure::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "UNKNOWN",
        "the registry could not read or store the blob",
    )
}

/// Adds a body to an upload, piece by piece; returns how long it is now.
async fn append(store: &Stored, id: &Uuid, mut body: Body) -> Result<u64, Failure> {
    let mut file =
        OpenOptions::new().append(true).open(store.upload_path(id)).map_err(|error| broken(&error))?;
    let mut have = file.metadata().map_err(|error| broken(&error))?.len();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::from(kit::http::BodyError::Broken(error)))?;
        let Ok(bytes) = frame.into_data() else { continue };
        have += bytes.len() as u64;
        if have > BLOB_MAX_BYTES {
            return Err(Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", "the blob is too large"));
        }
        file.write_all(&bytes).map_err(|error| broken(&error))?;
    }
    Ok(have)
}

fn finish(store: &Stored, route: &Route, id: &Uuid) -> Result<Response, Failure> {
    let path = store.upload_path(id);
    let wanted = route.field("digest").unwrap_or_default();
    let hex = hex_of(wanted).ok_or_else(|| Failure::digest("the digest is not a sha256 digest"))?;
    let mut file = std::fs::File::open(&path).map_err(|error| broken(&error))?;
    let mut hash = Sha256::new();
    std::io::copy(&mut file, &mut hash).map_err(|error| broken(&error))?;
    if hex::encode(hash.finalize()) != hex {
        kit::files::remove(&path).map_err(super::StoreError::from)?;
        return Err(Failure::digest("the digest of the blob is not the one that was given"));
    }
    file.sync_all().map_err(|error| broken(&error))?;
    std::fs::rename(&path, store.blob_path(hex)).map_err(|error| broken(&error))?;
    store.link_blob(&route.repository, hex)?;
    Ok(created(route, wanted))
}

fn created(route: &Route, digest: &str) -> Response {
    let mut response = kit::http::status(StatusCode::CREATED);
    insert(response.headers_mut(), header::LOCATION, &format!("/v2/{}/blobs/{digest}", route.name));
    insert(response.headers_mut(), DIGEST, digest);
    response
}

fn progress(route: &Route, id: &Uuid, have: u64, status: StatusCode) -> Response {
    let mut response = kit::http::status(status);
    let headers = response.headers_mut();
    insert(headers, header::LOCATION, &format!("/v2/{}/blobs/uploads/{id}", route.name));
    insert(headers, header::RANGE, &format!("0-{}", have.saturating_sub(1)));
    insert(headers, header::HeaderName::from_static("docker-upload-uuid"), &id.to_string());
    response
}

fn range_start(request: &Request) -> Option<u64> {
    let range = request.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.trim_start_matches("bytes ").split('-').next()?.parse().ok()
}
