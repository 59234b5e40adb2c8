//! Managed clusters through the real front door, against a simulated fabric and fake control planes.

mod lifecycle;
mod refusals;
mod world;
