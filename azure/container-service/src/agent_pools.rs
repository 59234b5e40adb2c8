//! `managedClusters/agentPools`: pools as resources of their own.

use std::sync::Arc;

use arm::{
    Acted, ArmError, Ctx, Deleted, Operation, Put, Resource, ResourceId, ResourceType, TypeDescriptor,
    Written,
};
use async_trait::async_trait;
use serde_json::{Value, json};

use crate::cluster_shape;
use crate::json::{remove, set, text};
use crate::service::{Deed, Shared, check_idle, check_running, deletion};
use crate::state::{self, POOLS, PRIVATE, PoolPrivate};
use crate::{clusters, machines, names, pool, settled, versions};

/// `Microsoft.ContainerService/managedClusters/agentPools`.
pub struct AgentPools(pub(crate) Arc<Shared>);

const POWER: &str = "/powerState/code";

/// The state a written pool goes into: `Creating`, `Scaling` where only the count differs, else `Updating`.
pub(crate) fn next_state(new: &Value, old: Option<&Resource>) -> &'static str {
    let Some(old) = old else { return "Creating" };
    let strip = |value: &Value| {
        let mut value = value.clone();
        for property in ["count", "provisioningState", PRIVATE] {
            remove(&mut value, &[property]);
        }
        value
    };
    if new["count"] != old.properties["count"] && strip(new) == strip(&old.properties) {
        return "Scaling";
    }
    "Updating"
}

/// What a write of a pool does: it turns the pool off or on, or it is about something else. Power alone changes then.
fn deed(new: &Value, old: Option<&Resource>) -> Result<Deed, ArmError> {
    let code = |properties: &Value| text(properties, POWER).unwrap_or("Running").to_owned();
    let Some(old) = old else {
        return match code(new) == "Running" {
            true => Ok(Deed::Write),
            false => Err(crate::fault::Fault::parameter(
                "agentPoolProfile.powerState",
                "a new agent pool cannot be stopped",
            )
            .into()),
        };
    };
    match (code(&old.properties).as_str(), code(new).as_str()) {
        ("Running", "Stopped") => Ok(Deed::Stop),
        ("Stopped", "Running") => Ok(Deed::Start),
        ("Stopped", _) => Err(ArmError::conflict(
            "OperationNotAllowed",
            format!(
                "agent pool '{}' is in Power State(Stopped), updating cannot be performed. Start the agent pool first.",
                old.name
            ),
        )),
        _ => Ok(Deed::Write),
    }
}

/// Writes a pool's state.
pub(crate) async fn mark(ctx: &Ctx, pool: &ResourceId, state: &str) -> Result<(), ArmError> {
    ctx.resources
        .modify(pool, |pool| {
            pool.set_provisioning_state(state);
            true
        })
        .await?;
    Ok(())
}

fn cluster_of(ctx: &Ctx, pool: &ResourceId) -> Result<Arc<Resource>, ArmError> {
    ctx.resources.get(&pool.top()).ok_or_else(|| ArmError::parent_not_found(pool))
}

impl AgentPools {
    fn shape(&self, ctx: &Ctx, cluster: &Resource, request: &Put<'_>) -> Result<Value, ArmError> {
        let version = text(&cluster.properties, "/currentKubernetesVersion").unwrap_or(versions::DEFAULT);
        let around = cluster_shape::surroundings(cluster, &self.0.settings, version);
        let name = request.id.name();
        let wish = request.properties();
        let mut properties = pool::shape(name, wish, request.existing.map(|pool| &pool.properties), around)?;
        remove(&mut properties, &[PRIVATE]);
        let stored = state::pools(&ctx.resources, &cluster.id);
        let others: Vec<&Value> =
            stored.iter().filter(|other| other.name != name).map(|other| &other.properties).collect();
        pool::check_system_pool(others.iter().copied().chain([&properties]))?;
        cluster_shape::check_capacity(cluster, others.into_iter().chain([&properties]))?;
        Ok(properties)
    }
}

