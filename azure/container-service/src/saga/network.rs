//! Steps that make the node resource group's network, as the cluster's identity.
//!
//! What is there is left alone: rules and frontends in it belong to the cloud controller manager.

use arm::{ArmError, ResourceId};
use async_trait::async_trait;
use reconcile::saga::{Memo, Step};
use serde_json::{Value, json};

use super::{NETWORK, Work};
use crate::json::{list, set, text};
use crate::network_profile::{self, Mode};
use crate::state;

const GROUPS: &str = "Microsoft.Network/networkSecurityGroups";
const TABLES: &str = "Microsoft.Network/routeTables";
const NETWORKS: &str = "Microsoft.Network/virtualNetworks";
const ADDRESSES: &str = "Microsoft.Network/publicIPAddresses";
const BALANCERS: &str = "Microsoft.Network/loadBalancers";

/// Backend pool of the outbound rule.
pub const OUTBOUND_POOL: &str = "aksOutboundBackendPool";
/// Backend pool of services.
pub const SERVICE_POOL: &str = "kubernetes";

/// `aks-agentpool-<suffix>-nsg`.
pub struct SecurityGroup;
/// `aks-agentpool-<suffix>-routetable`, where the mode has one.
pub struct RouteTable;
/// `aks-vnet-<suffix>` with `aks-subnet`.
pub struct VirtualNetwork;
/// The outbound address, named with a GUID.
pub struct OutboundAddress;
/// `kubernetes` with its outbound rule.
pub struct LoadBalancer;

fn suffix(work: &Work) -> Result<String, ArmError> {
    let cluster = work.cluster()?;
    state::cluster_private(&cluster).map(|private| private.suffix).ok_or_else(ArmError::internal)
}

fn group_id(work: &Work) -> Result<ResourceId, ArmError> {
    work.in_node_group(GROUPS, &format!("aks-agentpool-{}-nsg", suffix(work)?))
}

fn table_id(work: &Work) -> Result<ResourceId, ArmError> {
    work.in_node_group(TABLES, &format!("aks-agentpool-{}-routetable", suffix(work)?))
}

fn network_id(work: &Work) -> Result<ResourceId, ArmError> {
    work.in_node_group(NETWORKS, &format!("aks-vnet-{}", suffix(work)?))
}

/// The subnet of the nodes.
pub fn subnet_id(work: &Work) -> Result<ResourceId, ArmError> {
    Ok(network_id(work)?.child("subnets", "aks-subnet"))
}

/// The load balancer `kubernetes`.
pub fn balancer_id(work: &Work) -> Result<ResourceId, ArmError> {
    work.in_node_group(BALANCERS, "kubernetes")
}

fn address_id(work: &Work) -> Result<ResourceId, ArmError> {
    let cluster = work.cluster()?;
    let name = state::cluster_private(&cluster).ok_or_else(ArmError::internal)?.outbound_ip;
    work.in_node_group(ADDRESSES, &name)
}

fn kubenet(work: &Work) -> Result<bool, ArmError> {
    let cluster = work.cluster()?;
    Ok(network_profile::mode(&cluster.properties["networkProfile"])? == Mode::Kubenet)
}

/// Everything the steps of this file make.
pub(crate) fn made(work: &Work) -> Vec<Result<ResourceId, ArmError>> {
    let table = match kubenet(work) {
        Ok(false) => None,
        Ok(true) => Some(table_id(work)),
        Err(error) => Some(Err(error)),
    };
    let always = [group_id(work), network_id(work), subnet_id(work), address_id(work), balancer_id(work)];
    always.into_iter().chain(table).collect()
}

/// Makes a resource as the cluster's identity unless it is there.
async fn ensure(work: &Work, id: &ResourceId, properties: Value) -> Result<Value, ArmError> {
    let client = work.as_cluster()?;
    if let Some(found) = client.find(id, NETWORK).await? {
        return Ok(found);
    }
    let cluster = work.cluster()?;
    let mut body = json!({ "location": cluster.location, "tags": cluster.tags, "properties": properties });
    if id.is_type(ADDRESSES) || id.is_type(BALANCERS) {
        set(&mut body, &["sku"], json!({ "name": "Standard", "tier": "Regional" }));
    }
    client.put(id, NETWORK, body).await?.done().await
}

#[async_trait]
impl Step<Work, ArmError> for SecurityGroup {
    fn name(&self) -> &'static str {
        "security-group"
    }

    async fn run(&self, work: &Work, _: &mut Memo) -> Result<(), ArmError> {
        ensure(work, &group_id(work)?, json!({ "securityRules": [] })).await.map(|_| ())
    }

    async fn undo(&self, work: &Work, _: &Memo) -> Result<(), ArmError> {
        work.delete(&group_id(work)?, NETWORK).await
    }
}

#[async_trait]
impl Step<Work, ArmError> for RouteTable {
    fn name(&self) -> &'static str {
        "route-table"
    }

    async fn run(&self, work: &Work, _: &mut Memo) -> Result<(), ArmError> {
        if !kubenet(work)? {
            return Ok(());
        }
        ensure(work, &table_id(work)?, json!({ "routes": [] })).await.map(|_| ())
    }

    async fn undo(&self, work: &Work, _: &Memo) -> Result<(), ArmError> {
        work.delete(&table_id(work)?, NETWORK).await
    }
}

