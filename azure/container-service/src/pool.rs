//! What an agent pool is: AKS's defaults, its refusals, the labels its nodes carry.
//!
//! Works on the pool's properties as JSON (an entry of `agentPoolProfiles` without its name).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::fault::Fault;
use crate::json::{default, flag, list, number, remove, set, text};
use crate::sizes::{self, Size, Sizes};
use crate::versions;

/// Image name that nodes of this version report.
pub const NODE_IMAGE: &str = "AKSUbuntu-2404gen2containerd-202611.02.0";
/// Most pods a node may have.
pub const MAX_PODS_MAX: i64 = 250;
/// Fewest pods a node may be set to.
pub const MAX_PODS_MIN: i64 = 10;
/// Most nodes of one pool.
pub const COUNT_MAX: i64 = 1000;

/// What the pool's cluster decides for it.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// The cluster's Kubernetes version.
    pub version: &'a str,
    /// Region.
    pub location: &'a str,
    /// Sizes on offer.
    pub sizes: &'a Sizes,
    /// Pods per node where the pool names none.
    pub max_pods: i64,
    /// The older version that the pool may go back to.
    pub rollback: Option<&'a str>,
}

/// Properties only the service writes; what a caller sends of them is ignored.
const READ_ONLY: &[&str] =
    &["provisioningState", "currentOrchestratorVersion", "nodeImageVersion", "eTag", "etag"];

/// The pool's properties after a caller's wish: `wish` over `existing`, defaults filled in, refusals first.
pub fn shape(
    name: &str,
    wish: &Value,
    existing: Option<&Value>,
    around: Surroundings<'_>,
) -> Result<Value, Fault> {
    crate::names::check_pool(name, text(wish, "/osType") == Some("Windows"))?;
    let mut pool = wish.clone();
    for property in READ_ONLY.iter().chain(&["name"]) {
        remove(&mut pool, &[property]);
    }
    if let Some(existing) = existing {
        keep(&mut pool, existing);
        check_unchanged(&pool, existing)?;
    }
    let size =
        around.sizes.require(text(&pool, "/vmSize").unwrap_or(sizes::DEFAULT), around.location)?.clone();
    set(&mut pool, &["vmSize"], size.name.clone());
    check_version(&mut pool, existing, around)?;
    fill(&mut pool, &size, around);
    check(&pool, &size)?;
    Ok(pool)
}

/// What the caller left out stays as it was.
fn keep(pool: &mut Value, existing: &Value) {
    let Some(existing) = existing.as_object() else { return };
    for (name, value) in existing {
        default(pool, &[name], value.clone());
    }
}

fn check_unchanged(pool: &Value, existing: &Value) -> Result<(), Fault> {
    for property in
        ["vmSize", "osDiskSizeGB", "osDiskType", "maxPods", "vnetSubnetID", "osType", "type", "osSKU"]
    {
        let (new, old) = (&pool[property], &existing[property]);
        let same = match (new.as_str(), old.as_str()) {
            (Some(new), Some(old)) => new.eq_ignore_ascii_case(old),
            _ => new == old,
        };
        if !same {
            return Err(Fault::immutable(&format!("properties.{property}")));
        }
    }
    Ok(())
}

fn check_version(pool: &mut Value, existing: Option<&Value>, around: Surroundings<'_>) -> Result<(), Fault> {
    let cluster = around.version;
    let wish = text(pool, "/orchestratorVersion").unwrap_or(cluster).to_owned();
    let version =
        versions::require(&wish, "AgentPoolK8sVersionNotSupported", "agentPoolProfile.orchestratorVersion")?;
    if version > cluster {
        return Err(Fault::bad_request(
            "NodePoolMcVersionIncompatible",
            format!(
                "Node pool version {version} and control plane version {cluster} are incompatible. Node pool \
                 version cannot be greater than control plane version. For more information, please check \
                 https://aka.ms/aks/UpgradeVersionRules"
            ),
        ));
    }
    if let Some(existing) = existing {
        check_upgrade(existing, version, around.rollback)?;
        if text(existing, "/currentOrchestratorVersion") != Some(version) {
            // New nodes are of the newest image, as on AKS.
            set(pool, &["nodeImageVersion"], NODE_IMAGE);
        }
    }
    set(pool, &["orchestratorVersion"], wish);
    set(pool, &["currentOrchestratorVersion"], version);
    Ok(())
}

