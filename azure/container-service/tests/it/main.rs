//! Managed clusters through the real front door, against a simulated fabric and fake control planes.

#![allow(clippy::unwrap_used, reason = "a test that fails here says so")]

mod access;
mod commands;
mod lifecycle;
mod refusals;
mod trusted_access;
mod upgrades;
mod world;
