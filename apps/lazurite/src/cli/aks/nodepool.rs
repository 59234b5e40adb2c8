//! `lazurite aks nodepool`: a cluster's pools, with the flags and output forms of `az aks nodepool`.

use anyhow::{Result, bail};
use http::Method;
use serde_json::{Value, json};

use super::create::{Scaling, words};
use crate::cli::arm::Arm;
use crate::cli::group::pairs;
use crate::cli::output::{Column, Common};
use crate::cli::shape;

const COLUMNS: &[Column] = &[
    ("Name", &["/name"]),
    ("OsType", &["/osType"]),
    ("KubernetesVersion", &["/orchestratorVersion"]),
    ("VmSize", &["/vmSize"]),
    ("Count", &["/count"]),
    ("MaxPods", &["/maxPods"]),
    ("ProvisioningState", &["/provisioningState"]),
    ("Mode", &["/mode"]),
];

/// What only the service writes; not sent back.
const READ_ONLY: &[&str] = &["provisioningState", "currentOrchestratorVersion", "nodeImageVersion", "eTag"];

#[derive(Debug, clap::Subcommand)]
pub(super) enum NodePool {
    /// Add a node pool
    Add(Box<Add>),
    /// Show a node pool
    Show {
        #[command(flatten)]
        pool: Name,
    },
    /// List a cluster's node pools
    List {
        #[command(flatten)]
        of: Of,
    },
    /// Change how many nodes a pool has
    Scale {
        #[command(flatten)]
        pool: Name,
        /// Number of nodes.
        #[arg(short = 'c', long, default_value_t = 3)]
        node_count: u32,
        /// Do not wait for the end.
        #[arg(long)]
        no_wait: bool,
    },
    /// Delete a node pool
    Delete {
        #[command(flatten)]
        pool: Name,
        /// Accepted as az's other commands do; deleting a pool never asks.
        #[arg(short, long)]
        yes: bool,
        /// Do not wait for the end.
        #[arg(long)]
        no_wait: bool,
    },
}

/// Which cluster.
#[derive(Debug, clap::Args)]
pub(super) struct Of {
    /// Name of the resource group.
    #[arg(short = 'g', long)]
    resource_group: String,
    /// Name of the cluster.
    #[arg(long)]
    cluster_name: String,
}

/// Which pool.
#[derive(Debug, clap::Args)]
pub(super) struct Name {
    #[command(flatten)]
    of: Of,
    /// Name of the node pool.
    #[arg(short, long, visible_alias = "nodepool-name")]
    name: String,
}

/// The pool to add.
#[derive(Debug, clap::Args)]
pub(super) struct Add {
    #[command(flatten)]
    pool: Name,
    #[command(flatten)]
    scaling: Scaling,
    /// Size of the machines.
    #[arg(short = 's', long, default_value = "", hide_default_value = true)]
    node_vm_size: String,
    /// Kubernetes version; the cluster's if not given.
    #[arg(short, long)]
    kubernetes_version: Option<String>,
    /// System or User.
    #[arg(long, default_value = "User", value_parser = mode)]
    mode: String,
    /// Labels of the nodes: key=value …
    #[arg(long, num_args = 0..)]
    labels: Option<Vec<String>>,
    /// Taints of the nodes: key=value:effect,…
    #[arg(long, num_args = 0..)]
    node_taints: Vec<String>,
    /// Most pods per node.
    #[arg(short, long)]
    max_pods: Option<u32>,
    /// Size of the system disk, GiB.
    #[arg(long)]
    node_osdisk_size: Option<u32>,
    /// Operating system.
    #[arg(long)]
    os_sku: Option<String>,
    /// Availability zones: 1 2 3.
    #[arg(short, long, num_args = 1..)]
    zones: Option<Vec<String>>,
    /// Subnet of the nodes.
    #[arg(long)]
    vnet_subnet_id: Option<String>,
    /// Tags: key[=value] …
    #[arg(long, num_args = 0..)]
    tags: Option<Vec<String>>,
    /// Do not wait for the end.
    #[arg(long)]
    no_wait: bool,
}

/// A mode in any case, as az takes it.
fn mode(text: &str) -> Result<String, String> {
    ["System", "User"]
        .iter()
        .find(|mode| mode.eq_ignore_ascii_case(text))
        .map(|mode| (*mode).to_owned())
        .ok_or_else(|| "it is System or User".to_owned())
}

