//! Addresses and ports of services: each is given once.
//!
//! What is taken is read from the services themselves, so nothing can leak and nothing needs repair. Writes
//! that allocate are one at a time: the guard is held until the write is in the cache, and of several servers over one store
//! one succeeds: each such write changes [`TURN`], which it compares with what it was when the services were read.

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
    cidr: Ipv4Net,
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
    /// It is not ours to give.
    #[error("the provided {0} is not in the valid range. The range of valid {1} is {2}")]
    OutOfRange(&'static str, &'static str, String),
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
            cidr: self.cidr,
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
        if !self.cidr.contains(&wanted) || wanted == self.cidr.network() || wanted == self.cidr.broadcast() {
            return Err(AllocationError::OutOfRange("IP", "IPs", self.cidr.to_string()));
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
        let first = u32::from(self.cidr.network()) + 1;
        let last = u32::from(self.cidr.broadcast()).saturating_sub(1);
        let size = last.saturating_sub(first) + 1;
        let reserved = (size / 16).clamp(16.min(size), 256);
        let start = rand::random_range(reserved..=size.max(reserved + 1)) % size;
        let free = (0..size)
            .map(|step| (start + step) % size)
            .filter(|at| *at >= reserved)
            .chain(0..reserved)
            .map(|at| Ipv4Addr::from(first + at))
            .find(|address| *address <= Ipv4Addr::from(last) && !self.addresses.contains(address));
        let address = free.ok_or(AllocationError::Full)?;
        self.addresses.insert(address);
        Ok(address)
    }

    /// The node port asked for.
    ///
    /// # Errors
    /// When it is taken or out of range.
    pub fn port(&mut self, wanted: u16) -> Result<(), AllocationError> {
        if !NODE_PORTS.contains(&wanted) {
            let range = format!("{}-{}", NODE_PORTS.start(), NODE_PORTS.end());
            return Err(AllocationError::OutOfRange("port", "ports", range));
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

    #[tokio::test]
    async fn every_address_of_a_small_range_is_given_once() {
        let guard = Arc::new(Mutex::new(())).lock_owned().await;
        let cidr: Ipv4Net = "10.0.0.0/27".parse().unwrap();
        let mut allocation =
            Allocation { cidr, addresses: HashSet::new(), ports: HashSet::new(), turn: 0, _guard: guard };
        allocation.address("10.0.0.10".parse().unwrap()).unwrap();
        assert_eq!(allocation.address("10.0.0.10".parse().unwrap()), Err(AllocationError::Taken("IP")));
        let mut given = HashSet::new();
        for _ in 0..29 {
            assert!(given.insert(allocation.any_address().unwrap()));
        }
        assert_eq!(allocation.any_address(), Err(AllocationError::Full));
    }
}
