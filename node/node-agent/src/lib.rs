//! A machine's first program on a node: boot steps with exit codes, containerd, TLS bootstrap, tunnel, kubelet,
//! kube-proxy.
//!
//! ```text
//!   pid 1 (init) ── reaps, hands on signals ──▶ agent
//!      agent: facts ▶ network ▶ containerd + images ┐
//!             outbound (50) ▶ DNS (52) ▶ API (51) ▶ certificate ┴▶ kubelet ▶ kube-proxy ▶ tunnel ▶ booted
//! ```
//!
//! Guarantees: every step's time is on the serial log; a failure ends with the exit code AKS gives it; containers
//! live on when the agent is restarted; keys are in files only root reads. Does not: know how the machine was
//! made, or any cloud but the metadata address.
//!
//! Reading order: [`document`], `boot`, `join`, then the rest. [`simulated`] is the same join without a machine.

mod acr;
mod api;
mod boot;
mod checks;
mod cloud_config;
mod containerd;
pub mod document;
mod error;
mod images;
mod init;
mod join;
mod keys;
mod network;
mod report;
pub mod simulated;
mod tunnel;

pub use boot::boot;
pub use error::{BootError, ExitCodes};
pub use init::main;
