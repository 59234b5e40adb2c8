//! How many addresses of a network are left, and whether one is free.

use std::net::Ipv4Addr;

use arm::{Acted, ArmError, Ctx, Resource};
use serde_json::{Value, json};

use super::{private_addresses, uses, virtual_networks};
use crate::addresses::{RESERVED_FIRST, capacity};

/// How many free addresses are offered instead of one that is not.
const OFFERED_MAX: usize = 5;

/// Addresses used and addresses there, subnet by subnet.
pub(super) fn usages(ctx: &Ctx, network: &Resource) -> Value {
    let subnets = ctx.resources.list_type(&network.id, virtual_networks::SUBNETS);
    let value: Vec<Value> = subnets
        .iter()
        .filter_map(|subnet| {
            let prefix = virtual_networks::prefix(&subnet.properties)?;
            Some(json!({
                "id": subnet.id, "unit": "Count",
                "name": { "value": "SubnetSpace", "localizedValue": "Subnet size and usage" },
                "currentValue": uses::addresses_in_subnet(&ctx.resources, &subnet.id).len(),
                "limit": capacity(prefix),
            }))
        })
        .collect();
    json!({ "value": value })
}

/// Whether the address of the query can be given out; others that can when not.
pub(super) fn availability(ctx: &Ctx, network: &Resource) -> Result<Acted, ArmError> {
    let asked = ctx.query("ipaddress").unwrap_or_default();
    let address: Ipv4Addr = asked.parse().map_err(|_| {
        ArmError::bad_request("InvalidIPAddress", format!("The IP address '{asked}' is not valid."))
    })?;
    let subnets = ctx.resources.list_type(&network.id, virtual_networks::SUBNETS);
    let holder = subnets.iter().find_map(|subnet| {
        let prefix = virtual_networks::prefix(&subnet.properties)?;
        prefix.contains(&address).then_some((subnet, prefix))
    });
    let Some((subnet, prefix)) = holder else {
        return Err(ArmError::bad_request(
            "PrivateIPAddressNotInAnySubnet",
            format!(
                "Private static IP address {address} does not belong to the range of any subnet in the virtual network {}.",
                network.id
            ),
        ));
    };
    let taken = uses::addresses_in_subnet(&ctx.resources, &subnet.id);
    let available = !taken.contains(&address) && !private_addresses::reserved(prefix, address);
    let first = u32::from(prefix.network()).saturating_add(RESERVED_FIRST);
    let others = || {
        (first..u32::from(prefix.broadcast()))
            .map(Ipv4Addr::from)
            .filter(|other| !taken.contains(other))
            .take(OFFERED_MAX)
            .collect::<Vec<_>>()
    };
    let offered = if available { Vec::new() } else { others() };
    Ok(Acted::Done(Some(json!({
        "available": available, "availableIPAddresses": offered, "isPlatformReserved": private_addresses::reserved(prefix, address),
    }))))
}
