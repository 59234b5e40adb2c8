//! Composes the parts' fakes into whole stacks for tests.
//!
//! [`Stack::start`] is a cloud in one process, without root and without any other program: the front door
//! on a port of its own, the directory, the providers and the container service are the real ones; the
//! fabric is simulated, its machines only register as nodes, and each cluster's control plane is a real API
//! server over a store in memory. The stack's time is the test's ([`Stack::clock`]).
//!
//! Does not: run controllers, a scheduler or kubelets (the program's own tests do), keep anything after it
//! is dropped, listen anywhere but on loopback.

mod machines;
mod planes;
mod stack;

pub use planes::Planes;
pub use stack::{Answer, Somebody, Stack};
