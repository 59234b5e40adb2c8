//! `Microsoft.ContainerService`: managed clusters and agent pools, as sagas and reconcilers.
//!
//! ```text
//! PUT ─▶ cluster_shape (refusals, defaults) ─▶ stored, 201 ─▶ saga behind the operation
//!                                              control plane · MC_ group · network · scale sets · nodes ready
//! ```
//!
//! Guarantees: a cluster is Succeeded only when its nodes are ready; a failed write says which step failed and why,
//! and the same PUT again goes on from there; an interrupted saga goes on after a restart; a deletion leaves nothing.
//!
//! Does not: host Kubernetes (that is behind [`ControlPlanes`]) nor touch another provider's resources except through
//! the front door, as the cluster's identity.
//!
//! Reading order: [`clusters`], [`cluster_shape`], [`pool`], [`saga`], [`control_planes`].

pub mod aad_profile;
mod abort;
pub mod agent_pools;
pub mod authorized_ranges;
pub mod bootstrap;
mod calls;
pub mod cluster_shape;
pub mod clusters;
pub(crate) mod commands;
pub mod control_planes;
pub mod drift;
pub mod fault;
pub mod journal;
pub mod lanes;
mod machines;
mod maintenance;
pub mod names;
pub(crate) mod namespaces;
pub mod network_profile;
pub mod pool;
pub mod saga;
pub mod service;
pub mod settings;
mod settled;
pub mod sizes;
mod snapshots;
pub mod state;
mod trusted_access;
pub mod versions;

use std::sync::Arc;

use arm::{Provider, json};

pub use control_planes::{
    Command, CommandResult, CommandState, ControlPlaneError, ControlPlaneSpec, ControlPlaneStatus,
    ControlPlanes, Credential, Login, NodeStatus,
};
pub use settings::{RegistryMirror, Settings};
pub use sizes::{Size, Sizes};

/// The container service.
#[derive(Clone)]
pub struct ContainerService(Arc<service::Shared>);

impl ContainerService {
    /// A service over a host of control planes.
    pub fn new(settings: Settings, planes: Arc<dyn ControlPlanes>) -> Self {
        Self(Arc::new(service::Shared::new(settings, planes, None)))
    }

    /// The same with somebody who makes steps fail.
    pub fn with_faults(
        settings: Settings,
        planes: Arc<dyn ControlPlanes>,
        inject: Arc<dyn service::Inject>,
    ) -> Self {
        Self(Arc::new(service::Shared::new(settings, planes, Some(inject))))
    }

    /// The provider with all its types, for the front door's builder.
    pub fn provider(&self) -> Provider {
        Provider::new("Microsoft.ContainerService")
            .with(clusters::ManagedClusters(self.0.clone()))
            .with(agent_pools::AgentPools(self.0.clone()))
            .with(maintenance::MaintenanceConfigurations)
            .with(snapshots::Snapshots)
            .with(namespaces::ManagedNamespaces(self.0.clone()))
            .with(trusted_access::TrustedAccessRoleBindings)
            .with_calls(calls::Calls)
    }

    /// Starts what keeps finished clusters true; call it once the front door is built, with a context of
    /// `Microsoft.ContainerService`. Ends with the context's tasks.
    pub fn start(&self, ctx: &arm::Ctx) {
        self.0.sweep_journals(ctx);
        drift::start(self.0.clone(), ctx);
        namespaces::keeper::start(&self.0, ctx);
    }

    /// Control planes that shall run now: every cluster that is neither stopped nor being deleted and got as far as a
    /// node resource group. For the composing program at its start.
    pub fn wanted_planes(&self, ctx: &arm::Ctx) -> Vec<ControlPlaneSpec> {
        let clusters = ctx.resources.list_type(&arm::ResourceId::root(), state::CLUSTERS);
        clusters
            .iter()
            .filter(|cluster| !state::is_stopped(cluster) && cluster.provisioning_state() != Some("Deleting"))
            .filter(|cluster| state::node_group(cluster).is_some_and(|group| ctx.resources.exists(&group)))
            .filter_map(|cluster| saga::plane::spec(&self.0.work(ctx, &cluster.id, None)).ok())
            .collect()
    }
}
