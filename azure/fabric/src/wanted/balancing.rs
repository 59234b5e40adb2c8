//! Load balancers, as the fabric runs them.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::Protocol;
use crate::ids::{MachineId, NetworkId};

/// A load balancer's frontend.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Balancer {
    /// Its address: public (on the internet) or private (in `network`).
    pub frontend: Ipv4Addr,
    /// The network of a private address; `None`: the address is on the internet.
    #[serde(default)]
    pub network: Option<NetworkId>,
    /// Source address that backends see instead of the client's (a private-link service).
    #[serde(default)]
    pub source: Option<Ipv4Addr>,
    /// Its rules.
    pub rules: Vec<BalancerRule>,
}

/// One load-balancing rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BalancerRule {
    /// Name.
    pub name: String,
    /// TCP or UDP; any: both, on all ports.
    pub protocol: Protocol,
    /// Port at the frontend; 0: every port.
    pub frontend_port: u16,
    /// Port at the backend; without meaning when `floating_ip` or for every port.
    pub backend_port: u16,
    /// What a client's connections have in common.
    #[serde(default)]
    pub distribution: Distribution,
    /// The packet reaches the machine with the frontend's address and port as destination.
    pub floating_ip: bool,
    /// Who serves.
    pub backends: Vec<MachineId>,
    /// Health probe; `None`: backends are always taken as healthy.
    pub probe: Option<Probe>,
    /// With no healthy backend all are asked instead of none (`noHealthyBackendsBehavior` `AllProbedUp`).
    #[serde(default)]
    pub all_when_none: bool,
    /// What becomes of connections on which nothing is said.
    #[serde(default)]
    pub idle: Idle,
}

/// What becomes of a connection on which nothing is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Idle {
    /// Seconds after which it is forgotten; 0: when the kernel thinks so.
    pub after_s: u32,
    /// Who still speaks on it then is told by a TCP reset; else its packets are dropped.
    pub reset: bool,
}

/// Which connections go to the same backend.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Distribution {
    /// Each connection for itself.
    #[default]
    Connection,
    /// All of one client address (`SourceIP`).
    Client,
    /// All of one client address and protocol (`SourceIPProtocol`).
    ClientAndProtocol,
}

/// A health probe, sent from 168.63.129.16.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ProbeProtocol {
    /// A connection is enough.
    Tcp,
    /// `GET path` must answer 200.
    Http {
        /// The path.
        path: String,
    },
    /// The same over TLS; whose certificate it is, is not asked.
    Https {
        /// The path.
        path: String,
    },
}
