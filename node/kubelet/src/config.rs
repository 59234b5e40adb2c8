//! What a kubelet must be told. Read once, at [`start`](crate::start).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Taint;

use crate::runtime::Runtime;

/// Everything a kubelet must be told; there are no defaults for a node's identity.
pub struct Config {
    /// The Node object's name.
    pub node_name: String,
    /// The address reported as `InternalIP`.
    pub node_address: IpAddr,
    /// The address reported as `Hostname`.
    pub hostname: String,
    /// `spec.providerID`, when the caller and not a cloud controller knows it.
    pub provider_id: Option<String>,
    /// Labels to register with, beside `kubernetes.io/{hostname,os,arch}`.
    pub labels: BTreeMap<String, String>,
    /// Taints to register with. Only a new Node gets them.
    pub taints: Vec<Taint>,
    /// How many pods the node takes.
    pub max_pods: u32,
    /// A client that speaks as `system:node:<node_name>`.
    pub client: kube::Client,
    /// The version shown, without the `v`: `1.35.6`.
    pub kubernetes_version: String,
    /// The serving certificate for the HTTPS port (its default entry); may be changed while running.
    pub serving: kit::tls::Certificates,
    /// Callers must show a certificate of this authority.
    pub client_ca_pem: String,
    /// Who runs the containers.
    pub runtime: Arc<dyn Runtime>,
    /// `/var/lib/kubelet`: pods' volumes, hosts files, termination logs.
    pub root_dir: PathBuf,
    /// `/var/log/pods`.
    pub pod_log_dir: PathBuf,
    /// Name servers of pods with `dnsPolicy: ClusterFirst`.
    pub cluster_dns: Vec<IpAddr>,
    /// `cluster.local`.
    pub cluster_domain: String,
    /// Where the HTTPS server listens, normally `0.0.0.0:10250`.
    pub listen: SocketAddr,
    /// The machine's processors.
    pub cpus: u32,
    /// The machine's memory.
    pub memory_bytes: u64,
    /// The machine's disk for images and pods.
    pub ephemeral_storage_bytes: u64,
    /// `Ubuntu 22.04.5 LTS`.
    pub os_image: String,
    /// Where cgroups are mounted (`/sys/fs/cgroup`); `None` leaves pod cgroups to the runtime.
    pub cgroup_root: Option<PathBuf>,
    /// Where "now" comes from.
    pub clock: Arc<dyn kit::Clock>,
    /// Asked for registry credentials when a pod brings none (on AKS: the kubelet identity).
    pub credentials: Option<Arc<dyn ImageCredentials>>,
}

/// A registry user.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// User name.
    pub username: String,
    /// Password or token.
    pub password: String,
}

/// Gives the node's own credentials for an image, as an image credential provider does.
#[async_trait]
pub trait ImageCredentials: Send + Sync + 'static {
    /// The user to pull `image` as; `None` pulls anonymously.
    async fn credentials(&self, image: &str) -> Option<Credentials>;
}

/// Why a kubelet did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The runtime does not answer.
    #[error("failed to reach the container runtime")]
    Runtime(#[source] crate::runtime::RuntimeError),
    /// A directory could not be made.
    #[error("failed to prepare the kubelet's directories")]
    Directory(#[from] kit::files::FileError),
    /// The HTTPS port could not be opened.
    #[error("failed to listen on `{address}`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// TLS could not be set up.
    #[error("failed to set up the HTTPS server")]
    Tls(#[from] kit::tls::TlsError),
    /// The client authority cannot be used.
    #[error("failed to use the client authority: {0}")]
    ClientAuthority(String),
}
