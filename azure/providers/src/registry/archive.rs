//! Images from archives: an OCI layout, or what `docker save` writes.

use std::collections::HashMap;
use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::{Value, json};

use super::route::{is_host, is_name, is_tag};
use super::store::{StoreError, Stored};

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// An archive is unpacked in memory: no more than may be sent, and as much again.
const UNPACKED_MAX_BYTES: u64 = 8 * 1024 * 1024 * 1024;

/// Why an archive could not be loaded; nothing that can be named was stored.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It is not a tar file, or it is damaged.
    #[error("failed to read the archive")]
    Damaged(#[from] std::io::Error),
    /// It is more than is kept in memory at once.
    #[error("the archive holds more than {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// It is a tar file, but holds no image.
    #[error(
        "the archive is neither an OCI layout nor a docker archive: it has no index.json or manifest.json"
    )]
    NoImage,
    /// Something it points to is not in it.
    #[error("the archive names `{0}` but does not hold it")]
    Incomplete(String),
    /// Something in it is not what its digest says.
    #[error("`{0}` of the archive holds something else")]
    Digest(String),
    /// Its index or manifest is not what it should be.
    #[error("failed to read `{file}` of the archive")]
    Json {
        /// Which file.
        file: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// It names no image and the caller gave no name.
    #[error("the archive names no image; give it a name")]
    Nameless,
    /// A name is not one.
    #[error("`{0}` is not an image name")]
    Name(String),
    /// The registry's store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

type Files = HashMap<String, Vec<u8>>;

/// Loads every image; returns their full names.
pub(super) fn load(store: &Stored, archive: &[u8], name: Option<&str>) -> Result<Vec<String>, ArchiveError> {
    let files = files(archive)?;
    // `docker save` of today writes both; its manifest.json carries the full names.
    if files.contains_key("manifest.json") {
        docker(store, &files, name)
    } else if files.contains_key("index.json") {
        layout(store, &files, name)
    } else {
        Err(ArchiveError::NoImage)
    }
}

fn files(archive: &[u8]) -> Result<Files, ArchiveError> {
    files_within(archive, UNPACKED_MAX_BYTES)
}

/// The files of an archive that is unpacked as it is read: what swells beyond the limit is given up there.
fn files_within(archive: &[u8], limit_bytes: u64) -> Result<Files, ArchiveError> {
    if archive.starts_with(&[0x1f, 0x8b]) {
        entries(GzDecoder::new(archive), limit_bytes)
    } else {
        entries(archive, limit_bytes)
    }
}

fn entries(archive: impl Read, limit_bytes: u64) -> Result<Files, ArchiveError> {
    let too_large = || ArchiveError::TooLarge { limit_bytes };
    let mut left = limit_bytes;
    let mut files = Files::new();
    // One byte more than allowed tells too much from just enough.
    let mut archive = tar::Archive::new(archive.take(limit_bytes.saturating_add(1)));
    for entry in archive.entries()? {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path()?.to_string_lossy().trim_start_matches("./").to_owned();
        left = left.checked_sub(entry.size()).ok_or_else(too_large)?;
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        files.insert(path, content);
    }
    Ok(files)
}

fn file<'a>(files: &'a Files, path: &str) -> Result<&'a [u8], ArchiveError> {
    files.get(path).map(Vec::as_slice).ok_or_else(|| ArchiveError::Incomplete(path.to_owned()))
}

/// What an OCI layout keeps under a digest.
fn blob<'a>(files: &'a Files, digest: &str) -> Result<&'a [u8], ArchiveError> {
    let bytes = file(files, &format!("blobs/{}", digest.replace(':', "/")))?;
    if super::store::digest(bytes) == digest {
        Ok(bytes)
    } else {
        Err(ArchiveError::Digest(digest.to_owned()))
    }
}

fn parsed(files: &Files, path: &str) -> Result<Value, ArchiveError> {
    serde_json::from_slice(file(files, path)?)
        .map_err(|source| ArchiveError::Json { file: path.to_owned(), source })
}

fn layout(store: &Stored, files: &Files, name: Option<&str>) -> Result<Vec<String>, ArchiveError> {
    let index = parsed(files, "index.json")?;
    let mut loaded = Vec::new();
    for entry in index["manifests"].as_array().into_iter().flatten() {
        let annotations = &entry["annotations"];
        let full = annotations["io.containerd.image.name"].as_str();
        let reference = annotations["org.opencontainers.image.ref.name"].as_str();
        let named = match (full, name, reference) {
            (Some(full), _, _) => full.to_owned(),
            (None, Some(name), _) => name.to_owned(),
            (None, None, Some(reference)) if reference.contains(['/', ':']) => reference.to_owned(),
            _ => return Err(ArchiveError::Nameless),
        };
        let (repository, tag) = split(&named)?;
        let digest = entry["digest"].as_str().unwrap_or_default();
        copy(store, files, &repository, Some(&tag), digest, entry["mediaType"].as_str())?;
        loaded.push(format!("{repository}:{tag}"));
    }
    if loaded.is_empty() { Err(ArchiveError::NoImage) } else { Ok(loaded) }
}

