//! Resource groups.

use std::sync::Arc;

use futures::future::BoxFuture;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::route::{Asked, no_route};
use super::{Answer, Front, filter, rules};
use crate::resource::{merge_patch, replace_tags};
use crate::{ArmError, Caller, Resource, ResourceId, locations};

const READ: &str = "Microsoft.Resources/subscriptions/resourceGroups/read";
const WRITE: &str = "Microsoft.Resources/subscriptions/resourceGroups/write";
const DELETE: &str = "Microsoft.Resources/subscriptions/resourceGroups/delete";

/// How many rounds in a row may pass without one resource going before a deletion is given up.
const IDLE_ROUNDS_MAX: u32 = 3;

impl Front {
    fn group_json(&self, group: &Resource) -> Value {
        let mut body = group.to_json();
        if let Some(map) = body.as_object_mut() {
            map.remove("systemData");
            let state = group.provisioning_state().unwrap_or("Succeeded").to_owned();
            map.insert("properties".into(), json!({"provisioningState": state}));
        }
        body
    }

    pub(super) fn list_groups(&self, asked: &Asked<'_>, subscription: &str) -> Result<Answer, ArmError> {
        if asked.method() != Method::GET {
            return Err(no_route(asked.incoming));
        }
        let filter = filter::parse(asked.ctx.query("$filter"))?;
        let scope = ResourceId::of_subscription(subscription);
        let mut groups = self.resources.list_type(&scope, "Microsoft.Resources/resourceGroups");
        let view = self.access.view(asked.caller(), &scope);
        if !view.may_somewhere(READ) {
            asked.authorize(READ, &scope)?;
        }
        groups.retain(|g| view.may(READ, &g.id) && filter::tags_match(&filter, g));
        self.paged(asked, groups.iter().map(|g| self.group_json(g)).collect())
    }

    pub(super) async fn group(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        subscription: &str,
        name: &str,
    ) -> Result<Answer, ArmError> {
        let id = ResourceId::of_group(&self.config.subscription_id, name);
        debug_assert!(subscription.eq_ignore_ascii_case(&self.config.subscription_id));
        let existing = self.resources.get(&id);
        match *asked.method() {
            Method::GET => {
                asked.authorize(READ, &id)?;
                let group = existing.ok_or_else(|| ArmError::group_not_found(name))?;
                Ok(Answer::ok(self.group_json(&group)))
            }
            Method::HEAD => {
                asked.authorize(READ, &id)?;
                Ok(Answer::empty(if existing.is_some() {
                    StatusCode::NO_CONTENT
                } else {
                    StatusCode::NOT_FOUND
                }))
            }
            Method::PUT => self.put_group(asked, id, existing.as_deref()).await,
            Method::PATCH => {
                asked.authorize(WRITE, &id)?;
                let existing = existing.ok_or_else(|| ArmError::group_not_found(name))?;
                self.access.check_locks("write", &id)?;
                let mut body = existing.to_json();
                let patch = asked.incoming.object()?;
                merge_patch(&mut body, &patch);
                replace_tags(&mut body, &patch);
                self.save_group(asked, id, &body, Some(&existing)).await
            }
            Method::DELETE => self.delete_group(asked, id, existing.as_deref()).await,
            _ => Err(no_route(asked.incoming)),
        }
    }

    /// What can be asked of a group beside reading and writing it; none of it is built.
    pub(super) fn group_action(
        &self,
        asked: &Asked<'_>,
        id: &ResourceId,
        deed: &str,
    ) -> Result<Answer, ArmError> {
        if asked.method() != Method::POST {
            return Err(no_route(asked.incoming));
        }
        let (word, what) = match deed {
            "moveresources" => {
                ("moveResources", "Moving resources to another resource group or subscription")
            }
            "validatemoveresources" => {
                ("validateMoveResources", "Moving resources to another resource group or subscription")
            }
            _ => ("exportTemplate", "Exporting a resource group as a template"),
        };
        asked.authorize(&format!("Microsoft.Resources/subscriptions/resourceGroups/{word}/action"), id)?;
        if !self.resources.exists(id) {
            return Err(ArmError::group_not_found(id.name()));
        }
        Err(ArmError::not_implemented(what))
    }

