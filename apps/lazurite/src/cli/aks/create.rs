//! `lazurite aks create`: the flags of `az aks create` and the cluster they describe.
//!
//! Values are the service's to judge: what it does not offer it refuses by name. A flag of az's that is not
//! here is refused by the command line.

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::Cluster;
use super::ssh::SshKey;
use crate::cli::arm::Arm;
use crate::cli::group::pairs;

/// The cluster to create.
#[derive(Debug, clap::Args)]
pub(super) struct Create {
    #[command(flatten)]
    cluster: Cluster,
    /// Region; the resource group's if not given.
    #[arg(short, long)]
    location: Option<String>,
    /// Kubernetes version; the service's default if not given.
    #[arg(short, long, default_value = "", hide_default_value = true)]
    kubernetes_version: String,
    /// Tags: key[=value] …
    #[arg(long, num_args = 0..)]
    tags: Option<Vec<String>>,
    /// Do not wait for the end.
    #[arg(long)]
    no_wait: bool,
    /// Accepted as az does; nothing is asked.
    #[arg(short, long)]
    yes: bool,
    /// Prefix of the API server's name.
    #[arg(short = 'p', long)]
    dns_name_prefix: Option<String>,
    /// Free, Standard or Premium.
    #[arg(long, default_value = "Free", value_parser = tier)]
    tier: String,
    /// Name of the group of the cluster's own resources.
    #[arg(long)]
    node_resource_group: Option<String>,
    /// User name of the nodes' administrator.
    #[arg(short = 'u', long, default_value = "azureuser")]
    admin_username: String,
    #[command(flatten)]
    ssh: SshKey,
    #[command(flatten)]
    pool: Pool,
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    access: Access,
}

/// How many nodes.
#[derive(Debug, clap::Args)]
pub(super) struct Scaling {
    /// Number of nodes.
    #[arg(short = 'c', long, default_value_t = 3)]
    node_count: u32,
    /// Let the number of nodes follow the need.
    #[arg(long, requires_all = ["min_count", "max_count"])]
    enable_cluster_autoscaler: bool,
    /// Fewest nodes.
    #[arg(long)]
    min_count: Option<u32>,
    /// Most nodes.
    #[arg(long)]
    max_count: Option<u32>,
}

/// The first pool.
#[derive(Debug, clap::Args)]
struct Pool {
    /// Name of the first node pool.
    #[arg(long, default_value = "nodepool1")]
    nodepool_name: String,
    #[command(flatten)]
    scaling: Scaling,
    /// Size of the machines.
    #[arg(short = 's', long, default_value = "", hide_default_value = true)]
    node_vm_size: String,
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
    /// Labels of the nodes: key=value …
    #[arg(long, num_args = 0..)]
    nodepool_labels: Option<Vec<String>>,
    /// Taints of the nodes: key=value:effect,…
    #[arg(long, num_args = 0..)]
    nodepool_taints: Vec<String>,
    /// Tags of the first node pool: key[=value] …
    #[arg(long, num_args = 0..)]
    nodepool_tags: Option<Vec<String>>,
    /// Subnet of the nodes. The identity needs Network Contributor there, which this command does not grant.
    #[arg(long, requires = "assign_identity")]
    vnet_subnet_id: Option<String>,
}

/// The network of nodes and pods.
#[derive(Debug, clap::Args)]
struct Network {
    /// azure, kubenet or none.
    #[arg(long)]
    network_plugin: Option<String>,
    /// overlay, or not given.
    #[arg(long)]
    network_plugin_mode: Option<String>,
    /// What enforces network policies.
    #[arg(long)]
    network_policy: Option<String>,
    /// azure or cilium.
    #[arg(long)]
    network_dataplane: Option<String>,
    /// Addresses of pods.
    #[arg(long)]
    pod_cidr: Option<String>,
    /// Addresses of services.
    #[arg(long)]
    service_cidr: Option<String>,
    /// Address of the cluster's DNS.
    #[arg(long)]
    dns_service_ip: Option<String>,
    /// How nodes reach the internet.
    #[arg(long, default_value = "loadBalancer")]
    outbound_type: String,
}

/// Identities, and who may reach the API server.
#[derive(Debug, clap::Args)]
struct Access {
    /// A managed identity for the cluster; always so.
    #[arg(long)]
    enable_managed_identity: bool,
    /// Id of an identity of one's own for the cluster.
    #[arg(long)]
    assign_identity: Option<String>,
    /// Only directory accounts may sign in.
    #[arg(long)]
    disable_local_accounts: bool,
    /// Publish the issuer of service accounts' tokens.
    #[arg(long)]
    enable_oidc_issuer: bool,
    /// Let service accounts stand for identities.
    #[arg(long)]
    enable_workload_identity: bool,
    /// Keep the API server off the internet.
    #[arg(long)]
    enable_private_cluster: bool,
    /// Who may reach the API server: CIDR,…
    #[arg(long, value_delimiter = ',')]
    api_server_authorized_ip_ranges: Vec<String>,
    /// none, patch, stable, rapid or node-image.
    #[arg(long)]
    auto_upgrade_channel: Option<String>,
    /// None, Unmanaged, SecurityPatch or NodeImage.
    #[arg(long)]
    node_os_upgrade_channel: Option<String>,
}

