//! A cluster after a caller's wish: AKS's refusals, AKS's defaults, and what stays as it was.

use arm::{ArmError, Ctx, Resource};
use ipnet::Ipv4Net;
use rand::Rng;
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::json::{default, flag, number, remove, set, text};
use crate::pool::{self, Surroundings};
use crate::settings::Settings;
use crate::state::{self, ClusterPrivate, PRIVATE};
use crate::{aad_profile, authorized_ranges, names, network_profile, snapshots, versions};

/// A shaped cluster and its shaped pools (name, properties).
pub struct Shaped {
    /// The cluster, without pools.
    pub cluster: Resource,
    /// Pools the caller named.
    pub pools: Vec<(String, Value)>,
}

/// Properties only the service writes; what a caller sends of them is ignored.
const READ_ONLY: &[&str] = &[
    "provisioningState",
    "powerState",
    "currentKubernetesVersion",
    "maxAgentPools",
    "fqdn",
    "privateFQDN",
    "azurePortalFQDN",
    "resourceUID",
    "eTag",
    "etag",
    "status",
    PRIVATE,
];
/// Properties that are decided at create.
const IMMUTABLE: &[&str] = &["dnsPrefix", "nodeResourceGroup", "enableRBAC", "fqdnSubdomain"];
const IMMUTABLE_NETWORK: &[&str] =
    &["networkPlugin", "networkPluginMode", "serviceCidr", "podCidr", "dnsServiceIP", "loadBalancerSku"];

/// Switches of features that are not built; on means refused by name.
const NOT_OFFERED: &[&str] = &[
    "apiServerAccessProfile/enablePrivateCluster",
    "apiServerAccessProfile/enableVnetIntegration",
    "securityProfile/workloadIdentity/enabled",
    "securityProfile/defender/securityMonitoring/enabled",
    "securityProfile/imageCleaner/enabled",
    "securityProfile/azureKeyVaultKms/enabled",
    "ingressProfile/webAppRouting/enabled",
    "azureMonitorProfile/metrics/enabled",
    "workloadAutoScalerProfile/keda/enabled",
    "workloadAutoScalerProfile/verticalPodAutoscaler/enabled",
    "storageProfile/blobCSIDriver/enabled",
    "podIdentityProfile/enabled",
    "hostedSystemProfile/enabled",
];
/// Words that are offered where AKS knows others; another one is refused by name.
const OFFERED_WORDS: &[(&str, &str)] = &[
    ("serviceMeshProfile/mode", "Disabled"),
    ("nodeProvisioningProfile/mode", "Manual"),
    ("nodeResourceGroupProfile/restrictionLevel", "Unrestricted"),
    ("bootstrapProfile/artifactSource", "Direct"),
];
/// Settings that would have to be carried to nodes or the network and are not yet.
const NOT_CARRIED: &[&str] = &[
    "diskEncryptionSetID",
    "httpProxyConfig/httpProxy",
    "httpProxyConfig/httpsProxy",
    "networkProfile/loadBalancerProfile/outboundIPs/publicIPs/0/id",
    "networkProfile/loadBalancerProfile/outboundIPPrefixes/publicIPPrefixes/0/id",
];

/// Shapes a PUT. `wish` is the caller's resource, as the framework read it.
pub fn shape(
    ctx: &Ctx,
    settings: &Settings,
    wish: Resource,
    existing: Option<&Resource>,
    random: &mut impl Rng,
) -> Result<Shaped, ArmError> {
    let mut cluster = wish;
    names::check_cluster(&cluster.name)?;
    let pools = take_pools(&mut cluster.properties);
    for property in READ_ONLY {
        remove(&mut cluster.properties, &[property]);
    }
    keep(&mut cluster, existing);
    check_identity(&cluster)?;
    check_offered(&cluster)?;
    authorized_ranges::shape(&mut cluster.properties)?;
    let location = cluster.location.clone().unwrap_or_default();
    fill_names(&mut cluster, &location)?;
    let version = version(&mut cluster.properties, existing)?;
    fill(&mut cluster);
    aad_profile::shape(&mut cluster, existing, &ctx.tenant_id)?;
    check_network(&mut cluster)?;
    check_unchanged(&cluster, existing)?;
    if existing.is_none() {
        check_node_group(ctx, &cluster)?;
    }
    let private = match existing.and_then(state::cluster_private) {
        Some(private) => private,
        None => first_private(&cluster, random),
    };
    write_names(&mut cluster, &private, &location, version, &ctx.tenant_id);
    state::set_private(&mut cluster, &private);
    let pools = shape_pools(ctx, settings, &cluster, pools, existing.is_none(), version)?;
    Ok(Shaped { cluster, pools })
}

