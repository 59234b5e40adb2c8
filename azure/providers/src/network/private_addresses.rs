//! Addresses of subnets for whoever holds one from the moment it is there: interfaces and load balancers' frontends.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use arm::{ArmError, Ctx, Resource, ResourceId};
use serde_json::Value;

use super::{uses, virtual_networks};
use crate::addresses::next_in_subnet;
use crate::json::{list, text};

/// The address of a configuration: the one it asks for, else the one that its namesake among `existing`'s has in this subnet
/// (`configurations` points at them), else the next free one. `given`: what others of the same write got.
///
/// # Errors
/// When the address asked for is none, not of the subnet, Azure's own or taken, and when the subnet is full.
pub(super) fn choose(
    ctx: &Ctx,
    configurations: &str,
    (name, configuration): (&str, &Value),
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
        .map(|e| list(&e.properties, configurations))
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
