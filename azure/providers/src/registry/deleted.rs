//! What a registry's soft delete policy keeps of what is deleted, for as many days as it says.
//!
//! ```text
//! repositories/<host>/<name>/_deleted/manifests/<64 hex>    its media type, when it was made and deleted
//! repositories/<host>/<name>/_deleted/tags/<tag>@<64 hex>   when it was made and deleted
//! ```
//!
//! Guarantees: what is past its days, as the policy has them now, is neither listed nor restored, and goes when somebody
//! looks. A policy that is switched off keeps nothing more; what it kept before stays restorable. Restoring a manifest
//! restores neither what it lists nor what refers to it. Bytes are not collected.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use arm::Resource;
use jiff::{SignedDuration, Timestamp};
use kit::files::{FileError, Readers, read, remove, write_atomic};
use serde::{Deserialize, Serialize};

use super::store::{StoreError, Stored, hex_of, list, missing_is_none};

/// Days that what is deleted is kept, unless the registry says otherwise; so few and so many they may be
/// (learn.microsoft.com, container-registry-soft-delete-policy).
pub(super) const DAYS: (i64, i64, i64) = (7, 1, 90);

/// A registry's soft delete policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SoftDelete {
    /// Whether what is deleted from now on is kept.
    pub enabled: bool,
    /// For how many days.
    pub retention_days: i64,
}

impl Default for SoftDelete {
    fn default() -> Self {
        Self { enabled: false, retention_days: DAYS.0 }
    }
}

impl SoftDelete {
    /// The policy of a registry.
    pub(super) fn of(registry: &Resource) -> Self {
        let policy = &registry.properties["policies"]["softDeletePolicy"];
        Self {
            enabled: policy["status"].as_str().is_some_and(|s| s.eq_ignore_ascii_case("enabled")),
            retention_days: policy["retentionDays"].as_i64().unwrap_or(DAYS.0).clamp(DAYS.1, DAYS.2),
        }
    }

    /// What it means at a time.
    pub(super) fn at(self, now: Timestamp) -> Keeping {
        let days = SignedDuration::from_hours(self.retention_days.saturating_mul(24));
        Keeping {
            deleted_at: self.enabled.then_some(now),
            expired_at: now.checked_sub(days).unwrap_or(Timestamp::MIN),
        }
    }
}

/// What becomes, at one time, of what is deleted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keeping {
    /// What is deleted now is kept with this time; it is not kept where there is none.
    pub(super) deleted_at: Option<Timestamp>,
    /// What was deleted at this time or before is gone.
    pub(super) expired_at: Timestamp,
}

/// What is on disk about something deleted.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_at: Option<Timestamp>,
    deleted_at: Timestamp,
}

/// A deleted manifest or tag.
#[derive(Debug, Clone)]
pub(super) struct Deleted {
    /// The tag; none for a manifest.
    pub(super) tag: Option<String>,
    /// The manifest, or the one that the tag pointed to.
    pub(super) digest: String,
    /// When it was made, where that is known.
    pub(super) created_at: Option<Timestamp>,
    /// When it was deleted.
    pub(super) deleted_at: Timestamp,
}

fn made(path: &Path) -> Option<Timestamp> {
    Timestamp::try_from(fs::metadata(path).ok()?.modified().ok()?).ok()
}

fn keep(path: &Path, record: &Record) -> Result<(), StoreError> {
    let bytes = serde_json::to_vec(record).unwrap_or_default();
    Ok(write_atomic(path, &bytes, Readers::Owner)?)
}

impl Stored {
    fn deleted_dir(&self, repository: &str, part: &str) -> PathBuf {
        self.repository(repository).join("_deleted").join(part)
    }

    /// Keeps a tag that is about to be deleted, or to point elsewhere.
    pub(super) fn keep_tag(&self, repository: &str, tag: &str, at: Timestamp) -> Result<(), StoreError> {
        let Some(manifest) = self.manifest(repository, tag)? else { return Ok(()) };
        let hex = hex_of(&manifest.digest).unwrap_or_default();
        let created_at = made(&self.repository(repository).join("_tags").join(tag));
        let path = self.deleted_dir(repository, "tags").join(format!("{tag}@{hex}"));
        keep(&path, &Record { media_type: None, created_at, deleted_at: at })
    }

    /// Keeps a manifest that is about to be deleted.
    pub(super) fn keep_manifest(
        &self,
        repository: &str,
        digest: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let Some(manifest) = self.manifest(repository, digest)? else { return Ok(()) };
        let hex = hex_of(&manifest.digest).unwrap_or_default();
        let created_at = made(&self.repository(repository).join("_manifests").join(hex));
        let record = Record { media_type: Some(manifest.media_type), created_at, deleted_at: at };
        keep(&self.deleted_dir(repository, "manifests").join(hex), &record)
    }

    /// The records of a kind that still count; the others are removed.
    fn records(
        &self,
        repository: &str,
        part: &str,
        expired_at: Timestamp,
    ) -> Result<Vec<(String, PathBuf, Record)>, StoreError> {
        let mut found = Vec::new();
        for (name, path) in list(&self.deleted_dir(repository, part))? {
            let Some(bytes) = missing_is_none(read(&path))? else { continue };
            match serde_json::from_slice::<Record>(&bytes) {
                Ok(record) if record.deleted_at > expired_at => found.push((name, path, record)),
                _ => remove(&path)?,
            }
        }
        found.sort_by(|a, b| (a.2.deleted_at, &a.0).cmp(&(b.2.deleted_at, &b.0)));
        Ok(found)
    }