fn take_pools(properties: &mut Value) -> Vec<Value> {
    match remove(properties, &["agentPoolProfiles"]) {
        Some(Value::Array(pools)) => pools,
        _ => Vec::new(),
    }
}

/// What the caller left out stays as it was.
fn keep(cluster: &mut Resource, existing: Option<&Resource>) {
    let Some(existing) = existing else { return };
    if let Some(old) = existing.properties.as_object() {
        for (name, value) in old {
            default(&mut cluster.properties, &[name], value.clone());
        }
    }
    if let Some(old) = existing.properties.get("networkProfile").and_then(Value::as_object) {
        for (name, value) in old {
            default(&mut cluster.properties, &["networkProfile", name], value.clone());
        }
    }
    // What the service found out stands, whatever a caller sends of it.
    let effective = ["networkProfile", "loadBalancerProfile", "effectiveOutboundIPs"];
    match existing.properties.pointer(&format!("/{}", effective.join("/"))) {
        Some(found) => set(&mut cluster.properties, &effective, found.clone()),
        None => drop(remove(&mut cluster.properties, &effective)),
    }
    cluster.sku = cluster.sku.take().or_else(|| existing.sku.clone());
    cluster.identity = cluster.identity.take().or_else(|| existing.identity.clone());
}

fn check_identity(cluster: &Resource) -> Result<(), Fault> {
    if text(&cluster.properties, "/servicePrincipalProfile/clientId").is_some_and(|id| id != "msi") {
        return Err(Fault::bad_request(
            "NotImplemented",
            "Clusters with a service principal are not implemented by this service; use a managed identity.",
        )
        .target("servicePrincipalProfile"));
    }
    if state::principal(cluster).is_none() {
        return Err(Fault::parameter(
            "identity",
            "a cluster needs a managed identity of type SystemAssigned or UserAssigned",
        ));
    }
    Ok(())
}

fn check_offered(cluster: &Resource) -> Result<(), Fault> {
    let refuse = |property: String| {
        Err(Fault::bad_request(
            "NotImplemented",
            format!("{property} is not implemented by this service yet."),
        )
        .target(&property))
    };
    for pointer in NOT_OFFERED {
        if flag(&cluster.properties, &format!("/{pointer}")) {
            return refuse(pointer.replace('/', "."));
        }
    }
    if let Some(addons) = cluster.properties.get("addonProfiles").and_then(Value::as_object)
        && let Some((name, _)) = addons.iter().find(|(_, addon)| flag(addon, "/enabled"))
    {
        return refuse(format!("addonProfiles.{name}"));
    }
    for (pointer, offered) in OFFERED_WORDS {
        if let Some(other) = text(&cluster.properties, &format!("/{pointer}")).filter(|word| word != offered)
        {
            return refuse(format!("{} '{other}'", pointer.replace('/', ".")));
        }
    }
    for pointer in NOT_CARRIED {
        if text(&cluster.properties, &format!("/{pointer}")).is_some() {
            return refuse(pointer.replace('/', "."));
        }
    }
    if number(&cluster.properties, "/networkProfile/loadBalancerProfile/managedOutboundIPs/count")
        .unwrap_or(1)
        != 1
    {
        return refuse("networkProfile.loadBalancerProfile.managedOutboundIPs.count".into());
    }
    match cluster.sku.as_ref().and_then(|sku| text(sku, "/name")) {
        None | Some("Base") => Ok(()),
        Some("Automatic") => refuse("sku.name Automatic".into()),
        Some(other) => Err(Fault::parameter("sku.name", format!("'{other}' is not one of Base, Automatic"))),
    }
}

fn fill_names(cluster: &mut Resource, location: &str) -> Result<(), Fault> {
    let group = cluster.id.group().unwrap_or_default().to_owned();
    let prefix = format!("{}-dns", cluster.name.replace('_', "-"));
    default(&mut cluster.properties, &["dnsPrefix"], prefix);
    names::check_dns_prefix(text(&cluster.properties, "/dnsPrefix").unwrap_or_default())?;
    let default_group = names::node_resource_group(&group, &cluster.name, location);
    default(&mut cluster.properties, &["nodeResourceGroup"], default_group);
    let node_group = text(&cluster.properties, "/nodeResourceGroup").unwrap_or_default();
    if node_group.len() > names::NODE_GROUP_LENGTH_MAX {
        return Err(Fault::parameter(
            "nodeResourceGroup",
            format!(
                "the length of the node resource group name is too long. The maximum length is {} and the length of \
                 the value provided is {}. Please see https://aka.ms/aks-naming-rules for more details.",
                names::NODE_GROUP_LENGTH_MAX,
                node_group.len()
            ),
        ));
    }
    Ok(())
}

