//! The loops that tie nodes and services to the cloud, as the cluster's identity.
//!
//! The cloud is asked as anyone asks it: REST to Azure Resource Manager with a bearer token. What the
//! identity may not do fails here with the cloud's own words, in an event at the object it was for.
//!
//! [`node`](crate::node): new nodes get their provider id, addresses and labels; nodes whose instance is gone
//! go; nodes whose instance is switched off are tainted. [`services`](crate::services): services of type
//! `LoadBalancer` get a frontend, rules, probes and security rules.
//!
//! Not built: routes (Azure CNI overlay routes by itself), IPv6, private link services, several load balancers.

mod arm;
mod config;
mod instances;
mod node;
mod services;

pub use config::{Config, TokenError, TokenSource};
pub use informers::LoopStatus;

use std::sync::Arc;

use informers::{Informers, Loops};

/// The running loops of one cluster. Dropping it changes nothing; they end with their tasks.
pub struct CloudControllerManager {
    loops: Loops,
}

impl CloudControllerManager {
    /// What each loop has done so far.
    pub fn status(&self) -> Vec<LoopStatus> {
        self.loops.status()
    }
}

/// Starts the loops until `tasks` ends.
pub fn start(client: kube::Client, config: Config, tasks: &kit::Tasks) -> CloudControllerManager {
    let config = Arc::new(config);
    let arm = arm::Arm::new(config.clone());
    let informers = Informers::new(client.clone(), tasks.clone());
    let loops = Loops::new(tasks.clone());
    node::start(&client, &arm, &informers, &loops);
    services::start(&client, &arm, &informers, &loops);
    CloudControllerManager { loops }
}
