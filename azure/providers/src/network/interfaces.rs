//! `networkInterfaces`: interfaces that stand alone, and those of private endpoints.
//!
//! An interface holds an address of its subnet from the moment it is there. Interfaces of scale-set instances are
//! the instances' own: [`compute::interfaces`](crate::compute::interfaces).

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use arm::{Acted, ArmError, Ctx, Deleted, Put, Resource, ResourceId, ResourceType, TypeDescriptor, Written};
use async_trait::async_trait;
use serde_json::{Value, json};

use super::{API_VERSIONS, effective, reference, require, seal, uses, virtual_networks};
use crate::addresses::next_in_subnet;
use crate::json::{default, list, remove, set, text};

/// `Microsoft.Network/networkInterfaces`.
pub struct Interfaces;

/// Its full type.
pub const TYPE: &str = "Microsoft.Network/networkInterfaces";

/// Held from the choice of an address until it is in the store; shared by all who give addresses of subnets here.
static GIVING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Waits for the turn to give addresses.
pub(super) async fn turn() -> tokio::sync::MutexGuard<'static, ()> {
    GIVING.lock().await
}

/// Fills in IP configurations and gives them addresses of their subnets.
pub(super) fn addresses(
    ctx: &Ctx,
    id: &ResourceId,
    properties: &mut Value,
    existing: Option<&Resource>,
) -> Result<(), ArmError> {
    let Some(Value::Array(mut configurations)) = remove(properties, &["ipConfigurations"]) else {
        return Err(ArmError::bad_request(
            "NetworkInterfaceMustHaveIpConfiguration",
            format!("Network interface {id} must have at least one IP configuration."),
        ));
    };
    let mut given: BTreeSet<Ipv4Addr> = BTreeSet::new();
    let only = configurations.len() == 1;
    for (number, configuration) in configurations.iter_mut().enumerate() {
        let name = text(configuration, "/name").unwrap_or("ipconfig1").to_owned();
        let subnet = reference(configuration, "/properties/subnet/id")?.ok_or_else(|| {
            ArmError::bad_request(
                "SubnetIsRequired",
                format!("Subnet reference is required for ipconfiguration {id}/ipConfigurations/{name}."),
            )
        })?;
        require(&ctx.resources, id, &subnet)?;
        let address = one_address(ctx, configuration, &name, &subnet, existing, &given)?;
        given.insert(address);
        for pointer in ["/properties/publicIPAddress/id", "/properties/networkSecurityGroup/id"] {
            if let Some(to) = reference(configuration, pointer)? {
                require(&ctx.resources, id, &to)?;
            }
        }
        set(configuration, &["name"], name.clone());
        set(configuration, &["id"], format!("{id}/ipConfigurations/{name}"));
        set(configuration, &["type"], "Microsoft.Network/networkInterfaces/ipConfigurations");
        set(configuration, &["properties", "privateIPAddress"], address.to_string());
        set(configuration, &["properties", "provisioningState"], "Succeeded");
        default(configuration, &["properties", "privateIPAllocationMethod"], "Dynamic");
        default(configuration, &["properties", "privateIPAddressVersion"], "IPv4");
        default(configuration, &["properties", "primary"], only || number == 0);
    }
    set(properties, &["ipConfigurations"], configurations);
    Ok(())
}

