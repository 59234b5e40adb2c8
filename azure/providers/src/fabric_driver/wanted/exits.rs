//! Source addresses of machines: outbound rules first, then balancing rules that give one too; who has which ports.
//!
//! Does not: refuse a rule that promises more ports than its addresses have. Machines beyond have none then.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use arm::{Resource, ResourceId, Resources};
use fabric::{Idle, PortRange, Translation};
use serde_json::Value;

use super::{balancers, public_address};
use crate::compute::instances::Instance;
use crate::json::{flag, list, number};
use crate::network::{public_ip_prefixes, reference};

/// The ports below are never given away.
const FIRST_PORT: u32 = 1024;
/// Ports of one address that outbound rules can share out.
const PORTS: u32 = 64_000;
/// Ports that each machine of a pool has of each address, by the size of the pool, when no rule says it.
const BY_POOL_SIZE: [(usize, u32); 6] =
    [(50, 1024), (100, 512), (200, 256), (400, 128), (800, 64), (usize::MAX, 32)];
/// A pool with no ports to give.
const NONE: PortRange = PortRange { first: 1, last: 0 };

/// The source addresses of a pool's members.
pub(super) struct Exit {
    addresses: Vec<Ipv4Addr>,
    /// Ports of each machine; 0: by the size of the pool.
    ports: u32,
    idle: Idle,
    /// The members by their place.
    members: HashMap<ResourceId, usize>,
}

impl Exit {
    /// What a member leaves with.
    pub fn of(&self, member: &ResourceId) -> (Vec<Ipv4Addr>, Translation) {
        let place = self.members.get(member).copied().unwrap_or_default();
        let range = |place: usize, ports: u32| {
            let first =
                FIRST_PORT.saturating_add(ports.saturating_mul(u32::try_from(place).unwrap_or(u32::MAX)));
            let last = first.saturating_add(ports - 1);
            match (u16::try_from(first), u16::try_from(last)) {
                (Ok(first), Ok(last)) => PortRange { first, last },
                _ => NONE,
            }
        };
        let translation = |ports| Translation { ports: Some(ports), idle: self.idle };
        if self.ports == 0 {
            let ports = BY_POOL_SIZE.iter().find(|(most, _)| self.members.len() <= *most);
            let ports = ports.map_or(0, |(_, ports)| *ports).max(1);
            return (self.addresses.clone(), translation(range(place, ports)));
        }
        let of_each = usize::try_from(PORTS / self.ports.min(PORTS)).unwrap_or(1).max(1);
        match self.addresses.get(place / of_each) {
            Some(address) => (vec![*address], translation(range(place % of_each, self.ports))),
            None => (self.addresses.iter().take(1).copied().collect(), translation(NONE)),
        }
    }
}

/// Pools with what their members leave with.
pub(super) fn all(
    resources: &Resources,
    balancers: &[Arc<Resource>],
    instances: &[Instance],
) -> Vec<(ResourceId, Exit)> {
    let members = |pool: &ResourceId| {
        let inside = instances.iter().filter(|i| i.pools.contains(pool));
        inside.enumerate().map(|(place, instance)| (instance.id.clone(), place)).collect()
    };
    let (mut by_rule, mut implied) = (Vec::new(), Vec::new());
    for balancer in balancers {
        let of = |id: &ResourceId| {
            let found = balancers::frontend(balancer, id);
            found.map(|frontend| addresses(resources, frontend)).unwrap_or_default()
        };
        for rule in list(&balancer.properties, "/outboundRules") {
            let Ok(Some(pool)) = reference(rule, "/properties/backendAddressPool/id") else { continue };
            let wanted = list(rule, "/properties/frontendIPConfigurations").iter();
            let addresses: Vec<Ipv4Addr> =
                wanted.filter_map(|w| reference(w, "/id").ok()?).flat_map(|id| of(&id)).collect();
            if !addresses.is_empty() {
                let ports = number(rule, "/properties/allocatedOutboundPorts");
                let ports = ports.and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
                let members = members(&pool);
                by_rule.push((pool, Exit { addresses, ports, idle: balancers::idle(rule), members }));
            }
        }
        for rule in list(&balancer.properties, "/loadBalancingRules") {
            if flag(rule, "/properties/disableOutboundSnat") {
                continue;
            }
            let Ok(Some(pool)) = reference(rule, "/properties/backendAddressPool/id") else { continue };
            let from = reference(rule, "/properties/frontendIPConfiguration/id").ok().flatten();
            let addresses = from.map(|id| of(&id)).unwrap_or_default();
            if !addresses.is_empty() {
                let members = members(&pool);
                implied.push((pool, Exit { addresses, ports: 0, idle: balancers::idle(rule), members }));
            }
        }
    }
    by_rule.extend(implied);
    by_rule
}

/// The public addresses of a frontend: its own, or all of its prefix.
fn addresses(resources: &Resources, frontend: &Value) -> Vec<Ipv4Addr> {
    if let Some(address) = public_address(resources, frontend, "/properties/publicIPAddress/id") {
        return vec![address];
    }
    let prefix = reference(frontend, "/properties/publicIPPrefix/id").ok().flatten();
    let prefix = prefix.and_then(|id| resources.get(&id));
    prefix.as_deref().map(public_ip_prefixes::addresses).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(ports: u32, addresses: u8, members: usize) -> Exit {
        Exit {
            addresses: (0..addresses).map(|last| Ipv4Addr::new(20, 2, 0, last)).collect(),
            ports,
            idle: Idle::default(),
            members: (0..members).map(|place| (id(place), place)).collect(),
        }
    }

    fn id(place: usize) -> ResourceId {
        ResourceId::of_resource("s", "g", "Microsoft.Compute/virtualMachineScaleSets", &place.to_string())
    }

    #[test]
    fn ports_are_shared_out_as_azure_does() {
        for (ports, addresses, members, place, expected) in [
            (0, 1, 50, 0, "1 1024-2047"),
            (0, 1, 50, 49, "1 51200-52223"),
            (0, 2, 51, 50, "2 26624-27135"),
            (0, 1, 1000, 999, "1 32992-33023"),
            (4000, 2, 32, 0, "1 1024-5023"),
            (4000, 2, 32, 15, "1 61024-65023"),
            (4000, 2, 32, 16, "1 1024-5023"),
            // Two addresses have no more than 32 times 4,000 ports.
            (4000, 2, 33, 32, "1 1-0"),
            (64_000, 1, 1, 0, "1 1024-65023"),
        ] {
            let (given, translation) = exit(ports, addresses, members).of(&id(place));
            let PortRange { first, last } = translation.ports.unwrap();
            assert_eq!(
                format!("{} {first}-{last}", given.len()),
                expected,
                "{ports} {addresses} {members} {place}"
            );
        }
        assert_eq!(exit(4000, 2, 32).of(&id(16)).0, [Ipv4Addr::new(20, 2, 0, 1)]);
    }
}
