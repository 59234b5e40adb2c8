//! Where objects are kept: a head for each name, an entry for each version, all sealed.

use std::path::Path;

use arm::{Resources, Table};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Mutex, MutexGuard};

use super::kind::Kind;
use super::model::{Head, Version};
use super::seal::{OpenError, Sealer, broken};
use super::{Failure, asked::Vault};

/// Objects of all vaults.
pub(super) struct Store {
    table: Table,
    sealer: Sealer,
    writing: Mutex<()>,
}

/// Changes that happen in one step.
#[derive(Default)]
pub(super) struct Changes(Vec<(String, Option<String>)>);

fn head_key(vault: &Vault, kind: Kind, name: &str) -> String {
    format!("head/{}/{}/{}", vault.name, kind.plural(), name.to_ascii_lowercase())
}

fn version_prefix(vault: &Vault, kind: Kind, name: &str) -> String {
    format!("version/{}/{}/{}/", vault.name, kind.plural(), name.to_ascii_lowercase())
}

impl Store {
    pub(super) fn open(dir: &Path, resources: &Resources) -> Result<Self, OpenError> {
        let table = resources.table(crate::vaults::TABLE);
        let sealed = table.list::<String>("head/")?.into_iter().next();
        Ok(Self { table, sealer: Sealer::open(dir, sealed.as_ref())?, writing: Mutex::default() })
    }

    /// Writers wait for each other: what one reads stays so until it has written.
    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().await
    }

    /// Seals bytes for somebody to keep outside.
    pub(super) fn seal(&self, purpose: &str, plain: &[u8]) -> Result<String, Failure> {
        self.sealer.seal(purpose, plain)
    }

    /// Opens what [`seal`](Self::seal) gave.
    pub(super) fn unseal(&self, purpose: &str, sealed: &str) -> Option<Vec<u8>> {
        self.sealer.unseal(purpose, sealed)
    }

    fn opened<T: DeserializeOwned>(&self, key: &str, sealed: &str) -> Result<T, Failure> {
        let bytes = self.sealer.unseal(key, sealed).ok_or_else(|| broken("open", key))?;
        serde_json::from_slice(&bytes).map_err(|_| broken("read", key))
    }

    fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Failure> {
        let sealed: Option<String> = self.table.get(key)?;
        sealed.map(|sealed| self.opened(key, &sealed)).transpose()
    }

    fn all<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<(String, T)>, Failure> {
        let found: Vec<(String, String)> = self.table.list(prefix)?;
        found
            .into_iter()
            .map(|(key, sealed)| {
                let name = key.get(prefix.len()..).unwrap_or_default().to_owned();
                Ok((name, self.opened(&key, &sealed)?))
            })
            .collect()
    }

    pub(super) fn head(&self, vault: &Vault, kind: Kind, name: &str) -> Result<Option<Head>, Failure> {
        self.get(&head_key(vault, kind, name))
    }

    /// Heads of a kind in the order of names, from behind `after` on.
    pub(super) fn heads(&self, vault: &Vault, kind: Kind) -> Result<Vec<(String, Head)>, Failure> {
        self.all(&format!("head/{}/{}/", vault.name, kind.plural()))
    }

    pub(super) fn version(
        &self,
        vault: &Vault,
        kind: Kind,
        name: &str,
        version: &str,
    ) -> Result<Option<Version>, Failure> {
        self.get(&format!("{}{}", version_prefix(vault, kind, name), version.to_ascii_lowercase()))
    }

    /// Versions in the order they were made.
    pub(super) fn versions(&self, vault: &Vault, kind: Kind, name: &str) -> Result<Vec<Version>, Failure> {
        let found: Vec<(String, Version)> = self.all(&version_prefix(vault, kind, name))?;
        let mut found: Vec<Version> = found.into_iter().map(|(_, version)| version).collect();
        found.sort_by(|a, b| (a.sequence, &a.id).cmp(&(b.sequence, &b.id)));
        Ok(found)
    }

    pub(super) fn put_head(
        &self,
        changes: &mut Changes,
        vault: &Vault,
        kind: Kind,
        head: &Head,
    ) -> Result<(), Failure> {
        self.put(changes, head_key(vault, kind, &head.name), head)
    }

    pub(super) fn put_version(
        &self,
        changes: &mut Changes,
        vault: &Vault,
        kind: Kind,
        name: &str,
        version: &Version,
    ) -> Result<(), Failure> {
        self.put(changes, format!("{}{}", version_prefix(vault, kind, name), version.id), version)
    }

    fn put<T: Serialize>(&self, changes: &mut Changes, key: String, value: &T) -> Result<(), Failure> {
        let bytes = serde_json::to_vec(value).map_err(|_| broken("write", &key))?;
        let sealed = self.sealer.seal(&key, &bytes)?;
        changes.0.push((key, Some(sealed)));
        Ok(())
    }

    /// Removes an object with all its versions.
    pub(super) fn forget(
        &self,
        changes: &mut Changes,
        vault: &Vault,
        kind: Kind,
        name: &str,
    ) -> Result<(), Failure> {
        changes.0.push((head_key(vault, kind, name), None));
        let versions: Vec<(String, String)> = self.table.list(&version_prefix(vault, kind, name))?;
        changes.0.extend(versions.into_iter().map(|(key, _)| (key, None)));
        Ok(())
    }

    pub(super) async fn write(&self, changes: Changes) -> Result<(), Failure> {
        Ok(self.table.apply(&changes.0).await?)
    }
}
