//! What the composing program decides for all clusters.

use std::path::PathBuf;
use std::time::Duration;

use crate::sizes::Sizes;

/// Where nodes pull images from in place of the internet.
#[derive(Debug, Clone)]
pub struct RegistryMirror {
    /// For example `https://lazurite.azurecr.io`.
    pub server: String,
    /// Certificate of its authority.
    pub ca_pem: String,
}

/// Settings of the container service.
#[derive(Debug, Clone)]
pub struct Settings {
    /// VM sizes on offer.
    pub sizes: Sizes,
    /// The image that holds every system pod, for example `lazurite.azurecr.io/lazurite:0.1.0`.
    pub system_image: String,
    /// The registry in front of everything, if there is one.
    pub registry_mirror: Option<RegistryMirror>,
    /// Whether machines have no processes of their own.
    pub simulated: bool,
    /// Where the journals of sagas are kept.
    pub journal_dir: PathBuf,
    /// How long nodes may take to get ready after their machines are up.
    pub nodes_ready_deadline: Duration,
}
