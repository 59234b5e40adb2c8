//! Vaults through the real front door, and their contents through the data plane.

#![allow(clippy::unwrap_used, reason = "a test that fails here says so")]

mod access;
mod certificates;
mod keys;
mod secrets;
mod vaults;
mod world;