#[async_trait]
impl Step<Work, ArmError> for VirtualNetwork {
    fn name(&self) -> &'static str {
        "virtual-network"
    }

    async fn run(&self, work: &Work, _: &mut Memo) -> Result<(), ArmError> {
        let mut subnet = json!({
            "addressPrefix": network_profile::SUBNET, "networkSecurityGroup": { "id": group_id(work)? },
        });
        if kubenet(work)? {
            set(&mut subnet, &["routeTable"], json!({ "id": table_id(work)? }));
        }
        let id = network_id(work)?;
        let properties = json!({
            "addressSpace": { "addressPrefixes": [network_profile::VNET] },
            "subnets": [{ "name": "aks-subnet", "properties": subnet }],
        });
        let found = ensure(work, &id, properties).await?;
        let there =
            list(&found, "/properties/subnets").iter().any(|s| text(s, "/name") == Some("aks-subnet"));
        if there {
            return Ok(());
        }
        let body = json!({ "properties": subnet });
        work.as_cluster()?.put(subnet_id(work)?, NETWORK, body).await?.done().await.map(|_| ())
    }

    async fn undo(&self, work: &Work, _: &Memo) -> Result<(), ArmError> {
        work.delete(&network_id(work)?, NETWORK).await
    }
}

#[async_trait]
impl Step<Work, ArmError> for OutboundAddress {
    fn name(&self) -> &'static str {
        "outbound-address"
    }

    async fn run(&self, work: &Work, _: &mut Memo) -> Result<(), ArmError> {
        let id = address_id(work)?;
        ensure(work, &id, json!({ "publicIPAllocationMethod": "Static", "idleTimeoutInMinutes": 30 }))
            .await?;
        work.change(|cluster| {
            let path = ["networkProfile", "loadBalancerProfile", "effectiveOutboundIPs"];
            set(&mut cluster.properties, &path, json!([{ "id": id }]));
        })
        .await
    }

    async fn undo(&self, work: &Work, _: &Memo) -> Result<(), ArmError> {
        work.delete(&address_id(work)?, NETWORK).await
    }
}

#[async_trait]
impl Step<Work, ArmError> for LoadBalancer {
    fn name(&self) -> &'static str {
        "load-balancer"
    }

    async fn run(&self, work: &Work, _: &mut Memo) -> Result<(), ArmError> {
        let id = balancer_id(work)?;
        let client = work.as_cluster()?;
        let found = client.find(&id, NETWORK).await?;
        let cluster = work.cluster()?;
        let mut body = found.clone().unwrap_or_else(|| {
            json!({
                "location": cluster.location, "tags": cluster.tags, "sku": { "name": "Standard", "tier": "Regional" },
                "properties": {},
            })
        });
        if !add_outbound(&mut body, &id, &address_id(work)?) {
            return Ok(());
        }
        client.put(&id, NETWORK, body).await?.done().await.map(|_| ())
    }

    async fn undo(&self, work: &Work, _: &Memo) -> Result<(), ArmError> {
        work.delete(&balancer_id(work)?, NETWORK).await
    }
}

/// Adds the parts of the outbound rule that are missing; whether there were any.
fn add_outbound(body: &mut Value, id: &ResourceId, address: &ResourceId) -> bool {
    let frontend = address.name().to_owned();
    let parts = [
        (
            "frontendIPConfigurations",
            json!({ "name": frontend, "properties": { "publicIPAddress": { "id": address } } }),
        ),
        ("backendAddressPools", json!({ "name": OUTBOUND_POOL })),
        ("backendAddressPools", json!({ "name": SERVICE_POOL })),
        (
            "outboundRules",
            json!({ "name": "aksOutboundRule", "properties": {
                "allocatedOutboundPorts": 0, "idleTimeoutInMinutes": 30, "enableTcpReset": true, "protocol": "All",
                "backendAddressPool": { "id": format!("{id}/backendAddressPools/{OUTBOUND_POOL}") },
                "frontendIPConfigurations": [{ "id": format!("{id}/frontendIPConfigurations/{frontend}") }],
            }}),
        ),
    ];
    let mut missing = false;
    for (member, part) in parts {
        let slot = crate::json::slot(body, &["properties", member]);
        if !slot.is_array() {
            *slot = json!([]);
        }
        let Some(there) = slot.as_array_mut() else { continue };
        if !there.iter().any(|other| other["name"] == part["name"]) {
            there.push(part);
            missing = true;
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_put_into_the_balancer_stays() {
        let id = ResourceId::of_resource("s", "g", BALANCERS, "kubernetes");
        let address = ResourceId::of_resource("s", "g", ADDRESSES, "guid");
        let mut body = json!({ "properties": { "frontendIPConfigurations": [{ "name": "a1" }] } });
        assert!(add_outbound(&mut body, &id, &address));
        assert_eq!(list(&body, "/properties/frontendIPConfigurations").len(), 2);
        assert_eq!(list(&body, "/properties/backendAddressPools").len(), 2);
        assert!(!add_outbound(&mut body, &id, &address));
    }
}
