//! Addresses and ports of services: each is given once.
//!
//! What is taken is read from the services themselves, and from the `IPAddress` objects of others, so nothing can leak. Addresses come
//! from the cluster's range and from those that `ServiceCIDR` objects add. Writes that allocate are one at a time: the guard is held
//! until the write is in the cache, and of several servers over one store one succeeds: each such write changes [`TURN`], which it
//! compares with what it was when the services were read.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::Ipv4Net;
use serde_json::Value;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::registry::object;
use crate::watch::{Filter, Hub};

/// Ports for services of type NodePort and LoadBalancer, as upstream's default.
pub const NODE_PORTS: std::ops::RangeInclusive<u16> = 30000..=32767;

/// A key of the store that every write which allocates changes. It is no object: no cache holds it.
pub const TURN: &str = "/allocations/services";

/// Hands out addresses and ports.
pub struct Allocator {
    cidr: Ipv4Net,
    lock: Arc<Mutex<()>>,
}

/// What is taken while a service is written.
pub struct Allocation {
    ranges: Vec<Ipv4Net>,
    addresses: HashSet<Ipv4Addr>,
    ports: HashSet<u16>,
    /// The revision of [`TURN`] when the services were read.
    turn: u64,
    _guard: OwnedMutexGuard<()>,
}

/// Why nothing could be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AllocationError {
    /// All are taken.
    #[error("range is full")]
    Full,
    /// This one is.
    #[error("provided {0} is already allocated")]
    Taken(&'static str),
    /// No range has this address.
    #[error("the provided network does not match the current range")]
    NoSuchRange,
    /// The port is not ours to give.
    #[error("provided port is not in the valid range. The range of valid ports is {0}")]
    OutOfRange(String),
}

impl Allocator {
    /// For services in `cidr`.
    pub fn new(cidr: Ipv4Net) -> Self {
        Self { cidr, lock: Arc::new(Mutex::new(())) }
    }

    /// Starts a write. `except` is the service that is written: what it has is free for it.
    pub async fn begin(&self, hub: &Hub, except: (&str, &str)) -> Allocation {
        let guard = self.lock.clone().lock_owned().await;
        // Before the services are read: whoever writes between the two makes this write lose.
        let turn = match hub.store().get(TURN).await {
            Ok((found, _)) => found.map_or(0, |kv| kv.mod_revision),
            Err(error) => {
                tracing::warn!(error = %kit::Chain(&error), "failed to ask whose turn it is to allocate");
                0
            }
        };
        // Behind, the cache would show what an earlier write took as free; conflicts are refused below anyway.
        if let Err(behind) = hub.fresh().await {
            tracing::warn!(%behind, "allocating with services that may be old");
        }
        let cache = hub.cache("core/services");
        let mut allocation = Allocation {
            ranges: vec![self.cidr],
            addresses: HashSet::new(),
            ports: HashSet::new(),
            turn,
            _guard: guard,
        };
        let (page, _) = cache.list(&Filter::default(), None, 0);
        for entry in page.entries {
            if (entry.namespace(), entry.name()) != except {
                allocation.take_all(&entry.value());
            }
        }
        let (page, _) = hub.cache("networking.k8s.io/ipaddresses").list(&Filter::default(), None, 0);
        for entry in page.entries {
            let value = entry.value();
            let parent = object::at(&value, &["spec", "parentRef"]);
            let of = (object::text(parent, &["namespace"]), object::text(parent, &["name"]));
            if of != except || object::text(parent, &["resource"]) != "services" {
                allocation.addresses.extend(entry.name().parse::<Ipv4Addr>().ok());
            }
        }
        let (page, _) = hub.cache("networking.k8s.io/servicecidrs").list(&Filter::default(), None, 0);
        for entry in page.entries {
            allocation.add_ranges(&entry.value());
        }
        allocation
    }
}

impl Allocation {
    /// What must hold of the store when the service is written, and what is written with it.
    pub fn guard(&self) -> (store::Compare, store::Op) {
        let key: Arc<str> = TURN.into();
        let compare = store::Compare { key: key.clone(), mod_revision: self.turn };
        (compare, store::Op::Put { key, value: Default::default(), lease: None })
    }

    /// A range that somebody has taken back, or that goes, gives nothing any more.
    fn add_ranges(&mut self, service_cidr: &Value) {
        let refused = object::items(service_cidr, &["status", "conditions"]).iter().any(|condition| {
            object::text(condition, &["type"]) == "Ready" && object::text(condition, &["status"]) != "True"
        });
        if refused || object::terminating(service_cidr) {
            return;
        }
        for range in object::items(service_cidr, &["spec", "cidrs"]) {
            let range = range.as_str().and_then(|text| text.parse::<Ipv4Net>().ok());
            if let Some(range) = range.filter(|range| !self.ranges.contains(range)) {
                self.ranges.push(range);
            }
        }
    }

    fn take_all(&mut self, service: &Value) {
        for address in object::items(service, &["spec", "clusterIPs"]) {
            self.addresses.extend(address.as_str().and_then(|text| text.parse::<Ipv4Addr>().ok()));
        }
        for port in object::items(service, &["spec", "ports"]) {
            self.ports.extend(port_of(object::at(port, &["nodePort"])));
        }
        self.ports.extend(port_of(object::at(service, &["spec", "healthCheckNodePort"])));
    }

