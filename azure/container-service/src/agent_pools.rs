//! `managedClusters/agentPools`: pools as resources of their own.

use std::sync::Arc;

use arm::{
    Acted, ArmError, Ctx, Deleted, Operation, Put, Resource, ResourceId, ResourceType, TypeDescriptor,
    Written,
};
use async_trait::async_trait;
use serde_json::{Value, json};

use crate::cluster_shape;
use crate::json::{number, remove, set, text};
use crate::saga::nodes;
use crate::service::{Deed, Shared, check_idle, check_running, deletion};
use crate::state::{self, POOLS, PRIVATE, PoolPrivate};
use crate::{abort, clusters, machines, names, pool, settled, snapshots, versions};

/// `Microsoft.ContainerService/managedClusters/agentPools`.
pub struct AgentPools(pub(crate) Arc<Shared>);

const POWER: &str = "/powerState/code";

/// The state a written pool goes into: `Creating`, `Upgrading` where the version differs, `Scaling` where only the count
/// does, else `Updating`.
pub(crate) fn next_state(new: &Value, old: Option<&Resource>) -> &'static str {
    let Some(old) = old else { return "Creating" };
    let strip = |value: &Value| {
        let mut value = value.clone();
        for property in ["count", "provisioningState", PRIVATE] {
            remove(&mut value, &[property]);
        }
        value
    };
    if new["currentOrchestratorVersion"] != old.properties["currentOrchestratorVersion"] {
        return "Upgrading";
    }
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