/// Nodes go up by one minor version at a time or back to the one before, and only while they are on.
fn check_upgrade(existing: &Value, version: &str, rollback: Option<&str>) -> Result<(), Fault> {
    let Some(current) = text(existing, "/currentOrchestratorVersion").filter(|now| *now != version) else {
        return Ok(());
    };
    if !versions::upgrades(current).contains(&version) && rollback != Some(version) {
        let allowed = versions::upgrades(current).join(", ");
        return Err(Fault::bad_request(
            "OperationNotAllowed",
            format!(
                "Upgrading Kubernetes version {current} to {version} is not allowed. Available upgrades: [{allowed}]. \
                 Please see https://aka.ms/aks-supported-k8s-ver for version details."
            ),
        )
        .target("agentPoolProfile.orchestratorVersion"));
    }
    if text(existing, "/powerState/code") == Some("Stopped") {
        return Err(Fault::new(
            409,
            "OperationNotAllowed",
            "An agent pool in Power State(Stopped) cannot be upgraded. Start the agent pool first.",
        )
        .target("agentPoolProfile.orchestratorVersion"));
    }
    Ok(())
}

fn fill(pool: &mut Value, size: &Size, around: Surroundings<'_>) {
    default(pool, &["count"], 3);
    default(pool, &["mode"], "User");
    default(pool, &["type"], "VirtualMachineScaleSets");
    default(pool, &["osType"], "Linux");
    default(pool, &["osSKU"], "Ubuntu");
    default(pool, &["osDiskType"], "Managed");
    if number(pool, "/osDiskSizeGB").unwrap_or(0) == 0 {
        set(pool, &["osDiskSizeGB"], sizes::os_disk_gib(size.cpus));
    }
    default(pool, &["kubeletDiskType"], "OS");
    default(pool, &["workloadRuntime"], "OCIContainer");
    default(pool, &["maxPods"], around.max_pods);
    default(pool, &["scaleDownMode"], "Delete");
    default(pool, &["upgradeSettings", "maxSurge"], "10%");
    default(pool, &["upgradeSettings", "maxUnavailable"], "0");
    default(pool, &["powerState", "code"], "Running");
    default(pool, &["securityProfile", "enableVTPM"], false);
    default(pool, &["securityProfile", "enableSecureBoot"], false);
    default(pool, &["nodeImageVersion"], NODE_IMAGE);
    for property in
        ["enableAutoScaling", "enableNodePublicIP", "enableEncryptionAtHost", "enableUltraSSD", "enableFIPS"]
    {
        default(pool, &[property], false);
    }
    if list(pool, "/nodeTaints").is_empty() {
        remove(pool, &["nodeTaints"]);
    }
    if text(pool, "/scaleSetPriority") == Some("Regular") {
        remove(pool, &["scaleSetPriority"]);
    }
}

fn check(pool: &Value, size: &Size) -> Result<(), Fault> {
    let system = match text(pool, "/mode") {
        Some("System") => true,
        Some("User") => false,
        other => {
            let other = other.unwrap_or_default();
            return Err(Fault::parameter(
                "agentPoolProfile.mode",
                format!("'{other}' is not one of System, User"),
            ));
        }
    };
    let least = i64::from(system);
    let count = number(pool, "/count").unwrap_or(-1);
    if !(least..=COUNT_MAX).contains(&count) {
        let kind = if system { "system" } else { "user" };
        return Err(Fault::parameter(
            "agentPoolProfile.count",
            format!(
                "the node count of a {kind} node pool must be between {least} and {COUNT_MAX}, but is {count}"
            ),
        ));
    }
    let max_pods = number(pool, "/maxPods").unwrap_or(0);
    if !(MAX_PODS_MIN..=MAX_PODS_MAX).contains(&max_pods) {
        return Err(Fault::parameter(
            "agentPoolProfile.kubernetesConfig.kubeletConfig.maxPods",
            format!("maxPods {max_pods} must be between {MAX_PODS_MIN} and {MAX_PODS_MAX}"),
        ));
    }
    if max_pods * count.max(least) < 30 && system {
        return Err(Fault::parameter(
            "agentPoolProfile.maxPods",
            format!(
                "a system node pool must be able to run at least 30 pods, but {count} x {max_pods} is less"
            ),
        ));
    }
    if system && (size.cpus < 2 || size.memory_bytes < 4 << 30) {
        return Err(Fault::bad_request(
            "BadRequest",
            format!(
                "System node pools must use a VM SKU with at least 2 vCPUs and 4GB memory; {} is too small. \
                 For more details, please visit https://aka.ms/aks/system-node-pools",
                size.name
            ),
        )
        .target("agentPoolProfile.vmSize"));
    }
    check_power(pool, system)?;
    check_offered(pool)?;
    check_labels_and_taints(pool)
}

