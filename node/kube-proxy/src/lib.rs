//! Services as nftables rules, one transaction per sync.
//!
//! ```text
//! watch Services, EndpointSlices ─▶ model (what each address:port leads to) ─▶ rules (one nft script) ─▶ nft -f -
//! ```
//!
//! Guarantees: the rules in the kernel are always those of one moment (a sync replaces its table in one
//! transaction or changes nothing); a change is in the kernel within [`SETTLE`] plus the transaction.
//! Does not: touch any table but its own, route between nodes, or speak IPv6.

mod health;
pub mod model;
pub mod rules;
mod sync;

use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::Ipv4Net;

pub use sync::start;

/// How long changes are gathered before a sync: a rollout's burst becomes one transaction.
pub const SETTLE: Duration = Duration::from_millis(20);

/// The name of the nftables table, family `ip`.
pub const TABLE: &str = "kube-proxy";

/// What a proxy knows of its node.
#[derive(Debug, Clone)]
pub struct Config {
    /// The node's name, to know which endpoints are local.
    pub node_name: String,
    /// The node's address, where node ports answer.
    pub node_address: Ipv4Addr,
    /// Pods' addresses: traffic from outside of it to a cluster address is masqueraded.
    pub pod_cidr: Ipv4Net,
    /// Where `/healthz` answers for load balancers (AKS: port 10256). `None`: nowhere.
    pub health: Option<std::net::SocketAddr>,
}
