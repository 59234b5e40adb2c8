//! `Microsoft.Compute`: scale sets and their instances, sizes, disks.
//!
//! An instance is a resource of its own below its scale set. What the fabric must know of it (address, image
//! generation, power) is kept in its properties under a private member that is never shown. The fabric's answer
//! comes back through [`fabric_driver`](crate::fabric_driver) into the same place, and requests wait for it by
//! notification.

pub mod calls;
pub mod disks;
pub mod extension;
mod images;
pub mod instances;
pub mod interfaces;
mod model;
mod quota;
mod run_command;
pub mod scale_sets;
pub mod sizes;
pub mod virtual_machines;
mod wait;

use std::sync::Arc;

use arm::{ArmError, Provider, ResourceId};
use fabric::Fabric;
use ipnet::Ipv4Net;

/// Listed api-versions; others are accepted.
pub(crate) const API_VERSIONS: &[&str] = &[
    "2026-04-01",
    "2025-04-01",
    "2025-01-02",
    "2024-11-01",
    "2024-07-01",
    "2024-03-01",
    "2023-09-01",
    "2019-04-01",
];

/// The provider with all its types, over the fabric that has its machines.
pub fn provider(fabric: Arc<dyn Fabric>) -> Provider {
    let sets = Arc::new(scale_sets::ScaleSets::new(fabric.machines()));
    Provider::new("Microsoft.Compute")
        .with(virtual_machines::VirtualMachines::new(sets.clone(), fabric))
        .with_arc(sets)
        .with(interfaces::Interfaces)
        .with(disks::Disks)
        .with_calls(calls::Calls)
}

/// `SubnetIsFull`.
pub(crate) fn subnet_is_full(subnet: &ResourceId, prefix: Ipv4Net) -> ArmError {
    ArmError::bad_request(
        "SubnetIsFull",
        format!(
            "Subnet {} with address prefix {prefix} does not have enough capacity for IP addresses.",
            subnet.name()
        ),
    )
}
