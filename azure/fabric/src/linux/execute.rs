//! Executes a plan, step by step. Chooses nothing.

use std::collections::BTreeMap;

use futures::future::{join_all, try_join_all};
use kit::files::{Readers, write_atomic};

use super::{LinuxFabric, blocking, host, image, links};
use crate::fabric::FabricError;
use crate::ids::{MachineId, NetworkId};
use crate::plan::{FabricPlan, RouterConfig, Step, replacement};
use crate::state::MachineState;
use crate::wanted::{Machine, Wanted};

const RULES: &str = "lazurite";
const BALANCING: &str = "lazurite-balancing";
/// The tables of a router.
pub(super) const TABLES: [&str; 2] = [RULES, BALANCING];

/// Runs all steps; what machines do not need of each other happens at the same time.
pub(super) async fn execute(
    fabric: &LinuxFabric,
    wanted: &Wanted,
    plan: &FabricPlan,
) -> Result<(), FabricError> {
    let lives = &fabric.lives;
    let endings = plan.steps.iter().filter_map(|step| match step {
        Step::DeleteMachine(id) => Some((id, true)),
        Step::StopMachine(id) => Some((id, false)),
        _ => None,
    });
    try_join_all(endings.map(|(id, delete)| async move {
        if delete { lives.delete(id).await } else { lives.stop(id).await }
    }))
    .await?;
    for step in &plan.steps {
        if let Step::MakeRouter(id) | Step::DeleteRouter(id) = step {
            fabric.services.stop(id);
        }
    }
    let (config, steps) = (fabric.config.clone(), plan.steps.clone());
    blocking(move || steps.iter().try_for_each(|step| network_step(&config, step))).await?;
    record_routers(fabric, &plan.routers)?;
    start_machines(fabric, wanted, plan).await;
    Ok(())
}

fn network_step(config: &super::LinuxConfig, step: &Step) -> Result<(), FabricError> {
    match step {
        Step::MakeInternet => links::make_internet(config),
        Step::MakeRouter(id) => {
            forget_router(config, id)?;
            links::make_router(config, id)
        }
        Step::MakeNamespace(id) => links::make_namespace(config, id),
        Step::Link(network, facts) => links::link(config, network, facts),
        Step::Unlink(network, facts) => links::unlink(config, network, facts),
        Step::Rules(network, body) => rules(config, network, RULES, |held| &held.rules, body),
        Step::Balancing(network, body) => rules(config, network, BALANCING, |held| &held.balancing, body),
        Step::DeleteRouter(id) => {
            config.router(id).delete().map_err(host(format!("delete router {id}")))?;
            forget_router(config, id)
        }
        Step::DeleteMachine(_) | Step::StopMachine(_) | Step::Image(..) | Step::Start(_) => Ok(()),
    }
}

fn forget_router(config: &super::LinuxConfig, id: &NetworkId) -> Result<(), FabricError> {
    kit::files::remove(&config.network_file(id)).map_err(host(format!("forget router {id}")))
}

fn rules(
    config: &super::LinuxConfig,
    network: &NetworkId,
    table: &str,
    text: impl Fn(&RouterConfig) -> &String,
    body: &str,
) -> Result<(), FabricError> {
    let (router, deed) = (config.router(network), format!("replace rules of {network}"));
    // Rules are for what is routed. Where the kernel also shows them what passes a bridge, a translated packet would be
    // sent on within the bridge, whose ports are isolated from each other. The module may have come since the last time.
    router.sysctl_if_there("bridge/bridge-nf-call-iptables", "0").map_err(host(deed.clone()))?;
    let held = recorded(config, network);
    let keeping = held.and_then(|held| replacement::keeping(table, text(&held), body));
    if let Some(script) = keeping {
        match ::linux::nft::apply(&router, &script) {
            Ok(()) => return Ok(()),
            Err(error) => {
                // A table of an older version, or one that was replaced before a service died.
                tracing::info!(%network, table, error = %kit::Chain(&error), "rules begin to count anew");
            }
        }
    }
    ::linux::nft::apply(&router, &replacement::anew(table, body)).map_err(host(deed))
}

/// What a router was last recorded to hold.
pub(super) fn recorded(config: &super::LinuxConfig, network: &NetworkId) -> Option<RouterConfig> {
    let text = std::fs::read(config.network_file(network)).ok()?;
    serde_json::from_slice(&text).ok()
}

fn record_routers(
    fabric: &LinuxFabric,
    routers: &BTreeMap<NetworkId, RouterConfig>,
) -> Result<(), FabricError> {
    for (id, config) in routers {
        let deed = || format!("record router {id}");
        let bytes = serde_json::to_vec(config).map_err(host(deed()))?;
        let path = fabric.config.network_file(id);
        if std::fs::read(&path).is_ok_and(|old| old == bytes) {
            continue;
        }
        write_atomic(&path, &bytes, Readers::Owner).map_err(host(deed()))?;
    }
    Ok(())
}

/// Replaces balancing rules outside a plan: a backend's health has changed.
pub(super) async fn rebalance(
    fabric: &LinuxFabric,
    changed: BTreeMap<NetworkId, RouterConfig>,
) -> Result<(), FabricError> {
    let (config, routers) = (fabric.config.clone(), changed.clone());
    blocking(move || {
        routers.iter().try_for_each(|(id, router)| {
            rules(&config, id, BALANCING, |held| &held.balancing, &router.balancing)
        })
    })
    .await?;
    record_routers(fabric, &changed)
}

/// A machine that cannot be made is that machine's failure, not the wish's.
async fn start_machines(fabric: &LinuxFabric, wanted: &Wanted, plan: &FabricPlan) {
    let mut work: BTreeMap<&MachineId, (Option<u64>, bool)> = BTreeMap::new();
    for step in &plan.steps {
        match step {
            Step::Image(id, generation) => work.entry(id).or_default().0 = Some(*generation),
            Step::Start(id) => work.entry(id).or_default().1 = true,
            _ => {}
        }
    }
    join_all(work.into_iter().map(|(id, (image, start))| async move {
        let Some(machine) = wanted.machines.iter().find(|m| m.id == *id) else { return };
        if let Err(error) = make(fabric, wanted, machine, image, start).await {
            let line = kit::Chain(&error).to_string();
            tracing::error!(machine = %id, error = line, "failed to make a machine");
            fabric.lives.put(id, Some(MachineState::Failed { exit_code: 126, last_lines: vec![line] }));
        }
    }))
    .await;
}

async fn make(
    fabric: &LinuxFabric,
    wanted: &Wanted,
    machine: &Machine,
    generation: Option<u64>,
    start: bool,
) -> Result<(), FabricError> {
    let id = &machine.id;
    fabric.lives.put(id, Some(if start { MachineState::Creating } else { MachineState::Stopped }));
    let (config, lives) = (fabric.config.clone(), fabric.lives.clone());
    // Only what this machine's files are made of.
    let wanted = Wanted { networks: wanted.networks.clone(), ..Wanted::default() };
    let own = machine.clone();
    blocking(move || match generation {
        Some(generation) => {
            image::image(&config, &wanted, &own)?;
            lives.imaged(&own.id, generation).map_err(host(format!("image machine {}", own.id)))
        }
        None => image::describe(&config, &wanted, &own).map_err(host(format!("start machine {}", own.id))),
    })
    .await?;
    if start {
        fabric.lives.start(id).await?;
    }
    Ok(())
}