fn version(properties: &mut Value, existing: Option<&Resource>) -> Result<&'static str, Fault> {
    let wish = text(properties, "/kubernetesVersion").unwrap_or_default().to_owned();
    let version = versions::require(&wish, "K8sVersionNotSupported", "kubernetesVersion")?;
    let current = existing.and_then(|e| text(&e.properties, "/currentKubernetesVersion"));
    if current.is_some_and(|current| version < current) {
        return Err(Fault::bad_request(
            "OperationNotAllowed",
            format!("Downgrading the Kubernetes version of a cluster to {version} is not allowed."),
        ));
    }
    let shown = if wish.is_empty() { versions::minor(version).to_owned() } else { wish };
    set(properties, &["kubernetesVersion"], shown);
    Ok(version)
}

fn fill(cluster: &mut Resource) {
    let mut sku = cluster.sku.take().unwrap_or_default();
    default(&mut sku, &["name"], "Base");
    default(&mut sku, &["tier"], "Free");
    cluster.sku = Some(sku);
    let properties = &mut cluster.properties;
    default(properties, &["maxAgentPools"], 100);
    default(properties, &["enableRBAC"], true);
    default(properties, &["disableLocalAccounts"], false);
    default(properties, &["supportPlan"], "KubernetesOfficial");
    set(properties, &["servicePrincipalProfile", "clientId"], "msi");
    default(properties, &["oidcIssuerProfile", "enabled"], true);
    default(properties, &["autoUpgradeProfile", "nodeOSUpgradeChannel"], "NodeImage");
    default(properties, &["storageProfile", "diskCSIDriver", "enabled"], true);
    default(properties, &["storageProfile", "fileCSIDriver", "enabled"], true);
    default(properties, &["storageProfile", "snapshotController", "enabled"], true);
    default(properties, &["bootstrapProfile", "artifactSource"], "Direct");
    default(properties, &["metricsProfile", "costAnalysis", "enabled"], false);
    default(properties, &["nodeResourceGroupProfile", "restrictionLevel"], "Unrestricted");
    default(properties, &["windowsProfile", "adminUsername"], "azureuser");
    default(properties, &["windowsProfile", "enableCSIProxy"], true);
    default(properties, &["workloadAutoScalerProfile"], json!({}));
    default(properties, &["securityProfile"], json!({}));
    default(properties, &["powerState", "code"], "Running");
    network_profile::fill(crate::json::slot(properties, &["networkProfile"]));
}

fn check_network(cluster: &mut Resource) -> Result<(), Fault> {
    let nodes: Vec<Ipv4Net> = network_profile::VNET.parse().into_iter().collect();
    network_profile::check(&cluster.properties["networkProfile"], &nodes).map(|_| ())
}

fn check_unchanged(cluster: &Resource, existing: Option<&Resource>) -> Result<(), Fault> {
    let Some(existing) = existing else { return Ok(()) };
    let (new, old) = (&cluster.properties, &existing.properties);
    let changed = |new: &Value, old: &Value| match (new.as_str(), old.as_str()) {
        (Some(new), Some(old)) => !new.eq_ignore_ascii_case(old),
        _ => new != old,
    };
    for property in IMMUTABLE {
        if changed(&new[property], &old[property]) {
            return Err(Fault::immutable(&format!("properties.{property}")));
        }
    }
    for property in IMMUTABLE_NETWORK {
        if changed(&new["networkProfile"][property], &old["networkProfile"][property]) {
            return Err(Fault::immutable(&format!("networkProfile.{property}")));
        }
    }
    if !flag(new, "/oidcIssuerProfile/enabled") && flag(old, "/oidcIssuerProfile/enabled") {
        return Err(Fault::bad_request(
            "OIDCIssuerFeatureCannotBeDisabled",
            "Disabling the OIDC issuer of a cluster is not allowed.",
        )
        .target("oidcIssuerProfile.enabled"));
    }
    Ok(())
}

/// The node resource group must not be there already, unless this cluster made it.
fn check_node_group(ctx: &Ctx, cluster: &Resource) -> Result<(), Fault> {
    let Some(group) = state::node_group(cluster) else { return Ok(()) };
    let Some(found) = ctx.resources.get(&group) else { return Ok(()) };
    let ours = found.managed_by.as_deref().is_some_and(|by| by.eq_ignore_ascii_case(&cluster.id.to_string()));
    if ours {
        return Ok(());
    }
    Err(Fault::parameter(
        "nodeResourceGroup",
        format!(
            "the node resource group '{}' already exists. Please provide the name of a resource group that does not \
             exist.",
            found.name
        ),
    ))
}