    /// The deleted manifests of a repository, the last deleted last.
    pub(super) fn deleted_manifests(
        &self,
        repository: &str,
        expired_at: Timestamp,
    ) -> Result<Vec<Deleted>, StoreError> {
        let records = self.records(repository, "manifests", expired_at)?;
        let of = |(hex, _, record): (String, PathBuf, Record)| Deleted {
            tag: None,
            digest: format!("sha256:{hex}"),
            created_at: record.created_at,
            deleted_at: record.deleted_at,
        };
        Ok(records.into_iter().map(of).collect())
    }

    /// The deleted tags of a repository, the last deleted last. A tag is in it once for every manifest it was deleted from.
    pub(super) fn deleted_tags(
        &self,
        repository: &str,
        expired_at: Timestamp,
    ) -> Result<Vec<Deleted>, StoreError> {
        let records = self.records(repository, "tags", expired_at)?;
        let of = |(name, _, record): (String, PathBuf, Record)| {
            let (tag, hex) = name.split_once('@')?;
            Some(Deleted {
                tag: Some(tag.to_owned()),
                digest: format!("sha256:{hex}"),
                created_at: record.created_at,
                deleted_at: record.deleted_at,
            })
        };
        Ok(records.into_iter().filter_map(of).collect())
    }

    /// Whether a manifest is deleted and kept.
    pub(super) fn is_kept(
        &self,
        repository: &str,
        digest: &str,
        expired_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let Some(hex) = hex_of(digest) else { return Ok(false) };
        let path = self.deleted_dir(repository, "manifests").join(hex);
        // Every push asks: one record is read, however much is kept.
        let Some(bytes) = missing_is_none(read(&path))? else { return Ok(false) };
        if serde_json::from_slice::<Record>(&bytes).is_ok_and(|record| record.deleted_at > expired_at) {
            return Ok(true);
        }
        remove(&path)?;
        Ok(false)
    }

    /// Puts a kept manifest back as it was; nothing where it is not kept.
    pub(super) fn restore_manifest(
        &self,
        repository: &str,
        digest: &str,
        expired_at: Timestamp,
    ) -> Result<(), StoreError> {
        let hex = hex_of(digest).unwrap_or_default();
        for (_, record_path, record) in
            self.records(repository, "manifests", expired_at)?.into_iter().filter(|(name, ..)| name == hex)
        {
            let path = self.repository(repository).join("_manifests").join(hex);
            write_atomic(&path, record.media_type.unwrap_or_default().as_bytes(), Readers::Owner)?;
            if let Some(at) = record.created_at {
                let set = fs::File::options()
                    .write(true)
                    .open(&path)
                    .and_then(|file| file.set_modified(SystemTime::from(at)));
                set.map_err(|source| FileError { deed: "set the time of", path, source })?;
            }
            remove(&record_path)?;
        }
        Ok(())
    }

    /// Points a tag to a manifest, and forgets that it was deleted from it.
    pub(super) fn restore_tag(&self, repository: &str, tag: &str, digest: &str) -> Result<(), StoreError> {
        let hex = hex_of(digest).unwrap_or_default();
        write_atomic(
            &self.repository(repository).join("_tags").join(tag),
            digest.as_bytes(),
            Readers::Owner,
        )?;
        remove(&self.deleted_dir(repository, "tags").join(format!("{tag}@{hex}")))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_deleted_is_kept_for_as_long_as_the_policy_says_now() {
        let dir = tempfile::tempdir().unwrap();
        let store = Stored::open(dir.path()).unwrap();
        let (web, hour) = ("one.azurecr.io/web", SignedDuration::from_hours(1));
        let deleted_at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let digest =
            store.put_manifest(web, Some("v1"), "application/vnd.oci.image.manifest.v1+json", b"{}").unwrap();
        let created = store.manifest_time(web, &digest);
        assert!(store.delete_manifest(web, &digest, Some(deleted_at)).unwrap());
        assert_eq!(store.manifest(web, "v1").unwrap().map(|manifest| manifest.digest), None);
        let at = |days: i64, later: SignedDuration| {
            let policy = SoftDelete { enabled: false, retention_days: days };
            policy.at(deleted_at.checked_add(later).unwrap()).expired_at
        };
        // Seven days less an hour; after eight, once the days are more.
        for expired_at in [at(7, hour * (7 * 24 - 1)), at(14, hour * 8 * 24)] {
            let tags = store.deleted_tags(web, expired_at).unwrap();
            assert_eq!((tags[0].tag.as_deref(), tags[0].digest.as_str()), (Some("v1"), digest.as_str()));
            assert!(store.is_kept(web, &digest, expired_at).unwrap());
        }
        store.restore_manifest(web, &digest, at(14, hour)).unwrap();
        assert_eq!(store.manifest_time(web, &digest), created, "as it was");
        assert_eq!(store.tags(web).unwrap().unwrap(), [""; 0], "a tag is restored by itself");
        assert!(store.size_of_host("one.azurecr.io").unwrap() > 0);
        store.delete_repository(web, Some(deleted_at)).unwrap();
        assert_eq!(store.repositories_with("_deleted").unwrap(), [web]);
        // What is gone does not come back with more days.
        assert!(!store.is_kept(web, &digest, at(7, hour * 7 * 24)).unwrap());
        assert!(!store.is_kept(web, &digest, at(90, hour)).unwrap());
        store.restore_manifest(web, &digest, at(90, hour)).unwrap();
        assert!(store.manifest(web, &digest).unwrap().is_none());
    }
}
