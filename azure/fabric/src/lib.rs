//! Wishes for networks and machines, planned as values and made true on a host or in simulation.
//!
//! ```text
//!   Wanted ──plan(wanted, seen)──▶ FabricPlan ──check──▶ execute ──▶ namespaces, nftables, machines
//! ```
//!
//! Guarantees: the executor chooses nothing (a plan is complete and printable); networks and machines outlive
//! the process that made them and are adopted on open; nothing is added to the host's own network namespace.
//! Does not: know ARM, clusters or Kubernetes; hold credentials (tokens come through [`ImdsTokens`]).
//!
//! Reading order: [`wanted`] (the wish), [`fabric`] (the trait), [`plan`], then [`linux`] and [`simulated`].

pub mod dns;
pub mod fabric;
pub mod ids;
pub mod imds;
pub mod linux;
pub mod names;
pub mod plan;
pub mod script;
pub mod simulated;
pub mod state;
pub mod wanted;

pub use fabric::{Fabric, FabricError, FabricKind, Place, Report};
pub use ids::{MachineId, NetworkId};
pub use imds::{ImdsTokenError, ImdsTokenRequest, ImdsTokens};
pub use linux::{LinuxConfig, LinuxFabric};
pub use script::{Script, ScriptEnd};
pub use simulated::{Booted, MachineFiles, MachineStarter, SimulatedFabric};
pub use state::{MachineState, Machines};
pub use wanted::{
    Access, Balancer, BalancerRule, Direction, Distribution, Endpoint, Idle, Machine, NameData, NameRecord,
    Network, NextHop, Peer, Peering, Platform, PortRange, Power, Probe, ProbeProtocol, Protocol, Route,
    SecurityRule, Subnet, Translation, Wanted, Zone,
};
