//! Building the front door: open the store, register providers, take up what the last run left undone.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::json;

use super::health::Availability;
use super::limits::{Buckets, Limits};
use super::{Front, FrontConfig, Registered, Turns, write_log};
use crate::access::{ROLE_ASSIGNMENT, roles};
use crate::activity::{Activity, Event};
use crate::store::Database;
use crate::types::Provider;
use crate::{Access, ArmError, OperationStatus, Operations, Resource, ResourceId, Resources, StoreError};

/// Why the front door could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store.
    #[error("failed to open the resource store")]
    Store(#[from] StoreError),
    /// Two providers claim the same type, or a name pattern is no regular expression.
    #[error("resource type `{full_type}` cannot be registered: {why}")]
    Type {
        /// Which type.
        full_type: String,
        /// What is wrong.
        why: String,
    },
    /// What the last run left undone could not be taken up.
    #[error("failed to take up the operations of the last run")]
    Resume(#[source] ArmError),
}

/// Collects providers.
pub struct FrontBuilder {
    config: FrontConfig,
    providers: Vec<Provider>,
    limits: Limits,
}

impl FrontBuilder {
    pub(super) fn new(config: FrontConfig) -> Self {
        Self { config, providers: Vec::new(), limits: Limits::default() }
    }

    /// With a provider. Two with the same namespace are joined.
    pub fn provider(mut self, provider: Provider) -> Self {
        self.providers.push(provider);
        self
    }

    /// With other limits for requests than the roomy ones.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Opens the store and starts.
    pub async fn build(self) -> Result<Arc<Front>, StartError> {
        let database = Database::open(&self.config.state_dir.join("arm.redb"))?;
        let resources = Resources::open(database)?;
        let operations = Operations::open(&resources, self.config.clock.clone())?;
        let activity = Activity::open(&resources)?;
        let mut types = BTreeMap::new();
        let mut providers: BTreeMap<String, Provider> = BTreeMap::new();
        for provider in self.providers {
            for kind in &provider.types {
                let registered = register(kind.clone(), provider.system_data)?;
                let full_type = registered.descriptor.full_type;
                if types.insert(full_type.to_ascii_lowercase(), registered).is_some() {
                    return Err(StartError::Type {
                        full_type: full_type.to_owned(),
                        why: "it is registered twice".to_owned(),
                    });
                }
            }
            match providers.get_mut(&provider.namespace.to_ascii_lowercase()) {
                Some(known) => {
                    known.types.extend(provider.types);
                    known.calls = known.calls.take().or(provider.calls);
                }
                None => {
                    providers.insert(provider.namespace.to_ascii_lowercase(), provider);
                }
            }
        }
        let front = Arc::new_cyclic(|me| Front {
            cloud: Arc::new(self.config.cloud.clone()),
            access: Access::new(resources.clone(), &self.config.tenant_id),
            settings: resources.table("settings"),
            config: self.config,
            resources,
            operations,
            activity,
            providers,
            types,
            turns: Turns::default(),
            buckets: Buckets::new(self.limits),
            running: crate::deployments::Running::default(),
            tokens: Mutex::new(HashMap::new()),
            me: me.clone(),
        });
        front.listen();
        front.first_start().await?;
        front.take_up().await.map_err(StartError::Resume)?;
        Ok(front)
    }
}

fn register(kind: Arc<dyn crate::ResourceType>, system_data: bool) -> Result<Registered, StartError> {
    let descriptor = kind.descriptor();
    let name = match descriptor.name_pattern {
        None => None,
        Some(pattern) => {
            let regex = regex::Regex::new(&format!("^(?:{pattern})$")).map_err(|error| StartError::Type {
                full_type: descriptor.full_type.to_owned(),
                why: error.to_string(),
            })?;
            Some(Arc::new(regex))
        }
    };
    Ok(Registered { kind, descriptor, name, system_data })
}

impl Front {
    /// Has the ends of operations and changes of health written into the activity log.
    fn listen(&self) {
        let (activity, tasks) = (self.activity.clone(), self.config.tasks.clone());
        let clock = self.config.clock.clone();
        self.operations.on_end(move |record| {
            let Some(cause) = &record.cause else { return };
            let (word, code) = match record.status {
                OperationStatus::Succeeded => ("Succeeded", 200),
                OperationStatus::Canceled => ("Canceled", 200),
                _ => ("Failed", record.error.as_ref().map_or(500, |e| e.status.as_u16())),
            };
            let mut event = Event::of(clock.now(), cause, word, code, record.error.as_ref());
            event.operation_id = Some(record.id.clone());
            activity.note(event);
            write_log(&activity, &tasks);
        });
        let (activity, tasks) = (self.activity.clone(), self.config.tasks.clone());
        let clock = self.config.clock.clone();
        self.resources.observe(move |before, now| {
            let Some(before) = before.filter(|b| b.location.is_some() && !b.id.namespace().is_empty()) else {
                return;
            };
            let (from, to) = (Availability::of(before), Availability::of(now));
            if from.name() != to.name() {
                activity.note(Event::health(clock.now(), &now.id, from.name(), to.name(), to.summary()));
                write_log(&activity, &tasks);
            }
        });
    }

    /// Makes the subscription and its owners' assignments at the first start.
    async fn first_start(&self) -> Result<(), StoreError> {
        let subscription = ResourceId::of_subscription(&self.config.subscription_id);
        if !self.resources.exists(&subscription) {
            let mut made = Resource::new(subscription.clone());
            made.properties = json!({"displayName": self.config.subscription_name, "state": "Enabled"});
            self.resources.save(made).await?;
        }
        for owner in &self.config.owners {
            let name =
                uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, format!("{subscription}{owner}").as_bytes());
            let id = subscription.extension(ROLE_ASSIGNMENT, &name.to_string());
            let seen: Option<bool> = self.settings.get(&format!("owner/{owner}"))?;
            if seen.is_some() || self.resources.exists(&id) {
                continue;
            }
            let mut made = Resource::new(id);
            let now = self.config.clock.now().to_string();
            made.properties = json!({
                "roleDefinitionId": format!("{subscription}/providers/Microsoft.Authorization/roleDefinitions/{}", roles::OWNER),
                "principalId": owner, "principalType": "ServicePrincipal", "scope": subscription.to_string(),
                "createdOn": now, "updatedOn": now, "createdBy": null, "updatedBy": owner,
                "condition": null, "conditionVersion": null, "delegatedManagedIdentityResourceId": null, "description": null,
            });
            self.resources.save(made).await?;
            // An assignment that is taken away later stays away.
            self.settings.put(&format!("owner/{owner}"), &true).await?;
        }
        Ok(())
    }
}
