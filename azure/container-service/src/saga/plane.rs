//! Steps around the control plane: names, the control plane, the node resource group, roles, identities.

use std::net::Ipv4Addr;
use std::time::Duration;

use arm::ArmError;
use async_trait::async_trait;
use reconcile::saga::{Memo, Step};
use serde_json::{Value, json};

use super::{GROUPS, IDENTITY, ROLES, Work, plane_error};
use crate::control_planes::{ControlPlaneSpec, ControlPlaneStatus};
use crate::json::{flag, list, set, text};
use crate::{aad_profile, authorized_ranges, network_profile, state, versions};

/// Contributor.
const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";

/// The node resource group's name is this cluster's, or free.
pub struct Reserve;
/// The hosted control plane runs.
pub struct ControlPlane;
/// The control plane has a new authority.
pub struct Rotate;
/// The control plane signs tokens of service accounts with a new key.
pub struct RotateSigningKeys;
/// The node resource group is there, managed by the cluster.
pub struct NodeGroup;
/// The cluster's identity is Contributor of the node resource group.
pub struct Role;
/// The nodes' identity is there.
pub struct KubeletIdentity;

/// What the cluster's control plane shall be.
pub fn spec(work: &Work) -> Result<ControlPlaneSpec, ArmError> {
    let cluster = work.cluster()?;
    let properties = &cluster.properties;
    let ranges = network_profile::check(&properties["networkProfile"], &[]).map_err(ArmError::from)?;
    let profile = aad_profile::read(properties);
    let own = |pointer: &str| text(properties, pointer).unwrap_or_default().to_owned();
    let fqdn = own("/fqdn");
    let issuer = match flag(properties, "/oidcIssuerProfile/enabled") {
        true => own("/oidcIssuerProfile/issuerURL"),
        false => format!("https://{fqdn}"),
    };
    Ok(ControlPlaneSpec {
        cluster: cluster.id.to_string(),
        name: cluster.name.clone(),
        subscription_id: cluster.id.subscription().unwrap_or_default().to_owned(),
        tenant_id: work.tenant_id.clone(),
        resource_group: cluster.id.group().unwrap_or_default().to_owned(),
        node_resource_group: own("/nodeResourceGroup"),
        location: cluster.location.clone().unwrap_or_default(),
        version: text(properties, "/currentKubernetesVersion").unwrap_or(versions::DEFAULT).to_owned(),
        fqdn,
        issuer,
        service_cidr: ranges.service,
        dns_service_ip: ranges.dns,
        pod_cidr: ranges.pod,
        principal_id: state::principal(&cluster).unwrap_or_default(),
        tier: cluster.sku.as_ref().and_then(|sku| text(sku, "/tier")).unwrap_or("Free").to_owned(),
        entra: profile.enabled,
        admin_groups: profile.admin_groups,
        azure_rbac: profile.azure_rbac,
        authorized_ranges: authorized_ranges::of(properties),
        outbound_addresses: outbound_addresses(work, properties),
    })
}

/// The addresses of the cluster's outbound public IPs that are there.
fn outbound_addresses(work: &Work, properties: &Value) -> Vec<Ipv4Addr> {
    list(properties, "/networkProfile/loadBalancerProfile/effectiveOutboundIPs")
        .iter()
        .filter_map(|outbound| arm::ResourceId::parse(text(outbound, "/id")?).ok())
        .filter_map(|id| text(&work.resources.get(&id)?.properties, "/ipAddress")?.parse().ok())
        .collect()
}

/// The running control plane; asking again changes nothing.
pub async fn ensure(work: &Work) -> Result<ControlPlaneStatus, ArmError> {
    work.planes.ensure(spec(work)?).await.map_err(plane_error)
}

#[async_trait]
impl Step<Work, ArmError> for Reserve {
    fn name(&self) -> &'static str {
        "reserve"
    }

    async fn run(&self, work: &Work, _: &mut Memo) -> Result<(), ArmError> {
        let group = work.node_group()?;
        let Some(found) = work.resources.get(&group) else { return Ok(()) };
        let ours =
            found.managed_by.as_deref().is_some_and(|by| by.eq_ignore_ascii_case(&work.cluster.to_string()));
        if ours {
            return Ok(());
        }
        Err(ArmError::conflict(
            "InvalidParameter",
            format!("The node resource group '{}' already exists and belongs to somebody else.", found.name),
        )
        .target("nodeResourceGroup"))
    }

    async fn undo(&self, work: &Work, _: &Memo) -> Result<(), ArmError> {
        let system = work.cluster()?.principal_id().is_some();
        if system {
            work.directory.delete_managed_identity(&work.cluster).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Step<Work, ArmError> for ControlPlane {
    fn name(&self) -> &'static str {
        "control-plane"
    }

    async fn run(&self, work: &Work, _: &mut Memo) -> Result<(), ArmError> {
        ensure(work).await.map(|_| ())
    }

    async fn undo(&self, work: &Work, _: &Memo) -> Result<(), ArmError> {
        work.planes.delete(&work.cluster.to_string()).await.map_err(plane_error)
    }
}

#[async_trait]
impl Step<Work, ArmError> for Rotate {
    fn name(&self) -> &'static str {
        "rotate-certificates"
    }

    async fn run(&self, work: &Work, _: &mut Memo) -> Result<(), ArmError> {
        work.planes.rotate_certificates(&work.cluster.to_string()).await.map_err(plane_error)
    }
}