fn check_power(pool: &Value, system: bool) -> Result<(), Fault> {
    match text(pool, "/powerState/code") {
        Some("Running") => Ok(()),
        Some("Stopped") if system => {
            Err(Fault::bad_request("OperationNotAllowed", "A system node pool cannot be stopped.")
                .target("agentPoolProfile.powerState"))
        }
        Some("Stopped") => Ok(()),
        other => Err(Fault::parameter(
            "agentPoolProfile.powerState",
            format!("'{}' is not one of Running, Stopped", other.unwrap_or_default()),
        )),
    }
}

/// Refuses what this version cannot make true, by name.
fn check_offered(pool: &Value) -> Result<(), Fault> {
    let refuse = |property: &str, value: &dyn std::fmt::Display| {
        Err(Fault::bad_request(
            "NotImplemented",
            format!("agentPoolProfile.{property} '{value}' is not implemented by this service yet."),
        )
        .target(&format!("agentPoolProfile.{property}")))
    };
    for (property, offered) in [
        ("osType", "Linux"),
        ("type", "VirtualMachineScaleSets"),
        ("osSKU", "Ubuntu"),
        ("workloadRuntime", "OCIContainer"),
        ("kubeletDiskType", "OS"),
        ("scaleDownMode", "Delete"),
    ] {
        let value = text(pool, &format!("/{property}")).unwrap_or(offered);
        if value != offered {
            return refuse(property, &value);
        }
    }
    for property in ["enableAutoScaling", "enableNodePublicIP", "enableFIPS", "enableUltraSSD"] {
        if flag(pool, &format!("/{property}")) {
            return refuse(property, &true);
        }
    }
    for property in ["kubeletConfig", "linuxOSConfig"] {
        if pool.get(property).and_then(Value::as_object).is_some_and(|map| !map.is_empty()) {
            return refuse(property, &"settings");
        }
    }
    for property in ["vnetSubnetID", "podSubnetID", "nodePublicIPPrefixID", "gpuInstanceProfile"] {
        if let Some(subnet) = text(pool, &format!("/{property}")) {
            return refuse(property, &subnet);
        }
    }
    if let Some("Spot") = text(pool, "/scaleSetPriority") {
        return refuse("scaleSetPriority", &"Spot");
    }
    Ok(())
}

fn check_labels_and_taints(pool: &Value) -> Result<(), Fault> {
    if let Some(labels) = pool.get("nodeLabels").and_then(Value::as_object) {
        for name in labels.keys() {
            let reserved = name.split_once('/').is_some_and(|(prefix, _)| {
                prefix == "kubernetes.azure.com" || prefix.ends_with("kubernetes.io")
            });
            if reserved {
                return Err(Fault::parameter(
                    "agentPoolProfile.nodeLabels",
                    format!("label '{name}' uses a reserved prefix"),
                ));
            }
        }
    }
    for taint in list(pool, "/nodeTaints") {
        let written = taint.as_str().unwrap_or_default();
        let effect = written.rsplit_once(':').map(|(_, effect)| effect);
        if !matches!(effect, Some("NoSchedule" | "PreferNoSchedule" | "NoExecute")) {
            return Err(Fault::parameter(
                "agentPoolProfile.nodeTaints",
                format!("taint '{written}' must be of the form key=value:effect"),
            ));
        }
    }
    Ok(())
}

/// Refuses a cluster whose pools have no system pool.
pub fn check_system_pool<'a>(pools: impl Iterator<Item = &'a Value>) -> Result<(), Fault> {
    if pools.into_iter().any(|pool| text(pool, "/mode") == Some("System")) {
        return Ok(());
    }
    Err(Fault::bad_request("InvalidParameter", "Must define at least one system pool.")
        .target("agentPoolProfiles"))
}

/// The labels a pool's nodes register with.
///
/// Without those of `kubernetes.io`: a kubelet may not set them for itself.
pub fn labels(name: &str, pool: &Value, node_group: &str, size: &Size) -> BTreeMap<String, String> {
    let mode = text(pool, "/mode").unwrap_or("User").to_ascii_lowercase();
    let image = text(pool, "/nodeImageVersion").unwrap_or(NODE_IMAGE);
    let sku = text(pool, "/osSKU").unwrap_or("Ubuntu");
    let memory_mb = (size.memory_bytes / 1_048_576).to_string();
    let storage = if size.name.to_ascii_lowercase().contains('s') { "Premium_LRS" } else { "Standard_LRS" };
    let azure = [
        ("agentpool", name),
        ("cluster", node_group),
        ("mode", &mode),
        ("role", "agent"),
        ("managedby", "aks"),
        ("nodepool-type", "VirtualMachineScaleSets"),
        ("node-image-version", image),
        ("os-sku", sku),
        ("os-sku-effective", "Ubuntu2404"),
        ("os-sku-requested", sku),
        ("sku-cpu", &size.cpus.to_string()),
        ("sku-memory", &memory_mb),
        ("storageprofile", "managed"),
        ("storagetier", storage),
        ("podnetwork-type", "overlay"),
    ];
    let mut labels: BTreeMap<String, String> = azure
        .into_iter()
        .map(|(label, value)| (format!("kubernetes.azure.com/{label}"), value.to_owned()))
        .collect();
    for (label, value) in [("agentpool", name), ("storageprofile", "managed"), ("storagetier", storage)] {
        labels.insert(label.to_owned(), value.to_owned());
    }
    if let Some(own) = pool.get("nodeLabels").and_then(Value::as_object) {
        for (label, value) in own {
            labels.insert(label.clone(), value.as_str().unwrap_or_default().to_owned());
        }
    }
    labels
}

