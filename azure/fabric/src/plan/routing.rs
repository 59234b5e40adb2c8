//! Which way packets go: the system's routes and the user's as one list, and what a router holds because of it.
//!
//! The list is what `show-effective-route-table` answers and what the routing tables are made of; there is no other.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::facts::{Fact, Hop, bridge_name, number};
use super::hops;
use super::security::elements;
use crate::ids::NetworkId;
use crate::wanted::{Endpoint, Network, NextHop, Subnet, Wanted};

/// Where a route comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteSource {
    /// The system made it.
    Default,
    /// It stands in the subnet's route table.
    User,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HopType {
    /// Within the network.
    VnetLocal,
    /// To a peered network.
    VnetPeering(NetworkId),
    /// To a private endpoint.
    InterfaceEndpoint,
    /// To a service of the platform.
    ServiceEndpoint,
    /// Out to the internet.
    Internet,
    /// To a machine that forwards.
    VirtualAppliance(Ipv4Addr),
    /// Nowhere: packets are dropped and counted.
    None,
}

/// One line of the effective route table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveRoute {
    /// The name of a user's route.
    pub name: Option<String>,
    /// Where it comes from.
    pub source: RouteSource,
    /// Destinations.
    pub prefix: Ipv4Net,
    /// Where to.
    pub hop: HopType,
    /// False: a user's route for the same prefix takes its place.
    pub active: bool,
}

/// Ranges that lead nowhere unless the network has them (RFC 1918).
pub(super) const RESERVED: [Ipv4Net; 3] = [
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
];
const EVERYWHERE: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0);

/// The routes of a subnet: the system's, then the user's.
pub fn effective_routes(network: &Network, subnet: &Subnet) -> Vec<EffectiveRoute> {
    let mut routes: Vec<EffectiveRoute> = Vec::new();
    let gives_way = |endpoint: &Endpoint, prefix: Ipv4Net| {
        let within = network.prefixes.iter().any(|space| space.contains(&prefix));
        endpoint.routed && within && prefix.contains(&endpoint.address)
    };
    let given_up = |prefix: Ipv4Net| {
        let endpoints = network.endpoints.iter().filter(|e| prefix == e.address.into());
        let routes = || subnet.routes.iter().map(|r| r.prefix.trunc());
        endpoints.into_iter().any(|endpoint| routes().any(|prefix| gives_way(endpoint, prefix)))
    };
    let mut system = |prefix: Ipv4Net, hop: HopType| {
        let prefix = prefix.trunc();
        let same = subnet.routes.iter().any(|r| r.prefix.trunc() == prefix);
        let active = !same && !given_up(prefix);
        routes.push(EffectiveRoute { name: None, source: RouteSource::Default, prefix, hop, active });
    };
    network.prefixes.iter().for_each(|p| system(*p, HopType::VnetLocal));
    for peering in &network.peerings {
        peering.prefixes.iter().for_each(|p| system(*p, HopType::VnetPeering(peering.network.clone())));
    }
    system(EVERYWHERE, HopType::Internet);
    reserved(network).for_each(|p| system(p, HopType::None));
    for endpoint in &network.endpoints {
        system(endpoint.address.into(), HopType::InterfaceEndpoint);
    }
    subnet.services.iter().for_each(|p| system(*p, HopType::ServiceEndpoint));
    routes.extend(subnet.routes.iter().map(|route| EffectiveRoute {
        name: Some(route.name.clone()),
        source: RouteSource::User,
        prefix: route.prefix.trunc(),
        hop: match route.next_hop {
            NextHop::VirtualAppliance(address) => HopType::VirtualAppliance(address),
            NextHop::Internet => HopType::Internet,
            NextHop::VnetLocal => HopType::VnetLocal,
            NextHop::None => HopType::None,
        },
        active: true,
    }));
    routes
}

