//! Makes the network and compute resources true on the fabric, and brings back what machines say.
//!
//! ```text
//! store ──change──▶ wanted() ──differs──▶ Fabric::apply        one loop, woken by notification only
//! store ◀──phase, exit code── machines() ◀──change── fabric
//! ```
//!
//! Guarantees: one generation per difference, growing over restarts; what a machine says is written to its
//! instance only if the machine is of the generation and power that the instance has now.

pub mod wanted;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arm::Resources;
use fabric::{Fabric, Machine, MachineState, Machines, Power, Wanted};
use tokio::sync::watch;

use crate::compute::instances::{self, Phase};

/// Names that machines resolve, beside those of their own network.
pub type Names = Vec<(String, Ipv4Addr)>;

/// Whose changes can change a wish. A cluster is one of them for its name, which private endpoints lead to.
const NAMESPACES: [&str; 3] = ["Microsoft.Network", "Microsoft.Compute", "Microsoft.ContainerService"];
/// After a wish was made, the next waits as long as that took, but not longer than this: what changes meanwhile is one wish,
/// and making wishes takes at most half of a processor however many resources there are.
const BREATH_MAX: Duration = Duration::from_millis(200);
/// Pause before a refused wish is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// After this many refusals in a row, instances that wait are told.
const REFUSALS_MAX: u32 = 3;

struct Driver {
    resources: Resources,
    fabric: Arc<dyn Fabric>,
    names: watch::Receiver<Names>,
    applied: Option<Wanted>,
    /// What the resources were when the wish that holds was made of them.
    seen: Option<u64>,
    refusals: u32,
}

/// Starts the loop. It ends with `tasks`.
pub fn start(
    resources: Resources,
    fabric: Arc<dyn Fabric>,
    names: watch::Receiver<Names>,
    tasks: &kit::Tasks,
) {
    let driver = Driver { resources, fabric, names, applied: None, seen: None, refusals: 0 };
    tasks.spawn("fabric driver", driver.run());
}

impl Driver {
    async fn run(mut self) {
        let mut resources = self.resources.watch();
        let mut machines = self.fabric.machines();
        let mut names = self.names.clone();
        let mut named = true;
        loop {
            resources.mark_unchanged();
            let begun = Instant::now();
            let settled = self.apply(named).await;
            named = false;
            let took = begun.elapsed();
            let seen = machines.borrow_and_update().clone();
            self.report(&seen).await;
            let pause = async {
                match settled {
                    true => std::future::pending::<()>().await,
                    false => tokio::time::sleep(RETRY).await,
                }
            };
            tokio::select! {
                changed = resources.changed() => if changed.is_err() { return },
                changed = machines.changed() => if changed.is_err() { return },
                Ok(()) = names.changed() => named = true,
                () = pause => {}
            }
            tokio::time::sleep(took.min(BREATH_MAX)).await;
        }
    }

    /// Applies the present wish if it differs from the one that holds. False: it must be tried again.
    async fn apply(&mut self, named: bool) -> bool {
        let seen = self.resources.changes_of(&NAMESPACES);
        if !named && self.applied.is_some() && self.seen == Some(seen) {
            return true;
        }
        self.seen = None;
        let mut wanted = wanted::wanted(&self.resources, &self.names.borrow());
        if let Some(applied) = &self.applied {
            wanted.generation = applied.generation;
            if *applied == wanted {
                self.seen = Some(seen);
                return true;
            }
        }
        wanted.generation = match self.next_generation().await {
            Ok(generation) => generation,
            Err(error) => {
                tracing::error!(error = %kit::Chain(&error), "failed to count a fabric generation");
                return false;
            }
        };
        match self.fabric.apply(wanted.clone()).await {
            Ok(report) => {
                tracing::debug!(generation = report.generation, steps = report.steps.len(), "fabric applied");
                self.applied = Some(wanted);
                self.seen = Some(seen);
                self.refusals = 0;
                true
            }
            Err(error) => {
                let reason = kit::Chain(&error).to_string();
                tracing::error!(error = %reason, "the fabric refused a wish");
                self.refusals += 1;
                if self.refusals >= REFUSALS_MAX {
                    self.tell_waiting(&reason).await;
                }
                false
            }
        }
    }

    async fn next_generation(&self) -> Result<u64, arm::StoreError> {
        let table = self.resources.table("fabric");
        let next = table.get::<u64>("generation")?.unwrap_or(0) + 1;
        table.put("generation", &next).await?;
        Ok(next)
    }

    /// The fabric cannot make the wish true: instances that wait for it fail with its reason.
    async fn tell_waiting(&self, reason: &str) {
        for instance in instances::all(&self.resources) {
            if instance.private.phase == Phase::Pending && !instance.deleting {
                self.write(&instance.id, None, Phase::Failed, Some(-1), &[reason.to_owned()]).await;
            }
        }
    }

    /// Writes what machines say to their instances.
    async fn report(&self, seen: &Machines) {
        let Some(applied) = &self.applied else { return };
        for machine in &applied.machines {
            let Some(state) = seen.get(&machine.id) else { continue };
            let Ok(id) = arm::ResourceId::parse(&machine.resource_id) else { continue };
            let (phase, exit_code, lines) = match state {
                MachineState::Creating | MachineState::Booting => (Phase::Booting, None, &[][..]),
                MachineState::Running => (Phase::Running, None, &[][..]),
                MachineState::Stopped => (Phase::Stopped, None, &[][..]),
                MachineState::Failed { exit_code, last_lines } => {
                    (Phase::Failed, Some(*exit_code), last_lines.as_slice())
                }
            };
            self.write(&id, Some(machine), phase, exit_code, lines).await;
        }
    }

    async fn write(
        &self,
        id: &arm::ResourceId,
        machine: Option<&Machine>,
        phase: Phase,
        exit_code: Option<i32>,
        lines: &[String],
    ) {
        // Most reports say nothing new; look before taking the store's turn.
        let news = |instance: &arm::Resource| {
            let mut private = instances::private(instance)?;
            let current = machine
                .is_none_or(|m| m.generation == private.generation && (m.power == Power::On) == private.on);
            let same = private.phase == phase && private.exit_code == exit_code;
            if !current || same || instances::is_deleting(instance) {
                return None;
            }
            private.phase = phase;
            private.exit_code = exit_code;
            private.last_lines = lines.to_vec();
            Some(private)
        };
        if self.resources.get(id).is_none_or(|instance| news(&instance).is_none()) {
            return;
        }
        let written = self.resources.modify(id, |instance| match news(instance) {
            Some(private) => {
                instances::set_private(instance, &private);
                true
            }
            None => false,
        });
        if let Err(error) = written.await {
            tracing::error!(error = %kit::Chain(&error), "failed to write the state of a machine");
        }
    }
}