/// A tier in any case, as az takes it.
fn tier(text: &str) -> Result<String, String> {
    ["Free", "Standard", "Premium"]
        .iter()
        .find(|tier| tier.eq_ignore_ascii_case(text))
        .map(|tier| (*tier).to_owned())
        .ok_or_else(|| "it is free, standard or premium".to_owned())
}

/// Words given apart or joined by commas.
pub(super) fn words(given: &[String]) -> Vec<&str> {
    given.iter().flat_map(|word| word.split(',')).map(str::trim).filter(|word| !word.is_empty()).collect()
}

impl Create {
    /// Creates it; `None` when not waiting.
    pub(super) async fn send(&self, arm: &Arm) -> Result<Option<Value>> {
        let path = self.cluster.path(arm);
        let (name, group) = (&self.cluster.name, &self.cluster.resource_group);
        if arm.find(&path).await?.is_some() {
            bail!(
                "The cluster '{name}' under resource group '{group}' already exists. Please use command 'az aks \
                 update' to update the existing cluster, or select a different cluster name to create a new cluster."
            );
        }
        let found = arm.get(&arm.group(group)).await?;
        let location = self.location.as_deref().or(found["location"].as_str()).unwrap_or_default();
        let body = self.body(location, arm.subscription(), self.ssh.public_key()?);
        arm.put(&path, &body, self.no_wait).await
    }

    fn body(&self, location: &str, subscription: &str, ssh_key: Option<String>) -> Value {
        let prefix = self.dns_name_prefix.clone().unwrap_or_else(|| {
            default_dns_prefix(&self.cluster.name, &self.cluster.resource_group, subscription)
        });
        let mut properties = json!({
            "kubernetesVersion": self.kubernetes_version, "dnsPrefix": prefix, "enableRBAC": true,
            "disableLocalAccounts": self.access.disable_local_accounts,
            "agentPoolProfiles": [self.pool.profile(&self.kubernetes_version)],
            "networkProfile": self.network.profile(), "addonProfiles": {}, "storageProfile": {},
            "bootstrapProfile": {"artifactSource": "Direct"},
        });
        if let Some(group) = &self.node_resource_group {
            properties["nodeResourceGroup"] = json!(group);
        }
        if let Some(key) = ssh_key {
            properties["linuxProfile"] =
                json!({"adminUsername": self.admin_username, "ssh": {"publicKeys": [{"keyData": key}]}});
        }
        self.access.fill(&mut properties);
        let mut body = json!({
            "location": location, "identity": self.access.identity(), "sku": {"name": "Base", "tier": self.tier},
            "properties": properties,
        });
        if let Some(tags) = &self.tags {
            body["tags"] = pairs(tags);
        }
        body
    }
}

impl Scaling {
    /// Writes its part of a pool.
    pub(super) fn fill(&self, pool: &mut Value) {
        pool["count"] = json!(self.node_count);
        pool["enableAutoScaling"] = json!(self.enable_cluster_autoscaler);
        set(pool, "minCount", self.min_count);
        set(pool, "maxCount", self.max_count);
    }
}

impl Pool {
    fn profile(&self, version: &str) -> Value {
        let mut pool = json!({
            "name": self.nodepool_name, "mode": "System", "type": "VirtualMachineScaleSets", "vmSize": self.node_vm_size,
            "orchestratorVersion": version, "osType": "Linux", "enableNodePublicIP": false,
            "scaleSetPriority": "Regular", "nodeTaints": words(&self.nodepool_taints), "upgradeSettings": {},
            "enableEncryptionAtHost": false, "enableUltraSSD": false, "enableFIPS": false,
        });
        self.scaling.fill(&mut pool);
        set(&mut pool, "maxPods", self.max_pods);
        set(&mut pool, "osDiskSizeGB", self.node_osdisk_size);
        set(&mut pool, "osSKU", self.os_sku.as_deref());
        set(&mut pool, "availabilityZones", self.zones.as_deref().map(words));
        set(&mut pool, "nodeLabels", self.nodepool_labels.as_deref().map(pairs));
        set(&mut pool, "tags", self.nodepool_tags.as_deref().map(pairs));
        set(&mut pool, "vnetSubnetID", self.vnet_subnet_id.as_deref());
        pool
    }
}

