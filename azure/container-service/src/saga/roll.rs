//! Steps that make nodes anew from the present model: one after another behind a surge, or all at once.
//!
//! ```text
//! roll:  surge machines ▶ for each batch of old ones: drain ▶ Node object gone ▶ reimage ▶ ready ▶ surge machines gone
//! ```
//!
//! Guarantees: a machine that is of the present model already is left alone, so a roll that was interrupted goes on with
//! the rest; no node loses its machine undrained in a roll.

use std::collections::BTreeSet;
use std::time::Duration;

use arm::{ArmError, Resource};
use async_trait::async_trait;
use reconcile::saga::{Memo, Step};
use serde_json::{Value, json};

use super::nodes::{self, Instance};
use super::{COMPUTE, Work, plane, plane_error, pools};
use crate::json::text;
use crate::state;

/// Nodes of pools that were upgraded are of the new version.
pub struct Roll;
/// Every node is made anew, undrained.
pub struct Reimage;

/// How many nodes are added for the time of a roll, and how many are made anew at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pace {
    surge: usize,
    batch: usize,
}

/// A number, or a part of the count, rounded up.
fn share(written: &str, count: usize) -> Option<usize> {
    match written.strip_suffix('%') {
        Some(percent) => Some((percent.parse::<usize>().ok()?.min(100) * count).div_ceil(100)),
        None => written.parse().ok(),
    }
}

fn pace(pool: &Value, count: usize) -> Pace {
    let of = |pointer: &str| text(pool, pointer).and_then(|written| share(written, count));
    let surge = of("/upgradeSettings/maxSurge").unwrap_or(1).min(count.max(1));
    let batch = if surge > 0 { surge } else { of("/upgradeSettings/maxUnavailable").unwrap_or(1).max(1) };
    Pace { surge, batch }
}

async fn outdated(work: &Work, pool: &Resource) -> Result<Vec<Instance>, ArmError> {
    let mut old = nodes::instances(work, pool).await?;
    old.retain(|instance| !instance.latest);
    Ok(old)
}

/// These machines get a new root from the present model and are ready nodes again.
async fn replace(work: &Work, pool: &Resource, batch: &[Instance], drain: bool) -> Result<(), ArmError> {
    let cluster = work.cluster.to_string();
    for instance in batch.iter().filter(|instance| drain && instance.state == "Succeeded") {
        pools::drain_node(work, &instance.node).await?;
    }
    for instance in batch {
        // It comes back as a new node: uncordoned, with the labels of now.
        work.planes.delete_node(&cluster, &instance.node).await.map_err(plane_error)?;
    }
    let numbers: Vec<String> = batch.iter().map(|instance| instance.number.to_string()).collect();
    let set = pools::scale_set_id(work, pool)?;
    let body = json!({ "instanceIds": numbers });
    let reply = work.as_cluster()?.post(format!("{set}/reimage"), COMPUTE, body).await?;
    work.unless_cut(reply.done()).await?;
    let names: BTreeSet<String> = batch.iter().map(|instance| instance.node.clone()).collect();
    nodes::ready(work, &names).await
}

async fn roll(work: &Work, pool: &Resource) -> Result<(), ArmError> {
    let old = outdated(work, pool).await?;
    if !old.is_empty() {
        let count = pools::count(pool);
        let Pace { surge, batch } = pace(&pool.properties, count);
        if surge > 0 {
            let plane = plane::ensure(work).await?;
            pools::ensure(work, pool, &plane, count + surge).await?;
            let fresh = nodes::instances(work, pool).await?.into_iter().filter(|instance| instance.latest);
            nodes::ready(work, &fresh.map(|instance| instance.node).collect()).await?;
        }
        for batch in old.chunks(batch) {
            replace(work, pool, batch, true).await?;
        }
        pools::scale_down(work, pool).await?;
    }
    pools::note(work, pool, |private| private.rolling = false).await
}

#[async_trait]
impl Step<Work, ArmError> for Roll {
    fn name(&self) -> &'static str {
        "roll"
    }

    fn deadline(&self) -> Duration {
        // A drain waits for disruption budgets, each node in turn.
        Duration::from_secs(4 * 3600)
    }

    async fn run(&self, work: &Work, _: &mut Memo) -> Result<(), ArmError> {
        for pool in work.pools() {
            let rolling = state::pool_private(&pool).is_some_and(|private| private.rolling);
            if rolling && !state::is_stopped(&pool) {
                roll(work, &pool).await?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Step<Work, ArmError> for Reimage {
    fn name(&self) -> &'static str {
        "reimage"
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(1800)
    }

    async fn run(&self, work: &Work, _: &mut Memo) -> Result<(), ArmError> {
        for pool in work.pools() {
            let old = outdated(work, &pool).await?;
            if !old.is_empty() {
                replace(work, &pool, &old, false).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_surge_is_a_number_or_a_share_of_the_nodes() {
        for (surge, unavailable, count, expected) in [
            ("10%", "0", 3, (1, 1)),
            ("33%", "0", 6, (2, 2)),
            ("100%", "0", 3, (3, 3)),
            ("2", "0", 5, (2, 2)),
            ("5", "0", 2, (2, 2)),
            ("0", "1", 3, (0, 1)),
            ("0", "50%", 4, (0, 2)),
            ("nonsense", "0", 3, (1, 1)),
        ] {
            let pool = json!({ "upgradeSettings": { "maxSurge": surge, "maxUnavailable": unavailable } });
            let found = pace(&pool, count);
            assert_eq!((found.surge, found.batch), expected, "{surge} {unavailable} {count}");
        }
    }
}
