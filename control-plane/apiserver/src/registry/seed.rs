//! Writes the objects that every cluster has, past authorisation but not past the rules for objects.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::manage::Who;
use super::modify::Modify;
use super::{Registry, Target, object};
use crate::attributes::{ApiError, UserInfo};
use crate::bootstrap::{Ensure, Seed};
use crate::handlers::options::WriteOptions;

const MANAGER: &str = "kube-apiserver";
const RANGE_MANAGER: &str = "kubernetes-service-cidr-controller";

/// The registry as bootstrap sees it.
pub struct Seeder {
    registry: Arc<Registry>,
    user: Arc<UserInfo>,
}

impl Seeder {
    /// Over this registry.
    pub fn new(registry: Arc<Registry>) -> Self {
        Self { registry, user: Arc::new(UserInfo::new("system:apiserver", &["system:masters"])) }
    }

    fn target(&self, seed: &Seed) -> Result<Target, ApiError> {
        let served = self.registry.kinds.get(seed.group, seed.version, seed.plural);
        let served = served.ok_or_else(ApiError::no_such_path)?;
        Ok(Target::new(served, seed.namespace(), seed.name(), self.user.clone()))
    }
}

impl Seeder {
    /// Says of the cluster's own range of addresses that it is ready, when nobody has said anything yet.
    ///
    /// # Errors
    /// When the status cannot be written.
    pub async fn confirm_service_range(&self) -> Result<(), ApiError> {
        let served = self.registry.kinds.get("networking.k8s.io", "v1", "servicecidrs");
        let served = served.ok_or_else(ApiError::no_such_path)?;
        let target = Target::new(served, "", "kubernetes", self.user.clone()).through("status");
        let condition = json!({
            "type": "Ready",
            "status": "True",
            "lastTransitionTime": object::timestamp(self.registry.clock.now()),
            "reason": "",
            "message": "Kubernetes default Service CIDR is ready",
        });
        let options = WriteOptions::internal(RANGE_MANAGER);
        let who = Who::updates(RANGE_MANAGER, "status");
        let modify = Modify { target: &target, options: &options, who: &who, checked: true };
        let mut change = |old: &Value| {
            let mut new = old.clone();
            let status = object::map_mut(&mut new, "status");
            status.entry("conditions").or_insert_with(|| json!([condition]));
            Ok(new)
        };
        self.registry.modify(&modify, &mut change).await.map(|_| ())
    }
}

#[async_trait]
impl Ensure for Seeder {
    fn settled(&self, mut seed: Seed) -> Seed {
        if let Some(served) = self.registry.kinds.get(seed.group, seed.version, seed.plural) {
            served.resource.schema.settle_stored(&mut seed.object);
        }
        seed
    }

    async fn get(&self, seed: &Seed) -> Result<Option<Value>, ApiError> {
        Ok(self.registry.current(&self.target(seed)?).await?.map(|entry| entry.parse()))
    }

    async fn create(&self, seed: &Seed) -> Result<(), ApiError> {
        let options = WriteOptions::internal(MANAGER);
        let who = Who::updates(MANAGER, "");
        match self.registry.create(&self.target(seed)?, seed.object.clone(), &options, &who).await {
            Err(error) if error.reason != "AlreadyExists" => Err(error),
            _ => Ok(()),
        }
    }

    async fn update(&self, seed: &Seed, object: Value) -> Result<(), ApiError> {
        let target = self.target(seed)?;
        let options = WriteOptions::internal(MANAGER);
        let who = Who::updates(MANAGER, "");
        let modify = Modify { target: &target, options: &options, who: &who, checked: true };
        self.registry.modify(&modify, &mut |_| Ok(object.clone())).await.map(|_| ())
    }
}
