//! Writes the objects that every cluster has, past authorisation but not past the rules for objects.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::manage::Who;
use super::modify::Modify;
use super::{Registry, Target};
use crate::attributes::{ApiError, UserInfo};
use crate::bootstrap::{Ensure, Seed};
use crate::handlers::options::WriteOptions;

const MANAGER: &str = "kube-apiserver";

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

#[async_trait]
impl Ensure for Seeder {
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