/// The route that a packet to `destination` takes: the longest active prefix.
pub fn next_hop(network: &Network, subnet: &Subnet, destination: Ipv4Addr) -> Option<EffectiveRoute> {
    let mut routes = effective_routes(network, subnet);
    routes.retain(|r| r.active && r.prefix.contains(&destination));
    routes.into_iter().max_by_key(|r| r.prefix.prefix_len())
}

/// The bridges of subnets whose users' routes lead past a private endpoint.
pub(super) fn past(network: &Network, endpoint: &Endpoint) -> Vec<String> {
    let past = |subnet: &&Subnet| {
        next_hop(network, subnet, endpoint.address)
            .is_some_and(|route| route.source == RouteSource::User && route.hop != HopType::VnetLocal)
    };
    network.subnets.iter().filter(past).map(|subnet| format!("\"{}\"", bridge_name(&subnet.name))).collect()
}

/// Reserved ranges that the network and its peers do not cover.
fn reserved(network: &Network) -> impl Iterator<Item = Ipv4Net> + '_ {
    let known = || network.prefixes.iter().chain(network.peerings.iter().flat_map(|p| &p.prefixes));
    RESERVED.into_iter().filter(move |range| !known().any(|p| p.contains(range)))
}

/// The addresses of private load balancers in a network.
fn private_frontends<'a>(wanted: &'a Wanted, network: &'a Network) -> impl Iterator<Item = Ipv4Addr> + 'a {
    wanted.balancers.iter().filter(|b| b.network.as_ref() == Some(&network.id)).map(|b| b.frontend)
}

/// What the router of a network holds for its routes.
pub(super) fn facts(wanted: &Wanted, network: &Network, facts: &mut BTreeSet<Fact>) {
    facts.insert(Fact::Ground);
    for prefix in reserved(network) {
        facts.insert(Fact::NoRoute { prefix });
    }
    for address in private_frontends(wanted, network) {
        let subnet = network.subnets.iter().find(|s| s.prefix.contains(&address));
        facts.insert(Fact::Frontend { address, bridge: subnet.map(|s| bridge_name(&s.name)) });
    }
    for peering in &network.peerings {
        facts.insert(Fact::PeerLink { network: peering.network.clone() });
        for prefix in &peering.prefixes {
            facts.insert(Fact::PeerRoute { prefix: prefix.trunc(), network: peering.network.clone() });
        }
    }
    for hop in remote_hops(wanted) {
        if hop.from == network.id {
            facts.insert(Fact::HopLink { link: hop.link(), peer: hop.to.clone() });
        }
        if hop.to == network.id {
            let table = 0x4000_0000 | (number(&hop.link()) >> 4);
            let balanced = hops::balancer(wanted, network, hop.via).is_some();
            facts.insert(Fact::HopEnd {
                link: hop.link(),
                peer: hop.from.clone(),
                via: hop.via,
                table,
                balanced,
            });
        }
    }
    network.subnets.iter().for_each(|subnet| user_routes(wanted, network, subnet, facts));
}

/// A subnet with user-defined routes looks into a table of its own first. The table repeats the system's routes as
/// "look further", so that the longest prefix of both wins.
fn user_routes(wanted: &Wanted, network: &Network, subnet: &Subnet, facts: &mut BTreeSet<Fact>) {
    if subnet.routes.is_empty() {
        return;
    }
    let bridge = bridge_name(&subnet.name);
    let table = 0x2000_0000 | (number(&bridge) >> 4);
    // Pods of an overlay are the platform's own; no route table of a subnet knows them.
    let pods = wanted.machines.iter().filter(|m| m.network == network.id).flat_map(|m| &m.routed_prefixes);
    for prefix in pods.filter(|p| !subnet.routes.iter().any(|r| r.prefix.trunc() == p.trunc())) {
        facts.insert(Fact::UserRoute { table, prefix: prefix.trunc(), hop: Hop::Network });
    }
    for route in effective_routes(network, subnet).into_iter().filter(|r| r.active) {
        let hop = match (route.source, &route.hop) {
            // Without a route in this table the next one is asked.
            (RouteSource::Default, HopType::Internet) => continue,
            (RouteSource::Default, _) | (_, HopType::VnetLocal) => Hop::Network,
            (_, HopType::Internet) => Hop::Internet,
            (_, HopType::VirtualAppliance(via)) => appliance(wanted, network, *via),
            _ => Hop::Nowhere,
        };
        facts.insert(Fact::UserRoute { table, prefix: route.prefix, hop });
    }
    facts.insert(Fact::Table { bridge, table });
}

