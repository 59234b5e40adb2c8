//! Steps that make scale sets of pools: fewer machines after a drain, more at once, failed ones anew.

use std::time::Duration;

use arm::{ArmError, Resource, ResourceId};
use async_trait::async_trait;
use base64::Engine;
use futures::future::join_all;
use reconcile::saga::{Memo, Step};
use serde_json::{Value, json};

use super::{COMPUTE, Work, network, nodes, plane, plane_error};
use crate::bootstrap::{Bootstrap, document};
use crate::control_planes::ControlPlaneStatus;
use crate::json::{list, number, set, text};
use crate::{names, state};

const SETS: &str = "Microsoft.Compute/virtualMachineScaleSets";
/// What a scale set says when a machine's boot failed.
const BOOT_FAILED: &str = "VMExtensionProvisioningError";

/// Pools that shall have fewer machines lose their highest ones, drained.
pub struct ScaleDown;
/// Every pool has its scale set with as many machines as its count.
pub struct ScaleSets;
/// Machines that were named to go are gone.
pub struct Retire;
/// Every node of a pool that goes is drained.
pub struct DrainPool;

/// The scale set of a pool.
pub fn scale_set_id(work: &Work, pool: &Resource) -> Result<ResourceId, ArmError> {
    let private = state::pool_private(pool).ok_or_else(ArmError::internal)?;
    work.in_node_group(SETS, &names::scale_set(&pool.name, &private.suffix))
}

pub(super) fn count(pool: &Resource) -> usize {
    number(&pool.properties, "/count").and_then(|count| usize::try_from(count).ok()).unwrap_or(0)
}

pub(super) async fn drain_node(work: &Work, node: &str) -> Result<(), ArmError> {
    let cluster = work.cluster.to_string();
    work.unless_cut(async { work.planes.drain(&cluster, node).await.map_err(plane_error) }).await
}

/// Drains a node, deletes its machine and its Node object.
async fn retire(
    work: &Work,
    set: &ResourceId,
    instance: &nodes::Instance,
    drain: bool,
) -> Result<(), ArmError> {
    let cluster = work.cluster.to_string();
    if drain {
        drain_node(work, &instance.node).await?;
    }
    let body = json!({ "instanceIds": [instance.number.to_string()] });
    let reply = work.as_cluster()?.post(format!("{set}/delete"), COMPUTE, body).await?;
    work.unless_cut(reply.done()).await?;
    work.planes.delete_node(&cluster, &instance.node).await.map_err(plane_error)
}

#[async_trait]
impl Step<Work, ArmError> for ScaleDown {
    fn name(&self) -> &'static str {
        "scale-down"
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(1800)
    }

    async fn run(&self, work: &Work, _: &mut Memo) -> Result<(), ArmError> {
        for pool in work.pools() {
            scale_down(work, &pool).await?;
        }
        Ok(())
    }
}

/// The highest machines above a pool's count go, drained.
pub(super) async fn scale_down(work: &Work, pool: &Resource) -> Result<(), ArmError> {
    let set = scale_set_id(work, pool)?;
    let mut there = nodes::instances(work, pool).await?;
    while there.len() > count(pool) {
        let Some(last) = there.pop() else { break };
        // A machine that never came up has nothing to drain.
        retire(work, &set, &last, last.state == "Succeeded").await?;
    }
    Ok(())
}

#[async_trait]
impl Step<Work, ArmError> for Retire {
    fn name(&self) -> &'static str {
        "retire"
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(1800)
    }

    async fn run(&self, work: &Work, _: &mut Memo) -> Result<(), ArmError> {
        for pool in work.pools() {
            let leaving = state::pool_private(&pool).map(|private| private.leaving).unwrap_or_default();
            let set = scale_set_id(work, &pool)?;
            for instance in nodes::instances(work, &pool).await? {
                if leaving.contains(&instance.node) {
                    retire(work, &set, &instance, instance.state == "Succeeded").await?;
                }
            }
            note(work, &pool, |private| private.leaving.clear()).await?;
        }
        Ok(())
    }
}

/// Changes what is kept of a pool.
pub(super) async fn note(
    work: &Work,
    pool: &Resource,
    change: impl FnOnce(&mut state::PoolPrivate) + Send,
) -> Result<(), ArmError> {
    work.resources
        .modify(&pool.id, |pool| {
            let Some(mut private) = state::pool_private(pool) else { return false };
            change(&mut private);
            state::set_private(pool, &private);
            true
        })
        .await?;
    Ok(())
}

