//! Steps that look at nodes: which there should be, whether they are ready.

use std::collections::BTreeSet;
use std::time::Duration;

use arm::{ArmError, Resource};
use async_trait::async_trait;
use reconcile::saga::{Memo, Step};
use serde_json::Value;

use super::{COMPUTE, Work, plane_error, pools};
use crate::json::{flag, text};
use crate::state;

/// Every machine of the pools is a ready node.
pub struct NodesReady;

/// An instance of a pool's scale set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its number.
    pub number: u64,
    /// Its computer name, which is its node's name.
    pub node: String,
    /// `provisioningState`.
    pub state: String,
    /// Whether it was made from the scale set's present model.
    pub latest: bool,
}

/// The instances of a pool, by number; those on their way out are left out.
pub async fn instances(work: &Work, pool: &Resource) -> Result<Vec<Instance>, ArmError> {
    let set = pools::scale_set_id(work, pool)?;
    let listed = match work.service().list(format!("{set}/virtualMachines"), COMPUTE).await {
        Ok(listed) => listed,
        Err(error) if error.is_not_found() => Vec::new(),
        Err(error) => return Err(error),
    };
    let mut found: Vec<Instance> = listed.iter().filter_map(read).filter(|i| i.state != "Deleting").collect();
    found.sort_by_key(|instance| instance.number);
    Ok(found)
}

fn read(instance: &Value) -> Option<Instance> {
    Some(Instance {
        number: text(instance, "/instanceId")?.parse().ok()?,
        node: text(instance, "/properties/osProfile/computerName")?.to_owned(),
        state: text(instance, "/properties/provisioningState").unwrap_or_default().to_owned(),
        latest: flag(instance, "/properties/latestModelApplied"),
    })
}

/// Names of nodes that should be ready and are not.
async fn missing(work: &Work, expected: &BTreeSet<String>) -> Result<Vec<String>, ArmError> {
    let nodes = work.planes.nodes(&work.cluster.to_string()).await.map_err(plane_error)?;
    let ready: BTreeSet<&str> = nodes.iter().filter(|n| n.ready).map(|n| n.name.as_str()).collect();
    Ok(expected.iter().filter(|name| !ready.contains(name.as_str())).cloned().collect())
}

#[async_trait]
impl Step<Work, ArmError> for NodesReady {
    fn name(&self) -> &'static str {
        "nodes-ready"
    }

    fn deadline(&self) -> Duration {
        // The step's own deadline is the settings'; this one is only the last resort.
        Duration::from_secs(3600)
    }

    async fn run(&self, work: &Work, _: &mut Memo) -> Result<(), ArmError> {
        let mut expected = BTreeSet::new();
        let cluster_runs = work.pool.is_none() && !state::is_stopped(work.cluster()?.as_ref());
        // A pool that is off by itself has no nodes to wait for; one that is off with its cluster comes back with it.
        for pool in work.pools().iter().filter(|pool| !(cluster_runs && state::is_stopped(pool))) {
            expected.extend(instances(work, pool).await?.into_iter().map(|instance| instance.node));
        }
        ready(work, &expected).await
    }
}

/// Waits until these nodes are ready.
pub(super) async fn ready(work: &Work, expected: &BTreeSet<String>) -> Result<(), ArmError> {
    let mut changed = work.planes.watch_nodes(&work.cluster.to_string());
    let limit = work.settings.nodes_ready_deadline;
    let ready = async {
        loop {
            changed.mark_unchanged();
            if missing(work, expected).await?.is_empty() {
                return Ok(());
            }
            if changed.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    };
    match tokio::time::timeout(limit, work.unless_cut(ready)).await {
        Ok(outcome) => outcome,
        Err(_) => {
            let missing = missing(work, expected).await?;
            Err(ArmError::conflict(
                "NodesNotReady",
                format!(
                    "{} of {} nodes did not become ready within {} seconds: {}.",
                    missing.len(),
                    expected.len(),
                    limit.as_secs(),
                    missing.join(", ")
                ),
            ))
        }
    }
}
