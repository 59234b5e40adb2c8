//! A module per resource provider: network, compute, managed identity, container registry, monitoring, storage.
//!
//! Each module gives an [`arm::Provider`]: types that check, fill in what Azure fills in, and store. None of them
//! touches a host: [`fabric_driver`] turns what is stored into one wish for the fabric and brings back what the
//! machines say. No provider knows Kubernetes.
//!
//! Reading order: [`network`], [`compute`], [`fabric_driver`], [`managed_identity`].

pub mod addresses;
pub mod compute;
pub mod fabric_driver;
#[cfg(feature = "fake")]
pub mod fake;
pub mod managed_identity;
pub mod monitor;
pub mod network;
pub mod registry;
mod secrets;
pub mod storage;

use arm::json;