#[async_trait]
impl Step<Work, ArmError> for ScaleSets {
    fn name(&self) -> &'static str {
        "scale-sets"
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(1200)
    }

    async fn run(&self, work: &Work, _: &mut Memo) -> Result<(), ArmError> {
        let status = plane::ensure(work).await?;
        let pools = work.pools();
        // All of them to their end, even if one fails: a write that began is not dropped.
        join_all(pools.iter().map(|pool| ensure(work, pool, &status, count(pool))))
            .await
            .into_iter()
            .collect()
    }

    async fn undo(&self, work: &Work, _: &Memo) -> Result<(), ArmError> {
        for pool in work.pools() {
            let gone = nodes::instances(work, &pool).await?;
            work.delete(&scale_set_id(work, &pool)?, COMPUTE).await?;
            if work.pool.is_some() {
                // The cluster lives on: its Node objects go with the machines.
                for instance in gone {
                    let cluster = work.cluster.to_string();
                    work.planes.delete_node(&cluster, &instance.node).await.map_err(plane_error)?;
                }
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Step<Work, ArmError> for DrainPool {
    fn name(&self) -> &'static str {
        "drain-pool"
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(1800)
    }

    async fn run(&self, work: &Work, _: &mut Memo) -> Result<(), ArmError> {
        for pool in work.pools() {
            for instance in nodes::instances(work, &pool).await? {
                if instance.state == "Succeeded" {
                    drain_node(work, &instance.node).await?;
                }
            }
        }
        Ok(())
    }
}

/// The scale set of a pool is there with so many machines.
pub(super) async fn ensure(
    work: &Work,
    pool: &Resource,
    plane: &ControlPlaneStatus,
    capacity: usize,
) -> Result<(), ArmError> {
    let id = scale_set_id(work, pool)?;
    let client = work.as_cluster()?;
    let mut body = body(work, pool, &id, plane)?;
    set(&mut body, &["sku", "capacity"], json!(capacity));
    let failed: Vec<String> = nodes::instances(work, pool)
        .await?
        .into_iter()
        .filter(|instance| instance.state == "Failed")
        .map(|instance| instance.number.to_string())
        .collect();
    let written = match client.put(&id, COMPUTE, body.clone()).await {
        Ok(reply) => work.unless_cut(reply.done()).await,
        Err(error) => Err(error),
    };
    match written {
        Ok(_) => Ok(()),
        Err(error) if !failed.is_empty() && error.code == BOOT_FAILED => {
            // Machines that failed before this run get a new root from the present model, then all is asked anew.
            let ids = json!({ "instanceIds": failed });
            let reply = client.post(format!("{id}/reimage"), COMPUTE, ids).await?;
            work.unless_cut(reply.done()).await?;
            let reply = client.put(&id, COMPUTE, body).await?;
            work.unless_cut(reply.done()).await.map(|_| ())
        }
        Err(error) => Err(error),
    }
}

fn body(
    work: &Work,
    pool: &Resource,
    id: &ResourceId,
    plane: &ControlPlaneStatus,
) -> Result<Value, ArmError> {
    let cluster = work.cluster()?;
    let properties = &pool.properties;
    let vm_size = text(properties, "/vmSize").unwrap_or(crate::sizes::DEFAULT);
    let location = cluster.location.clone().unwrap_or_default();
    let size = work.settings.sizes.require(vm_size, &location)?;
    let from = Bootstrap {
        cluster: &cluster,
        tenant_id: &work.tenant_id,
        pool_name: &pool.name,
        pool: properties,
        size,
        plane,
    };
    let custom_data =
        base64::engine::general_purpose::STANDARD.encode(document(&from, &work.settings).to_string());
    let kubelet =
        text(&cluster.properties, "/identityProfile/kubeletidentity/resourceId").unwrap_or_default();
    let zones: Vec<Value> = list(properties, "/availabilityZones").to_vec();
    let mut body = json!({
        "location": location,
        "tags": tags(&cluster, pool, id),
        "identity": { "type": "UserAssigned", "userAssignedIdentities": { kubelet: {} } },
        "sku": { "name": size.name, "tier": "Standard" },
        "properties": {
            "orchestrationMode": "Uniform",
            "upgradePolicy": { "mode": "Manual" },
            "overprovision": false,
            "singlePlacementGroup": false,
            "platformFaultDomainCount": 1,
            "virtualMachineProfile": {
                "osProfile": {
                    "computerNamePrefix": id.name(),
                    "adminUsername": text(&cluster.properties, "/linuxProfile/adminUsername").unwrap_or("azureuser"),
                    "customData": custom_data,
                    "linuxConfiguration": linux(&cluster),
                    "secrets": [],
                    "allowExtensionOperations": true,
                },
                "storageProfile": {
                    "osDisk": {
                        "osType": "Linux", "createOption": "FromImage", "caching": "ReadWrite",
                        "managedDisk": { "storageAccountType": "Premium_LRS" },
                        "diskSizeGB": number(properties, "/osDiskSizeGB"),
                    },
                    "imageReference": { "id": image(properties) },
                },
                "networkProfile": interfaces(work, &cluster, id)?,
                "extensionProfile": { "extensions": [{
                    "name": "vmssCSE",
                    "properties": {
                        "autoUpgradeMinorVersion": true, "publisher": "Microsoft.Azure.Extensions",
                        "type": "CustomScript", "typeHandlerVersion": "2.0", "settings": {},
                    },
                }] },
            },
        },
    });
    if !zones.is_empty() {
        set(&mut body, &["zones"], zones);
    }
    Ok(body)
}

fn image(pool: &Value) -> String {
    let version = text(pool, "/nodeImageVersion").unwrap_or(crate::pool::NODE_IMAGE);
    let (name, number) =
        version.split_once("-2").map_or((version, "0"), |(name, _)| (name, &version[name.len() + 1..]));
    let gallery = "/subscriptions/109a5e88-712a-48ae-9078-9ca8b3c81345/resourceGroups/AKS-Ubuntu/providers/Microsoft.Compute/galleries/AKSUbuntu";
    format!("{gallery}/images/{}/versions/{number}", name.trim_start_matches("AKSUbuntu-"))
}

fn linux(cluster: &Resource) -> Value {
    let user = text(&cluster.properties, "/linuxProfile/adminUsername").unwrap_or("azureuser");
    let keys: Vec<Value> = list(&cluster.properties, "/linuxProfile/ssh/publicKeys")
        .iter()
        .map(|key| json!({ "path": format!("/home/{user}/.ssh/authorized_keys"), "keyData": key["keyData"] }))
        .collect();
    json!({ "disablePasswordAuthentication": true, "provisionVMAgent": true, "ssh": { "publicKeys": keys } })
}

fn interfaces(work: &Work, cluster: &Resource, id: &ResourceId) -> Result<Value, ArmError> {
    let balancer = network::balancer_id(work)?;
    let pools: Vec<Value> = [network::OUTBOUND_POOL, network::SERVICE_POOL]
        .iter()
        .map(|pool| json!({ "id": format!("{balancer}/backendAddressPools/{pool}") }))
        .collect();
    let mut profile = json!({
        "networkInterfaceConfigurations": [{
            "name": id.name(),
            "properties": {
                "primary": true, "enableAcceleratedNetworking": false, "enableIPForwarding": true,
                "dnsSettings": { "dnsServers": [] },
                "ipConfigurations": [{ "name": "ipconfig1", "properties": {
                    "primary": true, "privateIPAddressVersion": "IPv4",
                    "subnet": { "id": network::subnet_id(work)? },
                    "loadBalancerBackendAddressPools": pools,
                }}],
            },
        }],
    });
    if let Some(range) = text(&cluster.properties, "/networkProfile/podCidr") {
        // Known to the compute provider: each machine gets a /24 of it that is routed to it.
        set(&mut profile, &["podCidr"], range);
    }
    Ok(profile)
}

fn tags(cluster: &Resource, pool: &Resource, id: &ResourceId) -> Value {
    let private = state::cluster_private(cluster);
    let suffix = private.as_ref().map(|private| private.suffix.clone()).unwrap_or_default();
    let client = text(&cluster.properties, "/identityProfile/kubeletidentity/clientId").unwrap_or_default();
    let mut tags = json!({
        "aks-managed-coordination": "true",
        "aks-managed-creationSource": format!("vmssclient-{}", id.name()),
        "aks-managed-kubeletIdentityClientID": client,
        "aks-managed-orchestrator": format!("Kubernetes:{}", state::pool_version(&pool.properties)),
        "aks-managed-poolName": pool.name,
        "aks-managed-resourceNameSuffix": suffix,
        "aks-managed-ssh-access": "LocalUser",
    });
    if text(&cluster.properties, "/networkProfile/networkPluginMode") == Some("overlay") {
        set(&mut tags, &["aks-managed-azure-cni-overlay"], "true");
    }
    for (name, value) in cluster.tags.iter().flatten() {
        set(&mut tags, &[name], value.clone());
    }
    if let Some(own) = pool.properties.get("tags").and_then(Value::as_object) {
        for (name, value) in own {
            set(&mut tags, &[name], value.clone());
        }
    }
    tags
}
