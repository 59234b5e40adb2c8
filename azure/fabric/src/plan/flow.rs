//! Would a packet pass? The groups of an interface, asked as the router asks them.

use std::net::Ipv4Addr;

use super::{METADATA, WIRE_SERVER, rules, security};
use crate::wanted::{
    Access, Direction, Machine, Network, Peer, Platform, PortRange, Protocol, SecurityRule, Wanted,
};

/// A packet that opens a connection, seen from an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// Towards the interface or from it.
    pub direction: Direction,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The interface's address and port.
    pub local: (Ipv4Addr, u16),
    /// The other side's.
    pub remote: (Ipv4Addr, u16),
}

/// What happens to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it passes.
    pub access: Access,
    /// The rule that decided: the one that denied, else the last one that allowed. `None`: no group is there.
    pub rule: Option<SecurityRule>,
    /// Whether that rule is of the subnet's group.
    pub subnet: bool,
}

/// Asks the groups of a machine's subnet and interface.
pub fn verify(wanted: &Wanted, machine: &Machine, flow: &Flow) -> Verdict {
    let network = wanted.networks.iter().find(|n| n.id == machine.network);
    let subnet = network.and_then(|n| n.subnets.iter().find(|s| s.name == machine.subnet));
    let own = (machine.rules.as_slice(), false);
    let subnets = (subnet.map(|s| s.rules.as_slice()).unwrap_or_default(), true);
    let order = match flow.direction {
        Direction::Inbound => [subnets, own],
        Direction::Outbound => [own, subnets],
    };
    let mut verdict = Verdict { access: Access::Allow, rule: None, subnet: false };
    let platform = is_platform(flow);
    for (rules, of_subnet) in order.into_iter().filter(|(rules, _)| !rules.is_empty()) {
        let decided = security::ordered(rules, flow.direction)
            .into_iter()
            .find(|rule| network.is_some_and(|n| matches(wanted, n, rule, flow)));
        if platform && decided.is_none() {
            continue;
        }
        let access = decided.as_ref().map_or(Access::Allow, |rule| rule.access);
        verdict = Verdict { access, rule: decided, subnet: of_subnet };
        if access == Access::Deny {
            break;
        }
    }
    verdict
}

/// Whether only rules that name the platform's tags are asked.
fn is_platform(flow: &Flow) -> bool {
    flow.direction == Direction::Outbound && [WIRE_SERVER, METADATA].contains(&flow.remote.0)
}

fn names_platform(peer: &Peer, (address, port): (Ipv4Addr, u16)) -> bool {
    match peer {
        Peer::Platform(Platform::Names) => address == WIRE_SERVER && port == security::NAMES_PORT,
        Peer::Platform(Platform::Metadata) => address == METADATA,
        _ => false,
    }
}

fn matches(wanted: &Wanted, network: &Network, rule: &SecurityRule, flow: &Flow) -> bool {
    let (from, to) = match flow.direction {
        Direction::Inbound => (flow.remote, flow.local),
        Direction::Outbound => (flow.local, flow.remote),
    };
    let protocol = rule.protocol == Protocol::Any || rule.protocol == flow.protocol;
    let side = |peers: &[Peer], address: Ipv4Addr| peers.iter().any(|p| covers(wanted, network, p, address));
    let port = |ranges: &[PortRange], port: u16| {
        ranges.is_empty() || ranges.iter().any(|r| (r.first..=r.last).contains(&port))
    };
    let destination = match is_platform(flow) {
        true => rule.destinations.iter().any(|peer| names_platform(peer, to)),
        false => side(&rule.destinations, to.0),
    };
    // What has no ports is not asked for them.
    protocol
        && side(&rule.sources, from.0)
        && destination
        && (!security::has_ports(rule.protocol)
            || port(&rule.source_ports, from.1) && port(&rule.destination_ports, to.1))
}

fn covers(wanted: &Wanted, network: &Network, peer: &Peer, address: Ipv4Addr) -> bool {
    let inside = || rules::virtual_network(wanted, network).iter().any(|p| p.contains(&address));
    match peer {
        Peer::Any => true,
        Peer::Prefix(prefix) => prefix.contains(&address),
        Peer::VirtualNetwork => inside(),
        Peer::AzureLoadBalancer => address == WIRE_SERVER,
        Peer::Internet => !inside(),
        Peer::Service { prefixes, .. } => prefixes.iter().any(|prefix| prefix.contains(&address)),
        Peer::Platform(_) => false,
    }
}
