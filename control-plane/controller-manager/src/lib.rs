//! The control loops: from deployments to garbage collection.
//!
//! Each loop is a folder or file of its own with a pure part (arithmetic, decisions, differences) and a
//! part that reads caches and writes through the API. [`CONTROLLERS`](table) lists them as upstream's
//! descriptors do. All loops of a control plane share one informer per kind. No loop ever changes a cached
//! object, trusts a hint instead of reading, or polls.
//!
//! Not built: horizontal pod autoscaling, volume binding, attachment and expansion, replication controllers,
//! node IPAM and routes (Azure CNI overlay gives nodes their ranges), service-account tokens in Secrets
//! (legacy), the bootstrap signer, garbage collection of leases, ephemeral claims, storage version migration, resource claims.

mod account;
mod certificates;
mod config;
mod context;
mod discover;
mod disruption;
mod endpoints;
mod gc;
mod namespace;
mod node;
mod protection;
mod quota;
mod roles;
mod table;
mod tokens;
mod workload;

use std::sync::Arc;

pub use config::{ClientFor, Config};
pub use informers::LoopStatus;

use context::Context;

/// The running loops of one control plane. Dropping it changes nothing; they end with their tasks.
pub struct ControllerManager {
    loops: informers::Loops,
}

/// The service accounts that loops speak as, all in `kube-system`: upstream's names, which are not always the loops' own.
pub const SERVICE_ACCOUNTS: [&str; 24] = [
    "certificate-controller",
    "clusterrole-aggregation-controller",
    "cronjob-controller",
    "daemon-set-controller",
    "deployment-controller",
    "disruption-controller",
    "endpoint-controller",
    "endpointslice-controller",
    "endpointslicemirroring-controller",
    "generic-garbage-collector",
    "job-controller",
    "namespace-controller",
    "node-controller",
    "pod-garbage-collector",
    "pv-protection-controller",
    "pvc-protection-controller",
    "replicaset-controller",
    "resourcequota-controller",
    "root-ca-cert-publisher",
    "service-account-controller",
    "statefulset-controller",
    "token-cleaner",
    "ttl-after-finished-controller",
    "volumeattributesclass-protection-controller",
];

impl ControllerManager {
    /// What each loop has done so far.
    pub fn status(&self) -> Vec<LoopStatus> {
        self.loops.status()
    }
}

/// Starts all loops. They speak as `client`'s user, or, where [`Config::client_for`] is set, each with
/// the client it gives for the loop's name.
///
/// # Panics
/// If two loops have one name: a mistake in [`table`] that every start shows.
pub fn start(client: kube::Client, config: Config, tasks: &kit::Tasks) -> ControllerManager {
    let context = Context::new(client, Arc::new(config), tasks);
    table::start_all(&context);
    ControllerManager { loops: context.loops.clone() }
}
