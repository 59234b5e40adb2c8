//! `managedClusters`: PUT, PATCH, GET, DELETE, credentials, stop and start.
//!
//! A PUT is checked and filled in while the caller waits; everything else happens in the saga behind its
//! operation.

use std::sync::Arc;

use arm::{
    Acted, ArmError, Ctx, Deleted, Operation, Patch, Put, Resource, ResourceId, ResourceType, TypeDescriptor,
    Written,
};
use async_trait::async_trait;
use base64::Engine;
use serde_json::{Value, json};

use crate::agent_pools;
use crate::cluster_shape::{self, Shaped};
use crate::control_planes::{ControlPlaneError, Credential, Login};
use crate::json::{flag, remove, set, text};
use crate::saga::plane_error;
use crate::service::{Deed, Shared, check_idle, check_running, deletion};
use crate::state::{self, CLUSTERS, PRIVATE, PoolPrivate};
use crate::{aad_profile, abort, commands, names, pool, settled, versions};

/// Listed api-versions; others are accepted.
pub(crate) const API_VERSIONS: &[&str] = &[
    "2026-06-01",
    "2026-05-01",
    "2026-03-01",
    "2026-01-01",
    "2025-10-01",
    "2025-08-01",
    "2025-05-01",
    "2025-02-01",
    "2024-09-01",
    "2024-05-01",
];

/// `Microsoft.ContainerService/managedClusters`.
pub struct ManagedClusters(pub(crate) Arc<Shared>);

fn location(cluster: &Resource) -> &str {
    cluster.location.as_deref().unwrap_or("eastus")
}

/// What `format` of a request for the user's credential asks for.
pub(crate) fn login(ctx: &Ctx) -> Result<Login, ArmError> {
    match ctx.query("format").map(str::to_ascii_lowercase).as_deref() {
        None | Some("" | "exec") => Ok(Login::Exec),
        Some("azure") => Ok(Login::AuthProvider),
        Some(other) => Err(ArmError::bad_request(
            "InvalidParameter",
            format!(
                "The value of parameter format is invalid. Error details: '{other}' is not one of azure, exec"
            ),
        )
        .target("format")),
    }
}

/// A kubeconfig in base64, unless the cluster gives out none.
pub(crate) async fn kubeconfig(
    shared: &Shared,
    cluster: &Resource,
    who: Credential,
    namespace: Option<&str>,
) -> Result<String, ArmError> {
    let without_secret = matches!(who, Credential::User(_)) && aad_profile::is_enabled(&cluster.properties);
    if flag(&cluster.properties, "/disableLocalAccounts") && !without_secret {
        return Err(ArmError::bad_request(
            "BadRequest",
            "Getting static credential is not allowed because this cluster is set to disable local accounts.",
        ));
    }
    check_running(cluster, "listing credentials")?;
    let yaml =
        shared.planes.kubeconfig(&cluster.id.to_string(), who, namespace).await.map_err(
            |error| match error {
                ControlPlaneError::NotFound { .. } => ArmError::conflict(
                    "OperationNotAllowed",
                    "The control plane of the cluster is not ready yet; its credentials cannot be listed.",
                ),
                error => plane_error(error),
            },
        )?;
    Ok(base64::engine::general_purpose::STANDARD.encode(yaml))
}

/// Notes the operation in the private part.
fn note(ctx: &Ctx, cluster: &mut Resource, operation: &Operation) {
    if let Some(mut private) = state::cluster_private(cluster) {
        operation.id().clone_into(&mut private.operation);
        private.operation_began = ctx.clock.now().to_string();
        state::set_private(cluster, &private);
    }
}

impl ManagedClusters {
    fn shape(&self, ctx: &Ctx, request: &Put<'_>) -> Result<Shaped, ArmError> {
        let shaped = cluster_shape::shape(
            ctx,
            &self.0.settings,
            request.resource(),
            request.existing,
            &mut rand::rng(),
        );
        Ok(shaped?)
    }

