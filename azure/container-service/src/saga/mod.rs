//! The long deeds: a cluster's making and unmaking, a pool's.
//!
//! ```text
//! write:  reserve ▶ control-plane ▶ node-group ▶ role ▶ kubelet-identity ▶ security-group ▶ route-table
//!         ▶ virtual-network ▶ outbound-address ▶ load-balancer ▶ scale-down ▶ scale-sets ▶ roll ▶ nodes-ready
//! delete: the same steps' undo, last first
//! ```
//!
//! Every step reads the world and makes up what is missing, so the same saga creates, updates and repairs.
//! What a failed write made stays, as on AKS: a repeated PUT goes on from there, a DELETE takes it away.

pub mod network;
pub mod nodes;
pub mod plane;
pub mod pools;
pub mod power;
pub mod roll;

use std::sync::Arc;
use std::time::Duration;

use arm::{ArmClient, ArmError, Resource, ResourceId, Resources};
use async_trait::async_trait;
use reconcile::saga::{Memo, OnFailure, Saga, SagaError, Step};
use tokio::sync::watch;

use crate::control_planes::{ControlPlaneError, ControlPlanes};
use crate::settings::Settings;
use crate::state;

/// Api-version of `Microsoft.Network`.
pub(crate) const NETWORK: &str = "2025-07-01";
/// Api-version of `Microsoft.Compute`.
pub(crate) const COMPUTE: &str = "2024-11-01";
/// Api-version of resource groups.
pub(crate) const GROUPS: &str = "2024-11-01";
/// Api-version of role assignments.
pub(crate) const ROLES: &str = "2022-04-01";
/// Api-version of managed identities.
pub(crate) const IDENTITY: &str = "2024-11-30";

/// What the steps of one run work on.
pub struct Work {
    /// The store, for the cluster and its pools.
    pub resources: Resources,
    /// The front door.
    pub arm: ArmClient,
    /// The tenant.
    pub tenant_id: String,
    /// The directory.
    pub directory: Arc<dyn arm::Directory>,
    /// Settings of the service.
    pub settings: Arc<Settings>,
    /// The host of control planes.
    pub planes: Arc<dyn ControlPlanes>,
    /// The cluster.
    pub cluster: ResourceId,
    /// The one pool that is meant; none: all of them.
    pub pool: Option<String>,
    /// Changes when a deletion of the cluster cuts in. Steps that write are never dropped half way: a run is cut
    /// short between steps and where it only waits.
    pub cut: watch::Receiver<u64>,
}

/// The code of what [`preempted`] says.
pub const PREEMPTED: &str = "AKSOperationPreemptedByDelete";

/// The end of an operation that was aborted.
pub fn aborted() -> ArmError {
    ArmError::conflict("OperationAborted", "The operation was aborted by a request to abort it.")
}

/// The end of an operation that a deletion cut short.
pub fn preempted() -> ArmError {
    ArmError::conflict(PREEMPTED, "This operation has been preempted by Deleting operation.")
}

impl Work {
    /// The cluster as it is now.
    pub fn cluster(&self) -> Result<Arc<Resource>, ArmError> {
        self.resources.get(&self.cluster).ok_or_else(|| ArmError::resource_not_found(&self.cluster))
    }

    /// The pools that are meant, as they are now.
    pub fn pools(&self) -> Vec<Arc<Resource>> {
        let mut pools = state::pools(&self.resources, &self.cluster);
        pools.retain(|pool| self.pool.as_ref().is_none_or(|name| *name == pool.name));
        pools
    }

    /// Whether a deletion has cut in.
    pub fn is_cut(&self) -> bool {
        self.cut.has_changed().unwrap_or(false)
    }

    /// Waits for something that may be dropped, unless a deletion cuts in.
    pub async fn unless_cut<T>(
        &self,
        wait: impl Future<Output = Result<T, ArmError>>,
    ) -> Result<T, ArmError> {
        let mut cut = self.cut.clone();
        let came = async move {
            if cut.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            () = came => Err(preempted()),
            outcome = wait => outcome,
        }
    }

    /// The front door as the container service itself.
    pub fn service(&self) -> ArmClient {
        self.arm.as_service("Microsoft.ContainerService")
    }

