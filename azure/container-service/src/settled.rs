//! Writes that have nothing to do.
//!
//! A PUT that says what is stored already, of a cluster or pool that is finished and whole, starts no work: its ETag stays,
//! and a second `terraform apply` finds nothing. Whatever is missing in the node resource group makes it a real write, so a
//! repeated PUT still repairs.

use arm::{Ctx, Resource, ResourceId};
use serde_json::Value;

use crate::saga::{Work, network, plane};
use crate::{drift, state};

/// Whether a shaped cluster and its shaped pools are what is there.
pub(crate) fn cluster(
    ctx: &Ctx,
    work: &Work,
    existing: &Resource,
    shaped: &Resource,
    pools: &[(String, Value)],
) -> bool {
    let same_pool = |(name, properties): &(String, Value)| {
        let stored = ctx.resources.get(&existing.id.child("agentPools", name));
        stored.is_some_and(|stored| finished(&stored) && stored.properties == *properties)
    };
    finished(existing)
        && state::cluster_private(existing).is_some_and(|private| private.made)
        && shaped.says_the_same_as(existing)
        && pools.iter().all(same_pool)
        && whole(ctx, work, existing)
}

/// The same for one pool.
pub(crate) fn pool(ctx: &Ctx, work: &Work, cluster: &Resource, existing: &Resource, shaped: &Value) -> bool {
    let mut shaped = shaped.clone();
    if let Some(private) = existing.properties.get(state::PRIVATE) {
        crate::json::set(&mut shaped, &[state::PRIVATE], private.clone());
    }
    finished(existing) && existing.properties == shaped && finished(cluster) && whole(ctx, work, cluster)
}

fn finished(resource: &Resource) -> bool {
    resource.provisioning_state() == Some("Succeeded")
}

/// Whether everything the cluster made is there, with as many machines as its pools say.
fn whole(ctx: &Ctx, work: &Work, cluster: &Resource) -> bool {
    let there = |id: Result<ResourceId, arm::ArmError>| id.is_ok_and(|id| ctx.resources.exists(&id));
    drift::differences(ctx, cluster).is_empty()
        && there(plane::role_id(work))
        && network::made(work).into_iter().all(there)
}
