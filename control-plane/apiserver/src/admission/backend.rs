//! What admission needs of the server besides its objects.

use std::sync::Arc;

use api_model::{Resource, Schema};
use async_trait::async_trait;
use serde_json::Value;
use store::{Committed, Compare, Durability, Op, Txn};

use crate::attributes::ApiError;
use crate::registry::{Registry, Served, behind, object, store_failed};

/// Asked by plugins; the registry, or a test's stand-in.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Every served version of the same stored objects, in other groups too; the given one included.
    fn equivalents(&self, resource: &Resource) -> Vec<Arc<Served>>;

    /// The resource that serves a kind.
    fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<Arc<Served>>;

    /// The schema of a built-in kind that need not be a resource of its own: what subresources take.
    fn schema(&self, group: &str, version: &str, kind: &str) -> Option<Arc<Schema>>;

    /// An object of one version as another of the same stored objects serves it.
    ///
    /// # Errors
    /// When it cannot be converted.
    async fn convert(&self, object: Value, from: &Served, to: &Served) -> Result<Value, ApiError>;

    /// Stores the status of a quota if it is as it was at `resource_version`; says whether it was.
    ///
    /// # Errors
    /// When the store fails.
    async fn store_quota(&self, quota: &Value, status: Value) -> Result<bool, ApiError>;
}

#[async_trait]
impl Backend for Registry {
    fn equivalents(&self, resource: &Resource) -> Vec<Arc<Served>> {
        let Some(own) = self.kinds.get(&resource.group, &resource.version, &resource.plural) else {
            return Vec::new();
        };
        let mut all = self.kinds.all();
        all.retain(|served| served.storage == own.storage);
        // A fixed order, so that the same rule always picks the same version.
        all.sort_by_key(|served| (served.resource.group.clone(), served.resource.version.clone()));
        all
    }

    fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<Arc<Served>> {
        let is_it = |served: &Arc<Served>| {
            served.resource.kind == kind
                && served.resource.group == group
                && served.resource.version == version
        };
        self.kinds.all().into_iter().find(is_it)
    }

    fn schema(&self, group: &str, version: &str, kind: &str) -> Option<Arc<Schema>> {
        self.model.kind_schema(group, version, kind).map(Arc::new)
    }

    async fn convert(&self, object: Value, from: &Served, to: &Served) -> Result<Value, ApiError> {
        if to.custom.is_some() {
            return self.one_in_version(to, object).await;
        }
        Ok(to.from_storage(from.to_storage(object)))
    }

    async fn store_quota(&self, quota: &Value, status: Value) -> Result<bool, ApiError> {
        let Some(served) = self.served("", "resourcequotas") else { return Ok(true) };
        let key = served.key(object::namespace(quota), object::name(quota));
        let revision = object::resource_version(quota).parse().unwrap_or(0);
        let mut new = quota.clone();
        object::set(&mut new, "status", status);
        let (key, value): (Arc<str>, _) = (key.into(), object::encode(&mut new));
        let txn = Txn {
            compares: vec![Compare { key: key.clone(), mod_revision: revision }],
            ops: vec![Op::Put { key, value, lease: None }],
            // The object that is charged for follows and is on the disk before it is acknowledged, and with it all before it.
            durability: Durability::Relaxed,
        };
        match self.store.commit(txn).await.map_err(|error| store_failed(&error))? {
            Committed::Succeeded { revision } => {
                self.hub.reach(revision).await.map_err(behind)?;
                Ok(true)
            }
            Committed::Conflict { .. } => {
                // The cache is to hold what was lost to before it is read again.
                self.hub.fresh().await.map_err(behind)?;
                Ok(false)
            }
        }
    }
}