    async fn put_group(
        &self,
        asked: &Asked<'_>,
        id: ResourceId,
        existing: Option<&Resource>,
    ) -> Result<Answer, ArmError> {
        asked.authorize(WRITE, &id)?;
        rules::check_group_name(id.name())?;
        let body = asked.incoming.object()?;
        let Some(asked_for) = body.get("location").and_then(Value::as_str).filter(|l| !l.is_empty()) else {
            return Err(ArmError::bad_request(
                "LocationRequired",
                "The location property is required for this definition.",
            ));
        };
        let location = locations::normal(asked_for);
        if !locations::exists(&location) {
            return Err(ArmError::bad_request(
                "LocationNotAvailableForResourceGroup",
                format!(
                    "The provided location '{asked_for}' is not available for resource group. List of available regions is '{}'.",
                    locations::list()
                ),
            ));
        }
        if let Some(old) = existing.and_then(|e| e.location.as_deref()).filter(|old| *old != location) {
            return Err(ArmError::conflict(
                "InvalidResourceGroupLocation",
                format!(
                    "Invalid resource group location '{location}'. The Resource group already exists in location '{old}'."
                ),
            ));
        }
        if existing.and_then(Resource::provisioning_state) == Some("Deleting") {
            return Err(ArmError::conflict(
                "ResourceGroupBeingDeleted",
                format!(
                    "The resource group '{}' is in deprovisioning state and cannot perform this operation.",
                    id.name()
                ),
            ));
        }
        self.access.check_locks("write", &id)?;
        self.save_group(asked, id, &body, existing).await
    }

    async fn save_group(
        &self,
        asked: &Asked<'_>,
        id: ResourceId,
        body: &Value,
        existing: Option<&Resource>,
    ) -> Result<Answer, ArmError> {
        super::tags::check(body.get("tags"))?;
        let mut group = Resource::from_body(&id, body, existing);
        group.properties = json!({"provisioningState": "Succeeded"});
        group.managed_by = group.managed_by.or_else(|| existing.and_then(|e| e.managed_by.clone()));
        group.extra.clear();
        if let Some(same) = existing.filter(|e| **e == group) {
            return Ok(Answer::ok(self.group_json(same)));
        }
        group.system_data = self.system_data(asked, existing);
        let status = if existing.is_some() { StatusCode::OK } else { StatusCode::CREATED };
        let stored = self.resources.save(group).await?;
        Ok(Answer::new(status, self.group_json(&stored)))
    }

    async fn delete_group(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        id: ResourceId,
        existing: Option<&Resource>,
    ) -> Result<Answer, ArmError> {
        asked.authorize(DELETE, &id)?;
        let Some(existing) = existing else { return Err(ArmError::group_not_found(id.name())) };
        self.access.check_locks("delete", &id)?;
        let location = existing.location.clone().unwrap_or_default();
        let operation = self.operations.create_delete(&existing.id, &location).await?;
        self.resources
            .modify(&id, |g| {
                g.set_provisioning_state("Deleting");
                true
            })
            .await?;
        let work = self.clone().delete_group_contents(
            existing.id.clone(),
            asked.caller().clone(),
            operation.id().to_owned(),
        );
        let operation = operation.work(work);
        let url = format!(
            "{}/subscriptions/{}/operationresults/{}?api-version={}",
            asked.incoming.base_url,
            self.config.subscription_id,
            operation.id(),
            asked.ctx.api_version
        );
        let mut answer = Answer::empty(StatusCode::ACCEPTED).header("location", url);
        answer.operation = Some(operation.id().to_owned());
        operation.start(&self.config.tasks);
        Ok(answer)
    }

