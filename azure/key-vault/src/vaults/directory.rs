//! Which vault a name belongs to, in the whole cloud.
//!
//! The table is a hint that is checked against the resource it names: a name whose resource is not there is free.

use std::sync::Arc;

use arm::{ArmError, Ctx, Resource, ResourceId, Resources, StoreError, Table};
use jiff::Timestamp;
use serde_json::Value;

use super::{DELETED, VAULTS};

/// The provider's private table: names here, the vaults' contents beside them.
pub(crate) const TABLE: &str = "key-vault";

/// Whose name it is.
pub(crate) enum Entry {
    /// A vault that answers.
    Active(Arc<Resource>),
    /// A deleted vault that can be recovered.
    Deleted(Arc<Resource>),
}

/// Vaults by name.
pub(crate) struct Directory {
    resources: Resources,
    table: Table,
    now: Timestamp,
}

fn key(name: &str) -> String {
    format!("name/{}", name.to_ascii_lowercase())
}

impl Directory {
    pub(crate) fn new(ctx: &Ctx) -> Self {
        Self::of(&ctx.resources, ctx.clock.now())
    }

    pub(crate) fn of(resources: &Resources, now: Timestamp) -> Self {
        Self { resources: resources.clone(), table: resources.table(TABLE), now }
    }

    /// The vault with this name.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Entry>, StoreError> {
        let Some(id) = self.table.get::<ResourceId>(&key(name))? else { return Ok(None) };
        let Some(found) = self.resources.get(&id) else { return Ok(None) };
        if found.kind_type.eq_ignore_ascii_case(VAULTS) {
            return Ok(Some(Entry::Active(found)));
        }
        // A deletion or a recovery that was cut short leaves both; the vault is the one that counts.
        if let Some(vault) = of_deleted(&self.resources, &found) {
            return Ok(Some(Entry::Active(vault)));
        }
        let kept = found.kind_type.eq_ignore_ascii_case(DELETED) && !expired(&found, self.now);
        Ok(kept.then_some(Entry::Deleted(found)))
    }

    /// Gives the name to a resource.
    pub(crate) async fn name(&self, name: &str, id: &ResourceId) -> Result<(), ArmError> {
        if let Some(Entry::Deleted(_)) = self.find(name)? {
            return Ok(self.table.put(&key(name), id).await?);
        }
        // Whoever had the name before left nothing behind that the new vault may see.
        if let Some(old) = self.table.get::<ResourceId>(&key(name))?
            && old != *id
            && self.resources.get(&old).is_none_or(|old| old.kind_type.eq_ignore_ascii_case(DELETED))
        {
            self.purge(name).await?;
            self.resources.remove(&old).await?;
        }
        Ok(self.table.put(&key(name), id).await?)
    }

    /// Gives the name of a vault to what is kept of it, or back to it, without touching its contents.
    pub(crate) async fn retire(&self, name: &str, id: &ResourceId) -> Result<(), ArmError> {
        Ok(self.table.put(&key(name), id).await?)
    }

    /// Frees the name and removes everything that was in the vault.
    pub(crate) async fn purge(&self, name: &str) -> Result<(), ArmError> {
        let vault = name.to_ascii_lowercase();
        let mut keys = vec![key(name)];
        for kind in ["head", "version"] {
            let prefix = format!("{kind}/{vault}/");
            keys.extend(self.table.list::<Value>(&prefix)?.into_iter().map(|(key, _)| key));
        }
        Ok(self.table.remove_all(&keys).await?)
    }
}

/// The vault that a deleted one was, while it is there.
pub(super) fn of_deleted(resources: &Resources, deleted: &Resource) -> Option<Arc<Resource>> {
    let vault = ResourceId::parse(deleted.properties.get("vaultId")?.as_str()?).ok()?;
    resources.get(&vault)
}

/// Whether the time to recover a deleted vault is over.
pub(super) fn expired(deleted: &Resource, now: Timestamp) -> bool {
    let at = deleted.properties["scheduledPurgeDate"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
    at.is_some_and(|at| at <= now)
}
