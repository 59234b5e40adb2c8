//! An `APIService` for every group version that this server serves.
//!
//! Built-in ones are made at the start (`onstart`) and then left to whoever changes them; those of custom resources are kept as
//! long as a definition serves the group version, and no longer.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Aggregator, GROUP, PLURAL, priorities};
use crate::attributes::{ApiError, Objects, UserInfo, items, text};
use crate::handlers::options::{DeleteOptions, WriteOptions};
use crate::registry::manage::Who;
use crate::registry::modify::Modify;
use crate::registry::{Target, object};

const AUTOMANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";
const MANAGER: &str = "kube-apiserver";

fn api_service(
    group: &str,
    version: &str,
    (group_priority, version_priority): (i64, i64),
    managed: &str,
) -> Value {
    let mut spec = json!({"version": version, "groupPriorityMinimum": group_priority, "versionPriority": version_priority});
    if !group.is_empty() {
        spec["group"] = json!(group);
    }
    json!({
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": format!("{version}.{group}"), "labels": {AUTOMANAGED: managed}},
        "spec": spec,
    })
}

impl Aggregator {
    /// Makes those of the built-in group versions, each with a status that says it is served here.
    ///
    /// # Errors
    /// When they cannot be written.
    pub async fn register_built_in(&self) -> Result<(), ApiError> {
        let mut wanted = BTreeMap::new();
        for resource in self.registry.model.resources() {
            let (group, version) = (resource.group.as_str(), resource.version.as_str());
            if let Some(priority) = priorities::of(group, version) {
                wanted.insert(format!("{version}.{group}"), api_service(group, version, priority, "onstart"));
            }
        }
        for service in Objects::list(&*self.registry, GROUP, PLURAL, None) {
            let name = object::name(&service);
            if managed(&service) == "onstart" && !wanted.contains_key(name) {
                self.unregister(name).await?;
            }
        }
        for (name, service) in wanted {
            let stored = Objects::get(&*self.registry, GROUP, PLURAL, "", &name);
            if stored.is_none() {
                self.register(service).await?;
            }
        }
        Ok(())
    }

    /// Follows definitions: their group versions are registered while they are served.
    pub(super) async fn keep_registered(self: Arc<Self>) {
        let mut progress = self.registry.hub.follow_progress();
        let mut seen = (0, 0);
        loop {
            let definitions =
                Objects::version(&*self.registry, "apiextensions.k8s.io", "customresourcedefinitions");
            let services = Objects::version(&*self.registry, GROUP, PLURAL);
            if (definitions, services) != seen {
                seen = (definitions, services);
                if let Err(error) = self.register_custom().await {
                    tracing::warn!(%error, "API services of custom resources could not be kept");
                }
            }
            if progress.changed().await.is_err() {
                return;
            }
        }
    }

    async fn register_custom(&self) -> Result<(), ApiError> {
        let mut wanted = BTreeMap::new();
        for definition in self.registry.definitions() {
            let group = definition.group.as_str();
            for version in &definition.served {
                let service = api_service(group, version, priorities::CUSTOM, "true");
                wanted.insert(format!("{version}.{group}"), service);
            }
        }
        for service in Objects::list(&*self.registry, GROUP, PLURAL, None) {
            let name = object::name(&service);
            if managed(&service) == "true" && wanted.remove(name).is_none() {
                self.unregister(name).await?;
            } else {
                // Somebody else's, who may serve it elsewhere.
                wanted.remove(name);
            }
        }
        for service in wanted.into_values() {
            self.register(service).await?;
        }
        Ok(())
    }

    async fn register(&self, service: Value) -> Result<(), ApiError> {
        let name = object::name(&service).to_owned();
        let target = self.target(&name)?;
        let options = WriteOptions::internal(MANAGER);
        let who = Who::updates(MANAGER, "");
        match self.registry.create(&target, service, &options, &who).await {
            Err(error) if error.reason != "AlreadyExists" => return Err(error),
            _ => {}
        }
        self.say(&name, ("True", "Local", "Local APIServices are always available")).await
    }

    async fn unregister(&self, name: &str) -> Result<(), ApiError> {
        match self.registry.delete(&self.target(name)?, &DeleteOptions::default()).await {
            Err(error) if error.reason != "NotFound" => Err(error),
            _ => Ok(()),
        }
    }

    fn target(&self, name: &str) -> Result<Target, ApiError> {
        let served = self.registry.served(GROUP, PLURAL).ok_or_else(ApiError::no_such_path)?;
        let user = Arc::new(UserInfo::new("system:kube-aggregator", &["system:masters"]));
        Ok(Target::new(served, "", name, user).judged())
    }

    /// Writes the condition `Available`, if it is not as it should be.
    pub(super) async fn say(
        &self,
        name: &str,
        (status, reason, message): (&str, &str, &str),
    ) -> Result<(), ApiError> {
        let target = self.target(name)?.through("status");
        let options = WriteOptions::internal(MANAGER);
        let who = Who::updates(MANAGER, "status");
        let modify = Modify { target: &target, options: &options, who: &who, checked: false };
        let now = object::timestamp(self.registry.clock.now());
        let mut change = |old: &Value| {
            let mut new = old.clone();
            let before =
                items(old, "/status/conditions").iter().find(|one| text(one, "/type") == "Available");
            let same = before.is_some_and(|one| {
                (text(one, "/status"), text(one, "/reason"), text(one, "/message"))
                    == (status, reason, message)
            });
            if same {
                return Ok(new);
            }
            let since = before
                .filter(|one| text(one, "/status") == status)
                .map(|one| one["lastTransitionTime"].clone());
            let condition = json!({
                "type": "Available", "status": status, "reason": reason, "message": message,
                "lastTransitionTime": since.unwrap_or_else(|| json!(now)),
            });
            let others =
                items(old, "/status/conditions").iter().filter(|one| text(one, "/type") != "Available");
            let conditions: Vec<Value> = others.cloned().chain(std::iter::once(condition)).collect();
            object::set(&mut new, "status", json!({"conditions": conditions}));
            Ok(new)
        };
        match self.registry.modify(&modify, &mut change).await {
            Err(error) if error.reason != "NotFound" => Err(error),
            _ => Ok(()),
        }
    }
}

fn managed(service: &Value) -> &str {
    service
        .pointer("/metadata/labels")
        .and_then(|labels| labels.get(AUTOMANAGED))
        .and_then(Value::as_str)
        .unwrap_or_default()
}
