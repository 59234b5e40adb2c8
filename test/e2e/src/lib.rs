//! A laboratory: Lazurite in a state directory of its own, driven by the real az and kubectl.
//!
//! Tests speak to it only as users do: through commands. What a laboratory brought onto the host it takes
//! off again, and [`host::left_behind`] says whether it did.

pub mod host;
pub mod image;
mod lab;
mod wait;

pub use lab::{Fabric, Lab, Output, installed, lazurite, skip, tool};
pub use wait::{wait_for, wait_for_ok};
