//! What the runtime has of a pod.

use std::collections::HashMap;

use k8s_cri::v1::{ContainerState, ContainerStatus, PodSandboxState, PodSandboxStatus};

use crate::labels;
use crate::runtime::{Runtime, RuntimeError};

/// A container and the sandbox it is in.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its sandbox.
    pub sandbox: String,
    /// All about it.
    pub status: ContainerStatus,
}

impl Seen {
    /// Its name in the pod.
    pub fn name(&self) -> &str {
        self.status.labels.get(labels::CONTAINER_NAME).map_or("", String::as_str)
    }

    /// Whether it runs.
    pub fn running(&self) -> bool {
        self.status.state() == ContainerState::ContainerRunning
    }

    /// Whether it ran and ended.
    pub fn exited(&self) -> bool {
        self.status.state() == ContainerState::ContainerExited
    }

    /// How often the container was started before this one.
    pub fn restarts(&self) -> i32 {
        self.status.annotations.get(labels::RESTART_COUNT).and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

/// A pod's sandboxes and containers, newest first.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Sandboxes.
    pub sandboxes: Vec<PodSandboxStatus>,
    /// Containers.
    pub containers: Vec<Seen>,
}

impl View {
    /// Asks the runtime. What ended does not change any more and is taken from `known`.
    pub async fn read(runtime: &dyn Runtime, uid: &str, known: &View) -> Result<Self, RuntimeError> {
        let listed = runtime.list_sandboxes(Some(uid)).await?;
        let mut sandboxes = Vec::with_capacity(listed.len());
        for sandbox in listed {
            match runtime.sandbox_status(&sandbox.id).await {
                Ok(status) => sandboxes.push(status),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        let before: HashMap<&str, &Seen> =
            known.containers.iter().map(|seen| (seen.status.id.as_str(), seen)).collect();
        let mut containers = Vec::new();
        for container in runtime.list_containers(Some(uid)).await? {
            if let Some(seen) = before.get(container.id.as_str()).filter(|seen| seen.exited()) {
                containers.push((*seen).clone());
                continue;
            }
            match runtime.container_status(&container.id).await {
                Ok(status) => containers.push(Seen { sandbox: container.pod_sandbox_id, status }),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        sandboxes.sort_by_key(|sandbox| std::cmp::Reverse(sandbox.created_at));
        containers.sort_by_key(|seen| std::cmp::Reverse(seen.status.created_at));
        Ok(Self { sandboxes, containers })
    }

    /// The newest sandbox, if it is ready.
    pub fn ready_sandbox(&self) -> Option<&PodSandboxStatus> {
        self.sandboxes.first().filter(|sandbox| sandbox.state() == PodSandboxState::SandboxReady)
    }

    /// The newest container of this name.
    pub fn latest(&self, name: &str) -> Option<&Seen> {
        self.containers.iter().find(|seen| seen.name() == name)
    }

    /// The newest container of this name in this sandbox.
    pub fn latest_in(&self, name: &str, sandbox: &str) -> Option<&Seen> {
        self.containers.iter().find(|seen| seen.name() == name && seen.sandbox == sandbox)
    }

    /// The newest container of this name that ended.
    pub fn latest_end(&self, name: &str) -> Option<&Seen> {
        self.containers.iter().find(|seen| seen.name() == name && seen.exited())
    }

    /// The container before the newest of this name.
    pub fn previous(&self, name: &str) -> Option<&Seen> {
        self.containers.iter().filter(|seen| seen.name() == name).nth(1)
    }

    /// Everything that runs.
    pub fn running(&self) -> impl Iterator<Item = &Seen> {
        self.containers.iter().filter(|seen| seen.running())
    }

    /// The pod's own addresses.
    pub fn addresses(&self) -> Vec<String> {
        let network = self.ready_sandbox().and_then(|sandbox| sandbox.network.as_ref());
        let Some(network) = network.filter(|network| !network.ip.is_empty()) else { return Vec::new() };
        let more = network.additional_ips.iter().map(|ip| ip.ip.clone());
        std::iter::once(network.ip.clone()).chain(more).collect()
    }
}
