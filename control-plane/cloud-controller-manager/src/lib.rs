//! The loops that tie nodes, services and routes to the cloud, as the cluster's identity.

mod config;

pub use config::{Config, TokenError, TokenSource};

/// Starts the loops until `tasks` ends.
pub fn start(_client: kube::Client, _config: Config, _tasks: &kit::Tasks) {}
