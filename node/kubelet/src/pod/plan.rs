//! What to do for a pod, from what it says and what the runtime has. Pure: touches nothing.

use k8s_openapi::api::core::v1::Container;

use super::spec::{Kind, Restart, Spec, hash, is_sidecar};
use super::view::{Seen, View};
use crate::labels;
use crate::probe::Verdicts;

/// A container to end before anything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kill {
    /// The runtime's id.
    pub id: String,
    /// Its name in the pod.
    pub name: String,
    /// The event's text.
    pub message: String,
    /// A grace period of the probe that failed.
    pub grace_s: Option<i64>,
}

/// What to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Stop every container and the sandbox.
    pub stop_all: bool,
    /// Make a sandbox, with this attempt number.
    pub sandbox: Option<u32>,
    /// Containers to end.
    pub kill: Vec<Kill>,
    /// Containers to start, in order, as far as their back-off allows.
    pub start: Vec<(Kind, usize)>,
}

/// Whether all init containers are done (sidecars: started).
pub fn initialized(spec: &Spec, view: &View, verdicts: &Verdicts) -> bool {
    if spec.main.iter().any(|container| view.latest(&container.name).is_some())
        && view.ready_sandbox().is_some()
    {
        let sandbox = view.ready_sandbox().map(|sandbox| sandbox.id.as_str()).unwrap_or_default();
        if spec.main.iter().any(|container| view.latest_in(&container.name, sandbox).is_some()) {
            return true;
        }
    }
    spec.init.iter().all(|container| match view.latest(&container.name) {
        Some(seen) if is_sidecar(container) => seen.running() && verdicts.started(&seen.status.id, container),
        Some(seen) => seen.exited() && seen.status.exit_code == 0,
        None => false,
    })
}

/// Whether a container that is not running is to be started (again).
pub fn wants_start(restart: Restart, seen: Option<&Seen>) -> bool {
    match (seen, restart) {
        (None, _) => true,
        (Some(seen), _) if seen.running() => false,
        // Made but never started, or lost: that was no run of it.
        (Some(seen), _) if !seen.exited() => true,
        (Some(_), Restart::Always) => true,
        (Some(seen), Restart::OnFailure) => seen.status.exit_code != 0,
        (Some(_), Restart::Never) => false,
    }
}

/// Computes what to do.
pub fn plan(spec: &Spec, view: &View, verdicts: &Verdicts) -> Plan {
    match usable_sandbox(spec, view) {
        Some(sandbox) => in_sandbox(spec, view, verdicts, &sandbox),
        None => from_nothing(spec, view),
    }
}

fn usable_sandbox(spec: &Spec, view: &View) -> Option<String> {
    let sandbox = view.ready_sandbox()?;
    let has_address = sandbox.network.as_ref().is_some_and(|network| !network.ip.is_empty());
    (spec.host_network() || has_address).then(|| sandbox.id.clone())
}

fn from_nothing(spec: &Spec, view: &View) -> Plan {
    let attempt =
        view.sandboxes.first().and_then(|sandbox| sandbox.metadata.as_ref()).map(|meta| meta.attempt);
    let start: Vec<(Kind, usize)> = indexed(spec, Kind::Main)
        .filter(|(_, container)| {
            wants_start(spec.restart_of(Kind::Main, container), view.latest(&container.name))
        })
        .map(|(index, _)| (Kind::Main, index))
        .collect();
    let mut plan = Plan { stop_all: !view.sandboxes.is_empty(), ..Plan::default() };
    let over = spec.restart() == Restart::Never && attempt.is_some() && !view.containers.is_empty();
    if over || start.is_empty() {
        return plan;
    }
    plan.sandbox = Some(attempt.map_or(0, |attempt| attempt + 1));
    plan.start = if spec.init.is_empty() { start } else { vec![(Kind::Init, 0)] };
    plan
}

fn in_sandbox(spec: &Spec, view: &View, verdicts: &Verdicts, sandbox: &str) -> Plan {
    let mut plan = Plan::default();
    for (index, container) in indexed(spec, Kind::Ephemeral) {
        if view.latest(&container.name).is_none() {
            plan.start.push((Kind::Ephemeral, index));
        }
    }
    if !init(spec, view, verdicts, sandbox, &mut plan) {
        return plan;
    }
    let mut alive = 0;
    for (index, container) in indexed(spec, Kind::Main) {
        let restart = spec.restart_of(Kind::Main, container);
        match view.latest(&container.name) {
            Some(seen) if seen.running() => match condemned(container, seen, verdicts) {
                None => alive += 1,
                Some((kill, changed)) => {
                    plan.kill.push(kill);
                    if changed || restart != Restart::Never {
                        plan.start.push((Kind::Main, index));
                        alive += 1;
                    }
                }
            },
            seen if wants_start(restart, seen) => {
                plan.start.push((Kind::Main, index));
                alive += 1;
            }
            _ => {}
        }
    }
    if alive == 0 {
        return Plan { stop_all: true, ..Plan::default() };
    }
    plan
}

/// Plans the init containers; answers whether the main ones may run.
fn init(spec: &Spec, view: &View, verdicts: &Verdicts, sandbox: &str, plan: &mut Plan) -> bool {
    let main_begun = spec.main.iter().any(|one| view.latest_in(&one.name, sandbox).is_some());
    for (index, container) in indexed(spec, Kind::Init) {
        let sidecar = is_sidecar(container);
        if main_begun && !sidecar {
            continue;
        }
        let seen = view.latest_in(&container.name, sandbox);
        match seen {
            Some(seen) if seen.running() && !sidecar => return false,
            Some(seen) if seen.running() => {
                if let Some((kill, _)) = condemned(container, seen, verdicts) {
                    plan.kill.push(kill);
                    plan.start.push((Kind::Init, index));
                    if !main_begun {
                        return false;
                    }
                } else if !main_begun && !verdicts.started(&seen.status.id, container) {
                    return false;
                }
            }
            Some(seen) if !sidecar && seen.exited() && seen.status.exit_code == 0 => {}
            Some(seen) if !sidecar && seen.exited() && spec.restart() == Restart::Never => {
                *plan = Plan { stop_all: true, ..Plan::default() };
                return false;
            }
            _ => {
                plan.start.push((Kind::Init, index));
                if !main_begun {
                    return false;
                }
            }
        }
    }
    true
}

/// Why a running container must end, and whether that is because its definition changed.
fn condemned(container: &Container, seen: &Seen, verdicts: &Verdicts) -> Option<(Kill, bool)> {
    let kill = |message: String, grace_s| Kill {
        id: seen.status.id.clone(),
        name: container.name.clone(),
        message,
        grace_s,
    };
    let name = &container.name;
    let grace = |probe: &Option<k8s_openapi::api::core::v1::Probe>| {
        probe.as_ref().and_then(|probe| probe.termination_grace_period_seconds)
    };
    if seen.status.annotations.get(labels::HASH).is_some_and(|made_from| *made_from != hash(container)) {
        return Some((kill(format!("Container {name} definition changed, will be restarted"), None), true));
    }
    if verdicts.liveness_failed(&seen.status.id) {
        let message = format!("Container {name} failed liveness probe, will be restarted");
        return Some((kill(message, grace(&container.liveness_probe)), false));
    }
    if verdicts.startup_failed(&seen.status.id) {
        let message = format!("Container {name} failed startup probe, will be restarted");
        return Some((kill(message, grace(&container.startup_probe)), false));
    }
    None
}

fn indexed(spec: &Spec, kind: Kind) -> impl Iterator<Item = (usize, &Container)> {
    spec.list(kind).iter().enumerate()
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
