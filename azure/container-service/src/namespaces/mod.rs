//! `managedClusters/managedNamespaces`: a Namespace of the cluster with quota, network policy, labels and annotations, written through the
//! resource manager.
//!
//! ```text
//! PUT ─▶ checked, adoption judged ─▶ stored, 201 ─▶ Namespace, ResourceQuota, NetworkPolicy behind the operation
//!                                                   keeper: a watch per cluster puts back what somebody changes
//! ```
//!
//! Guarantees: a namespace is Succeeded only when its objects are in the cluster; a Namespace that somebody else made is taken over as the
//! adoption policy says, and otherwise not touched; an operation that was interrupted goes on after a restart.
//!
//! Does not: enforce network policies. That takes a network policy engine in the cluster, as on AKS.

pub(crate) mod keeper;
pub(crate) mod objects;
mod shape;

use std::sync::Arc;
use std::time::Duration;

use arm::{
    Acted, ArmError, Ctx, Deleted, Operation, Patch, Put, Resource, ResourceId, ResourceType, TypeDescriptor,
    Written,
};
use async_trait::async_trait;
use serde_json::{Value, json};

use crate::clusters::{self, API_VERSIONS};
use crate::control_planes::{ControlPlaneError, Credential};
use crate::fault::Fault;
use crate::saga::plane_error;
use crate::service::{Shared, check_idle, check_running, deletion};
use crate::state;
use objects::{Found, Wish};

/// Full type of managed namespaces.
pub const NAMESPACES: &str = "Microsoft.ContainerService/managedClusters/managedNamespaces";

/// How long an operation waits for a control plane that is starting.
const PLANE_DEADLINE: Duration = Duration::from_secs(60);
const PLANE_PAUSE: Duration = Duration::from_millis(100);

/// The type.
pub struct ManagedNamespaces(pub(crate) Arc<Shared>);

fn cluster_of(ctx: &Ctx, id: &ResourceId) -> Result<Arc<Resource>, ArmError> {
    ctx.resources.get(&id.top()).ok_or_else(|| ArmError::parent_not_found(id))
}

fn location(cluster: &Resource) -> &str {
    cluster.location.as_deref().unwrap_or("eastus")
}

/// Refuses a write while another one of this namespace goes on.
fn check_own(existing: Option<&Resource>) -> Result<(), ArmError> {
    match existing.and_then(state::in_progress) {
        Some(state) => Err(Fault::in_progress("Managed namespace operation", state).into()),
        None => Ok(()),
    }
}

fn failed(error: kube::Error) -> ArmError {
    plane_error(ControlPlaneError::Failed {
        deed: "write a managed namespace into the cluster",
        source: error.into(),
    })
}

/// Whether what is in the cluster may be taken over.
fn judge(found: Found, policy: &str, name: &str) -> Result<(), ArmError> {
    let why = match (found, policy) {
        (Found::Nothing | Found::Ours, _) | (Found::Identical, "IfIdentical" | "Always") => return Ok(()),
        (Found::Different, "Always") => return Ok(()),
        (Found::Terminating, _) => format!("Namespace '{name}' is being deleted in the cluster."),
        (Found::Different, "IfIdentical") => format!(
            "Namespace '{name}' already exists in the cluster and differs from the managed namespace; adoption policy \
             'IfIdentical' takes over a namespace without differences only."
        ),
        (Found::Identical | Found::Different, _) => format!(
            "Namespace '{name}' already exists in the cluster, and adoption policy '{policy}' does not take it over."
        ),
    };
    Err(ArmError::conflict("NamespaceAlreadyExists", why))
}

/// A client of a cluster whose control plane runs or is about to.
async fn client(shared: &Shared, cluster: &ResourceId) -> Result<kube::Client, ArmError> {
    let cluster = cluster.to_string();
    let found = async {
        loop {
            match shared.planes.administrator(&cluster).await {
                Err(ControlPlaneError::NotFound { .. }) => tokio::time::sleep(PLANE_PAUSE).await,
                found => return found,
            }
        }
    };
    let lost = || ControlPlaneError::NotFound { cluster: cluster.clone() };
    tokio::time::timeout(PLANE_DEADLINE, found).await.unwrap_or_else(|_| Err(lost())).map_err(plane_error)
}

/// One operation on a namespace.
struct Deed {
    shared: Arc<Shared>,
    ctx: Ctx,
    id: ResourceId,
}

impl Deed {
    fn stored(&self) -> Result<Arc<Resource>, ArmError> {
        self.ctx.resources.get(&self.id).ok_or_else(|| ArmError::resource_not_found(&self.id))
    }

    async fn make(&self) -> Result<(), ArmError> {
        let namespace = self.stored()?;
        let wish = Wish::of(&namespace);
        let client = client(&self.shared, &self.id.top()).await?;
        if namespace.provisioning_state() == Some("Creating") {
            let found = wish.look(&client).await.map_err(failed)?;
            judge(found, shape::adoption(&namespace), &namespace.name)?;
        }
        wish.make(&client).await.map_err(failed)
    }

    async fn remove(&self) -> Result<(), ArmError> {
        let namespace = self.stored()?;
        let wish = Wish::of(&namespace);
        let client = client(&self.shared, &self.id.top()).await?;
        if !shape::goes_with_it(&namespace) {
            return wish.release(&client).await.map_err(failed);
        }
        match wish.destroy(&client).await.map_err(failed)? {
            true => Ok(()),
            false => Err(ArmError::conflict(
                "OperationNotAllowed",
                format!(
                    "Namespace '{}' is still terminating: something in it keeps a finalizer.",
                    namespace.name
                ),
            )),
        }
    }

