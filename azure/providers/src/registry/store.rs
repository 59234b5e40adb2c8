//! Blobs, manifests and tags on disk.
//!
//! ```text
//! blobs/<64 hex>                      every blob and manifest, once
//! repositories/<host>/<name>/_manifests/<64 hex>    which manifests a repository has: their media type
//! repositories/<host>/<name>/_tags/<tag>            the digest it points to
//! repositories/<host>/<name>/_blobs/<64 hex>        which blobs were put or mounted there
//! repositories/<host>/<name>/_attributes/<object>   what may not be done to a repository, tag or manifest
//! repositories/<host>/<name>/_deleted/…            what is deleted and can be restored (see `deleted`)
//! uploads/<uuid>                      what is on its way
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use kit::files::{FileError, Readers, make_dir, read, read_string, remove, write_atomic};
use sha2::{Digest, Sha256};

use super::route::is_tag;

/// The store could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file failed.
    #[error("failed to keep an image")]
    File(#[from] FileError),
    /// A directory could not be listed.
    #[error("failed to list `{}`", path.display())]
    List {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The store.
pub struct Stored {
    dir: PathBuf,
}

/// A stored manifest.
pub(super) struct Manifest {
    pub(super) digest: String,
    pub(super) media_type: String,
    pub(super) bytes: Vec<u8>,
}

/// The `sha256:…` digest of bytes.
pub(super) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// The hexadecimal part of a well-formed sha256 digest.
pub(super) fn hex_of(digest: &str) -> Option<&str> {
    let hex = digest.strip_prefix("sha256:")?;
    let well = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    well.then_some(hex)
}

/// The digests of a manifest's config and layers.
fn blobs_of(manifest: &[u8]) -> Vec<String> {
    let body: serde_json::Value = serde_json::from_slice(manifest).unwrap_or_default();
    let layers = body["layers"].as_array().into_iter().flatten();
    let named = body.get("config").into_iter().chain(layers).filter_map(|blob| blob["digest"].as_str());
    named.filter(|digest| hex_of(digest).is_some()).map(str::to_owned).collect()
}

impl Stored {
    pub(super) fn open(dir: &Path) -> Result<Self, StoreError> {
        for name in ["blobs", "repositories", "uploads"] {
            make_dir(&dir.join(name))?;
        }
        let stored = Self { dir: dir.to_owned() };
        // Uploads of a previous run have no client any more.
        for (_, path) in list(&stored.dir.join("uploads"))? {
            remove(&path)?;
        }
        Ok(stored)
    }

    /// The store in a directory that [`open`](Self::open) has prepared.
    pub(super) fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    pub(super) fn upload_path(&self, id: &uuid::Uuid) -> PathBuf {
        self.dir.join("uploads").join(id.to_string())
    }

    pub(super) fn blob_path(&self, hex: &str) -> PathBuf {
        self.dir.join("blobs").join(hex)
    }

    pub(super) fn repository(&self, repository: &str) -> PathBuf {
        self.dir.join("repositories").join(repository)
    }

    /// Stores bytes under their digest.
    pub(super) fn put_blob(&self, bytes: &[u8]) -> Result<String, StoreError> {
        let digest = digest(bytes);
        if let Some(hex) = hex_of(&digest) {
            let path = self.blob_path(hex);
            if !path.exists() {
                write_atomic(&path, bytes, Readers::Owner)?;
            }
        }
        Ok(digest)
    }

    /// A stored blob, whole.
    pub(super) fn blob(&self, digest: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(hex) = hex_of(digest) else { return Ok(None) };
        missing_is_none(read(&self.blob_path(hex)))
    }

    /// The length of a stored blob.
    pub(super) fn blob_length(&self, digest: &str) -> Option<u64> {
        fs::metadata(self.blob_path(hex_of(digest)?)).ok().map(|metadata| metadata.len())
    }

    /// From now on a repository has a stored blob.
    pub(super) fn link_blob(&self, repository: &str, hex: &str) -> Result<(), StoreError> {
        let path = self.repository(repository).join("_blobs").join(hex);
        if !path.exists() {
            write_atomic(&path, b"", Readers::Owner)?;
        }
        Ok(())
    }

    /// A repository has a blob no more; false where it had none.
    pub(super) fn unlink_blob(&self, repository: &str, hex: &str) -> Result<bool, StoreError> {
        let path = self.repository(repository).join("_blobs").join(hex);
        let there = path.exists();
        remove(&path)?;
        Ok(there)
    }

    /// Whether a manifest of the repository names a blob.
    pub(super) fn is_named(&self, repository: &str, digest: &str) -> Result<bool, StoreError> {
        for manifest in self.manifests(repository)? {
            let text = self.blob(&manifest)?.unwrap_or_default();
            if text.windows(digest.len()).any(|part| part == digest.as_bytes()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a repository has a blob: blobs are kept once, but who may read one repository may not read what only
    /// another has.
    pub(super) fn has_blob(&self, repository: &str, digest: &str) -> Result<bool, StoreError> {
        let Some(hex) = hex_of(digest).filter(|_| self.blob_length(digest).is_some()) else {
            return Ok(false);
        };
        let linked = self.repository(repository).join("_blobs").join(hex).exists();
        Ok(linked || self.is_named(repository, digest)?)
    }

    /// What was said about a repository, tag or manifest that may not be done to it.
    pub(super) fn attributes(&self, repository: &str, object: &str) -> Result<Option<Vec<u8>>, StoreError> {
        missing_is_none(read(&self.repository(repository).join("_attributes").join(object)))
    }

    /// Says it.
    pub(super) fn set_attributes(
        &self,
        repository: &str,
        object: &str,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let path = self.repository(repository).join("_attributes").join(object);
        write_atomic(&path, bytes, Readers::Owner)?;
        Ok(())
    }

    /// Bytes of all that the repositories of a host name.
    pub(super) fn size_of_host(&self, host: &str) -> Result<u64, StoreError> {
        let prefix = format!("{host}/");
        let mut seen = BTreeSet::new();
        // What can be restored is paid for like the rest.
        let all: BTreeSet<String> =
            self.repositories()?.into_iter().chain(self.repositories_with("_deleted")?).collect();
        for repository in all.iter().filter(|name| name.starts_with(&prefix)) {
            let dir = self.repository(repository);
            for part in ["_manifests", "_blobs", "_deleted/manifests"] {
                seen.extend(list(&dir.join(part))?.into_iter().map(|(hex, _)| hex));
            }
        }
        Ok(seen.iter().filter_map(|hex| self.blob_length(&format!("sha256:{hex}"))).sum())
    }

    /// Stores a manifest in a repository, and points a tag to it. Returns its digest.
    pub(super) fn put_manifest(
        &self,
        repository: &str,
        tag: Option<&str>,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<String, StoreError> {
        let digest = self.put_blob(bytes)?;
        let dir = self.repository(repository);
        if let Some(hex) = hex_of(&digest) {
            for named in blobs_of(bytes).iter().filter(|named| self.blob_length(named).is_some()) {
                self.link_blob(repository, hex_of(named).unwrap_or_default())?;
            }
            write_atomic(&dir.join("_manifests").join(hex), media_type.as_bytes(), Readers::Owner)?;
        }
        if let Some(tag) = tag {
            write_atomic(&dir.join("_tags").join(tag), digest.as_bytes(), Readers::Owner)?;
        }
        Ok(digest)
    }

    /// A manifest by tag or digest.
    pub(super) fn manifest(&self, repository: &str, reference: &str) -> Result<Option<Manifest>, StoreError> {
        let dir = self.repository(repository);
        let digest = match hex_of(reference) {
            Some(_) => reference.to_owned(),
            // It becomes a file's name.
            None if !is_tag(reference) => return Ok(None),
            None => match missing_is_none(read_string(&dir.join("_tags").join(reference)))? {
                Some(digest) => digest,
                None => return Ok(None),
            },
        };
        let Some(hex) = hex_of(&digest) else { return Ok(None) };
        let Some(media_type) = missing_is_none(read_string(&dir.join("_manifests").join(hex)))? else {
            return Ok(None);
        };
        Ok(self.blob(&digest)?.map(|bytes| Manifest { digest, media_type, bytes }))
    }

    /// Forgets a tag, or a manifest with the tags that point to it; with a time, they can be restored. False if it was not
    /// there.
    pub(super) fn delete_manifest(
        &self,
        repository: &str,
        reference: &str,
        kept: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let dir = self.repository(repository);
        let Some(hex) = hex_of(reference) else {
            if !is_tag(reference) {
                return Ok(false);
            }
            let path = dir.join("_tags").join(reference);
            let there = path.exists();
            if let Some(at) = kept {
                self.keep_tag(repository, reference, at)?;
            }
            remove(&path)?;
            return Ok(there);
        };
        let path = dir.join("_manifests").join(hex);
        if !path.exists() {
            return Ok(false);
        }
        for (tag, _) in list(&dir.join("_tags"))? {
            if self.manifest(repository, &tag)?.is_some_and(|manifest| manifest.digest == reference) {
                if let Some(at) = kept {
                    self.keep_tag(repository, &tag, at)?;
                }
                remove(&dir.join("_tags").join(tag))?;
            }
        }
        if let Some(at) = kept {
            self.keep_manifest(repository, reference, at)?;
        }
        remove(&path)?;
        Ok(true)
    }

    /// The manifests of a repository whose `subject` this one is, whether that is there or not.
    pub(super) fn referrers(&self, repository: &str, digest: &str) -> Result<Vec<Manifest>, StoreError> {
        let mut found = Vec::new();
        for candidate in self.manifests(repository)? {
            let Some(manifest) = self.manifest(repository, &candidate)? else { continue };
            let body: serde_json::Value = serde_json::from_slice(&manifest.bytes).unwrap_or_default();
            if body["subject"]["digest"].as_str() == Some(digest) {
                found.push(manifest);
            }
        }
        Ok(found)
    }

    /// A repository's tags, sorted; `None` if there is no such repository.
    pub(super) fn tags(&self, repository: &str) -> Result<Option<Vec<String>>, StoreError> {
        let dir = self.repository(repository);
        if !dir.join("_manifests").is_dir() {
            return Ok(None);
        }
        Ok(Some(list(&dir.join("_tags"))?.into_iter().map(|(name, _)| name).collect()))
    }

    /// The digests of a repository's manifests, sorted.
    pub(super) fn manifests(&self, repository: &str) -> Result<Vec<String>, StoreError> {
        let found = list(&self.repository(repository).join("_manifests"))?;
        Ok(found.into_iter().map(|(hex, _)| format!("sha256:{hex}")).collect())
    }

    /// Forgets a repository: its tags and which manifests it has. With a time, they can be restored.
    pub(super) fn delete_repository(
        &self,
        repository: &str,
        kept: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let dir = self.repository(repository);
        if let Some(at) = kept {
            for tag in self.tags(repository)?.unwrap_or_default() {
                self.keep_tag(repository, &tag, at)?;
            }
            for digest in self.manifests(repository)? {
                self.keep_manifest(repository, &digest, at)?;
            }
        }
        for part in ["_tags", "_manifests", "_blobs", "_attributes"] {
            for (_, path) in list(&dir.join(part))? {
                remove(&path)?;
            }
            let path = dir.join(part);
            match fs::remove_dir(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(FileError { deed: "remove", path, source }.into());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// When a tag was last set, RFC 3339.
    pub(super) fn tag_time(&self, repository: &str, tag: &str) -> Option<String> {
        written(&self.repository(repository).join("_tags").join(tag))
    }

    /// When a manifest was put, RFC 3339.
    pub(super) fn manifest_time(&self, repository: &str, digest: &str) -> Option<String> {
        written(&self.repository(repository).join("_manifests").join(hex_of(digest)?))
    }

    /// Every repository, `host/name`, sorted.
    pub(super) fn repositories(&self) -> Result<Vec<String>, StoreError> {
        self.repositories_with("_manifests")
    }

    /// Every repository of which there is this part, `host/name`, sorted.
    pub(super) fn repositories_with(&self, part: &str) -> Result<Vec<String>, StoreError> {
        let root = self.dir.join("repositories");
        let (mut found, mut left) = (Vec::new(), vec![root.clone()]);
        while let Some(dir) = left.pop() {
            for (name, path) in list(&dir)? {
                if name == part {
                    if let Ok(relative) = dir.strip_prefix(&root) {
                        found.push(relative.to_string_lossy().into_owned());
                    }
                } else if !name.starts_with('_') && path.is_dir() {
                    left.push(path);
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// Every `host/name:tag`, sorted.
    pub(super) fn images(&self) -> Result<Vec<String>, StoreError> {
        let mut images = Vec::new();
        for repository in self.repositories()? {
            for tag in self.tags(&repository)?.unwrap_or_default() {
                images.push(format!("{repository}:{tag}"));
            }
        }
        Ok(images)
    }
}

fn written(path: &Path) -> Option<String> {
    let at = fs::metadata(path).ok()?.modified().ok()?;
    Some(jiff::Timestamp::try_from(at).ok()?.to_string())
}

pub(super) fn missing_is_none<T>(result: Result<T, FileError>) -> Result<Option<T>, StoreError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A directory's entries by name, sorted; none if it is not there.
pub(super) fn list(dir: &Path) -> Result<Vec<(String, PathBuf)>, StoreError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(StoreError::List { path: dir.to_owned(), source }),
    };
    let mut found: Vec<_> = entries
        .flatten()
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
        .filter(|(name, _)| !name.starts_with('.'))
        .collect();
    found.sort();
    Ok(found)
}