fn one_address(
    ctx: &Ctx,
    configuration: &Value,
    name: &str,
    subnet: &ResourceId,
    existing: Option<&Resource>,
    given: &BTreeSet<Ipv4Addr>,
) -> Result<Ipv4Addr, ArmError> {
    let net = ctx
        .resources
        .get(subnet)
        .and_then(|s| virtual_networks::prefix(&s.properties))
        .ok_or_else(|| ArmError::resource_not_found(subnet))?;
    let old = existing
        .map(|e| list(&e.properties, "/ipConfigurations"))
        .into_iter()
        .flatten()
        .find(|old| text(old, "/name") == Some(name) && uses::is(old, "/properties/subnet/id", subnet))
        .and_then(|old| text(old, "/properties/privateIPAddress")?.parse::<Ipv4Addr>().ok());
    let written = text(configuration, "/properties/privateIPAddress");
    let asked = match written.map(str::parse::<Ipv4Addr>) {
        Some(Err(_)) => {
            return Err(ArmError::bad_request(
                "InvalidIPAddress",
                format!("The private IP address {} is not valid.", written.unwrap_or_default()),
            ));
        }
        Some(Ok(address)) => Some(address),
        None => None,
    };
    let mut taken = uses::addresses_in_subnet(&ctx.resources, subnet);
    taken.extend(given);
    match asked.or(old) {
        Some(address) if Some(address) == old => Ok(address),
        Some(address) if !net.contains(&address) || reserved(net, address) => Err(ArmError::bad_request(
            if net.contains(&address) {
                "PrivateIPAddressInReservedRange"
            } else {
                "PrivateIPAddressNotInSubnet"
            },
            format!(
                "Private static IP address {address} does not belong to the range of subnet prefix {net} that can be given out."
            ),
        )),
        Some(address) if taken.contains(&address) => Err(ArmError::bad_request(
            "PrivateIPAddressIsAllocated",
            format!(
                "IP configuration {name} is using the private IP address {address} which is already allocated."
            ),
        )),
        Some(address) => Ok(address),
        None => next_in_subnet(net, &taken).ok_or_else(|| crate::compute::subnet_is_full(subnet, net)),
    }
}

/// The first four addresses of a subnet and its last are Azure's.
pub(super) fn reserved(net: ipnet::Ipv4Net, address: Ipv4Addr) -> bool {
    let offset = u32::from(address).wrapping_sub(u32::from(net.network()));
    offset < crate::addresses::RESERVED_FIRST || address == net.broadcast()
}

#[async_trait]
impl ResourceType for Interfaces {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor { etag: Some("etag"), delete_rank: 60, ..TypeDescriptor::new(TYPE, API_VERSIONS) }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let mut interface = request.resource();
        if let Some(endpoint) = request.existing.and_then(|e| text(&e.properties, "/privateEndpoint/id")) {
            return Err(ArmError::bad_request(
                "CannotModifyNicAttachedToPrivateEndpoint",
                format!("The network interface {} is managed by private endpoint {endpoint}.", request.id),
            ));
        }
        for computed in ["virtualMachine", "privateEndpoint", "privateLinkService", "macAddress"] {
            remove(&mut interface.properties, &[computed]);
        }
        if let Some(group) = reference(&interface.properties, "/networkSecurityGroup/id")? {
            require(&ctx.resources, request.id, &group)?;
        }
        for (member, value) in [
            ("enableIPForwarding", json!(false)),
            ("enableAcceleratedNetworking", json!(false)),
            ("vnetEncryptionSupported", json!(false)),
            ("disableTcpStateTracking", json!(false)),
            ("hostedWorkloads", json!([])),
            ("tapConfigurations", json!([])),
            ("nicType", json!("Standard")),
            ("auxiliaryMode", json!("None")),
            ("auxiliarySku", json!("None")),
        ] {
            default(&mut interface.properties, &[member], value);
        }
        for list in ["dnsServers", "appliedDnsServers"] {
            default(&mut interface.properties, &["dnsSettings", list], json!([]));
        }
        seal(&mut interface, request.existing);
        let _turn = turn().await;
        addresses(ctx, request.id, &mut interface.properties, request.existing)?;
        if request.existing.is_some_and(|old| old.says_the_same_as(&interface)) {
            return Ok(Written::Done(interface));
        }
        // Stored here, inside the turn, so that nobody else is given the same address.
        Ok(Written::Done(ctx.resources.save(interface).await?))
    }

    async fn delete(&self, _: &Ctx, existing: &Resource) -> Result<Deleted, ArmError> {
        for (pointer, what) in
            [("/privateEndpoint/id", "private endpoint"), ("/privateLinkService/id", "private link service")]
        {
            if let Some(owner) = text(&existing.properties, pointer) {
                return Err(ArmError::bad_request(
                    "NicInUseWithPrivateEndpoint",
                    format!(
                        "Network interface {} is in use with {what} {owner} and cannot be deleted.",
                        existing.id
                    ),
                ));
            }
        }
        Ok(Deleted::Done)
    }

    async fn action(&self, ctx: &Ctx, existing: &Resource, name: &str, _: Value) -> Result<Acted, ArmError> {
        let place = effective::Place::of_interface(existing)?;
        effective::answer(ctx, &place, name)
            .unwrap_or_else(|| Err(ArmError::not_implemented(format_args!("The action '{TYPE}/{name}'"))))
    }
}