/// A pool as it is shown.
pub(crate) fn shown(pool: &Resource) -> Value {
    let mut shown = pool.to_json();
    remove(&mut shown, &["properties", PRIVATE]);
    set(&mut shown, &["properties", "eTag"], pool.etag.clone());
    shown
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

/// Refuses to go back to an older version where the cluster's channel would take the pool up again.
fn check_rollback(
    cluster: &Resource,
    pool: &Resource,
    wish: &Value,
    rollback: Option<&str>,
) -> Result<(), ArmError> {
    let wanted = text(wish, "/orchestratorVersion");
    let goes_back =
        wanted.is_some() && wanted == rollback && wanted != Some(state::pool_version(&pool.properties));
    let channel = text(&cluster.properties, "/autoUpgradeProfile/upgradeChannel");
    match channel.filter(|channel| goes_back && !channel.eq_ignore_ascii_case("none")) {
        Some(channel) => Err(ArmError::bad_request(
            "OperationNotAllowed",
            format!(
                "Rolling back agent pool '{}' is not allowed while the cluster upgrades by itself (upgradeChannel \
                 '{channel}'). Set the channel to none first.",
                pool.name
            ),
        )
        .target("autoUpgradeProfile.upgradeChannel")),
        None => Ok(()),
    }
}

impl AgentPools {
    fn shape(&self, ctx: &Ctx, cluster: &Resource, request: &Put<'_>) -> Result<Value, ArmError> {
        let version = text(&cluster.properties, "/currentKubernetesVersion").unwrap_or(versions::DEFAULT);
        let mut around = cluster_shape::surroundings(cluster, &self.0.settings, version);
        let before = request.existing.and_then(|pool| state::rollback(pool, ctx.clock.now()));
        around.rollback = before.as_ref().map(|used| used.orchestrator_version.as_str());
        if let Some(existing) = request.existing {
            check_rollback(cluster, existing, request.properties(), around.rollback)?;
        }
        let name = request.id.name();
        let old = request.existing.map(|pool| &pool.properties);
        let wish = &snapshots::applied(ctx, request.id, cluster, request.properties().clone(), old)?;
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

impl AgentPools {
    /// Starts a deed on a pool that is idle and on.
    async fn begin(
        &self,
        ctx: &Ctx,
        cluster: &Resource,
        pool: &Resource,
        (deed, state): (Deed, &'static str),
        change: impl FnOnce(&mut Resource, &mut PoolPrivate) + Send,
    ) -> Result<Acted, ArmError> {
        let location = cluster.location.as_deref().unwrap_or("eastus");
        let operation = ctx.operations.create_action(&pool.id, deed.name(), location).await?;
        ctx.resources
            .modify(&pool.id, |pool| {
                let Some(mut private) = state::pool_private(pool) else { return false };
                operation.id().clone_into(&mut private.operation);
                change(pool, &mut private);
                state::set_private(pool, &private);
                pool.set_provisioning_state(state);
                true
            })
            .await?;
        let name = Some(pool.name.clone());
        Ok(Acted::Accepted(self.0.attach(ctx, &cluster.id, name, deed, operation)))
    }

    async fn delete_machines(
        &self,
        ctx: &Ctx,
        cluster: &Resource,
        pool: &Resource,
        body: &Value,
    ) -> Result<Acted, ArmError> {
        check_idle(ctx, cluster, Some(pool))?;
        check_running(cluster, "deleting machines")?;
        check_pool_on(pool, "deleting machines")?;
        let work = self.0.work(ctx, &cluster.id, Some(pool.name.clone()));
        let there = nodes::instances(&work, pool).await?;
        let leaving = machines::leaving(body, pool, &there)?;
        let deed = (Deed::DeleteMachines, "DeletingMachines");
        self.begin(ctx, cluster, pool, deed, |pool, private| {
            let count = number(&pool.properties, "/count").unwrap_or(0);
            let left = count.saturating_sub(i64::try_from(leaving.len()).unwrap_or(i64::MAX));
            set(&mut pool.properties, &["count"], left);
            private.leaving = leaving;
        })
        .await
    }

    /// Nodes from this version's image. Those that have it already are left alone.
    async fn upgrade_image(&self, ctx: &Ctx, cluster: &Resource, pool: &Resource) -> Result<Acted, ArmError> {
        check_idle(ctx, cluster, Some(pool))?;
        check_running(cluster, "upgrading")?;
        check_pool_on(pool, "upgrading")?;
        let old = text(&pool.properties, "/nodeImageVersion") != Some(pool::NODE_IMAGE);
        let state = if old { "UpgradingNodeImageVersion" } else { "Updating" };
        let now = ctx.clock.now();
        self.begin(ctx, cluster, pool, (Deed::UpgradeImage, state), |pool, private| {
            let mut new = pool.properties.clone();
            set(&mut new, &["nodeImageVersion"], pool::NODE_IMAGE);
            private.before = state::left_behind(pool, &new, private.before.take(), now);
            set(&mut pool.properties, &["nodeImageVersion"], pool::NODE_IMAGE);
            private.rolling |= old;
        })
        .await
    }
}

fn check_pool_on(pool: &Resource, verb: &str) -> Result<(), ArmError> {
    if !state::is_stopped(pool) {
        return Ok(());
    }
    Err(ArmError::conflict(
        "OperationNotAllowed",
        format!(
            "agent pool '{}' is in Power State(Stopped), {verb} cannot be performed. Start the agent pool first.",
            pool.name
        ),
    ))
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
        let suffix = || names::pool_suffix(&mut rand::rng());
        let private =
            PoolPrivate::next(request.existing, &made.properties, operation.id(), ctx.clock.now(), suffix);
        state::set_private(&mut made, &private);
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

    async fn action(
        &self,
        ctx: &Ctx,
        existing: &Resource,
        name: &str,
        body: Value,
    ) -> Result<Acted, ArmError> {
        let cluster = cluster_of(ctx, &existing.id)?;
        match name.to_ascii_lowercase().as_str() {
            "abort" => {
                let location = cluster.location.as_deref().unwrap_or("eastus");
                abort::abort(&self.0, ctx, existing, location).await
            }
            "deletemachines" => self.delete_machines(ctx, &cluster, existing, &body).await,
            "upgradenodeimageversion" => self.upgrade_image(ctx, &cluster, existing).await,
            _ => Err(ArmError::not_implemented(format_args!("The action '{POOLS}/{name}'"))),
        }
    }

    async fn read(&self, ctx: &Ctx, existing: &Resource, path: &[String]) -> Result<Acted, ArmError> {
        let lower: Vec<String> = path.iter().map(|segment| segment.to_ascii_lowercase()).collect();
        match lower.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["upgradeprofiles", "default"] => {
                let version = state::pool_version(&existing.properties);
                let upgrades: Vec<Value> =
                    versions::upgrades(version).iter().map(|to| json!({ "kubernetesVersion": to })).collect();
                let before: Option<Vec<_>> =
                    state::rollback(existing, ctx.clock.now()).map(|used| vec![used]);
                Ok(Acted::Done(Some(json!({
                    "id": format!("{}/upgradeProfiles/default", existing.id),
                    "name": "default",
                    "type": format!("{POOLS}/upgradeProfiles"),
                    "properties": {
                        "kubernetesVersion": version, "osType": "Linux", "upgrades": upgrades,
                        "latestNodeImageVersion": pool::NODE_IMAGE, "recentlyUsedVersions": before,
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
        shown(resource)
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
        if record.name == abort::NAME {
            return Err(abort::interrupted());
        }
        let name = Some(pool.name.clone());
        let _ = self.0.attach(ctx, &pool.id.top(), name, Deed::named(&record.name), operation);
        Ok(())
    }
}
