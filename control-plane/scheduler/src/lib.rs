//! Finds a node for each pod.

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

/// Starts scheduling with `client`'s identity until `tasks` ends.
pub fn start(_client: kube::Client, _config: Config, _tasks: &kit::Tasks) {}
