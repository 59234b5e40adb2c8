//! What is kept of clusters and pools beside what is shown, and how states are read.

use arm::{Resource, ResourceId, Resources};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::json::{set, text};
use crate::{pool, versions};

/// Full type of clusters.
pub const CLUSTERS: &str = "Microsoft.ContainerService/managedClusters";
/// Full type of pools.
pub const POOLS: &str = "Microsoft.ContainerService/managedClusters/agentPools";
/// The member of stored properties that is never shown.
pub const PRIVATE: &str = "$private";

/// What is kept of a cluster and never shown. Chosen once, at the first PUT.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterPrivate {
    /// Eight characters of the API server's name.
    pub fqdn_suffix: String,
    /// Eight digits of shared resources' names.
    pub suffix: String,
    /// Name of the outbound public IP, a GUID.
    pub outbound_ip: String,
    /// Part of the issuer's URL, a GUID.
    pub guid: String,
    /// Whether a write ever succeeded.
    pub made: bool,
    /// The latest operation.
    pub operation: String,
    /// When it began, RFC 3339.
    pub operation_began: String,
}

/// What is kept of a pool and never shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolPrivate {
    /// Eight digits of its scale set's name.
    pub suffix: String,
    /// The latest operation.
    pub operation: String,
    /// Whether its nodes are to be made anew from the present model.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rolling: bool,
    /// Names of machines that are to go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leaving: Vec<String>,
    /// What its nodes were of before the latest change of that; none after a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Used>,
}

/// Versions that a pool's nodes were of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Used {
    /// The Kubernetes version, with its patch.
    pub orchestrator_version: String,
    /// The image's name.
    pub node_image_version: String,
    /// When they were left.
    pub timestamp: Timestamp,
}

/// A pool goes back within this time after it was changed.
const ROLLBACK_WITHIN: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What a pool can be rolled back to now. Nodes of another image than this service's are not made.
pub fn rollback(pool: &Resource, now: Timestamp) -> Option<Used> {
    let before = pool_private(pool)?.before?;
    let is_recent = now.duration_since(before.timestamp) <= ROLLBACK_WITHIN;
    (is_recent && before.node_image_version == pool::NODE_IMAGE).then_some(before)
}

/// What is to be remembered of a pool's versions when `new` replaces `old`: a change is, a return to what was before is not, so
/// that nobody goes back twice.
pub(crate) fn left_behind(old: &Resource, new: &Value, before: Option<Used>, now: Timestamp) -> Option<Used> {
    let versions = |properties: &Value| {
        let image = text(properties, "/nodeImageVersion").unwrap_or(pool::NODE_IMAGE);
        (pool_version(properties).to_owned(), image.to_owned())
    };
    let (was, becomes) = (versions(&old.properties), versions(new));
    if was == becomes {
        return before;
    }
    let returns = before.is_some_and(|used| (used.orchestrator_version, used.node_image_version) == becomes);
    let (orchestrator_version, node_image_version) = was;
    (!returns).then_some(Used { orchestrator_version, node_image_version, timestamp: now })
}

impl PoolPrivate {
    /// What is kept of a pool that is written now by this operation, after what was kept before.
    pub fn next(
        old: Option<&Resource>,
        new: &Value,
        operation: &str,
        now: Timestamp,
        suffix: impl FnOnce() -> String,
    ) -> Self {
        let before = old.and_then(pool_private);
        let differs = |property: &str| old.is_some_and(|old| old.properties[property] != new[property]);
        Self {
            rolling: before.as_ref().is_some_and(|before| before.rolling)
                || differs("currentOrchestratorVersion")
                || differs("nodeImageVersion"),
            before: old.and_then(|old| {
                let before = before.as_ref().and_then(|before| before.before.clone());
                left_behind(old, new, before, now)
            }),
            suffix: before.map_or_else(suffix, |before| before.suffix),
            operation: operation.to_owned(),
            // A write says how many there shall be, not which.
            leaving: Vec::new(),
        }
    }
}

/// The private part of a cluster.
pub fn cluster_private(cluster: &Resource) -> Option<ClusterPrivate> {
    serde_json::from_value(cluster.properties.get(PRIVATE)?.clone()).ok()
}

/// The private part of a pool.
pub fn pool_private(pool: &Resource) -> Option<PoolPrivate> {
    serde_json::from_value(pool.properties.get(PRIVATE)?.clone()).ok()
}

/// Stores a private part.
pub fn set_private(resource: &mut Resource, private: &impl Serialize) {
    set(&mut resource.properties, &[PRIVATE], json!(private));
}

/// Whether an operation is going on.
pub fn in_progress(resource: &Resource) -> Option<&str> {
    match resource.provisioning_state() {
        None | Some("Succeeded" | "Failed" | "Canceled") => None,
        Some(state) => Some(state),
    }
}

/// Whether a cluster is stopped.
pub fn is_stopped(cluster: &Resource) -> bool {
    text(&cluster.properties, "/powerState/code") == Some("Stopped")
}

/// A cluster's pools, by name.
pub fn pools(resources: &Resources, cluster: &ResourceId) -> Vec<std::sync::Arc<Resource>> {
    resources.list_type(cluster, POOLS)
}

/// The patch version of a pool.
pub fn pool_version(pool: &Value) -> &str {
    text(pool, "/currentOrchestratorVersion").unwrap_or(versions::DEFAULT)
}

/// Object id of the identity a cluster acts as: its own, or the first one assigned to it.
pub fn principal(cluster: &Resource) -> Option<String> {
    let block = cluster.identity.as_ref()?;
    if let Some(own) = text(block, "/principalId") {
        return Some(own.to_owned());
    }
    let assigned = block.get("userAssignedIdentities")?.as_object()?;
    assigned.values().find_map(|ids| text(ids, "/principalId").map(str::to_owned))
}

/// The id of the group that holds a cluster's nodes.
pub fn node_group(cluster: &Resource) -> Option<ResourceId> {
    let name = text(&cluster.properties, "/nodeResourceGroup")?;
    Some(ResourceId::of_group(cluster.id.subscription()?, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_back_is_open_for_a_week_and_to_an_image_that_is_there() {
        let left = Timestamp::from_second(1_800_000_000).unwrap();
        let used = |image: &str| Used {
            orchestrator_version: "1.34.9".to_owned(),
            node_image_version: image.to_owned(),
            timestamp: left,
        };
        let id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c/agentPools/p";
        for (image, hours, open) in [
            (pool::NODE_IMAGE, 1, true),
            (pool::NODE_IMAGE, 167, true),
            (pool::NODE_IMAGE, 169, false),
            ("old", 1, false),
        ] {
            let mut pool = Resource::new(ResourceId::parse(id).unwrap());
            let private = PoolPrivate {
                suffix: String::new(),
                operation: String::new(),
                rolling: false,
                leaving: Vec::new(),
                before: Some(used(image)),
            };
            set_private(&mut pool, &private);
            let now = left + SignedDuration::from_hours(hours);
            assert_eq!(rollback(&pool, now).is_some(), open, "{image} {hours}");
        }
    }
}
