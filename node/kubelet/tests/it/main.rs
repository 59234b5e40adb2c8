//! A whole kubelet against an API in memory: with the simulated runtime, and with a real containerd of the
//! test's own when the test is root.

mod api;
mod containerd;
mod harness;
mod real;
mod simulated;
