//! Runs nothing and says so: sandboxes and containers are entries in a table.
//!
//! Containers count as running from their start to their stop. Two kinds end by themselves, with exit code 0
//! and a message that their command was not run: an init container at once, because nobody waits for what is
//! not there, and a container that is not restarted after [`SHORT_RUN`], so that Jobs complete.
//! Logs, exec, attach and port-forward answer that the node is simulated.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use ipnet::Ipv4Net;
use k8s_cri::v1::*;
use kit::Clock;
use parking_lot::Mutex;
use tokio::sync::broadcast;

use super::{Answer, PodUid, Readiness, RuntimeError, RuntimeEvent};
use crate::labels;

/// What everything that needs a process answers.
pub const EXPLANATION: &str =
    "this node is simulated: no process is behind its containers, so there is nothing to read or to run in";

/// How long a container "runs" whose pod is to end by itself.
pub const SHORT_RUN: Duration = Duration::from_secs(1);

/// What the status of a container says that ended by itself.
const NOT_RUN: &str = "this node is simulated: the container's command was not run";

/// Ends that nobody has read yet; a reader that lost some is told so by the end of its stream.
const ENDS_KEPT: usize = 1024;

/// A runtime without processes.
pub struct Simulated {
    clock: Arc<dyn Clock>,
    pods: Ipv4Net,
    state: Arc<Mutex<State>>,
    /// Ids of containers that ended by themselves.
    ends: broadcast::Sender<String>,
}

#[derive(Default)]
struct State {
    made: u64,
    sandboxes: BTreeMap<String, (PodSandboxConfig, PodSandboxStatus)>,
    containers: BTreeMap<String, (String, ContainerStatus)>,
    images: BTreeMap<String, Image>,
}

impl Simulated {
    /// A node whose pods get addresses of `pods`.
    pub fn new(pods: Ipv4Net, clock: Arc<dyn Clock>) -> Self {
        Self { clock, pods, state: Arc::default(), ends: broadcast::Sender::new(ENDS_KEPT) }
    }

    /// Ends a container after the short run, unless it or the whole node is gone by then.
    fn end_soon(&self, id: &str) {
        let (state, ends) = (Arc::downgrade(&self.state), self.ends.clone());
        let (clock, id) = (self.clock.clone(), id.to_owned());
        tokio::spawn(async move {
            tokio::time::sleep(SHORT_RUN).await;
            let Some(state) = state.upgrade() else { return };
            if let Some((_, status)) = state.lock().containers.get_mut(&id) {
                complete(status, now_ns(&*clock));
            }
            let _ = ends.send(id);
        });
    }

    fn now_ns(&self) -> i64 {
        now_ns(&*self.clock)
    }
}

fn now_ns(clock: &dyn Clock) -> i64 {
    i64::try_from(clock.now().as_nanosecond()).unwrap_or(i64::MAX)
}

impl State {
    fn id(&mut self, what: &str) -> String {
        self.made += 1;
        format!("{:0>64}", format!("{what}{:x}", self.made))
    }

    fn free_address(&self, pods: Ipv4Net) -> Option<Ipv4Addr> {
        let taken: Vec<&str> = self
            .sandboxes
            .values()
            .filter_map(|(_, status)| status.network.as_ref().map(|network| network.ip.as_str()))
            .collect();
        pods.hosts().skip(1).find(|address| !taken.contains(&address.to_string().as_str()))
    }
}

fn unsupported() -> RuntimeError {
    RuntimeError::new(tonic::Code::Unimplemented, EXPLANATION)
}

fn not_found(what: &str, id: &str) -> RuntimeError {
    RuntimeError::new(tonic::Code::NotFound, format!("{what} {id:?} not found"))
}

fn of(pod: PodUid<'_>, labels: &std::collections::HashMap<String, String>) -> bool {
    pod.is_none_or(|uid| labels.get(labels::POD_UID).is_some_and(|found| found == uid))
}

#[async_trait]
impl super::Runtime for Simulated {
    async fn version(&self) -> Answer<VersionResponse> {
        Ok(VersionResponse {
            version: "0.1.0".into(),
            runtime_name: "simulated".into(),
            runtime_version: env!("CARGO_PKG_VERSION").into(),
            runtime_api_version: "v1".into(),
        })
    }