    /// Runs in the cluster's lane, cut short when the cluster is deleted.
    async fn until_end(self, removes: bool) -> Result<(), ArmError> {
        let lane = self.shared.lanes.of(&self.id.top());
        let work = self.shared.work(&self.ctx, &self.id.top(), None);
        let outcome = work
            .unless_cut(async {
                let _turn = lane.turn.lock().await;
                if removes { self.remove().await } else { self.make().await }
            })
            .await;
        if !(removes && outcome.is_ok()) {
            let state = if outcome.is_ok() { "Succeeded" } else { "Failed" };
            self.mark(state).await?;
        }
        outcome
    }

    async fn mark(&self, state: &str) -> Result<(), ArmError> {
        let marked = self.ctx.resources.modify(&self.id, |namespace| {
            namespace.set_provisioning_state(state);
            true
        });
        marked.await?;
        Ok(())
    }
}

impl ManagedNamespaces {
    fn deed(&self, ctx: &Ctx, id: &ResourceId) -> Deed {
        Deed { shared: self.0.clone(), ctx: ctx.clone(), id: id.clone() }
    }

    /// Judges while the caller waits, so that a namespace that may not be taken over leaves nothing behind.
    async fn check_adoption(&self, namespace: &Resource) -> Result<(), ArmError> {
        let cluster = namespace.id.top().to_string();
        let client = self.0.planes.administrator(&cluster).await.map_err(plane_error)?;
        let found = Wish::of(namespace).look(&client).await.map_err(failed)?;
        judge(found, shape::adoption(namespace), &namespace.name)
    }
}

#[async_trait]
impl ResourceType for ManagedNamespaces {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor {
            tracked: true,
            etag: Some("eTag"),
            deleted: arm::DeleteStatus::NoContent,
            name_pattern: Some("(?s).*"),
            ..TypeDescriptor::new(NAMESPACES, API_VERSIONS)
        }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let cluster = cluster_of(ctx, request.id)?;
        check_idle(ctx, &cluster, None)?;
        check_running(&cluster, "updating managed namespaces")?;
        check_own(request.existing)?;
        let mut made = request.resource();
        made.properties = shape::properties(request.id, request.properties(), &cluster)?;
        made.set_provisioning_state("Succeeded");
        if let Some(existing) = request.existing.filter(|existing| made.says_the_same_as(existing)) {
            return Ok(Written::Done(existing.clone()));
        }
        let (name, state) = match request.existing {
            Some(_) => ("update", "Updating"),
            None => {
                self.check_adoption(&made).await?;
                ("create", "Creating")
            }
        };
        made.set_provisioning_state(state);
        let operation = ctx.operations.create(request.id, name, location(&cluster)).await?;
        let operation = operation.work(self.deed(ctx, request.id).until_end(false));
        Ok(Written::Accepted { resource: made, operation })
    }

    /// Tags only, as AKS has it.
    async fn patch(&self, ctx: &Ctx, request: Patch<'_>) -> Result<Written, ArmError> {
        check_idle(ctx, &*cluster_of(ctx, request.id)?, None)?;
        check_own(Some(request.existing))?;
        let mut namespace = request.existing.clone();
        if let Some(tags) = request.body.get("tags") {
            namespace.tags = Some(arm::resource::read_tags(tags));
        }
        Ok(Written::Done(namespace))
    }

    async fn delete(&self, ctx: &Ctx, existing: &Resource) -> Result<Deleted, ArmError> {
        if let Some(operation) = deletion(ctx, &existing.id) {
            return Ok(Deleted::Accepted(operation));
        }
        let cluster = cluster_of(ctx, &existing.id)?;
        check_idle(ctx, &cluster, None)?;
        check_running(&cluster, "deleting managed namespaces")?;
        check_own(Some(existing))?;
        let operation = ctx.operations.create_delete(&existing.id, location(&cluster)).await?;
        let deed = self.deed(ctx, &existing.id);
        deed.mark("Deleting").await?;
        Ok(Deleted::Accepted(operation.work(deed.until_end(true))))
    }

    async fn action(&self, ctx: &Ctx, existing: &Resource, name: &str, _: Value) -> Result<Acted, ArmError> {
        if !name.eq_ignore_ascii_case("listCredential") {
            return Err(ArmError::not_implemented(format_args!("The action '{NAMESPACES}/{name}'")));
        }
        let cluster = cluster_of(ctx, &existing.id)?;
        let who = Credential::User(clusters::login(ctx)?);
        let value = clusters::kubeconfig(&self.0, &cluster, who, Some(&existing.name)).await?;
        Ok(Acted::Done(Some(json!({ "kubeconfigs": [{ "name": "clusterUser", "value": value }] }))))
    }

    async fn resume(
        &self,
        ctx: &Ctx,
        operation: Operation,
        resource: Option<Resource>,
    ) -> Result<(), ArmError> {
        let (Some(record), Some(namespace)) = (operation.record(), resource) else {
            return Err(ArmError::conflict(
                "OperationInterrupted",
                "The service was restarted. Repeat the request.",
            ));
        };
        let removes = record.deed == arm::operations::Deed::Delete;
        let _ = operation.work(self.deed(ctx, &namespace.id).until_end(removes));
        Ok(())
    }
}
