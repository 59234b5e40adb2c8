//! Who may connect to clusters' API servers: `apiServerAccessProfile.authorizedIPRanges`, judged by the peer's address.
//!
//! A client is judged before TLS answers it, and again whenever a cluster's ranges change. Programs of this host come from
//! loopback; they count as the one public address that this host has for its clusters, [`HOST_ADDRESS`]. Why, and what
//! else was thought of: `docs/decisions/0016-authorised-ranges.md`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use container_service::ControlPlaneSpec;
use ipnet::Ipv4Net;
use kit::serve::Gate;
use parking_lot::RwLock;
use tokio::sync::watch;

/// What programs of this host are to a cluster's API server.
pub(crate) const HOST_ADDRESS: Ipv4Addr = Ipv4Addr::new(20, 0, 0, 1);

/// Counts changes of what any API server lets in.
pub(crate) type Changes = watch::Sender<u64>;

#[derive(Debug, PartialEq, Eq)]
struct Admitted {
    ranges: Vec<Ipv4Net>,
    nodes: Vec<Ipv4Addr>,
}

impl Admitted {
    fn of(spec: &ControlPlaneSpec) -> Self {
        Self { ranges: spec.authorized_ranges.clone(), nodes: spec.outbound_addresses.clone() }
    }

    fn admits(&self, address: Ipv4Addr) -> bool {
        self.ranges.is_empty()
            || self.nodes.contains(&address)
            || self.ranges.iter().any(|range| range.contains(&address))
    }
}

/// The door of one API server.
#[derive(Clone)]
pub(crate) struct Door {
    admitted: Arc<RwLock<Admitted>>,
    changes: Changes,
}

impl Door {
    pub(super) fn new(spec: &ControlPlaneSpec, changes: &Changes) -> Self {
        Self { admitted: Arc::new(RwLock::new(Admitted::of(spec))), changes: changes.clone() }
    }

    /// Whether it already lets in who `spec` says.
    pub(super) fn is_as(&self, spec: &ControlPlaneSpec) -> bool {
        *self.admitted.read() == Admitted::of(spec)
    }

    /// From now on lets in who `spec` says.
    pub(super) fn admit(&self, spec: &ControlPlaneSpec) {
        *self.admitted.write() = Admitted::of(spec);
        self.changes.send_modify(|count| *count += 1);
    }

    pub(super) fn admits(&self, peer: SocketAddr) -> bool {
        match peer.ip().to_canonical() {
            address if address.is_loopback() => self.admitted.read().admits(HOST_ADDRESS),
            IpAddr::V4(address) => self.admitted.read().admits(address),
            // Ranges are of IPv4 only, so only an open door lets others in.
            IpAddr::V6(_) => self.admitted.read().ranges.is_empty(),
        }
    }
}

impl Gate for Door {
    fn admits(&self, peer: SocketAddr, _: Option<&str>) -> bool {
        Door::admits(self, peer)
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
