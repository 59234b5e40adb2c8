//! What clusters and pools share: starting a saga behind an operation, and writing its end.

use std::sync::Arc;
use std::time::Duration;

use arm::{ArmError, Ctx, Operation, Resource, ResourceId, Resources};
use reconcile::saga::{Journal, Memo, Observer, Saga};
use tokio::sync::watch;

use crate::control_planes::ControlPlanes;
use crate::journal::FileJournal;
use crate::json::set;
use crate::lanes::{Lane, Lanes};
use crate::saga::{self, Work};
use crate::settings::Settings;
use crate::state;

/// The container service: what its types share.
pub struct Shared {
    pub(crate) settings: Arc<Settings>,
    pub(crate) planes: Arc<dyn ControlPlanes>,
    pub(crate) lanes: Lanes,
    journal: FileJournal,
    inject: Option<Arc<dyn Inject>>,
}

/// Sees steps begin and end and may make them fail: for tests of what is left behind.
pub trait Inject: Send + Sync + 'static {
    /// A step begins.
    fn begins(&self, step: &'static str) -> Result<(), ArmError>;
    /// A step has ended well.
    fn ended(&self, step: &'static str) -> Result<(), ArmError>;
}

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    Write,
    Delete,
    Stop,
    Start,
    DeleteMachines,
    UpgradeImage,
    RotateCertificates,
    RotateSigningKeys,
}

impl Deed {
    /// By the name its operation has.
    pub(crate) fn named(operation: &str) -> Self {
        match operation {
            "delete" => Deed::Delete,
            "stop" => Deed::Stop,
            "start" => Deed::Start,
            "deleteMachines" => Deed::DeleteMachines,
            "upgradeNodeImageVersion" => Deed::UpgradeImage,
            "rotateClusterCertificates" => Deed::RotateCertificates,
            "rotateServiceAccountSigningKeys" => Deed::RotateSigningKeys,
            _ => Deed::Write,
        }
    }

    /// The name of its operation, of those that are actions.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Deed::Write => "update",
            Deed::Delete => "delete",
            Deed::Stop => "stop",
            Deed::Start => "start",
            Deed::DeleteMachines => "deleteMachines",
            Deed::UpgradeImage => "upgradeNodeImageVersion",
            Deed::RotateCertificates => "rotateClusterCertificates",
            Deed::RotateSigningKeys => "rotateServiceAccountSigningKeys",
        }
    }

    fn saga(self, pool: bool) -> Saga<Work, ArmError> {
        match (self, pool) {
            (Deed::Write, false) => saga::write(),
            (Deed::Write, true) => saga::write_pool(),
            (Deed::Delete, false) => saga::delete(),
            (Deed::Delete, true) => saga::delete_pool(),
            (Deed::Stop, false) => saga::stop(),
            (Deed::Stop, true) => saga::stop_pool(),
            (Deed::Start, false) => saga::start(),
            (Deed::Start, true) => saga::start_pool(),
            (Deed::DeleteMachines, _) => saga::delete_machines(),
            (Deed::UpgradeImage, _) => saga::write_pool(),
            (Deed::RotateCertificates, _) => saga::rotate_certificates(),
            (Deed::RotateSigningKeys, _) => saga::rotate_signing_keys(),
        }
    }
}

/// One run of a saga.
struct Run {
    shared: Arc<Shared>,
    work: Work,
    deed: Deed,
    operation: String,
    lane: Arc<Lane>,
    progress: Progress,
}

impl Shared {
    pub(crate) fn new(
        settings: Settings,
        planes: Arc<dyn ControlPlanes>,
        inject: Option<Arc<dyn Inject>>,
    ) -> Self {
        let journal = FileJournal(settings.journal_dir.clone());
        Self { settings: Arc::new(settings), planes, lanes: Lanes::default(), journal, inject }
    }

    /// Removes journals of operations that are over.
    pub(crate) fn sweep_journals(&self, ctx: &Ctx) {
        let running = |id: &str| ctx.operations.get(id).is_some_and(|record| !record.status.is_final());
        if let Err(error) = self.journal.sweep(running) {
            tracing::warn!(error = %kit::Chain(&error), "failed to remove old journals");
        }
    }