/// Copies a manifest or index with all below it.
fn copy(
    store: &Stored,
    files: &Files,
    repository: &str,
    tag: Option<&str>,
    digest: &str,
    media_type: Option<&str>,
) -> Result<(), ArchiveError> {
    // Nothing can hold its own digest, so this ends.
    let text = blob(files, digest)?;
    let manifest: Value = serde_json::from_slice(text)
        .map_err(|source| ArchiveError::Json { file: digest.to_owned(), source })?;
    for entry in manifest["manifests"].as_array().into_iter().flatten() {
        let digest = entry["digest"].as_str().unwrap_or_default();
        copy(store, files, repository, None, digest, entry["mediaType"].as_str())?;
    }
    for entry in manifest.get("config").into_iter().chain(manifest["layers"].as_array().into_iter().flatten())
    {
        store.put_blob(blob(files, entry["digest"].as_str().unwrap_or_default())?)?;
    }
    let media_type = manifest["mediaType"].as_str().or(media_type).unwrap_or(OCI_MANIFEST);
    store.put_manifest(repository, tag, media_type, text)?;
    Ok(())
}

fn docker(store: &Stored, files: &Files, name: Option<&str>) -> Result<Vec<String>, ArchiveError> {
    let mut loaded = Vec::new();
    let images = parsed(files, "manifest.json")?;
    for image in images.as_array().into_iter().flatten() {
        let config = file(files, image["Config"].as_str().unwrap_or_default())?;
        let config_digest = store.put_blob(config)?;
        let mut layers = Vec::new();
        for layer in image["Layers"].as_array().into_iter().flatten() {
            let bytes = file(files, layer.as_str().unwrap_or_default())?;
            let gzipped = bytes.starts_with(&[0x1f, 0x8b]);
            let media_type = if gzipped {
                "application/vnd.oci.image.layer.v1.tar+gzip"
            } else {
                "application/vnd.oci.image.layer.v1.tar"
            };
            layers.push(
                json!({"mediaType": media_type, "digest": store.put_blob(bytes)?, "size": bytes.len()}),
            );
        }
        let manifest = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": layers,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                       "digest": config_digest, "size": config.len()}});
        let bytes = serde_json::to_vec(&manifest)
            .map_err(|source| ArchiveError::Json { file: "manifest.json".to_owned(), source })?;
        let tags = image["RepoTags"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let mut names: Vec<&str> = tags.collect();
        if names.is_empty() {
            names.push(name.ok_or(ArchiveError::Nameless)?);
        }
        for name in names {
            let (repository, tag) = split(name)?;
            store.put_manifest(&repository, Some(&tag), OCI_MANIFEST, &bytes)?;
            loaded.push(format!("{repository}:{tag}"));
        }
    }
    if loaded.is_empty() { Err(ArchiveError::NoImage) } else { Ok(loaded) }
}

/// An image name as repository (`host/path`) and tag, with Docker's defaults.
pub(super) fn split(name: &str) -> Result<(String, String), ArchiveError> {
    let wrong = || ArchiveError::Name(name.to_owned());
    let (path, tag) = match name.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, tag),
        _ => (name, "latest"),
    };
    let (host, path) = match path.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest.to_owned()),
        Some(_) => ("docker.io", path.to_owned()),
        None => ("docker.io", format!("library/{path}")),
    };
    if !is_host(host) || !is_name(&path) || !is_tag(tag) {
        return Err(wrong());
    }
    Ok((format!("{}/{path}", host.to_ascii_lowercase()), tag.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::{ArchiveError, files_within};

    #[test]
    fn what_swells_is_given_up() {
        let mut builder = tar::Builder::new(Vec::new());
        let zeros = vec![0; 4 << 20];
        let mut header = tar::Header::new_gnu();
        header.set_size(zeros.len() as u64);
        header.set_mode(0o600);
        builder.append_data(&mut header, "layer.tar", zeros.as_slice()).unwrap();
        let plain = builder.into_inner().unwrap();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&plain).unwrap();
        let packed = encoder.finish().unwrap();
        assert!(packed.len() < 16 << 10, "{}", packed.len());
        for archive in [&plain, &packed] {
            assert_eq!(files_within(archive, 8 << 20).unwrap()["layer.tar"].len(), 4 << 20);
            let refused = files_within(archive, 1 << 20);
            assert!(matches!(refused, Err(ArchiveError::TooLarge { limit_bytes }) if limit_bytes == 1 << 20));
        }
    }
}