impl Name {
    fn path(&self, arm: &Arm) -> String {
        arm.pool(&self.of.resource_group, &self.of.cluster_name, &self.name)
    }

    async fn exists(&self, arm: &Arm) -> Result<bool> {
        let pools = self.of.pools(arm).await?;
        Ok(pools
            .iter()
            .any(|pool| pool["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(&self.name))))
    }
}

impl Of {
    async fn pools(&self, arm: &Arm) -> Result<Vec<Value>> {
        arm.list(&format!("{}/agentPools", arm.cluster(&self.resource_group, &self.cluster_name))).await
    }
}

impl NodePool {
    pub(super) async fn run(self, arm: &Arm, common: &Common) -> Result<()> {
        let print = |pool: Option<Value>| match pool {
            Some(pool) => common.print(shape::pool(pool), Some(COLUMNS)),
            None => Ok(()),
        };
        match self {
            NodePool::Add(add) => {
                if add.pool.exists(arm).await? {
                    bail!(
                        "Node pool {} already exists, please try a different name, use 'aks nodepool list' to get \
                         current list of node pool",
                        add.pool.name
                    );
                }
                print(arm.put(&add.pool.path(arm), &add.body(), add.no_wait).await?)
            }
            NodePool::Show { pool } => print(Some(arm.get(&pool.path(arm)).await?)),
            NodePool::List { of } => {
                let pools = of.pools(arm).await?;
                common.print(pools.into_iter().map(shape::pool).collect(), Some(COLUMNS))
            }
            NodePool::Scale { pool, node_count, no_wait } => {
                let path = pool.path(arm);
                let mut properties = arm.get(&path).await?["properties"].take();
                scale(&mut properties, node_count)?;
                print(arm.put(&path, &json!({ "properties": properties }), no_wait).await?)
            }
            NodePool::Delete { pool, no_wait, yes: _ } => {
                if !pool.exists(arm).await? {
                    bail!(
                        "Node pool {} doesnt exist, use 'aks nodepool list' to get current node pool list",
                        pool.name
                    );
                }
                arm.act(Method::DELETE, &pool.path(arm), no_wait).await
            }
        }
    }
}

fn scale(properties: &mut Value, count: u32) -> Result<()> {
    if properties["enableAutoScaling"] == true {
        bail!("Cannot scale cluster autoscaler enabled node pool.");
    }
    if properties["count"] == count {
        bail!("The new node count is the same as the current node count.");
    }
    properties["count"] = json!(count);
    if let Some(properties) = properties.as_object_mut() {
        properties.retain(|name, _| !READ_ONLY.contains(&name.as_str()));
    }
    Ok(())
}

impl Add {
    fn body(&self) -> Value {
        let mut pool = json!({
            "vmSize": self.node_vm_size, "osType": "Linux", "type": "VirtualMachineScaleSets", "mode": self.mode,
            "enableNodePublicIP": false, "enableEncryptionAtHost": false, "enableUltraSSD": false, "enableFIPS": false,
            "scaleSetPriority": "Regular", "scaleDownMode": "Delete", "upgradeSettings": {},
            "nodeTaints": words(&self.node_taints),
        });
        self.scaling.fill(&mut pool);
        let optional = [
            ("orchestratorVersion", self.kubernetes_version.as_ref().map(|version| json!(version))),
            ("maxPods", self.max_pods.map(|count| json!(count))),
            ("osDiskSizeGB", self.node_osdisk_size.map(|size| json!(size))),
            ("osSKU", self.os_sku.as_ref().map(|sku| json!(sku))),
            ("availabilityZones", self.zones.as_ref().map(|zones| json!(words(zones)))),
            ("vnetSubnetID", self.vnet_subnet_id.as_ref().map(|id| json!(id))),
            ("nodeLabels", self.labels.as_deref().map(pairs)),
            ("tags", self.tags.as_deref().map(pairs)),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                pool[name] = value;
            }
        }
        json!({ "properties": pool })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scaled_pool_is_sent_without_what_the_service_writes() {
        let mut pool = json!({"count": 1, "vmSize": "x", "provisioningState": "Succeeded", "eTag": "e"});
        assert!(scale(&mut pool, 1).is_err());
        scale(&mut pool, 2).unwrap();
        assert_eq!(pool, json!({"count": 2, "vmSize": "x"}));
        assert!(scale(&mut json!({"count": 1, "enableAutoScaling": true}), 2).is_err());
    }
}
