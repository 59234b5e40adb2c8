//! What a pod says, in the form the kubelet asks.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

/// Which of a pod's three lists a container stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `spec.initContainers`, sidecars among them.
    Init,
    /// `spec.containers`.
    Main,
    /// `spec.ephemeralContainers`.
    Ephemeral,
}

/// When a container that ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Always.
    Always,
    /// After a failure.
    OnFailure,
    /// Never.
    Never,
}

/// A pod with its lists at hand.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The object.
    pub pod: Arc<Pod>,
    /// Its init containers.
    pub init: Vec<Container>,
    /// Its containers.
    pub main: Vec<Container>,
    /// Its ephemeral containers, in the common form.
    pub ephemeral: Vec<Container>,
    /// For each ephemeral container the container whose processes it wants to see.
    pub targets: Vec<Option<String>>,
}

impl Spec {
    /// Reads a pod.
    pub fn new(pod: Arc<Pod>) -> Self {
        let spec = pod.spec.as_ref();
        let list = spec.and_then(|spec| spec.ephemeral_containers.clone()).unwrap_or_default();
        let targets = list.iter().map(|one| one.target_container_name.clone()).collect();
        // Both kinds have the same fields but for the target, so the wire form is the conversion.
        let ephemeral = list
            .iter()
            .filter_map(|one| serde_json::from_value(serde_json::to_value(one).ok()?).ok())
            .collect();
        Self {
            init: spec.and_then(|spec| spec.init_containers.clone()).unwrap_or_default(),
            main: spec.map(|spec| spec.containers.clone()).unwrap_or_default(),
            ephemeral,
            targets,
            pod,
        }
    }

    /// `metadata.uid`.
    pub fn uid(&self) -> &str {
        self.pod.metadata.uid.as_deref().unwrap_or_default()
    }

    /// `metadata.name`.
    pub fn name(&self) -> &str {
        self.pod.metadata.name.as_deref().unwrap_or_default()
    }

    /// `metadata.namespace`.
    pub fn namespace(&self) -> &str {
        self.pod.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// `name_namespace(uid)`, as messages write it.
    pub fn full_name(&self) -> String {
        format!("{}_{}({})", self.name(), self.namespace(), self.uid())
    }

    /// The pod's `spec`; a pod always has one.
    pub fn spec(&self) -> Option<&PodSpec> {
        self.pod.spec.as_ref()
    }

    /// Whether the pod shares the node's network.
    pub fn host_network(&self) -> bool {
        self.spec().and_then(|spec| spec.host_network).unwrap_or(false)
    }

    /// Whether the pod is to go.
    pub fn deleting(&self) -> bool {
        self.pod.metadata.deletion_timestamp.is_some()
    }

    /// The seconds containers get to end by themselves.
    pub fn grace_s(&self) -> i64 {
        self.pod
            .metadata
            .deletion_grace_period_seconds
            .or_else(|| self.spec()?.termination_grace_period_seconds)
            .unwrap_or(30)
    }

    /// The pod's restart policy.
    pub fn restart(&self) -> Restart {
        restart(self.spec().and_then(|spec| spec.restart_policy.as_deref()))
    }

    /// When a container of the pod is started again.
    pub fn restart_of(&self, kind: Kind, container: &Container) -> Restart {
        match kind {
            Kind::Ephemeral => Restart::Never,
            Kind::Init if is_sidecar(container) => Restart::Always,
            // A failed init container is tried again unless the pod never restarts.
            Kind::Init if self.restart() == Restart::Always => Restart::OnFailure,
            Kind::Init => self.restart(),
            Kind::Main if container.restart_policy.is_some() => restart(container.restart_policy.as_deref()),
            Kind::Main => self.restart(),
        }
    }

    /// A list.
    pub fn list(&self, kind: Kind) -> &[Container] {
        match kind {
            Kind::Init => &self.init,
            Kind::Main => &self.main,
            Kind::Ephemeral => &self.ephemeral,
        }
    }

    /// Every container of the pod.
    pub fn all(&self) -> impl Iterator<Item = (Kind, &Container)> {
        let of = |kind| move |container| (kind, container);
        self.init
            .iter()
            .map(of(Kind::Init))
            .chain(self.main.iter().map(of(Kind::Main)))
            .chain(self.ephemeral.iter().map(of(Kind::Ephemeral)))
    }

    /// The container of this name.
    pub fn find(&self, name: &str) -> Option<(Kind, &Container)> {
        self.all().find(|(_, container)| container.name == name)
    }

    /// The processes an ephemeral container wants to see.
    pub fn target_of(&self, name: &str) -> Option<&str> {
        let index = self.ephemeral.iter().position(|one| one.name == name)?;
        self.targets.get(index)?.as_deref().filter(|target| !target.is_empty())
    }
}

fn restart(policy: Option<&str>) -> Restart {
    match policy {
        Some("Never") => Restart::Never,
        Some("OnFailure") => Restart::OnFailure,
        _ => Restart::Always,
    }
}

/// Whether an init container is one that stays (`restartPolicy: Always`).
pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// What a container is made from; another hash means it must be made anew.
pub fn hash(container: &Container) -> String {
    use sha2::Digest;
    let text = format!("{}\n{}", container.name, container.image.as_deref().unwrap_or_default());
    hex::encode(&sha2::Sha256::digest(text)[..4])
}
