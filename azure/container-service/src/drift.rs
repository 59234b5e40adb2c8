//! Keeps finished clusters true: a machine that somebody deleted comes back, one that died is started again.
//!
//! A reconciler per cluster: it takes the cluster's id and no hint, compares each pool's count with its scale set
//! and looks for machines that failed, says by field what differs, and runs the same steps a PUT runs. Woken by
//! changes of the store; nothing polls. A machine that keeps dying is started at most once per [`PAUSE`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arm::{Ctx, Resource, ResourceId};
use reconcile::saga::Memo;
use reconcile::{KeyedQueue, Next, Step};

use crate::json::number;
use crate::saga::{Work, nodes, pools};
use crate::service::Shared;
use crate::state;

/// Clusters repaired at once.
const WORKERS: usize = 2;
/// Pause after a repair that failed, and before a dead machine is started.
pub const PAUSE: Duration = Duration::from_secs(30);

const COUNT: &str = "count";
const FAILED: &str = "failedInstances";

/// A difference between what a pool says and what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The pool.
    pub pool: String,
    /// What differs.
    pub field: &'static str,
    /// What the pool says.
    pub wanted: i64,
    /// What is there.
    pub found: i64,
}

/// Starts the loop.
pub(crate) fn start(shared: Arc<Shared>, ctx: &Ctx) {
    let queue: KeyedQueue<String> = KeyedQueue::default();
    let watched = ctx.clone();
    let adding = queue.clone();
    ctx.tasks.spawn("cluster drift watch", async move {
        let mut changed = watched.resources.watch();
        let mut seen: BTreeMap<String, Vec<Difference>> = BTreeMap::new();
        loop {
            changed.mark_unchanged();
            let now = all(&watched);
            for (cluster, differences) in &now {
                if differences.is_empty() || seen.get(cluster) == Some(differences) {
                    continue;
                }
                match differences.iter().all(|difference| difference.field == FAILED) {
                    true => adding.add_after(cluster.clone(), PAUSE),
                    false => adding.add(cluster.clone()),
                }
            }
            seen = now;
            if changed.changed().await.is_err() {
                return;
            }
        }
    });
    let context = ctx.clone();
    queue.drive("cluster drift", WORKERS, &ctx.tasks, move |cluster| {
        let (shared, ctx) = (shared.clone(), context.clone());
        async move { reconcile(&shared, &ctx, &cluster).await }
    });
}

fn all(ctx: &Ctx) -> BTreeMap<String, Vec<Difference>> {
    let clusters = ctx.resources.list_type(&ResourceId::root(), state::CLUSTERS);
    clusters.iter().map(|cluster| (cluster.id.to_string(), differences(ctx, cluster))).collect()
}

/// What differs in a finished, running cluster.
pub fn differences(ctx: &Ctx, cluster: &Resource) -> Vec<Difference> {
    if cluster.provisioning_state() != Some("Succeeded") || state::is_stopped(cluster) {
        return Vec::new();
    }
    let Some(group) = state::node_group(cluster) else { return Vec::new() };
    state::pools(&ctx.resources, &cluster.id)
        .iter()
        .filter(|pool| pool.provisioning_state() == Some("Succeeded"))
        .flat_map(|pool| of_pool(ctx, &group, pool))
        .collect()
}

fn of_pool(ctx: &Ctx, group: &ResourceId, pool: &Resource) -> Vec<Difference> {
    let Some(private) = state::pool_private(pool) else { return Vec::new() };
    let name = crate::names::scale_set(&pool.name, &private.suffix);
    let id = group.extension("Microsoft.Compute/virtualMachineScaleSets", &name);
    let set = ctx.resources.get(&id);
    let capacity = set.and_then(|set| number(set.sku.as_ref()?, "/capacity")).unwrap_or(0);
    let wanted = number(&pool.properties, "/count").unwrap_or(0);
    let machines = ctx.resources.list_type(&id, "Microsoft.Compute/virtualMachineScaleSets/virtualMachines");
    let failed = machines.iter().filter(|m| m.provisioning_state() == Some("Failed")).count() as i64;
    [(COUNT, wanted, capacity), (FAILED, 0, failed)]
        .into_iter()
        .filter(|(_, wanted, found)| wanted != found)
        .map(|(field, wanted, found)| Difference { pool: pool.name.clone(), field, wanted, found })
        .collect()
}

async fn reconcile(shared: &Shared, ctx: &Ctx, cluster: &str) -> Next {
    let Ok(id) = ResourceId::parse(cluster) else { return Next::Rest };
    let lane = shared.lanes.of(&id);
    let all = shared.work(ctx, &id, None);
    let Ok(_turn) = all.unless_cut(async { Ok(lane.turn.lock().await) }).await else { return Next::Rest };
    let Some(found) = ctx.resources.get(&id) else { return Next::Rest };
    let differences = differences(ctx, &found);
    for difference in &differences {
        let Difference { pool, field, wanted, found } = difference;
        tracing::warn!(
            cluster,
            pool,
            field,
            wanted,
            found,
            "a pool differs from its scale set and is repaired"
        );
    }
    if differences.is_empty() {
        return Next::Rest;
    }
    for difference in differences {
        let work = Work { cut: all.cut.clone(), ..shared.work(ctx, &id, Some(difference.pool.clone())) };
        let repaired = match difference.field {
            FAILED => restart_failed(&work).await,
            _ => repair(&work).await,
        };
        if let Err(error) = repaired {
            tracing::warn!(cluster, error = %error, "a repair failed and is tried again");
            return Next::After(PAUSE);
        }
    }
    Next::Rest
}

async fn repair(work: &Work) -> Result<(), arm::ArmError> {
    let mut memo = Memo::default();
    pools::ScaleDown.run(work, &mut memo).await?;
    pools::ScaleSets.run(work, &mut memo).await?;
    nodes::NodesReady.run(work, &mut memo).await?;
    forget_strangers(work).await
}

/// Machines that died are started again, with the disk they had.
async fn restart_failed(work: &Work) -> Result<(), arm::ArmError> {
    for pool in work.pools() {
        let failed: Vec<String> = nodes::instances(work, &pool)
            .await?
            .into_iter()
            .filter(|instance| instance.state == "Failed")
            .map(|instance| instance.number.to_string())
            .collect();
        if failed.is_empty() {
            continue;
        }
        let set = pools::scale_set_id(work, &pool)?;
        let body = serde_json::json!({ "instanceIds": failed });
        work.as_cluster()?.post(format!("{set}/restart"), crate::saga::COMPUTE, body).await?.done().await?;
    }
    Ok(())
}

/// Node objects of machines that are gone go too.
async fn forget_strangers(work: &Work) -> Result<(), arm::ArmError> {
    let cluster = work.cluster.to_string();
    for pool in work.pools() {
        let there = nodes::instances(work, &pool).await?;
        let known = work.planes.nodes(&cluster).await.map_err(crate::saga::plane_error)?;
        for node in known.iter().filter(|node| node.pool == pool.name) {
            if !there.iter().any(|instance| instance.node == node.name) {
                work.planes.delete_node(&cluster, &node.name).await.map_err(crate::saga::plane_error)?;
            }
        }
    }
    Ok(())
}
