//! What managed clusters need from whoever hosts Kubernetes control planes.
//!
//! The trait lives here, with its consumer; the program that composes the parts implements it. Clusters are
//! named by the ARM id of the `managedClusters` resource, compared without regard to case.
//!
//! Guarantees asked of an implementation: every method may be repeated and then changes nothing;
//! [`ControlPlanes::delete`] of what was never there succeeds.

use std::net::Ipv4Addr;

use async_trait::async_trait;
use ipnet::Ipv4Net;

/// What a control plane shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlPlaneSpec {
    /// ARM id of the managed cluster.
    pub cluster: String,
    /// Name of the managed cluster.
    pub name: String,
    /// The subscription it belongs to.
    pub subscription_id: String,
    /// The tenant it belongs to.
    pub tenant_id: String,
    /// The customer's resource group, as the customer spelt it.
    pub resource_group: String,
    /// The group that holds the nodes (`MC_…`); the cloud controller manager works there.
    pub node_resource_group: String,
    /// Region name, for example `eastus`.
    pub location: String,
    /// Kubernetes version to serve, for example `1.35.6`.
    pub version: String,
    /// Name of the API server, `<dnsPrefix>-<8>.hcp.<region>.azmk8s.io`.
    pub fqdn: String,
    /// Issuer of service-account tokens.
    pub issuer: String,
    /// Addresses of cluster IPs.
    pub service_cidr: Ipv4Net,
    /// Cluster IP of DNS, inside `service_cidr`.
    pub dns_service_ip: Ipv4Addr,
    /// Addresses of pods, where the network mode has them.
    pub pod_cidr: Option<Ipv4Net>,
    /// Object id of the cluster identity, as which the cloud controller manager speaks to ARM.
    pub principal_id: String,
    /// The cluster's pricing tier, `Free`, `Standard` or `Premium`: how many requests the API server works on at once.
    pub tier: String,
    /// Whether people sign in with tokens of the tenant's directory (`aadProfile`).
    pub entra: bool,
    /// Object ids of the directory's groups whose members are cluster administrators.
    pub admin_groups: Vec<String>,
    /// Whether role assignments are asked for what Kubernetes' own roles do not allow.
    pub azure_rbac: bool,
    /// Who may connect to the API server (`apiServerAccessProfile.authorizedIPRanges`); empty: everybody.
    pub authorized_ranges: Vec<Ipv4Net>,
    /// From where the cluster's own nodes come, as far as that is known yet; always let in.
    pub outbound_addresses: Vec<Ipv4Addr>,
}

impl ControlPlaneSpec {
    /// Whether a control plane that was started as `self` becomes one as `other` without a restart: only who may
    /// connect differs.
    pub fn serves_as(&self, other: &Self) -> bool {
        let same_doors = Self {
            authorized_ranges: other.authorized_ranges.clone(),
            outbound_addresses: other.outbound_addresses.clone(),
            ..self.clone()
        };
        same_doors == *other
    }
}

/// What a running control plane is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlPlaneStatus {
    /// Name of the API server.
    pub fqdn: String,
    /// Its address on the internet, from 20.1.0.0/16.
    pub address: Ipv4Addr,
    /// Its port there, 443.
    pub port: u16,
    /// Certificate of the cluster's authority.
    pub ca_pem: String,
    /// A token with which nodes ask for their certificates. A secret.
    pub bootstrap_token: String,
}

/// Whose kubeconfig is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// `clusterAdmin_<group>_<cluster>`, with a certificate.
    Admin,
    /// `clusterUser_<group>_<cluster>`: with a certificate, or, where the cluster knows the directory, without a secret.
    User(Login),
    /// `clusterMonitoringUser_<group>_<cluster>`, with a certificate.
    MonitoringUser,
}

/// How a kubeconfig without a secret says that its user signs in to the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Login {
    /// `exec`: kubectl runs kubelogin.
    #[default]
    Exec,
    /// `auth-provider: azure`, which kubectl knew before 1.26.
    AuthProvider,
}

/// A node as the cluster's API shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStatus {
    /// Name of the Node object; the instance's computer name.
    pub name: String,
    /// Whether its condition `Ready` is `True`.
    pub ready: bool,
    /// Value of the label `kubernetes.azure.com/agentpool`; empty when it has none.
    pub pool: String,
}

/// A command that is run in a pod of the cluster. Has no `Debug`: it may hold a token.
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    /// What the shell is given.
    pub line: String,
    /// A zip archive that is unpacked where the command runs; empty: none.
    pub context: Vec<u8>,
    /// As whom it runs: a token of the directory, or, without, the cluster's administrator. A secret.
    pub token: Option<String>,
}