/// The taints a pool's nodes register with.
pub fn taints(pool: &Value) -> Vec<String> {
    list(pool, "/nodeTaints").iter().filter_map(|taint| taint.as_str().map(str::to_owned)).collect()
}

/// The pool as an entry of `agentPoolProfiles`.
pub fn profile(name: &str, properties: &Value, etag: &str) -> Value {
    let mut profile = properties.clone();
    set(&mut profile, &["name"], name);
    set(&mut profile, &["eTag"], json!(etag));
    profile
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes() -> Sizes {
        let size = |name: &str, cpus, gib: u64| Size { name: name.into(), cpus, memory_bytes: gib << 30 };
        Sizes(vec![size("Standard_DS2_v2", 2, 7), size("Standard_B1s", 1, 1)])
    }

    fn verdict(name: &str, wish: Value, existing: Option<&Value>) -> String {
        let sizes = sizes();
        let around = Surroundings {
            version: "1.35.6",
            location: "eastus",
            sizes: &sizes,
            max_pods: 250,
            rollback: None,
        };
        match shape(name, &wish, existing, around) {
            Ok(pool) => format!("ok {}", pool["count"]),
            Err(fault) => format!("{} {}", fault.code, fault.target.unwrap_or_default()),
        }
    }

    #[test]
    fn refusals() {
        for (name, wish, expected) in [
            ("nodepool1", json!({"mode": "System", "vmSize": ""}), "ok 3"),
            ("user1", json!({"count": 0}), "ok 0"),
            ("nodepool1", json!({"mode": "System", "count": 0}), "InvalidParameter agentPoolProfile.count"),
            ("Bad", json!({}), "InvalidParameter agentPoolProfile.name"),
            ("a", json!({"count": 1001}), "InvalidParameter agentPoolProfile.count"),
            ("a", json!({"vmSize": "Standard_Z1"}), "BadRequest agentPoolProfile.vmSize"),
            ("a", json!({"mode": "System", "vmSize": "Standard_B1s"}), "BadRequest agentPoolProfile.vmSize"),
            (
                "a",
                json!({"maxPods": 251}),
                "InvalidParameter agentPoolProfile.kubernetesConfig.kubeletConfig.maxPods",
            ),
            (
                "a",
                json!({"mode": "System", "count": 1, "maxPods": 10}),
                "InvalidParameter agentPoolProfile.maxPods",
            ),
            (
                "a",
                json!({"orchestratorVersion": "1.20"}),
                "AgentPoolK8sVersionNotSupported agentPoolProfile.orchestratorVersion",
            ),
            ("a", json!({"nodeTaints": ["x"]}), "InvalidParameter agentPoolProfile.nodeTaints"),
            (
                "a",
                json!({"nodeLabels": {"kubernetes.azure.com/x": "y"}}),
                "InvalidParameter agentPoolProfile.nodeLabels",
            ),
            ("a", json!({"enableAutoScaling": true}), "NotImplemented agentPoolProfile.enableAutoScaling"),
        ] {
            assert_eq!(verdict(name, wish.clone(), None), expected, "{wish}");
        }
    }

    #[test]
    fn what_is_left_out_stays_and_some_things_never_change() {
        let sizes = sizes();
        let around = Surroundings {
            version: "1.35.6",
            location: "eastus",
            sizes: &sizes,
            max_pods: 250,
            rollback: None,
        };
        let first = shape("a", &json!({"count": 5, "maxPods": 100}), None, around).unwrap();
        let second = shape("a", &json!({"mode": "User"}), Some(&first), around).unwrap();
        assert_eq!(first, second);
        assert_eq!(
            verdict("a", json!({"maxPods": 50}), Some(&first)),
            "PropertyChangeNotAllowed properties.maxPods"
        );
        assert_eq!(verdict("a", json!({"vmSize": "standard_ds2_V2"}), Some(&first)), "ok 5");
    }
}