    async fn save_pools(
        &self,
        ctx: &Ctx,
        cluster: &ResourceId,
        pools: Vec<(String, Value)>,
        operation: &Operation,
    ) -> Result<(), ArmError> {
        for (name, properties) in pools {
            let id = cluster.child("agentPools", &name);
            let old = ctx.resources.get(&id);
            let suffix = || names::pool_suffix(&mut rand::rng());
            let private =
                PoolPrivate::next(old.as_deref(), &properties, operation.id(), ctx.clock.now(), suffix);
            let state = agent_pools::next_state(&properties, old.as_deref());
            let mut pool = old.map_or_else(|| Resource::new(id), |old| (*old).clone());
            pool.properties = properties;
            state::set_private(&mut pool, &private);
            pool.set_provisioning_state(state);
            ctx.resources.save(pool).await?;
        }
        Ok(())
    }

    async fn credentials(&self, cluster: &Resource, who: Credential, name: &str) -> Result<Acted, ArmError> {
        let value = kubeconfig(&self.0, cluster, who, None).await?;
        Ok(Acted::Done(Some(json!({ "kubeconfigs": [{ "name": name, "value": value }] }))))
    }

    async fn access_profile(&self, cluster: &Resource, role: &str) -> Result<Acted, ArmError> {
        let who = match role.to_ascii_lowercase().as_str() {
            "clusteradmin" => Credential::Admin,
            "clusteruser" => Credential::User(Login::default()),
            _ => return Err(ArmError::resource_not_found(&cluster.id.child("accessProfiles", role))),
        };
        let value = kubeconfig(&self.0, cluster, who, None).await?;
        Ok(Acted::Done(Some(json!({
            "id": cluster.id.child("accessProfiles", role),
            "name": role,
            "type": "Microsoft.ContainerService/ManagedClusters/AccessProfiles",
            "location": cluster.location,
            "properties": { "kubeConfig": value },
        }))))
    }

    async fn power(&self, ctx: &Ctx, cluster: &Resource, deed: Deed) -> Result<Acted, ArmError> {
        check_idle(ctx, cluster, None)?;
        let stopped = state::is_stopped(cluster);
        let (name, going, refused) = match deed {
            Deed::Stop => {
                ("stop", "Stopping", "managed cluster is not currently running, stopping cannot be performed")
            }
            _ => (
                "start",
                "Starting",
                "managed cluster is not currently stopped, starting cannot be performed",
            ),
        };
        if (deed == Deed::Stop) == stopped {
            return Err(ArmError::conflict("OperationNotAllowed", refused));
        }
        let operation = ctx.operations.create_action(&cluster.id, name, location(cluster)).await?;
        ctx.resources
            .modify(&cluster.id, |cluster| {
                note(ctx, cluster, &operation);
                cluster.set_provisioning_state(going);
                true
            })
            .await?;
        Ok(Acted::Accepted(self.0.attach(ctx, &cluster.id, None, deed, operation)))
    }
}

impl ManagedClusters {
    /// New certificates for everything, where nodes are made anew all at once as AKS does it, or a new key for tokens.
    async fn rotate(
        &self,
        ctx: &Ctx,
        cluster: &Resource,
        deed: Deed,
        state: &'static str,
    ) -> Result<Acted, ArmError> {
        check_idle(ctx, cluster, None)?;
        check_running(cluster, "rotating keys")?;
        let operation = ctx.operations.create_action(&cluster.id, deed.name(), location(cluster)).await?;
        ctx.resources
            .modify(&cluster.id, |cluster| {
                note(ctx, cluster, &operation);
                cluster.set_provisioning_state(state);
                true
            })
            .await?;
        Ok(Acted::Accepted(self.0.attach(ctx, &cluster.id, None, deed, operation)))
    }
}

/// Only the keys of a published issuer are rotated.
fn check_issuer(cluster: &Resource) -> Result<(), ArmError> {
    if flag(&cluster.properties, "/oidcIssuerProfile/enabled") {
        return Ok(());
    }
    Err(ArmError::bad_request(
        "OIDCIssuerNotEnabled",
        "Rotating the signing keys of service account tokens is not allowed because the OIDC issuer of the cluster is not \
         enabled. Enable it with oidcIssuerProfile.enabled first.",
    )
    .target("oidcIssuerProfile.enabled"))
}

