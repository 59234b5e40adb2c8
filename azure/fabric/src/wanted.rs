//! What is wanted: networks, machines, balancers and names, as one value with a generation.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::ids::{MachineId, NetworkId};

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
    /// Source address on the internet; `None`: the router's own transit address.
    pub outbound: Option<Ipv4Addr>,
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

/// One rule of a network security group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityRule {
    /// Name.
    pub name: String,
    /// 100 to 4096 for users, 65000 and above for the defaults; lower goes first.
    pub priority: u16,
    /// Into or out of the interface.
    pub direction: Direction,
    /// What happens on a match.
    pub access: Access,
    /// Which protocol.
    pub protocol: Protocol,
    /// Sources; a match of any.
    pub sources: Vec<Peer>,
    /// Source ports; empty means any.
    pub source_ports: Vec<PortRange>,
    /// Destinations; a match of any.
    pub destinations: Vec<Peer>,
    /// Destination ports; empty means any.
    pub destination_ports: Vec<PortRange>,
}

/// Direction of a rule, seen from the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    /// Towards the machine.
    Inbound,
    /// From the machine.
    Outbound,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// Let it pass.
    Allow,
    /// Drop it.
    Deny,
}

/// Protocol of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// `*`
    Any,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP.
    Icmp,
}

/// One side of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Peer {
    /// `*`
    Any,
    /// An address range.
    Prefix(Ipv4Net),
    /// Service tag: the address space of the network and what is routed to its machines.
    VirtualNetwork,
    /// Service tag: health probes, 168.63.129.16.
    AzureLoadBalancer,
    /// Service tag: everything outside the virtual network.
    Internet,
}

/// Ports `first..=last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRange {
    /// First port.
    pub first: u16,
    /// Last port, included.
    pub last: u16,
}

/// A user-defined route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Name.
    pub name: String,
    /// Destination.
    pub prefix: Ipv4Net,
    /// Where to.
    pub next_hop: NextHop,
}

/// The next hop of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NextHop {
    /// A machine's address in the network.
    VirtualAppliance(Ipv4Addr),
    /// Out to the internet.
    Internet,
    /// Within the network, as without a route.
    VnetLocal,
    /// Dropped.
    None,
}

/// A load balancer's frontend.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Balancer {
    /// Its address: public (on the internet) or private (in the backends' network).
    pub frontend: Ipv4Addr,
    /// Its rules.
    pub rules: Vec<BalancerRule>,
}

/// One load-balancing rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BalancerRule {
    /// Name.
    pub name: String,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Port at the frontend.
    pub frontend_port: u16,
    /// Port at the backend; without meaning when `floating_ip`.
    pub backend_port: u16,
    /// The packet reaches the machine with the frontend's address and port as destination.
    pub floating_ip: bool,
    /// Who serves.
    pub backends: Vec<MachineId>,
    /// Health probe; `None`: backends are always taken as healthy.
    pub probe: Option<Probe>,
}

/// A health probe, sent from 168.63.129.16.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// How it asks.
    pub protocol: ProbeProtocol,
    /// Port asked at each backend.
    pub port: u16,
    /// Seconds between two probes.
    pub interval_s: u32,
    /// Answers in a row that change a backend's health.
    pub threshold: u32,
}

/// How a probe asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeProtocol {
    /// A connection is enough.
    Tcp,
    /// `GET path` must answer 200.
    Http {
        /// The path.
        path: String,
    },
}
