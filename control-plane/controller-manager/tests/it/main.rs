//! The loops against the real API server in the process, with a stand-in for the kubelet.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod failover;
mod garbage;
mod harness;
mod nodes;
mod quota;
mod rollout;
mod workloads;
