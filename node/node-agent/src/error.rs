//! How a boot fails, with the exit codes of AKS.

use std::path::PathBuf;

/// Exit codes of a boot, as AKS's node bootstrapper gives them.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCodes {
    /// The machine was told to stop and did.
    Stopped = 0,
    /// containerd did not start.
    Containerd = 28,
    /// The kubelet did not start or got no certificate.
    Kubelet = 34,
    /// An image could not be imported.
    Image = 35,
    /// The network of pods could not be set up.
    Network = 41,
    /// Nothing outside is reachable.
    Outbound = 50,
    /// The API server does not take connections.
    ApiServer = 51,
    /// The API server's name has no address.
    ApiServerName = 52,
    /// The machine was not told what it needs.
    NotReady = 100,
}

/// Why a boot failed.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// A file of the machine is missing or not as agreed.
    #[error("failed to read `{}`", path.display())]
    Document {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: Cause,
    },
    /// The container runtime.
    #[error("failed to start containerd")]
    Containerd(#[source] Cause),
    /// An image.
    #[error("failed to import `{}`", path.display())]
    Image {
        /// The archive.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: Cause,
    },
    /// The network of pods.
    #[error("failed to set up the network of pods")]
    Network(#[source] Cause),
    /// No way out.
    #[error("agents are unable to establish outbound connection to `{endpoint}`")]
    Outbound {
        /// What was tried.
        endpoint: String,
        /// What went wrong last.
        #[source]
        source: Cause,
    },
    /// No API server.
    #[error("agents are unable to establish connection to Kubernetes API server `{fqdn}`")]
    ApiServer {
        /// The server.
        fqdn: String,
        /// What went wrong last.
        #[source]
        source: Cause,
    },
    /// No name.
    #[error("agents are unable to resolve Kubernetes API server name `{fqdn}`")]
    ApiServerName {
        /// The name.
        fqdn: String,
        /// What went wrong last.
        #[source]
        source: Cause,
    },
    /// No certificate.
    #[error("failed to get the node's certificate")]
    Certificate(#[source] Cause),
    /// No kubelet.
    #[error("failed to start the kubelet")]
    Kubelet(#[source] Cause),
}

/// Any cause.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

impl BootError {
    /// The exit code of the boot.
    pub fn exit_code(&self) -> ExitCodes {
        match self {
            BootError::Document { .. } => ExitCodes::NotReady,
            BootError::Containerd(_) => ExitCodes::Containerd,
            BootError::Image { .. } => ExitCodes::Image,
            BootError::Network(_) => ExitCodes::Network,
            BootError::Outbound { .. } => ExitCodes::Outbound,
            BootError::ApiServer { .. } => ExitCodes::ApiServer,
            BootError::ApiServerName { .. } => ExitCodes::ApiServerName,
            BootError::Certificate(_) | BootError::Kubelet(_) => ExitCodes::Kubelet,
        }
    }
}
