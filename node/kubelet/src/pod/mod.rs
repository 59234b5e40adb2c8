//! A pod's life on the node: what it says ([`spec`]), what the runtime has ([`view`]), what follows from both
//! ([`plan`]), and a worker per pod that does it.

pub mod backoff;
pub mod cgroup;
pub mod container;
pub mod create;
pub mod env;
pub mod expand;
pub mod hosts;
pub mod kill;
pub mod lifecycle;
pub mod manager;
pub mod plan;
pub mod quantity;
pub mod resources;
pub mod sandbox;
pub mod security;
pub mod service_env;
pub mod spec;
pub mod sync;
pub mod view;
pub mod worker;