    /// The address asked for.
    ///
    /// # Errors
    /// When it is taken or none of ours.
    pub fn address(&mut self, wanted: Ipv4Addr) -> Result<(), AllocationError> {
        let has = |range: &Ipv4Net| {
            range.contains(&wanted) && wanted != range.network() && wanted != range.broadcast()
        };
        if !self.ranges.iter().any(has) {
            return Err(AllocationError::NoSuchRange);
        }
        if !self.addresses.insert(wanted) {
            return Err(AllocationError::Taken("IP"));
        }
        Ok(())
    }

    /// A free address. The first sixteenth of the range is for those who ask for a certain one, until the
    /// rest is full.
    ///
    /// # Errors
    /// When all are taken.
    pub fn any_address(&mut self) -> Result<Ipv4Addr, AllocationError> {
        let free = self.ranges.iter().find_map(|range| self.free_in(range)).ok_or(AllocationError::Full)?;
        self.addresses.insert(free);
        Ok(free)
    }

    fn free_in(&self, range: &Ipv4Net) -> Option<Ipv4Addr> {
        let first = u32::from(range.network()) + 1;
        let last = u32::from(range.broadcast()).saturating_sub(1);
        let size = last.saturating_sub(first) + 1;
        let reserved = (size / 16).clamp(16.min(size), 256);
        let start = rand::random_range(reserved..=size.max(reserved + 1)) % size;
        (0..size)
            .map(|step| (start + step) % size)
            .filter(|at| *at >= reserved)
            .chain(0..reserved)
            .map(|at| Ipv4Addr::from(first + at))
            .find(|address| *address <= Ipv4Addr::from(last) && !self.addresses.contains(address))
    }

    /// The node port asked for.
    ///
    /// # Errors
    /// When it is taken or out of range.
    pub fn port(&mut self, wanted: u16) -> Result<(), AllocationError> {
        if !NODE_PORTS.contains(&wanted) {
            let range = format!("{}-{}", NODE_PORTS.start(), NODE_PORTS.end());
            return Err(AllocationError::OutOfRange(range));
        }
        if !self.ports.insert(wanted) {
            return Err(AllocationError::Taken("port"));
        }
        Ok(())
    }

    /// A free node port.
    ///
    /// # Errors
    /// When all are taken.
    pub fn any_port(&mut self) -> Result<u16, AllocationError> {
        let size = NODE_PORTS.end() - NODE_PORTS.start() + 1;
        let start = rand::random_range(0..size);
        let port = (0..size)
            .map(|step| NODE_PORTS.start() + (start + step) % size)
            .find(|port| !self.ports.contains(port))
            .ok_or(AllocationError::Full)?;
        self.ports.insert(port);
        Ok(port)
    }
}

fn port_of(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    async fn allocation(range: &str) -> Allocation {
        let guard = Arc::new(Mutex::new(())).lock_owned().await;
        let ranges = vec![range.parse().unwrap()];
        Allocation { ranges, addresses: HashSet::new(), ports: HashSet::new(), turn: 0, _guard: guard }
    }

    #[tokio::test]
    async fn a_second_range_is_used_when_the_first_is_full() {
        let mut allocation = allocation("10.0.0.0/30").await;
        let second = "10.1.0.0/30";
        let ready = |status: &str| json!({"spec": {"cidrs": [second, "fd00::/64"]}, "status": {"conditions": [{"type": "Ready", "status": status}]}});
        allocation.add_ranges(&ready("False"));
        assert_eq!(allocation.address("10.1.0.1".parse().unwrap()), Err(AllocationError::NoSuchRange));
        allocation.add_ranges(&ready("True"));
        let mut given: Vec<String> = (0..4).map(|_| allocation.any_address().unwrap().to_string()).collect();
        given.sort();
        assert_eq!(given, ["10.0.0.1", "10.0.0.2", "10.1.0.1", "10.1.0.2"]);
        assert_eq!(allocation.any_address(), Err(AllocationError::Full));
        assert_eq!(allocation.address("10.1.0.3".parse().unwrap()), Err(AllocationError::NoSuchRange));
    }

    #[tokio::test]
    async fn every_port_is_given_once() {
        let mut allocation = allocation("10.0.0.0/30").await;
        allocation.port(30080).unwrap();
        assert_eq!(allocation.port(30080), Err(AllocationError::Taken("port")));
        let text = allocation.port(29999).unwrap_err().to_string();
        assert_eq!(text, "provided port is not in the valid range. The range of valid ports is 30000-32767");
        let given: HashSet<u16> = (1..NODE_PORTS.len()).map(|_| allocation.any_port().unwrap()).collect();
        assert_eq!(given.len(), NODE_PORTS.len() - 1);
        assert_eq!(allocation.any_port(), Err(AllocationError::Full));
    }

    #[tokio::test]
    async fn every_address_of_a_small_range_is_given_once() {
        let mut allocation = allocation("10.0.0.0/27").await;
        allocation.address("10.0.0.10".parse().unwrap()).unwrap();
        assert_eq!(allocation.address("10.0.0.10".parse().unwrap()), Err(AllocationError::Taken("IP")));
        let mut given = HashSet::new();
        for _ in 0..29 {
            assert!(given.insert(allocation.any_address().unwrap()));
        }
        assert_eq!(allocation.any_address(), Err(AllocationError::Full));
    }
}