#[async_trait]
impl ResourceType for ManagedClusters {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor {
            identity: true,
            etag: Some("eTag"),
            deleted: arm::DeleteStatus::NoContent,
            delete_rank: 5,
            // AKS answers a bad name in its own words, after the front door let it through.
            name_pattern: Some("(?s).*"),
            ..TypeDescriptor::new(CLUSTERS, API_VERSIONS)
        }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        if let Some(existing) = request.existing {
            check_idle(ctx, existing, None)?;
            check_running(existing, "updating")?;
        }
        let Shaped { mut cluster, pools } = self.shape(ctx, &request)?;
        if let Some(existing) = request.existing {
            let work = self.0.work(ctx, request.id, None);
            if settled::cluster(ctx, &work, existing, &cluster, &pools) {
                return Ok(Written::Done(existing.clone()));
            }
        }
        let made = request.existing.and_then(state::cluster_private).is_some_and(|private| private.made);
        if request.existing.is_none() {
            // Pools that a crash left without their cluster.
            ctx.resources.remove(request.id).await?;
        }
        let version =
            |cluster: &Resource| text(&cluster.properties, "/currentKubernetesVersion").map(str::to_owned);
        let upgraded = request.existing.is_some_and(|existing| version(existing) != version(&cluster));
        let (name, state) = match (made, upgraded) {
            (true, true) => ("update", "Upgrading"),
            (true, false) => ("update", "Updating"),
            (false, _) => ("create", "Creating"),
        };
        let operation = ctx.operations.create(request.id, name, location(&cluster)).await?;
        self.save_pools(ctx, request.id, pools, &operation).await?;
        note(ctx, &mut cluster, &operation);
        cluster.set_provisioning_state(state);
        let operation = self.0.attach(ctx, request.id, None, Deed::Write, operation);
        Ok(Written::Accepted { resource: cluster, operation })
    }

    /// Tags only, as AKS has it.
    async fn patch(&self, ctx: &Ctx, request: Patch<'_>) -> Result<Written, ArmError> {
        check_idle(ctx, request.existing, None)?;
        let mut cluster = request.existing.clone();
        if let Some(tags) = request.body.get("tags") {
            cluster.tags = Some(arm::resource::read_tags(tags));
        }
        Ok(Written::Done(cluster))
    }

    async fn delete(&self, ctx: &Ctx, existing: &Resource) -> Result<Deleted, ArmError> {
        if let Some(operation) = deletion(ctx, &existing.id) {
            return Ok(Deleted::Accepted(operation));
        }
        let operation = ctx.operations.create_delete(&existing.id, location(existing)).await?;
        ctx.resources
            .modify(&existing.id, |cluster| {
                note(ctx, cluster, &operation);
                cluster.set_provisioning_state("Deleting");
                true
            })
            .await?;
        for pool in state::pools(&ctx.resources, &existing.id) {
            agent_pools::mark(ctx, &pool.id, "Deleting").await?;
        }
        Ok(Deleted::Accepted(self.0.attach(ctx, &existing.id, None, Deed::Delete, operation)))
    }

    async fn action(
        &self,
        ctx: &Ctx,
        existing: &Resource,
        name: &str,
        body: Value,
    ) -> Result<Acted, ArmError> {
        let lower = name.to_ascii_lowercase();
        match lower.split('/').collect::<Vec<_>>().as_slice() {
            ["listclusteradmincredential"] => {
                self.credentials(existing, Credential::Admin, "clusterAdmin").await
            }
            ["listclusterusercredential"] => {
                self.credentials(existing, Credential::User(login(ctx)?), "clusterUser").await
            }
            ["listclustermonitoringusercredential"] => {
                self.credentials(existing, Credential::MonitoringUser, "clusterMonitoringUser").await
            }
            ["accessprofiles", _, "listcredential"] => {
                self.access_profile(existing, name.split('/').nth(1).unwrap_or_default()).await
            }
            ["abort"] => abort::abort(&self.0, ctx, existing, location(existing)).await,
            ["rotateclustercertificates"] => {
                self.rotate(ctx, existing, Deed::RotateCertificates, "RotatingClusterCertificates").await
            }
            ["rotateserviceaccountsigningkeys"] => {
                check_issuer(existing)?;
                let state = "RotatingServiceAccountSigningKeys";
                self.rotate(ctx, existing, Deed::RotateSigningKeys, state).await
            }
            ["runcommand"] => commands::run(&self.0, existing, &body).await,
            ["stop"] => self.power(ctx, existing, Deed::Stop).await,
            ["start"] => self.power(ctx, existing, Deed::Start).await,
            _ => Err(ArmError::not_implemented(format_args!("The action '{CLUSTERS}/{name}'"))),
        }
    }

    async fn read(&self, ctx: &Ctx, existing: &Resource, path: &[String]) -> Result<Acted, ArmError> {
        let lower: Vec<String> = path.iter().map(|segment| segment.to_ascii_lowercase()).collect();
        let version = text(&existing.properties, "/currentKubernetesVersion").unwrap_or(versions::DEFAULT);
        let id = existing.id.to_string();
        match lower.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["upgradeprofiles", "default"] => {
                let pools: Vec<(String, String)> = state::pools(&ctx.resources, &existing.id)
                    .iter()
                    .map(|pool| (pool.name.clone(), state::pool_version(&pool.properties).to_owned()))
                    .collect();
                Ok(Acted::Done(Some(versions::upgrade_profile(&id, version, &pools))))
            }
            ["availableagentpoolversions"] => Ok(Acted::Done(Some(versions::pool_listing(&id)))),
            ["accessprofiles", _] => {
                self.access_profile(existing, path.get(1).map_or("", String::as_str)).await
            }
            ["operations", rest @ ..] => operations(ctx, existing, rest),
            ["commandresults", id] => commands::result(&self.0, existing, id).await,
            _ => Err(ArmError::not_implemented(format_args!("Reading '{CLUSTERS}/{}'", path.join("/")))),
        }
    }

    fn present(&self, ctx: &Ctx, resource: &Resource) -> Value {
        let mut shown = resource.to_json();
        remove(&mut shown, &["properties", PRIVATE]);
        let pools: Vec<Value> = state::pools(&ctx.resources, &resource.id)
            .iter()
            .map(|stored| {
                let mut profile = pool::profile(&stored.name, &stored.properties, &stored.etag);
                remove(&mut profile, &[PRIVATE]);
                profile
            })
            .collect();
        set(&mut shown, &["properties", "agentPoolProfiles"], pools);
        shown
    }

    async fn resume(
        &self,
        ctx: &Ctx,
        operation: Operation,
        resource: Option<Resource>,
    ) -> Result<(), ArmError> {
        let (Some(record), Some(cluster)) = (operation.record(), resource) else {
            // A crash before the cluster was stored: nothing was made but its identity.
            if let Some(record) = operation.record() {
                ctx.resources.remove(&record.resource).await?;
                ctx.directory.delete_managed_identity(&record.resource).await?;
            }
            return Err(ArmError::conflict(
                "OperationInterrupted",
                "The service was restarted. Repeat the request.",
            ));
        };
        if record.name == abort::NAME {
            return Err(abort::interrupted());
        }
        let deed = Deed::named(&record.name);
        if deed == Deed::Write && cluster.provisioning_state() == Some("Deleting") {
            return Err(ArmError::conflict(
                "AKSOperationPreemptedByDelete",
                "This operation has been preempted by Deleting operation.",
            ));
        }
        let _ = self.0.attach(ctx, &cluster.id, None, deed, operation);
        Ok(())
    }
}

