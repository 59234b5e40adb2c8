//! The loops against the real API server in the process, with a stand-in for the kubelet.

mod garbage;
mod harness;
mod nodes;
mod rollout;
mod workloads;
