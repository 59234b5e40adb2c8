//! What is kept of clusters and pools beside what is shown, and how states are read.

use arm::{Resource, ResourceId, Resources};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::json::{set, text};
use crate::versions;

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
}

impl PoolPrivate {
    /// What is kept of a pool that is written now by this operation, after what was kept before.
    pub fn next(
        old: Option<&Resource>,
        new: &Value,
        operation: &str,
        suffix: impl FnOnce() -> String,
    ) -> Self {
        let before = old.and_then(pool_private);
        let differs = |property: &str| old.is_some_and(|old| old.properties[property] != new[property]);
        Self {
            rolling: before.as_ref().is_some_and(|before| before.rolling)
                || differs("currentOrchestratorVersion")
                || differs("nodeImageVersion"),
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
