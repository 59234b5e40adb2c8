//! What the kubelet needs from whoever runs containers: the verbs of CRI, with CRI's own messages.
//!
//! [`cri`] speaks to containerd, [`simulated`] runs nothing and says so. A test brings its own.

pub mod cri;
mod events;
pub mod simulated;

use async_trait::async_trait;
use futures::stream::BoxStream;
use k8s_cri::v1 as cri_v1;

pub use cri_v1::{
    AttachRequest, AuthConfig, Container, ContainerConfig, ContainerState, ContainerStats, ContainerStatus,
    ExecRequest, ExecSyncResponse, FilesystemUsage, Image, PodSandbox, PodSandboxConfig, PodSandboxState,
    PodSandboxStatus, PortForwardRequest, VersionResponse,
};

/// A failed call to the runtime. Its text is the one users know from events.
#[derive(Debug, Clone, thiserror::Error)]
#[error("rpc error: code = {code:?} desc = {message}")]
pub struct RuntimeError {
    /// gRPC's code.
    pub code: tonic::Code,
    /// What the runtime said.
    pub message: String,
}

impl RuntimeError {
    /// An error of this code.
    pub fn new(code: tonic::Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// Whether the thing asked for is simply not there.
    pub fn is_not_found(&self) -> bool {
        self.code == tonic::Code::NotFound
    }
}

impl From<tonic::Status> for RuntimeError {
    fn from(status: tonic::Status) -> Self {
        Self::new(status.code(), status.message())
    }
}

/// Something happened to a container or sandbox without the kubelet's doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeEvent {
    /// The container's (or sandbox's) id.
    pub id: String,
}

/// Whether the runtime can run pods now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Readiness {
    /// `None` when the runtime is ready, else why not.
    pub runtime: Option<String>,
    /// `None` when the pod network is ready, else why not.
    pub network: Option<String>,
}

/// Which pod's things to list: `None` lists all.
pub type PodUid<'a> = Option<&'a str>;

type Answer<T> = Result<T, RuntimeError>;

/// Runs sandboxes and containers.
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// Name and version.
    async fn version(&self) -> Answer<VersionResponse>;
    /// Whether pods can be run now.
    async fn readiness(&self) -> Answer<Readiness>;
    /// Exits and kills as they happen; ends when the connection to the runtime does.
    async fn events(&self) -> Answer<BoxStream<'static, RuntimeEvent>>;
    /// Whether no process is behind a container (probes then count as passed).
    fn is_simulated(&self) -> bool {
        false
    }

    /// Makes and starts a sandbox.
    async fn run_sandbox(&self, config: PodSandboxConfig, handler: &str) -> Answer<String>;
    /// Stops a sandbox and all in it; one that is stopped or gone is fine.
    async fn stop_sandbox(&self, id: &str) -> Answer<()>;
    /// Removes a stopped sandbox; one that is gone is fine.
    async fn remove_sandbox(&self, id: &str) -> Answer<()>;
    /// All about a sandbox.
    async fn sandbox_status(&self, id: &str) -> Answer<PodSandboxStatus>;
    /// The sandboxes of a pod, or all.
    async fn list_sandboxes(&self, pod: PodUid<'_>) -> Answer<Vec<PodSandbox>>;

    /// Makes a container in a sandbox.
    async fn create_container(
        &self,
        sandbox: &str,
        config: ContainerConfig,
        sandbox_config: PodSandboxConfig,
    ) -> Answer<String>;
    /// Starts a made container.
    async fn start_container(&self, id: &str) -> Answer<()>;
    /// Stops a container: its stop signal, and after `grace_s` seconds a kill.
    async fn stop_container(&self, id: &str, grace_s: i64) -> Answer<()>;
    /// Removes a container; one that is gone is fine.
    async fn remove_container(&self, id: &str) -> Answer<()>;
    /// The containers of a pod, or all.
    async fn list_containers(&self, pod: PodUid<'_>) -> Answer<Vec<Container>>;
    /// All about a container.
    async fn container_status(&self, id: &str) -> Answer<ContainerStatus>;
    /// Tells the runtime that a container's log file was moved away.
    async fn reopen_log(&self, id: &str) -> Answer<()>;
    /// What each container uses now.
    async fn stats(&self) -> Answer<Vec<ContainerStats>>;

    /// Runs a command to its end, at most `timeout_s` seconds (0: no limit).
    async fn exec_sync(&self, id: &str, command: &[String], timeout_s: i64) -> Answer<ExecSyncResponse>;
    /// A URL to run a command with streams.
    async fn exec(&self, request: ExecRequest) -> Answer<String>;
    /// A URL to a running container's streams.
    async fn attach(&self, request: AttachRequest) -> Answer<String>;
    /// A URL to a sandbox's ports.
    async fn port_forward(&self, request: PortForwardRequest) -> Answer<String>;

    /// An image that is present, or `None`.
    async fn image(&self, image: &str) -> Answer<Option<Image>>;
    /// Fetches an image; answers its reference.
    async fn pull(&self, image: &str, auth: Option<AuthConfig>, sandbox: PodSandboxConfig) -> Answer<String>;
    /// All images.
    async fn images(&self) -> Answer<Vec<Image>>;
    /// What images take on disk.
    async fn image_filesystem(&self) -> Answer<Option<FilesystemUsage>>;
}
