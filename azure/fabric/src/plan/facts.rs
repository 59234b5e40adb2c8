//! What a router holds, as facts that can be compared.

use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Health, balancing, routing, rules};
use crate::ids::{MachineId, NetworkId};
use crate::wanted::{Network, Wanted};

/// One thing that is true of a router. The order is the order of making; of removal the reverse.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Fact {
    /// What every router has: the link that leads nowhere, and the way of packets to private endpoints.
    Ground,
    /// A subnet's bridge with the gateway's address.
    Bridge {
        /// Interface name.
        name: String,
        /// Gateway and prefix length.
        gateway: Ipv4Net,
    },
    /// A machine's interface on a bridge.
    Port {
        /// The machine.
        machine: MachineId,
        /// The bridge.
        bridge: String,
        /// Its address and the subnet's prefix length.
        address: Ipv4Net,
        /// Its default gateway.
        gateway: Ipv4Addr,
        /// Its hardware address.
        #[serde(default)]
        mac: String,
    },
    /// A link to the router of a peered network.
    PeerLink {
        /// The other network.
        network: NetworkId,
    },
    /// A prefix of a peered network.
    PeerRoute {
        /// The prefix.
        prefix: Ipv4Net,
        /// The other network.
        network: NetworkId,
    },
    /// The near end of a link to an appliance in a peered network.
    HopLink {
        /// Name of the link.
        link: String,
        /// The appliance's network.
        peer: NetworkId,
    },
    /// The far end: what comes over it goes to the appliance, whatever its destination.
    HopEnd {
        /// Name of the link.
        link: String,
        /// The network that packets come from.
        peer: NetworkId,
        /// The appliance.
        via: Ipv4Addr,
        /// Number of the routing table.
        table: u32,
        /// The appliance is a load balancer's frontend: marks lead to one of its machines, the table nowhere.
        #[serde(default)]
        balanced: bool,
    },
    /// A prefix that leads nowhere.
    NoRoute {
        /// The prefix.
        prefix: Ipv4Net,
    },
    /// The address of a private load balancer: what none of its rules takes leads nowhere.
    Frontend {
        /// The address.
        address: Ipv4Addr,
        /// The bridge of the subnet it is in, which answers for it.
        bridge: Option<String>,
    },
    /// A prefix routed to a machine's address.
    Pods {
        /// The prefix.
        prefix: Ipv4Net,
        /// The machine's address.
        via: Ipv4Addr,
        /// The machine.
        machine: MachineId,
    },
    /// Packets with this mark go to a machine whatever their destination (floating addresses of balancers).
    Mark {
        /// Mark and number of the routing table.
        mark: u32,
        /// The machine's address.
        via: Ipv4Addr,
        /// The machine.
        machine: MachineId,
    },
    /// A subnet has a routing table of its own.
    Table {
        /// The bridge packets come from.
        bridge: String,
        /// Number of the table.
        table: u32,
    },
    /// A user-defined route in such a table; `None`: the network's own routes decide.
    UserRoute {
        /// Number of the table.
        table: u32,
        /// Destination.
        prefix: Ipv4Net,
        /// Next hop.
        hop: Hop,
    },
    /// An address on the internet that leads to this router.
    Public {
        /// The address.
        address: Ipv4Addr,
    },
}

/// Where a user-defined route leads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Hop {
    /// The network's own routes decide.
    Network,
    /// A machine.
    Via(Ipv4Addr),
    /// The internet.
    Internet,
    /// An appliance in a peered network, over a link of its own.
    Link {
        /// Name of the link.
        link: String,
        /// The appliance's network.
        network: NetworkId,
    },
    /// Nowhere: counted and dropped.
    #[serde(alias = "Blackhole")]
    Nowhere,
}

impl Fact {
    /// The machine this is about.
    pub fn machine(&self) -> Option<&MachineId> {
        match self {
            Fact::Port { machine, .. } => Some(machine),
            // Routes through a machine's address stay when its interface is made anew: the bridge stays up.
            _ => None,
        }
    }

