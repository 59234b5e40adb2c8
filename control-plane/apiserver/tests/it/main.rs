//! The whole API server in the process, over a store of its own, asked as its clients ask it.

#![allow(clippy::unwrap_used, reason = "a test that fails here says so")]

mod access;
mod addresses;
mod admission;
mod aggregation;
mod crud;
mod custom;
mod deletion;
mod discovery;
mod field_validation;
mod harness;
mod hostile;
mod kubectl;
mod lists;
#[allow(dead_code, reason = "the fuzz targets use all of it")]
#[path = "../../../../fuzz/src/lib.rs"]
mod made;
mod ownership;
mod patches;
mod policies;
mod quota;
mod stores;
mod strategy;
mod watches;
mod workloads;
