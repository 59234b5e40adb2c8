//! Networks, scale sets and identities through the real front door, on a simulated fabric.

#![allow(clippy::unwrap_used, reason = "a test that fails here says so")]

mod az;
mod compute;
mod identity;
mod links;
mod monitor;
mod network;
mod paths;
mod registry;
mod storage;
mod world;
