//! Rules of security groups, as the fabric enforces them.

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

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
    /// Encapsulated payload of IPsec.
    Esp,
    /// Authentication header of IPsec.
    Ah,
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
    /// Service tag: the ranges of a service.
    Service {
        /// The tag as it was written.
        tag: String,
        /// What it stands for.
        prefixes: Vec<Ipv4Net>,
    },
    /// Service tag of what every machine has from the platform. Only rules with this tag are about it, whatever others
    /// say about its address.
    Platform(Platform),
}

/// What every machine has from the platform and may be kept from by its tag only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Platform {
    /// `AzurePlatformDNS`: names at 168.63.129.16, port 53. What else answers there (wire server) no rule stops.
    Names,
    /// `AzurePlatformIMDS`: 169.254.169.254.
    Metadata,
}

/// Ports `first..=last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortRange {
    /// First port.
    pub first: u16,
    /// Last port, included.
    pub last: u16,
}
