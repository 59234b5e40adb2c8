//! The whole API server in the process, over a store of its own, asked as its clients ask it.

#![allow(clippy::unwrap_used, reason = "a test that fails here says so")]

mod aggregation;
mod crud;
mod custom;
mod deletion;
mod discovery;
mod harness;
mod kubectl;
mod lists;
mod patches;
mod policies;
mod quota;
mod watches;
mod workloads;
