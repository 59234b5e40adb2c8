//! Finds a node for each pod.
//!
//! Reading order: [`core`] (what is known, what waits, what to do next; no I/O, time passed in),
//! [`cycle`] (one pod against the nodes), `plugins` (one rule each), [`preempt`] (who must go for whom), then
//! the driver, which feeds the core from informers and carries its decisions out.
//!
//! Counts of pods by topology are kept as pods come and go, so affinity and spreading cost a look-up per node
//! and not a walk over all pods. Of many nodes only a share is scored, as upstream's `percentageOfNodesToScore`.
//!
//! Not built: extenders, out-of-tree profiles, dynamic resource allocation, volume capacity and limits.

pub mod core;
pub mod cycle;
mod driver;
mod explain;
pub mod node;
mod plugins;
pub mod pod;
pub mod preempt;
mod queue;
mod resources;
mod terms;
mod volumes;

use std::sync::Arc;

/// Settings of the scheduler of one control plane.
#[derive(Clone)]
pub struct Config {
    /// The scheduler's name: pods that ask for another are left alone.
    pub name: String,
    /// Seed of the choices among equals.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { name: "default-scheduler".into(), seed: 0 }
    }
}

/// The running scheduler. Dropping it changes nothing; it ends with its tasks.
pub struct Scheduler {
    driver: Arc<driver::Driver>,
}

impl Scheduler {
    /// How many pods wait: ready to be tried, backing off, without a node that fits.
    pub fn waiting(&self) -> (usize, usize, usize) {
        self.driver.waiting()
    }
}

/// Starts scheduling with `client`'s identity until `tasks` ends.
pub fn start(client: kube::Client, config: Config, tasks: &kit::Tasks) -> Scheduler {
    Scheduler { driver: driver::start(client, config, tasks) }
}