fn first_private(cluster: &Resource, random: &mut impl Rng) -> ClusterPrivate {
    let fqdn_suffix = names::fqdn_suffix(random);
    let prefix = text(&cluster.properties, "/dnsPrefix").unwrap_or_default();
    ClusterPrivate {
        suffix: names::cluster_suffix(&format!("{prefix}-{fqdn_suffix}")),
        fqdn_suffix,
        outbound_ip: uuid::Uuid::from_u128(random.random()).to_string(),
        guid: uuid::Uuid::from_u128(random.random()).to_string(),
        made: false,
        operation: String::new(),
        operation_began: String::new(),
    }
}

fn write_names(
    cluster: &mut Resource,
    private: &ClusterPrivate,
    location: &str,
    version: &str,
    tenant: &str,
) {
    let properties = &mut cluster.properties;
    let prefix = text(properties, "/dnsPrefix").unwrap_or_default().to_owned();
    set(properties, &["fqdn"], names::fqdn(&prefix, &private.fqdn_suffix, location));
    set(properties, &["azurePortalFQDN"], names::portal_fqdn(&prefix, &private.fqdn_suffix, location));
    let uid: String = private.guid.chars().filter(char::is_ascii_hexdigit).take(24).collect();
    set(properties, &["resourceUID"], uid);
    set(properties, &["currentKubernetesVersion"], version);
    if flag(properties, "/oidcIssuerProfile/enabled") {
        let issuer = format!("https://{location}.oic.prod-aks.azure.com/{tenant}/{}/", private.guid);
        set(properties, &["oidcIssuerProfile", "issuerURL"], issuer);
    }
}

fn shape_pools(
    ctx: &Ctx,
    settings: &Settings,
    cluster: &Resource,
    wishes: Vec<Value>,
    new: bool,
    version: &str,
) -> Result<Vec<(String, Value)>, ArmError> {
    let around = surroundings(cluster, settings, version);
    let stored = state::pools(&ctx.resources, &cluster.id);
    let mut shaped: Vec<(String, Value)> = Vec::new();
    for wish in wishes {
        let name = text(&wish, "/name").unwrap_or_default().to_owned();
        if shaped.iter().any(|(other, _)| *other == name) {
            return Err(Fault::parameter(
                "agentPoolProfiles",
                format!("agent pool name '{name}' is used twice"),
            )
            .into());
        }
        let existing = stored.iter().find(|pool| pool.name == name);
        let old = existing.map(|pool| &pool.properties);
        let wish = snapshots::applied(ctx, &cluster.id, cluster, wish, old)?;
        let mut properties = pool::shape(&name, &wish, existing.map(|pool| &pool.properties), around)?;
        // Power is the pool's own matter: a write of the cluster changes none.
        let power = existing.and_then(|pool| text(&pool.properties, "/powerState/code")).unwrap_or("Running");
        set(&mut properties, &["powerState", "code"], power);
        if let Some(private) = existing.and_then(|pool| pool.properties.get(PRIVATE)) {
            set(&mut properties, &[PRIVATE], private.clone());
        }
        shaped.push((name, properties));
    }
    if new && shaped.is_empty() {
        return Err(
            Fault::parameter("agentPoolProfiles", "a cluster must have at least one agent pool").into()
        );
    }
    let others = stored.iter().filter(|pool| !shaped.iter().any(|(name, _)| *name == pool.name));
    let all: Vec<&Value> = shaped.iter().map(|(_, p)| p).chain(others.map(|pool| &pool.properties)).collect();
    pool::check_system_pool(all.iter().copied())?;
    check_capacity(cluster, all.into_iter())?;
    Ok(shaped)
}

/// Refuses more nodes than the pod range can hold.
pub fn check_capacity<'a>(cluster: &Resource, pools: impl Iterator<Item = &'a Value>) -> Result<(), Fault> {
    let nodes: i64 = pools.filter_map(|pool| number(pool, "/count")).sum();
    match text(&cluster.properties, "/networkProfile/podCidr").and_then(|range| range.parse().ok()) {
        Some(range) => network_profile::check_node_capacity(range, u64::try_from(nodes).unwrap_or(0)),
        None => Ok(()),
    }
}

/// What a cluster decides for its pools.
pub fn surroundings<'a>(cluster: &'a Resource, settings: &'a Settings, version: &'a str) -> Surroundings<'a> {
    let kubenet = text(&cluster.properties, "/networkProfile/networkPlugin") == Some("kubenet");
    Surroundings {
        version,
        location: cluster.location.as_deref().unwrap_or_default(),
        sizes: &settings.sizes,
        max_pods: if kubenet { 110 } else { 250 },
        rollback: None,
    }
}