impl Network {
    fn profile(&self) -> Value {
        let mut profile = json!({"loadBalancerSku": "standard", "outboundType": self.outbound_type});
        for (name, value) in [
            ("networkPlugin", &self.network_plugin),
            ("networkPluginMode", &self.network_plugin_mode),
            ("networkPolicy", &self.network_policy),
            ("networkDataplane", &self.network_dataplane),
            ("podCidr", &self.pod_cidr),
            ("serviceCidr", &self.service_cidr),
            ("dnsServiceIP", &self.dns_service_ip),
        ] {
            set(&mut profile, name, value.as_deref());
        }
        profile
    }
}

impl Access {
    fn identity(&self) -> Value {
        match &self.assign_identity {
            Some(id) => json!({"type": "UserAssigned", "userAssignedIdentities": {id: {}}}),
            None => json!({"type": "SystemAssigned"}),
        }
    }

    fn fill(&self, properties: &mut Value) {
        if self.enable_oidc_issuer {
            properties["oidcIssuerProfile"] = json!({"enabled": true});
        }
        if self.enable_workload_identity {
            properties["securityProfile"] = json!({"workloadIdentity": {"enabled": true}});
        }
        if self.enable_private_cluster || !self.api_server_authorized_ip_ranges.is_empty() {
            let mut profile = json!({"authorizedIPRanges": self.api_server_authorized_ip_ranges});
            set(&mut profile, "enablePrivateCluster", self.enable_private_cluster.then_some(true));
            properties["apiServerAccessProfile"] = profile;
        }
        if self.auto_upgrade_channel.is_some() || self.node_os_upgrade_channel.is_some() {
            let mut profile = json!({});
            set(&mut profile, "upgradeChannel", self.auto_upgrade_channel.as_deref());
            set(&mut profile, "nodeOSUpgradeChannel", self.node_os_upgrade_channel.as_deref());
            properties["autoUpgradeProfile"] = profile;
        }
    }
}

/// What is not given is not sent.
fn set(object: &mut Value, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        object[name] = value.into();
    }
}

/// az's: ten letters of the name, sixteen of the group, six of the subscription.
fn default_dns_prefix(name: &str, group: &str, subscription: &str) -> String {
    let part = |text: &str, most: usize| -> String {
        text.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(most).collect()
    };
    let mut name = part(name, 10);
    if !name.starts_with(|first: char| first.is_ascii_alphabetic()) {
        name = format!("a{name}").chars().take(10).collect();
    }
    format!("{name}-{}-{}", part(group, 16), part(subscription, 6))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        create: Create,
    }

    fn body(line: &str) -> Value {
        let create = Line::parse_from(std::iter::once("create").chain(line.split(' '))).create;
        create.body("eastus", "2222222233", None)
    }

    #[test]
    fn the_plain_cluster_is_what_az_sends() {
        let expected = json!({
            "location": "eastus", "identity": {"type": "SystemAssigned"}, "sku": {"name": "Base", "tier": "Free"},
            "properties": {
                "kubernetesVersion": "", "dnsPrefix": "c-msi-rg-dev-222222", "enableRBAC": true,
                "disableLocalAccounts": false,
                "agentPoolProfiles": [{
                    "name": "nodepool1", "mode": "System", "type": "VirtualMachineScaleSets", "count": 3, "vmSize": "",
                    "orchestratorVersion": "", "osType": "Linux", "enableAutoScaling": false,
                    "enableNodePublicIP": false, "scaleSetPriority": "Regular", "nodeTaints": [], "upgradeSettings": {},
                    "enableEncryptionAtHost": false, "enableUltraSSD": false, "enableFIPS": false}],
                "networkProfile": {"loadBalancerSku": "standard", "outboundType": "loadBalancer"},
                "addonProfiles": {}, "storageProfile": {}, "bootstrapProfile": {"artifactSource": "Direct"}}});
        assert_eq!(body("-g rg-dev -n c-msi --no-ssh-key"), expected);
    }

    #[test]
    fn options_are_where_the_service_looks_for_them() {
        let body = body(
            "-g rg -n 1c -c 2 -s Standard_D4s_v5 -k 1.35.6 --tags a=b c --max-pods 60 --nodepool-labels x=y \
             --nodepool-taints k=v:NoSchedule,l=w:NoExecute --tier standard --network-plugin azure --pod-cidr 10.1.0.0/16",
        );
        let pool = &body["properties"]["agentPoolProfiles"][0];
        assert_eq!(body["tags"], json!({"a": "b", "c": ""}));
        assert_eq!(body["sku"]["tier"], "Standard");
        assert_eq!(body["properties"]["dnsPrefix"], "a1c-rg-222222");
        assert_eq!((&pool["count"], &pool["maxPods"]), (&json!(2), &json!(60)));
        assert_eq!(pool["orchestratorVersion"], "1.35.6");
        assert_eq!(pool["nodeLabels"], json!({"x": "y"}));
        assert_eq!(pool["nodeTaints"], json!(["k=v:NoSchedule", "l=w:NoExecute"]));
        assert_eq!(body["properties"]["networkProfile"]["podCidr"], "10.1.0.0/16");
    }
}