    /// The front door as the cluster's identity.
    pub fn as_cluster(&self) -> Result<ArmClient, ArmError> {
        let cluster = self.cluster()?;
        let principal = state::principal(&cluster).ok_or_else(|| {
            ArmError::bad_request("InvalidParameter", "The cluster has no managed identity.")
                .target("identity")
        })?;
        Ok(self.arm.with_identity(&principal))
    }

    /// The node resource group's id.
    pub fn node_group(&self) -> Result<ResourceId, ArmError> {
        let cluster = self.cluster()?;
        state::node_group(&cluster).ok_or_else(|| ArmError::resource_not_found(&self.cluster))
    }

    /// A resource in the node resource group.
    pub fn in_node_group(&self, full_type: &str, name: &str) -> Result<ResourceId, ArmError> {
        Ok(self.node_group()?.extension(full_type, name))
    }

    /// Changes the stored cluster.
    pub async fn change(&self, change: impl FnOnce(&mut Resource) + Send) -> Result<(), ArmError> {
        self.resources
            .modify(&self.cluster, |cluster| {
                let before = cluster.properties.clone();
                change(cluster);
                cluster.properties != before
            })
            .await?;
        Ok(())
    }

    /// Deletes a resource as the service and waits; one that is not there is fine.
    pub async fn delete(&self, id: &ResourceId, version: &str) -> Result<(), ArmError> {
        match self.service().delete(id, version).await {
            Ok(reply) => reply.done().await.map(|_| ()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }
}

type ClusterStep = Arc<dyn Step<Work, ArmError>>;

/// Creates, updates, repairs.
pub fn write() -> Saga<Work, ArmError> {
    Saga { kind: "cluster-write", steps: write_steps(), on_failure: OnFailure::Keep }
}

fn write_steps() -> Vec<ClusterStep> {
    vec![
        Arc::new(plane::Reserve),
        Arc::new(plane::ControlPlane),
        Arc::new(plane::NodeGroup),
        Arc::new(plane::Role),
        Arc::new(plane::KubeletIdentity),
        Arc::new(network::SecurityGroup),
        Arc::new(network::RouteTable),
        Arc::new(network::VirtualNetwork),
        Arc::new(network::OutboundAddress),
        Arc::new(network::LoadBalancer),
        Arc::new(pools::ScaleDown),
        Arc::new(pools::ScaleSets),
        Arc::new(roll::Roll),
        Arc::new(nodes::NodesReady),
    ]
}

/// Takes everything back, last first.
pub fn delete() -> Saga<Work, ArmError> {
    let steps = write_steps().into_iter().rev().map(|step| Arc::new(Undo(step)) as ClusterStep).collect();
    Saga { kind: "cluster-delete", steps, on_failure: OnFailure::Keep }
}

/// Adds, scales, repairs one pool.
pub fn write_pool() -> Saga<Work, ArmError> {
    let steps: Vec<ClusterStep> = vec![
        Arc::new(pools::ScaleDown),
        Arc::new(pools::ScaleSets),
        Arc::new(roll::Roll),
        Arc::new(nodes::NodesReady),
    ];
    Saga { kind: "pool-write", steps, on_failure: OnFailure::Keep }
}

/// Takes one pool away.
pub fn delete_pool() -> Saga<Work, ArmError> {
    let steps: Vec<ClusterStep> =
        vec![Arc::new(pools::DrainPool), Arc::new(Undo(Arc::new(pools::ScaleSets)))];
    Saga { kind: "pool-delete", steps, on_failure: OnFailure::Keep }
}

/// Drains the machines of one pool that are to go, and deletes them.
pub fn delete_machines() -> Saga<Work, ArmError> {
    let steps: Vec<ClusterStep> = vec![Arc::new(pools::Retire), Arc::new(nodes::NodesReady)];
    Saga { kind: "pool-delete-machines", steps, on_failure: OnFailure::Keep }
}

/// A new authority, and nodes that know it.
pub fn rotate_certificates() -> Saga<Work, ArmError> {
    let steps: Vec<ClusterStep> = vec![
        Arc::new(plane::Rotate),
        Arc::new(pools::ScaleSets),
        Arc::new(roll::Reimage),
        Arc::new(nodes::NodesReady),
    ];
    Saga { kind: "cluster-rotate-certificates", steps, on_failure: OnFailure::Keep }
}

/// A new key for tokens of service accounts; nodes are left alone, their tokens are fetched anew before they end.
pub fn rotate_signing_keys() -> Saga<Work, ArmError> {
    let steps: Vec<ClusterStep> = vec![Arc::new(plane::RotateSigningKeys)];
    Saga { kind: "cluster-rotate-signing-keys", steps, on_failure: OnFailure::Keep }
}

/// Drains one pool and turns its machines off; they are kept.
pub fn stop_pool() -> Saga<Work, ArmError> {
    let steps: Vec<ClusterStep> =
        vec![Arc::new(pools::DrainPool), Arc::new(power::StopNodes), Arc::new(power::ForgetNodes)];
    Saga { kind: "pool-stop", steps, on_failure: OnFailure::Keep }
}

/// Turns on what [`stop_pool`] turned off.
pub fn start_pool() -> Saga<Work, ArmError> {
    let steps: Vec<ClusterStep> = vec![Arc::new(power::StartNodes), Arc::new(nodes::NodesReady)];
    Saga { kind: "pool-start", steps, on_failure: OnFailure::Keep }
}

/// Stops machines and control plane; everything is kept.
pub fn stop() -> Saga<Work, ArmError> {
    let steps: Vec<ClusterStep> = vec![Arc::new(power::StopNodes), Arc::new(power::StopPlane)];
    Saga { kind: "cluster-stop", steps, on_failure: OnFailure::Keep }
}

/// Starts what [`stop`] stopped.
pub fn start() -> Saga<Work, ArmError> {
    let steps: Vec<ClusterStep> =
        vec![Arc::new(plane::ControlPlane), Arc::new(power::StartNodes), Arc::new(nodes::NodesReady)];
    Saga { kind: "cluster-start", steps, on_failure: OnFailure::Keep }
}

/// A step that takes back another.
struct Undo(ClusterStep);

#[async_trait]
impl Step<Work, ArmError> for Undo {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn deadline(&self) -> Duration {
        self.0.deadline()
    }

    async fn run(&self, work: &Work, memo: &mut Memo) -> Result<(), ArmError> {
        self.0.undo(work, memo).await
    }
}

/// What an operation says of a failed saga: the step's own error, naming the step.
pub fn explain(error: SagaError<ArmError>) -> ArmError {
    match error {
        SagaError::Step { step, source } => {
            tracing::warn!(step, error = %source, "a step failed");
            let target = source.target.clone().unwrap_or_else(|| format!("step '{step}'"));
            source.target(target)
        }
        SagaError::Late { step, limit } => {
            let message = format!(
                "The step '{step}' did not end within {} seconds. Repeat the request to go on from there.",
                limit.as_secs()
            );
            ArmError::conflict("OperationTimedOut", message).target(format!("step '{step}'"))
        }
        SagaError::Journal(error) => {
            tracing::error!(error = %kit::Chain(&error), "a journal failed");
            ArmError::internal()
        }
    }
}

/// A control plane's failure in AKS's words.
pub fn plane_error(error: ControlPlaneError) -> ArmError {
    tracing::warn!(error = %kit::Chain(&error), "a control plane failed");
    match &error {
        ControlPlaneError::Drain { .. } => ArmError::conflict("PodDrainFailure", error.to_string()),
        ControlPlaneError::Version { version } => ArmError::bad_request(
            "K8sVersionNotSupported",
            format!("Version {version} is not supported in this region."),
        ),
        ControlPlaneError::Lacking { reason } => ArmError::conflict("OperationNotAllowed", reason.clone()),
        ControlPlaneError::NotFound { .. } | ControlPlaneError::Failed { .. } => ArmError::conflict(
            "ControlPlaneProvisioningInternalError",
            format!(
                "AKS encountered an internal error while attempting the requested operation on the control plane: {}.",
                kit::Chain(&error)
            ),
        ),
    }
}
