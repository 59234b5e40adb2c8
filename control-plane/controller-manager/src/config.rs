//! What the loops are told at their start.

use std::sync::Arc;

/// Gives the client of a loop by the loop's service-account name (`deployment-controller`, …).
pub type ClientFor = Arc<dyn Fn(&str) -> kube::Client + Send + Sync>;

/// Settings of the loops of one control plane.
#[derive(Clone)]
pub struct Config {
    /// Signs certificate requests; its certificate is what `kube-root-ca.crt` publishes.
    pub authority: kit::pki::Authority,
    /// A client per loop, speaking as `system:serviceaccount:kube-system:<name>` as upstream's does with
    /// `--use-service-account-credentials`; `None`: all loops speak as the client given to `start`.
    pub client_for: Option<ClientFor>,
    /// Where "now" comes from.
    pub clock: Arc<dyn kit::Clock>,
    /// How long a node may be silent before it is `Unknown`.
    pub node_grace: std::time::Duration,
    /// How many terminated pods are kept.
    pub terminated_pods_max: usize,
}

impl Config {
    /// Upstream's defaults.
    pub fn new(authority: kit::pki::Authority) -> Self {
        Self {
            authority,
            client_for: None,
            clock: Arc::new(kit::SystemClock),
            node_grace: std::time::Duration::from_secs(40),
            terminated_pods_max: 12500,
        }
    }
}
