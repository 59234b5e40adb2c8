//! What is wanted: networks, machines, balancers and names, as one value with a generation.
//!
//! What a subnet's or an interface's group, a balancer or a name is made of stands in the modules below.

mod balancing;
mod names;
mod routing;
mod security;

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::ids::{MachineId, NetworkId};

pub use balancing::{Balancer, BalancerRule, Distribution, Idle, Probe, ProbeProtocol};
pub use names::{NameData, NameRecord, Zone};
pub use routing::{Endpoint, NextHop, Peering, Route, Translation};
pub use security::{Access, Direction, Peer, Platform, PortRange, Protocol, SecurityRule};

/// Everything that shall exist. What is not in it shall not exist.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Wanted {
    /// Grows with every change; an older one is refused.
    pub generation: u64,
    /// Virtual networks.
    pub networks: Vec<Network>,
    /// Machines, each in one of the networks.
    pub machines: Vec<Machine>,
    /// Load balancers' frontends with their rules.
    pub balancers: Vec<Balancer>,
    /// Names that machines resolve through 168.63.129.16. `*.suffix` answers for every name below the suffix.
    pub names: Vec<(String, Ipv4Addr)>,
    /// Private zones; each answers only in the networks it is linked to.
    #[serde(default)]
    pub zones: Vec<Zone>,
    /// Names on the internet that stand for names in private zones: who is linked to the zone gets its answer, all
    /// others that of `names`.
    #[serde(default)]
    pub aliases: Vec<(String, String)>,
}

/// A virtual network: a router of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// Its id, from the ARM id.
    pub id: NetworkId,
    /// The ARM id.
    pub resource_id: String,
    /// Address space.
    pub prefixes: Vec<Ipv4Net>,
    /// Subnets.
    pub subnets: Vec<Subnet>,
    /// Source address on the internet of machines that nothing else gives one; `None`: the router's own transit
    /// address.
    pub outbound: Option<Ipv4Addr>,
    /// Networks that this one is connected with.
    #[serde(default)]
    pub peerings: Vec<Peering>,
    /// Private endpoints.
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
    /// Where machines ask for names; empty: 168.63.129.16.
    #[serde(default)]
    pub dns_servers: Vec<Ipv4Addr>,
}

/// A subnet: a bridge in the router, whose first address is the gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subnet {
    /// Name, unique in the network.
    pub name: String,
    /// Address range.
    pub prefix: Ipv4Net,
    /// The effective security group, by priority. Empty: no group, everything passes.
    pub rules: Vec<SecurityRule>,
    /// User-defined routes.
    pub routes: Vec<Route>,
    /// Source addresses of its NAT gateway; they win over everything else.
    #[serde(default)]
    pub nat: Vec<Ipv4Addr>,
    /// How the NAT gateway gives them.
    #[serde(default)]
    pub translation: Translation,
    /// Machines without a source address of their own do not reach the internet (`defaultOutboundAccess` false).
    #[serde(default)]
    pub private: bool,
    /// Ranges of the services that it has an endpoint of (`serviceEndpoints`): its routes lead to them whatever the
    /// user's say about larger ranges.
    #[serde(default)]
    pub services: Vec<Ipv4Net>,
}

impl Subnet {
    /// The subnet's gateway: its first address.
    pub fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.prefix.network()).wrapping_add(1))
    }
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Its id, from the ARM id.
    pub id: MachineId,
    /// The ARM id (of the scale-set instance).
    pub resource_id: String,
    /// Host name, also the node's name.
    pub hostname: String,
    /// The network its interface is in.
    pub network: NetworkId,
    /// The subnet its interface is in.
    pub subnet: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// Prefixes routed to it (pods of an overlay).
    pub routed_prefixes: Vec<Ipv4Net>,
    /// The effective security group of its interface. Empty: none.
    pub rules: Vec<SecurityRule>,
    /// Whether it may pass on packets of others (`enableIPForwarding`).
    #[serde(default)]
    pub ip_forwarding: bool,
    /// Source addresses on the internet that its outbound rules give it.
    #[serde(default)]
    pub outbound: Vec<Ipv4Addr>,
    /// How it is given them.
    #[serde(default)]
    pub translation: Translation,
    /// Processors.
    pub cpus: u32,
    /// Memory.
    pub memory_bytes: u64,
    /// For example `Standard_D2s_v3`.
    pub vm_size: String,
    /// Zone number, `""` when not zonal.
    pub zone: String,
    /// Region.
    pub location: String,
    /// `osProfile.customData`, decoded.
    pub custom_data: Vec<u8>,
    /// The document of `/metadata/instance` (`{"compute":…,"network":…}`); `null`: made from the fields here.
    pub imds: serde_json::Value,
    /// Reimage = +1: a new root, a new boot.
    pub generation: u64,
    /// On or off.
    pub power: Power,
}

/// Whether a machine shall run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Power {
    /// It runs.
    On,
    /// It is stopped, its disk kept.
    Off,
}