fn appliance(wanted: &Wanted, network: &Network, via: Ipv4Addr) -> Hop {
    if hops::balancer(wanted, network, via).is_some() {
        // Marks lead there before this is asked.
        return Hop::Nowhere;
    }
    if network.subnets.iter().any(|s| s.prefix.contains(&via)) {
        return Hop::Via(via);
    }
    match remote(wanted, network, via) {
        Some(hop) => Hop::Link { link: hop.link(), network: hop.to },
        None => Hop::Nowhere,
    }
}

/// An appliance in a peered network: packets for it go over a link of their own, since its router must not look at
/// their destination.
pub(super) struct RemoteHop {
    from: NetworkId,
    pub to: NetworkId,
    pub via: Ipv4Addr,
}

impl RemoteHop {
    /// Name of the link, the same at both ends.
    pub fn link(&self) -> String {
        format!("h-{:08x}", number(&format!("{} {} {}", self.from, self.to, self.via)))
    }
}

fn remote(wanted: &Wanted, network: &Network, via: Ipv4Addr) -> Option<RemoteHop> {
    network.peerings.iter().filter(|p| p.access).find_map(|peering| {
        let other = wanted.networks.iter().find(|n| n.id == peering.network)?;
        let there = other.subnets.iter().any(|s| s.prefix.contains(&via));
        there.then(|| RemoteHop { from: network.id.clone(), to: other.id.clone(), via })
    })
}

pub(super) fn remote_hops(wanted: &Wanted) -> Vec<RemoteHop> {
    let mut hops = Vec::new();
    for network in &wanted.networks {
        for route in network.subnets.iter().flat_map(|s| &s.routes) {
            let NextHop::VirtualAppliance(via) = route.next_hop else { continue };
            if !network.subnets.iter().any(|s| s.prefix.contains(&via)) {
                hops.extend(remote(wanted, network, via));
            }
        }
    }
    hops
}

/// Lines that drop and count what a route leads nowhere, the longest prefix first.
pub(super) fn dropping(wanted: &Wanted, network: &Network) -> Vec<String> {
    let mut lines: Vec<(u8, String)> = Vec::new();
    for subnet in &network.subnets {
        let bridge = bridge_name(&subnet.name);
        for route in effective_routes(network, subnet).into_iter().filter(|r| r.active) {
            let Some(name) = route.name.as_deref() else { continue };
            if matches!(route.hop, HopType::None | HopType::VirtualAppliance(_)) {
                let prefix = route.prefix;
                lines.push((
                    prefix.prefix_len(),
                    format!(
                        "iifname \"{bridge}\" oifname \"nowhere\" ip daddr {prefix} counter drop comment \"route {}\"",
                        super::comment(name)
                    ),
                ));
            }
        }
    }
    lines.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    let mut lines: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
    let frontends: Vec<Ipv4Net> = private_frontends(wanted, network).map(Ipv4Net::from).collect();
    if !frontends.is_empty() {
        let frontends = elements(&frontends);
        lines.push(format!(
            "oifname \"nowhere\" ip daddr {frontends} counter drop comment \"no-rule-of-a-load-balancer\""
        ));
    }
    lines.extend(
        reserved(network)
            .map(|p| format!("oifname \"nowhere\" ip daddr {p} counter drop comment \"route {p} None\"")),
    );
    lines.push("oifname \"nowhere\" counter drop comment \"no-rule-of-a-load-balancer\"".into());
    lines
}
