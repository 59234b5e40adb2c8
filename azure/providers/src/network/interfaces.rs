//! `networkInterfaces`: interfaces that stand alone, and those of private endpoints.
//!
//! An interface holds an address of its subnet from the moment it is there. Interfaces of scale-set instances are
//! the instances' own: [`compute::interfaces`](crate::compute::interfaces).

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use arm::{Acted, ArmError, Ctx, Deleted, Put, Resource, ResourceId, ResourceType, TypeDescriptor, Written};
use async_trait::async_trait;
use serde_json::{Value, json};

use super::{API_VERSIONS, effective, load_balancers, missing, private_addresses, reference, require, seal};
use crate::json::{default, list, remove, set, text};

/// `Microsoft.Network/networkInterfaces`.
pub struct Interfaces;

/// Its full type.
pub const TYPE: &str = "Microsoft.Network/networkInterfaces";

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
        let address = private_addresses::choose(
            ctx,
            "/ipConfigurations",
            (&name, configuration),
            &subnet,
            existing,
            &given,
        )?;
        given.insert(address);
        for pointer in ["/properties/publicIPAddress/id", "/properties/networkSecurityGroup/id"] {
            if let Some(to) = reference(configuration, pointer)? {
                require(&ctx.resources, id, &to)?;
            }
        }
        for member in ["loadBalancerBackendAddressPools", "loadBalancerInboundNatRules"] {
            for part in list(configuration, &format!("/properties/{member}")) {
                let Some(to) = reference(part, "/id")? else { continue };
                if !load_balancers::has_part(&ctx.resources, &to) {
                    return Err(missing(format_args!("{id}/ipConfigurations/{name}"), &to));
                }
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
        let _turn = crate::addresses::turn().await;
        addresses(ctx, request.id, &mut interface.properties, request.existing)?;
        if request.existing.is_some_and(|old| old.says_the_same_as(&interface)) {
            return Ok(Written::Done(interface));
        }
        // Stored here, inside the turn, so that nobody else is given the same address.
        Ok(Written::Done(ctx.resources.save(interface).await?))
    }

    async fn delete(&self, ctx: &Ctx, existing: &Resource) -> Result<Deleted, ArmError> {
        for (pointer, what) in
            [("/privateEndpoint/id", "private endpoint"), ("/privateLinkService/id", "private link service")]
        {
            let owner = reference(&existing.properties, pointer)?;
            // One whose owner is gone is in nobody's use.
            if let Some(owner) = owner.filter(|owner| ctx.resources.exists(owner)) {
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