/// How far a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandState {
    /// Waiting or running.
    Running,
    /// It ended, whatever its exit code.
    Succeeded,
    /// It was not run to its end.
    Failed,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandResult {
    /// How far it is.
    pub state: CommandState,
    /// Its exit code, once it ended.
    pub exit_code: Option<i32>,
    /// When it began, RFC 3339.
    pub started_at: Option<String>,
    /// When it ended, RFC 3339.
    pub finished_at: Option<String>,
    /// What it printed.
    pub logs: String,
    /// Why it was not run to its end.
    pub reason: Option<String>,
}

/// Why a control plane did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlPlaneError {
    /// There is no such control plane.
    #[error("cluster `{cluster}` has no control plane")]
    NotFound {
        /// ARM id asked for.
        cluster: String,
    },
    /// The version is not served.
    #[error("Kubernetes version `{version}` is not served")]
    Version {
        /// The version asked for.
        version: String,
    },
    /// A pod disruption budget or a finalizer kept a node from emptying.
    #[error("failed to drain node `{node}`: {reason}")]
    Drain {
        /// The node.
        node: String,
        /// What the API server said.
        reason: String,
    },
    /// This host lacks what commands need.
    #[error("{reason}")]
    Lacking {
        /// What, and what to do about it.
        reason: String,
    },
    /// Anything else.
    #[error("failed to {deed}")]
    Failed {
        /// What was tried.
        deed: &'static str,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A host of control planes.
#[async_trait]
pub trait ControlPlanes: Send + Sync + 'static {
    /// Makes the control plane be and answer as `spec` says. Keys and token are made at the first call and
    /// stay the same. A change of who may connect happens in place. Returns when the API server is ready.
    async fn ensure(&self, spec: ControlPlaneSpec) -> Result<ControlPlaneStatus, ControlPlaneError>;

    /// A kubeconfig in YAML; its context names the namespace, if one is given.
    async fn kubeconfig(
        &self,
        cluster: &str,
        who: Credential,
        namespace: Option<&str>,
    ) -> Result<String, ControlPlaneError>;

    /// A client of the cluster's API that may do everything, for what the cloud keeps in a cluster. It lives as long as the control plane
    /// does: after a restart of it a new one is needed. The receiver of [`watch_nodes`](Self::watch_nodes) tells, it ends with the plane.
    async fn administrator(&self, cluster: &str) -> Result<kube::Client, ControlPlaneError>;

    /// Every Node object of the cluster.
    async fn nodes(&self, cluster: &str) -> Result<Vec<NodeStatus>, ControlPlaneError>;

    /// A value that changes whenever a node appears, leaves or changes its readiness. A cluster that does
    /// not exist gives a receiver that never changes.
    fn watch_nodes(&self, cluster: &str) -> tokio::sync::watch::Receiver<u64>;

    /// Cordons the node and evicts its pods; returns when they are gone. A missing node is drained.
    async fn drain(&self, cluster: &str, node: &str) -> Result<(), ControlPlaneError>;

    /// Deletes the Node object. A missing one is deleted.
    async fn delete_node(&self, cluster: &str, node: &str) -> Result<(), ControlPlaneError>;

    /// Makes the cluster's authority anew, with all certificates and the nodes' token; whoever trusts or shows the old one
    /// is refused from then on. Tokens of service accounts stay good. Returns when the API server is ready again.
    async fn rotate_certificates(&self, cluster: &str) -> Result<(), ControlPlaneError>;

    /// Makes a new key that signs the tokens of service accounts; the one before it still verifies and is published, those
    /// before that are gone. `rotation` names the rotation: one that was done already is not done again. Returns when the API
    /// server is ready again.
    async fn rotate_signing_keys(&self, cluster: &str, rotation: &str) -> Result<(), ControlPlaneError>;

    /// Starts a command in a pod of the cluster; its id, 32 hexadecimal digits.
    async fn run_command(&self, cluster: &str, command: Command) -> Result<String, ControlPlaneError>;

    /// What became of a command; none: nobody knows it (any more).
    async fn command_result(
        &self,
        cluster: &str,
        id: &str,
    ) -> Result<Option<CommandResult>, ControlPlaneError>;

    /// Stops serving, keeps all state; [`ensure`](Self::ensure) starts it again.
    async fn stop(&self, cluster: &str) -> Result<(), ControlPlaneError>;

    /// Removes it with all its state.
    async fn delete(&self, cluster: &str) -> Result<(), ControlPlaneError>;
}