    async fn readiness(&self) -> Answer<Readiness> {
        Ok(Readiness::default())
    }

    async fn events(&self) -> Answer<BoxStream<'static, RuntimeEvent>> {
        let ends = futures::stream::unfold(self.ends.subscribe(), async |mut ends| {
            let id = ends.recv().await.ok()?;
            Some((RuntimeEvent { id }, ends))
        });
        Ok(ends.boxed())
    }

    fn is_simulated(&self) -> bool {
        true
    }

    async fn run_sandbox(&self, config: PodSandboxConfig, handler: &str) -> Answer<String> {
        let now = self.now_ns();
        let mut state = self.state.lock();
        let host_network = config
            .linux
            .as_ref()
            .and_then(|linux| linux.security_context.as_ref()?.namespace_options.as_ref())
            .is_some_and(|options| options.network() == NamespaceMode::Node);
        let address = match host_network {
            true => None,
            false => Some(state.free_address(self.pods).ok_or_else(|| {
                RuntimeError::new(tonic::Code::ResourceExhausted, "no free address for the pod")
            })?),
        };
        let id = state.id("5");
        let status = PodSandboxStatus {
            id: id.clone(),
            metadata: config.metadata.clone(),
            state: PodSandboxState::SandboxReady.into(),
            created_at: now,
            network: address
                .map(|ip| PodSandboxNetworkStatus { ip: ip.to_string(), additional_ips: Vec::new() }),
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
            runtime_handler: handler.to_owned(),
            ..PodSandboxStatus::default()
        };
        state.sandboxes.insert(id.clone(), (config, status));
        Ok(id)
    }

    async fn stop_sandbox(&self, id: &str) -> Answer<()> {
        let now = self.now_ns();
        let mut state = self.state.lock();
        for (_, container) in state.containers.values_mut().filter(|(sandbox, _)| sandbox == id) {
            end(container, now, 137);
        }
        if let Some((_, status)) = state.sandboxes.get_mut(id) {
            status.state = PodSandboxState::SandboxNotready.into();
            status.network = None;
        }
        Ok(())
    }

    async fn remove_sandbox(&self, id: &str) -> Answer<()> {
        let mut state = self.state.lock();
        state.containers.retain(|_, (sandbox, _)| sandbox != id);
        state.sandboxes.remove(id);
        Ok(())
    }

    async fn sandbox_status(&self, id: &str) -> Answer<PodSandboxStatus> {
        let state = self.state.lock();
        state.sandboxes.get(id).map(|(_, status)| status.clone()).ok_or_else(|| not_found("sandbox", id))
    }

    async fn list_sandboxes(&self, pod: PodUid<'_>) -> Answer<Vec<PodSandbox>> {
        let state = self.state.lock();
        let listed = state.sandboxes.values().filter(|(config, _)| of(pod, &config.labels));
        Ok(listed
            .map(|(_, status)| PodSandbox {
                id: status.id.clone(),
                metadata: status.metadata.clone(),
                state: status.state,
                created_at: status.created_at,
                labels: status.labels.clone(),
                annotations: status.annotations.clone(),
                runtime_handler: status.runtime_handler.clone(),
            })
            .collect())
    }

    async fn create_container(
        &self,
        sandbox: &str,
        config: ContainerConfig,
        _: PodSandboxConfig,
    ) -> Answer<String> {
        let now = self.now_ns();
        let mut state = self.state.lock();
        let id = state.id("c");
        let image = config.image.unwrap_or_default();
        let status = ContainerStatus {
            id: id.clone(),
            metadata: config.metadata,
            state: ContainerState::ContainerCreated.into(),
            created_at: now,
            image_ref: image.image.clone(),
            image_id: image.image.clone(),
            image: Some(image),
            labels: config.labels,
            annotations: config.annotations,
            mounts: config.mounts,
            ..ContainerStatus::default()
        };
        state.containers.insert(id.clone(), (sandbox.to_owned(), status));
        Ok(id)
    }

    async fn start_container(&self, id: &str) -> Answer<()> {
        let now = self.now_ns();
        let mut state = self.state.lock();
        let (_, status) = state.containers.get_mut(id).ok_or_else(|| not_found("container", id))?;
        status.state = ContainerState::ContainerRunning.into();
        status.started_at = now;
        match status.annotations.get(RUNS_TO_END).map(String::as_str) {
            Some(AT_ONCE) => complete(status, now),
            Some(_) => {
                drop(state);
                self.end_soon(id);
            }
            None => {}
        }
        Ok(())
    }

    async fn stop_container(&self, id: &str, _: i64) -> Answer<()> {
        let now = self.now_ns();
        if let Some((_, status)) = self.state.lock().containers.get_mut(id) {
            end(status, now, 0);
        }
        Ok(())
    }

    async fn remove_container(&self, id: &str) -> Answer<()> {
        self.state.lock().containers.remove(id);
        Ok(())
    }

    async fn list_containers(&self, pod: PodUid<'_>) -> Answer<Vec<Container>> {
        let state = self.state.lock();
        let listed = state.containers.values().filter(|(_, status)| of(pod, &status.labels));
        Ok(listed
            .map(|(sandbox, status)| Container {
                id: status.id.clone(),
                pod_sandbox_id: sandbox.clone(),
                metadata: status.metadata.clone(),
                image: status.image.clone(),
                image_ref: status.image_ref.clone(),
                image_id: status.image_id.clone(),
                state: status.state,
                created_at: status.created_at,
                labels: status.labels.clone(),
                annotations: status.annotations.clone(),
            })
            .collect())
    }

    async fn container_status(&self, id: &str) -> Answer<ContainerStatus> {
        let state = self.state.lock();
        state.containers.get(id).map(|(_, status)| status.clone()).ok_or_else(|| not_found("container", id))
    }

    async fn reopen_log(&self, _: &str) -> Answer<()> {
        Ok(())
    }

    async fn stats(&self) -> Answer<Vec<ContainerStats>> {
        Ok(Vec::new())
    }

    async fn exec_sync(&self, _: &str, _: &[String], _: i64) -> Answer<ExecSyncResponse> {
        Err(unsupported())
    }

    async fn exec(&self, _: ExecRequest) -> Answer<String> {
        Err(unsupported())
    }

    async fn attach(&self, _: AttachRequest) -> Answer<String> {
        Err(unsupported())
    }

    async fn port_forward(&self, _: PortForwardRequest) -> Answer<String> {
        Err(unsupported())
    }

    async fn image(&self, image: &str) -> Answer<Option<Image>> {
        Ok(self.state.lock().images.get(image).cloned())
    }

    async fn pull(&self, image: &str, _: Option<AuthConfig>, _: PodSandboxConfig) -> Answer<String> {
        let made = Image { id: image.to_owned(), repo_tags: vec![image.to_owned()], ..Image::default() };
        self.state.lock().images.insert(image.to_owned(), made);
        Ok(image.to_owned())
    }

    async fn images(&self) -> Answer<Vec<Image>> {
        Ok(self.state.lock().images.values().cloned().collect())
    }

    async fn image_filesystem(&self) -> Answer<Option<FilesystemUsage>> {
        Ok(None)
    }
}

/// Annotation on a container's configuration: it ends by itself, [`AT_ONCE`] or [`SOON`].
pub(crate) const RUNS_TO_END: &str = "lazurite.dev/runs-to-end";
/// An init container.
pub(crate) const AT_ONCE: &str = "at-once";
/// A container that is not restarted when it succeeds.
pub(crate) const SOON: &str = "soon";

fn complete(container: &mut ContainerStatus, now: i64) {
    if container.state() == ContainerState::ContainerRunning {
        end(container, now, 0);
        container.message = NOT_RUN.to_owned();
    }
}

fn end(container: &mut ContainerStatus, now: i64, exit_code: i32) {
    if container.state() == ContainerState::ContainerRunning {
        container.state = ContainerState::ContainerExited.into();
        container.finished_at = now;
        container.exit_code = exit_code;
        container.reason = if exit_code == 0 { "Completed".into() } else { "Error".into() };
    }
}