#[async_trait]
impl ResourceType for AgentPools {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor {
            deleted: arm::DeleteStatus::NoContent,
            name_pattern: Some("(?s).*"),
            ..TypeDescriptor::new(POOLS, clusters::API_VERSIONS)
        }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let cluster = cluster_of(ctx, request.id)?;
        check_idle(ctx, &cluster, request.existing.or(Some(&Resource::new(request.id.clone()))))?;
        check_running(&cluster, "updating")?;
        let properties = self.shape(ctx, &cluster, &request)?;
        if let Some(existing) = request.existing {
            let work = self.0.work(ctx, &cluster.id, Some(existing.name.clone()));
            if settled::pool(ctx, &work, &cluster, existing, &properties) {
                return Ok(Written::Done(existing.clone()));
            }
        }
        let deed = deed(&properties, request.existing)?;
        let (name, state, properties) = match (deed, request.existing) {
            (Deed::Stop, Some(old)) => ("stop", "Stopping", old.properties.clone()),
            (Deed::Start, Some(old)) => ("start", "Starting", old.properties.clone()),
            (_, Some(_)) => ("update", next_state(&properties, request.existing), properties),
            (_, None) => ("create", "Creating", properties),
        };
        let mut made = request.resource();
        made.properties = properties;
        // Tags of a pool are a property of it.
        made.tags = None;
        let location = cluster.location.as_deref().unwrap_or("eastus");
        let operation = ctx.operations.create(request.id, name, location).await?;
        let suffix = request.existing.and_then(state::pool_private).map(|private| private.suffix);
        let suffix = suffix.unwrap_or_else(|| names::pool_suffix(&mut rand::rng()));
        state::set_private(&mut made, &PoolPrivate { suffix, operation: operation.id().to_owned() });
        made.set_provisioning_state(state);
        let pool = Some(made.name.clone());
        let operation = self.0.attach(ctx, &cluster.id, pool, deed, operation);
        Ok(Written::Accepted { resource: made, operation })
    }

    async fn delete(&self, ctx: &Ctx, existing: &Resource) -> Result<Deleted, ArmError> {
        if let Some(operation) = deletion(ctx, &existing.id) {
            return Ok(Deleted::Accepted(operation));
        }
        let cluster = cluster_of(ctx, &existing.id)?;
        if let Some(state) = state::in_progress(&cluster) {
            return Err(ArmError::from(crate::fault::Fault::in_progress("Operation", state)));
        }
        let stored = state::pools(&ctx.resources, &cluster.id);
        let others: Vec<_> = stored.iter().filter(|other| other.id != existing.id).collect();
        if pool::check_system_pool(others.iter().map(|other| &other.properties)).is_err() {
            return Err(ArmError::bad_request(
                "OperationNotAllowed",
                "There has to be at least one system agent pool in the cluster.",
            ));
        }
        let location = cluster.location.as_deref().unwrap_or("eastus");
        let operation = ctx.operations.create_delete(&existing.id, location).await?;
        mark(ctx, &existing.id, "Deleting").await?;
        let pool = Some(existing.name.clone());
        Ok(Deleted::Accepted(self.0.attach(ctx, &cluster.id, pool, Deed::Delete, operation)))
    }

    async fn action(&self, _: &Ctx, _: &Resource, name: &str, _: Value) -> Result<Acted, ArmError> {
        Err(ArmError::not_implemented(format_args!("The action '{POOLS}/{name}'")))
    }

    async fn read(&self, ctx: &Ctx, existing: &Resource, path: &[String]) -> Result<Acted, ArmError> {
        let lower: Vec<String> = path.iter().map(|segment| segment.to_ascii_lowercase()).collect();
        match lower.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["upgradeprofiles", "default"] => {
                let version = state::pool_version(&existing.properties);
                let upgrades: Vec<Value> =
                    versions::upgrades(version).iter().map(|to| json!({ "kubernetesVersion": to })).collect();
                Ok(Acted::Done(Some(json!({
                    "id": format!("{}/upgradeProfiles/default", existing.id),
                    "name": "default",
                    "type": format!("{POOLS}/upgradeProfiles"),
                    "properties": {
                        "kubernetesVersion": version, "osType": "Linux", "upgrades": upgrades,
                        "latestNodeImageVersion": pool::NODE_IMAGE,
                    },
                }))))
            }
            ["machines", rest @ ..] => {
                let work = self.0.work(ctx, &existing.id.top(), Some(existing.name.clone()));
                let machines = machines::of_pool(&work, existing).await?;
                let [name] = rest else { return Ok(Acted::Done(Some(json!({ "value": machines })))) };
                let found = machines.into_iter().find(|machine| {
                    text(machine, "/name").is_some_and(|other| other.eq_ignore_ascii_case(name))
                });
                found
                    .map(|machine| Acted::Done(Some(machine)))
                    .ok_or_else(|| ArmError::resource_not_found(&existing.id.child("machines", name)))
            }
            ["operations", rest @ ..] => clusters::operations(ctx, existing, rest),
            _ => Err(ArmError::not_implemented(format_args!("Reading '{POOLS}/{}'", path.join("/")))),
        }
    }

    fn present(&self, _: &Ctx, resource: &Resource) -> Value {
        let mut shown = resource.to_json();
        remove(&mut shown, &["properties", PRIVATE]);
        set(&mut shown, &["properties", "eTag"], resource.etag.clone());
        shown
    }

    async fn resume(
        &self,
        ctx: &Ctx,
        operation: Operation,
        resource: Option<Resource>,
    ) -> Result<(), ArmError> {
        let (Some(record), Some(pool)) = (operation.record(), resource) else {
            return Err(ArmError::conflict(
                "OperationInterrupted",
                "The service was restarted. Repeat the request.",
            ));
        };
        let name = Some(pool.name.clone());
        let _ = self.0.attach(ctx, &pool.id.top(), name, Deed::named(&record.name), operation);
        Ok(())
    }
}