#[async_trait]
impl Step<Work, ArmError> for RotateSigningKeys {
    fn name(&self) -> &'static str {
        "rotate-signing-keys"
    }

    async fn run(&self, work: &Work, _: &mut Memo) -> Result<(), ArmError> {
        // The operation is the rotation: a step that is run again after a crash must not retire a second key.
        let operation = state::cluster_private(work.cluster()?.as_ref()).map(|private| private.operation);
        let rotation = operation.unwrap_or_default();
        work.planes.rotate_signing_keys(&work.cluster.to_string(), &rotation).await.map_err(plane_error)
    }
}

#[async_trait]
impl Step<Work, ArmError> for NodeGroup {
    fn name(&self) -> &'static str {
        "node-group"
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(900)
    }

    async fn run(&self, work: &Work, _: &mut Memo) -> Result<(), ArmError> {
        let cluster = work.cluster()?;
        let group = work.node_group()?;
        if work.resources.exists(&group) {
            return Ok(());
        }
        let mut tags = cluster.tags.clone().unwrap_or_default();
        tags.insert("aks-managed-cluster-name".into(), cluster.name.clone());
        tags.insert("aks-managed-cluster-rg".into(), cluster.id.group().unwrap_or_default().to_owned());
        let body = json!({ "location": cluster.location, "managedBy": cluster.id, "tags": tags });
        work.service().put(&group, GROUPS, body).await?.done().await.map(|_| ())
    }

    async fn undo(&self, work: &Work, _: &Memo) -> Result<(), ArmError> {
        let group = work.node_group()?;
        let ours = work.resources.get(&group).is_some_and(|found| {
            found.managed_by.as_deref().is_some_and(|by| by.eq_ignore_ascii_case(&work.cluster.to_string()))
        });
        if ours { work.delete(&group, GROUPS).await } else { Ok(()) }
    }
}

/// The cluster's right to its node resource group.
pub(crate) fn role_id(work: &Work) -> Result<arm::ResourceId, ArmError> {
    let group = work.node_group()?;
    let cluster = work.cluster()?;
    let principal = state::principal(&cluster).unwrap_or_default();
    let name = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, format!("{group}{principal}").as_bytes());
    Ok(group.extension("Microsoft.Authorization/roleAssignments", &name.to_string()))
}

#[async_trait]
impl Step<Work, ArmError> for Role {
    fn name(&self) -> &'static str {
        "role"
    }

    async fn run(&self, work: &Work, _: &mut Memo) -> Result<(), ArmError> {
        let (group, id) = (work.node_group()?, role_id(work)?);
        let cluster = work.cluster()?;
        let principal = state::principal(&cluster).unwrap_or_default();
        if work.resources.exists(&id) {
            return Ok(());
        }
        let subscription = group.subscription_id().unwrap_or_default();
        let role = subscription.extension("Microsoft.Authorization/roleDefinitions", CONTRIBUTOR);
        let body = json!({ "properties": {
            "roleDefinitionId": role, "principalId": principal, "principalType": "ServicePrincipal",
        }});
        match work.service().put(&id, ROLES, body).await {
            Ok(_) => Ok(()),
            Err(error) if error.code == "RoleAssignmentExists" => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl Step<Work, ArmError> for KubeletIdentity {
    fn name(&self) -> &'static str {
        "kubelet-identity"
    }

    async fn run(&self, work: &Work, _: &mut Memo) -> Result<(), ArmError> {
        let cluster = work.cluster()?;
        let given = text(&cluster.properties, "/identityProfile/kubeletidentity/resourceId");
        let id = match given {
            Some(id) => arm::ResourceId::parse(id)?,
            None => work.in_node_group(
                "Microsoft.ManagedIdentity/userAssignedIdentities",
                &format!("{}-agentpool", cluster.name),
            )?,
        };
        let client = work.as_cluster()?;
        let own = work.node_group().is_ok_and(|group| id.is_within(&group));
        let found = match own {
            true => client.put(&id, IDENTITY, json!({ "location": cluster.location })).await?.done().await?,
            false => work.service().get(&id, IDENTITY).await?,
        };
        let profile = json!({
            "resourceId": id,
            "clientId": found["properties"]["clientId"],
            "objectId": found["properties"]["principalId"],
        });
        work.change(|cluster| set(&mut cluster.properties, &["identityProfile", "kubeletidentity"], profile))
            .await
    }

    async fn undo(&self, work: &Work, _: &Memo) -> Result<(), ArmError> {
        let cluster = work.cluster()?;
        let name = format!("{}-agentpool", cluster.name);
        let id = work.in_node_group("Microsoft.ManagedIdentity/userAssignedIdentities", &name)?;
        work.delete(&id, IDENTITY).await?;
        // A crash may have left the principal without its resource.
        Ok(work.directory.delete_managed_identity(&id).await?)
    }
}