    /// What steps work on. Cut short by a deletion that comes after this call.
    pub(crate) fn work(&self, ctx: &Ctx, cluster: &ResourceId, pool: Option<String>) -> Work {
        Work {
            cut: self.lanes.of(cluster).preempted(),
            resources: ctx.resources.clone(),
            arm: ctx.arm.clone(),
            tenant_id: ctx.tenant_id.clone(),
            directory: ctx.directory.clone(),
            settings: self.settings.clone(),
            planes: self.planes.clone(),
            cluster: cluster.clone(),
            pool,
        }
    }

    /// Attaches the saga of a deed to its operation. `pool` none: the whole cluster.
    pub(crate) fn attach(
        self: &Arc<Self>,
        ctx: &Ctx,
        cluster: &ResourceId,
        pool: Option<String>,
        deed: Deed,
        operation: Operation,
    ) -> Operation {
        let lane = self.lanes.of(cluster);
        if deed == Deed::Delete && pool.is_none() {
            lane.preempt();
        }
        let work = Work { cut: lane.enter(operation.id()), ..self.work(ctx, cluster, pool) };
        let progress = Progress::new(ctx, &operation, self.inject.clone(), work.cut.clone());
        let run =
            Run { shared: self.clone(), work, deed, operation: operation.id().to_owned(), lane, progress };
        if deed != Deed::UpgradeImage {
            return operation.work(run.until_end());
        }
        // The one action whose end is the pool, as AKS has it.
        let (resources, pools) = (run.work.resources.clone(), run.work.pools());
        operation.work_with_result(async move {
            run.until_end().await?;
            let pool = pools.first().and_then(|pool| resources.get(&pool.id));
            Ok(pool.map(|pool| crate::agent_pools::shown(&pool)))
        })
    }
}

impl Run {
    async fn until_end(self) -> Result<(), ArmError> {
        let outcome = turn_and_run(&self).await;
        if let Err(error) = self.shared.journal.forget(&self.operation) {
            tracing::error!(error = %kit::Chain(&error), "failed to forget a journal");
        }
        let state = match &outcome {
            Ok(()) => "Succeeded",
            Err(error) if self.is_aborted(error) => "Canceled",
            Err(_) => "Failed",
        };
        self.finish(state).await?;
        if state == "Canceled" {
            self.progress.operation.cancel(Some(saga::aborted())).await?;
        }
        outcome
    }

    /// Whether it was cut short, and not by a deletion of the cluster.
    fn is_aborted(&self, error: &ArmError) -> bool {
        let cluster = self.work.cluster().ok();
        let deleting = cluster.is_none_or(|cluster| cluster.provisioning_state() == Some("Deleting"));
        error.code == saga::PREEMPTED && !deleting
    }

    /// Writes the end into the cluster and its pools. A deletion that cut in has the last word.
    async fn finish(&self, state: &str) -> Result<(), ArmError> {
        let well = state == "Succeeded";
        if well && self.deed == Deed::Delete {
            return Ok(());
        }
        let resources = &self.work.resources;
        for pool in self.work.pools() {
            end(resources, &pool.id, state, self.deed, None).await?;
        }
        if self.work.pool.is_none() {
            let made = (well && self.deed == Deed::Write).then_some(());
            end(resources, &self.work.cluster, state, self.deed, made).await?;
        }
        Ok(())
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.lane.leave(&self.operation);
    }
}

async fn turn_and_run(run: &Run) -> Result<(), ArmError> {
    let _turn = run.work.unless_cut(async { Ok(run.lane.turn.lock().await) }).await?;
    let saga = run.deed.saga(run.work.pool.is_some());
    run.progress.steps(saga.steps.len());
    let ended =
        saga.run(&run.operation, Memo::default(), &run.work, &run.shared.journal, &run.progress).await;
    ended.map(|_| ()).map_err(saga::explain)
}

/// Writes a final state, unless a deletion is going on that this run is not.
async fn end(
    resources: &Resources,
    id: &ResourceId,
    state: &str,
    deed: Deed,
    made: Option<()>,
) -> Result<(), ArmError> {
    resources
        .modify(id, |resource| {
            if resource.provisioning_state() == Some("Deleting") && deed != Deed::Delete {
                return false;
            }
            resource.set_provisioning_state(state);
            let power = match (deed, state) {
                (Deed::Stop, "Succeeded") => Some("Stopped"),
                (Deed::Start, "Succeeded") => Some("Running"),
                _ => None,
            };
            if let Some(power) = power {
                set(&mut resource.properties, &["powerState", "code"], power);
            }
            if let (Some(()), Some(mut private)) = (made, state::cluster_private(resource)) {
                private.made = true;
                state::set_private(resource, &private);
            }
            true
        })
        .await?;
    Ok(())
}

