//! `lazurite aks`: clusters, with the flags and output forms of `az aks`, for who has no az.
//!
//! Sends what az sends, so that the service cannot tell which of the two asked.

mod create;
mod credentials;
mod nodepool;
mod ssh;

use std::process::ExitCode;

use anyhow::Result;
use http::Method;

use super::arm::{Arm, ended};
use super::output::{Column, Common, confirm};
use super::remote::block_on;
use super::shape;

const COLUMNS: &[Column] = &[
    ("Name", &["/name"]),
    ("Location", &["/location"]),
    ("ResourceGroup", &["/resourceGroup"]),
    ("KubernetesVersion", &["/kubernetesVersion"]),
    ("CurrentKubernetesVersion", &["/currentKubernetesVersion"]),
    ("ProvisioningState", &["/provisioningState"]),
    ("Fqdn", &["/fqdn", "/privateFqdn"]),
];

/// Clusters.
#[derive(Debug, clap::Args)]
pub(crate) struct Aks {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Create a cluster
    Create(Box<create::Create>),
    /// Show a cluster
    Show {
        #[command(flatten)]
        cluster: Cluster,
    },
    /// List clusters
    List {
        /// Only those of this resource group.
        #[arg(short = 'g', long)]
        resource_group: Option<String>,
    },
    /// Delete a cluster
    Delete {
        #[command(flatten)]
        cluster: Cluster,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
        /// Do not wait for the end.
        #[arg(long)]
        no_wait: bool,
    },
    /// Make kubectl speak to a cluster
    GetCredentials(credentials::GetCredentials),
    /// Stop a cluster: its nodes and control plane, not its objects
    Stop {
        #[command(flatten)]
        cluster: Cluster,
        /// Do not wait for the end.
        #[arg(long)]
        no_wait: bool,
    },
    /// Start a stopped cluster
    Start {
        #[command(flatten)]
        cluster: Cluster,
        /// Do not wait for the end.
        #[arg(long)]
        no_wait: bool,
    },
    /// Node pools of a cluster
    #[command(subcommand)]
    Nodepool(nodepool::NodePool),
}

/// Which cluster.
#[derive(Debug, clap::Args)]
struct Cluster {
    /// Name of the resource group.
    #[arg(short = 'g', long)]
    resource_group: String,
    /// Name of the cluster.
    #[arg(short, long)]
    name: String,
}

impl Cluster {
    fn path(&self, arm: &Arm) -> String {
        arm.cluster(&self.resource_group, &self.name)
    }
}

impl Aks {
    pub(crate) fn run(self) -> ExitCode {
        ended(block_on(self.work()))
    }

    async fn work(self) -> Result<()> {
        let common = &self.common;
        if let Command::Delete { yes, .. } = &self.command {
            confirm(*yes, "Are you sure you want to perform this operation?")?;
        }
        let arm = Arm::open(common).await?;
        match self.command {
            Command::Create(create) => match create.send(&arm).await? {
                Some(made) => common.print(shape::cluster(made), Some(COLUMNS)),
                None => Ok(()),
            },
            Command::Show { cluster } => {
                let shown = arm.get(&cluster.path(&arm)).await?;
                common.print(shape::cluster(shown), Some(COLUMNS))
            }
            Command::List { resource_group } => {
                let clusters = arm.list(&arm.clusters(resource_group.as_deref())).await?;
                common.print(clusters.into_iter().map(shape::cluster).collect(), Some(COLUMNS))
            }
            Command::Delete { cluster, no_wait, .. } => {
                arm.act(Method::DELETE, &cluster.path(&arm), no_wait).await
            }
            Command::GetCredentials(wanted) => wanted.run(&arm).await,
            Command::Stop { cluster, no_wait } => {
                arm.act(Method::POST, &format!("{}/stop", cluster.path(&arm)), no_wait).await
            }
            Command::Start { cluster, no_wait } => {
                arm.act(Method::POST, &format!("{}/start", cluster.path(&arm)), no_wait).await
            }
            Command::Nodepool(pool) => pool.run(&arm, common).await,
        }
    }
}
