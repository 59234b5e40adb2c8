//! Routes of users, peerings, and where packets leave.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::{Idle, PortRange};
use crate::ids::NetworkId;

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

/// How packets get the source addresses that they leave with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Translation {
    /// Source ports that may be used of each address; `None`: all from 1024. One whose last port lies before its first
    /// has none.
    #[serde(default)]
    pub ports: Option<PortRange>,
    /// What becomes of connections on which nothing is said.
    #[serde(default)]
    pub idle: Idle,
}

/// A network that this one is peered with; the other one holds the mirror image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peering {
    /// Name.
    pub name: String,
    /// The other network.
    pub network: NetworkId,
    /// Its address space, as it was when the peering was last synchronised.
    pub prefixes: Vec<Ipv4Net>,
    /// Whether packets pass between the two (`allowVirtualNetworkAccess`).
    pub access: bool,
    /// Whether the other network may send what did not begin in it (`allowForwardedTraffic`).
    pub forwarded: bool,
}

/// A private endpoint: an address of a subnet that leads to a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Name.
    pub name: String,
    /// Its address in the network.
    pub address: Ipv4Addr,
    /// Where packets to it go, on the internet's side.
    pub target: Ipv4Addr,
    /// The group of its subnet judges what is sent to it (`privateEndpointNetworkPolicies`).
    #[serde(default)]
    pub guarded: bool,
    /// Routes of users may lead past it (the same policies): the endpoint's own route gives way to one for a part of the
    /// network's space.
    #[serde(default)]
    pub routed: bool,
}