/// `operations`, `operations/{id}` and `operations/latest` of a cluster.
pub(crate) fn operations(ctx: &Ctx, resource: &Resource, path: &[&str]) -> Result<Acted, ArmError> {
    let latest = resource.properties.pointer(&format!("/{PRIVATE}/operation")).and_then(Value::as_str);
    let latest = latest.and_then(|id| ctx.operations.get(id));
    let show = |record: &arm::OperationRecord| {
        let mut body = record.to_json(&format!("{}/operations/{}", resource.id, record.id));
        set(&mut body, &["resourceId"], resource.id.to_string());
        body
    };
    match path {
        [] => {
            let mut records: Vec<_> =
                ctx.operations.running().into_iter().filter(|r| r.resource == resource.id).collect();
            records.extend(latest.filter(|record| record.status.is_final()));
            let value: Vec<Value> = records.iter().map(show).collect();
            Ok(Acted::Done(Some(json!({ "value": value }))))
        }
        [id] => {
            let found = if *id == "latest" { latest } else { ctx.operations.get(id) };
            match found.filter(|record| record.resource.is_within(&resource.id)) {
                Some(record) => Ok(Acted::Done(Some(show(&record)))),
                None => Err(ArmError::resource_not_found(&resource.id.child("operations", id))),
            }
        }
        _ => Err(ArmError::resource_not_found(&resource.id)),
    }
}
