//! Networks, scale sets and identities through the real front door, on a simulated fabric.

mod compute;
mod network;
mod world;
