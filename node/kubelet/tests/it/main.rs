//! A whole kubelet against an API in memory: with the simulated runtime, and with a real containerd of the
//! test's own when the test is root.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod api;
mod containerd;
mod harness;
mod real;
mod simulated;