    /// Deletes everything in a group through the front door, as the caller: by rank, what cannot go yet again in the next
    /// round. Ends when nothing is left or nothing moves any more.
    pub(super) fn delete_group_contents(
        self: Arc<Self>,
        group: ResourceId,
        caller: Caller,
        operation: String,
    ) -> BoxFuture<'static, Result<(), ArmError>> {
        Box::pin(self.delete_contents(group, caller, operation))
    }

    async fn delete_contents(
        self: Arc<Self>,
        group: ResourceId,
        caller: Caller,
        operation: String,
    ) -> Result<(), ArmError> {
        // All that goes with the group is one affair in the activity log.
        let correlation = self.operations.find(&operation).and_then(|o| o.record()).and_then(|r| r.cause);
        let correlation = correlation
            .map_or_else(|| uuid::Uuid::new_v4().to_string(), |cause| cause.correlation_id.clone());
        let arm = crate::ArmClient::new(self.me.clone(), caller, super::Held::default(), &correlation);
        let mut idle = 0;
        loop {
            let mut left: Vec<(u32, ResourceId)> = Vec::new();
            for resource in self.resources.list(&group) {
                let Some(registered) = self.registered(&resource.kind_type) else { continue };
                if resource.id.types().len() == 1 && !registered.descriptor.extension {
                    left.push((registered.descriptor.delete_rank, resource.id.clone()));
                }
            }
            if left.is_empty() {
                return Ok(());
            }
            left.sort();
            let mut failures = Vec::new();
            let before = left.len();
            for (_, id) in left {
                if self.resources.exists(&id)
                    && let Err(error) = self.delete_one(&arm, &id).await
                {
                    tracing::debug!(resource = %id, %error, operation, "not deleted in this round");
                    failures.push((id, error));
                }
            }
            // What still works on something in here may free what is in its way.
            let working =
                self.operations.running().iter().any(|o| o.id != operation && o.resource.is_within(&group));
            idle = if failures.len() < before || working { 0 } else { idle + 1 };
            if idle >= IDLE_ROUNDS_MAX {
                return Err(self.give_up(&group, &operation, failures).await?);
            }
            if !failures.is_empty() {
                self.wait_for_change(&failures).await;
            }
        }
    }

    async fn delete_one(&self, arm: &crate::ArmClient, id: &ResourceId) -> Result<(), ArmError> {
        let version = self
            .registered(&id.resource_type())
            .and_then(|r| r.descriptor.api_versions.first().copied())
            .unwrap_or("2024-11-01");
        arm.delete(id, version).await?.done().await.map(|_| ())
    }

    /// A failed deletion is worth repeating once something has changed, or after a second.
    async fn wait_for_change(&self, failures: &[(ResourceId, ArmError)]) {
        let mut changed = self.resources.watch();
        let limit = std::time::Duration::from_millis(if failures.len() > 10 { 250 } else { 1_000 });
        let _ = tokio::time::timeout(limit, changed.changed()).await;
    }

    async fn give_up(
        &self,
        group: &ResourceId,
        operation: &str,
        failures: Vec<(ResourceId, ArmError)>,
    ) -> Result<ArmError, ArmError> {
        self.resources
            .modify(group, |g| {
                g.set_provisioning_state("Succeeded");
                true
            })
            .await?;
        let ids: Vec<String> = failures.iter().map(|(id, _)| id.to_string()).collect();
        let mut error = ArmError::conflict(
            "ResourceGroupDeletionBlocked",
            format!(
                "Deletion of resource group '{}' failed as resources with identifiers '{}' could not be deleted. The provisioning state of the resource group will be rolled back. The tracking Id is '{operation}'. Please check audit logs for more details.",
                group.name(),
                ids.join(",")
            ),
        );
        for (id, inner) in failures {
            error = error.detail(inner.target(id.to_string()));
        }
        Ok(error)
    }
}