/// Tells the operation how far its saga is.
struct Progress {
    operation: Operation,
    tasks: kit::Tasks,
    done: parking_lot::Mutex<(usize, usize)>,
    inject: Option<Arc<dyn Inject>>,
    cut: watch::Receiver<u64>,
}

impl Progress {
    fn new(
        ctx: &Ctx,
        operation: &Operation,
        inject: Option<Arc<dyn Inject>>,
        cut: watch::Receiver<u64>,
    ) -> Self {
        let done = parking_lot::Mutex::new((0, 1));
        Self { operation: operation.clone(), tasks: ctx.tasks.clone(), done, inject, cut }
    }

    fn steps(&self, count: usize) {
        self.done.lock().1 = count.max(1);
    }
}

impl Observer<ArmError> for Progress {
    fn begins(&self, step: &'static str) -> Result<(), ArmError> {
        if self.cut.has_changed().unwrap_or(false) {
            return Err(saga::preempted());
        }
        self.inject.as_ref().map_or(Ok(()), |inject| inject.begins(step))
    }

    fn ended(&self, step: &'static str, took: Duration) -> Result<(), ArmError> {
        let percent = {
            let mut done = self.done.lock();
            done.0 += 1;
            (done.0 as f64 * 100.0 / done.1 as f64).min(99.0)
        };
        tracing::info!(operation = self.operation.id(), step, took_ms = took.as_millis() as u64, "step done");
        let operation = self.operation.clone();
        self.tasks.spawn("operation progress", async move {
            if let Err(error) = operation.progress(percent).await {
                tracing::debug!(error = %error, "failed to write an operation's progress");
            }
        });
        self.inject.as_ref().map_or(Ok(()), |inject| inject.ended(step))
    }
}

/// The deletion of a resource that is going on, if there is one: a repeated DELETE waits for the same.
pub(crate) fn deletion(ctx: &Ctx, id: &ResourceId) -> Option<Operation> {
    let running = ctx.operations.running();
    let found = running.iter().find(|r| r.resource == *id && r.deed == arm::operations::Deed::Delete)?;
    ctx.operations.find(&found.id)
}

/// Refuses a write while another operation is going on, in AKS's words.
pub(crate) fn check_idle(ctx: &Ctx, cluster: &Resource, pool: Option<&Resource>) -> Result<(), ArmError> {
    let conflict = |message: String| {
        Err(ArmError::conflict(
            "OperationNotAllowed",
            format!(
                "{message} is in progress, please wait for it to finish before starting a new operation. See \
                 https://aka.ms/aks-pending-operation for more details"
            ),
        ))
    };
    if let Some(state) = state::in_progress(cluster) {
        return conflict(format!("Operation is not allowed: Another operation ({state})"));
    }
    if let Some(pool) = pool {
        if pool.provisioning_state() == Some("Deleting") {
            let name = &pool.name;
            return Err(ArmError::conflict(
                "OperationNotAllowed",
                format!(
                    "Unable to perform 'Updating' operation on '{name}' since deletion was issued on '{name}'. The \
                     only allowed operation is deletion."
                ),
            ));
        }
        return match state::in_progress(pool) {
            Some(state) => {
                conflict(format!("Operation is not allowed: Another agentpool operation ({state})"))
            }
            None => Ok(()),
        };
    }
    for pool in state::pools(&ctx.resources, &cluster.id) {
        if let Some(state) = state::in_progress(&pool) {
            let name = &pool.name;
            return conflict(format!(
                "Managed Cluster operation is not allowed: Another operation ({state}) is in progress on agent pool \
                 ({name}), which"
            ));
        }
    }
    Ok(())
}

/// Refuses what a stopped cluster cannot do.
pub(crate) fn check_running(cluster: &Resource, verb: &str) -> Result<(), ArmError> {
    if !state::is_stopped(cluster) {
        return Ok(());
    }
    Err(ArmError::conflict(
        "OperationNotAllowed",
        format!(
            "managed cluster is in Provisioning State({}) and Power State(Stopped), {verb} cannot be performed. Start \
             the cluster first.",
            cluster.provisioning_state().unwrap_or("Succeeded")
        ),
    ))
}