    /// The other network whose router this needs.
    pub fn peer(&self) -> Option<&NetworkId> {
        match self {
            Fact::PeerLink { network } | Fact::PeerRoute { network, .. } => Some(network),
            Fact::HopLink { peer, .. } | Fact::HopEnd { peer, .. } => Some(peer),
            Fact::UserRoute { hop: Hop::Link { network, .. }, .. } => Some(network),
            _ => None,
        }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fact::Bridge { name, gateway } => write!(f, "bridge {name} {gateway}"),
            Fact::Ground => f.write_str("ground"),
            Fact::PeerLink { network } => write!(f, "link to {network}"),
            Fact::PeerRoute { prefix, network } => write!(f, "route {prefix} to {network}"),
            Fact::HopLink { link, peer } => write!(f, "link {link} to an appliance in {peer}"),
            Fact::HopEnd { link, peer, via, .. } => write!(f, "link {link} from {peer} to {via}"),
            Fact::NoRoute { prefix } => write!(f, "no route {prefix}"),
            Fact::Frontend { address, .. } => write!(f, "frontend {address}"),
            Fact::Port { machine, bridge, address, gateway, .. } => {
                write!(f, "port {machine} on {bridge} {address} gateway {gateway}")
            }
            Fact::Pods { prefix, via, .. } => write!(f, "route {prefix} via {via}"),
            Fact::Mark { mark, via, .. } => write!(f, "mark {mark:#x} via {via}"),
            Fact::Table { bridge, table } => write!(f, "table {table} for {bridge}"),
            Fact::UserRoute { table, prefix, hop } => write!(f, "route {prefix} {hop:?} in table {table}"),
            Fact::Public { address } => write!(f, "public {address}"),
        }
    }
}

/// Everything a router holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterConfig {
    /// Links and routes.
    pub facts: BTreeSet<Fact>,
    /// Body of the table of security and address translation rules.
    pub rules: String,
    /// Body of the table of balancing rules.
    pub balancing: String,
}

pub(super) fn number(text: &str) -> u32 {
    let digest = Sha256::digest(text.as_bytes());
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

/// The name of a subnet's bridge.
pub fn bridge_name(subnet: &str) -> String {
    format!("br-{:08x}", number(&subnet.to_ascii_lowercase()))
}

/// The mark that leads to a machine.
pub fn machine_mark(id: &MachineId) -> u32 {
    0x1000_0000 | (u32::from_str_radix(id.as_str(), 16).unwrap_or_default() & 0x0fff_ffff)
}

/// A router's own address on its uplink, in 100.64.0.0/10 without the first /24.
pub fn transit_address(id: &NetworkId) -> Ipv4Addr {
    let low = u32::from_str_radix(id.as_str(), 16).unwrap_or_default() & 0x003f_ffff;
    Ipv4Addr::from(0x6440_0000 | low.max(0x100))
}

/// Compiles a network.
pub fn compile(wanted: &Wanted, network: &Network, health: &Health) -> RouterConfig {
    let mut facts = BTreeSet::new();
    for subnet in &network.subnets {
        let name = bridge_name(&subnet.name);
        let gateway = Ipv4Net::new_assert(subnet.gateway(), subnet.prefix.prefix_len());
        facts.insert(Fact::Bridge { name, gateway });
    }
    routing::facts(wanted, network, &mut facts);
    for machine in wanted.machines.iter().filter(|m| m.network == network.id) {
        let Some(subnet) = network.subnets.iter().find(|s| s.name == machine.subnet) else { continue };
        facts.insert(Fact::Port {
            machine: machine.id.clone(),
            bridge: bridge_name(&subnet.name),
            address: Ipv4Net::new_assert(machine.address, subnet.prefix.prefix_len()),
            gateway: subnet.gateway(),
            mac: machine.id.mac(),
        });
        for prefix in &machine.routed_prefixes {
            let machine_id = machine.id.clone();
            facts.insert(Fact::Pods { prefix: prefix.trunc(), via: machine.address, machine: machine_id });
        }
        let mark = machine_mark(&machine.id);
        facts.insert(Fact::Mark { mark, via: machine.address, machine: machine.id.clone() });
    }
    let inside = |address: &Ipv4Addr| network.prefixes.iter().any(|p| p.contains(address));
    let public = translated(wanted, network)
        .chain(balancing::of_network(wanted, network).filter(|b| b.network.is_none()).map(|b| b.frontend));
    facts.extend(public.filter(|a| !inside(a)).map(|address| Fact::Public { address }));
    RouterConfig {
        facts,
        rules: rules::compile(wanted, network),
        balancing: balancing::compile(wanted, network, health),
    }
}

/// Every address that packets of a network leave with.
fn translated<'a>(wanted: &'a Wanted, network: &'a Network) -> impl Iterator<Item = Ipv4Addr> + 'a {
    let nat = network.subnets.iter().flat_map(|s| s.nat.iter().copied());
    let own = wanted.machines.iter().filter(|m| m.network == network.id);
    network.outbound.into_iter().chain(nat).chain(own.flat_map(|m| m.outbound.iter().copied()))
}
