//! Resources as az shows them: a cluster's and a pool's `properties` are lifted to the top, names are spelt
//! its way (`enableRBAC` is `enableRbac`), whatever has an id names its group, and what is not set at the top is
//! null. Deeper down az shows more nulls, which a query cannot tell from nothing.

use serde_json::{Map, Value};

/// Top-level names az always shows of a cluster.
const CLUSTER: &[&str] = &[
    "aadProfile",
    "addonProfiles",
    "aiToolchainOperatorProfile",
    "apiServerAccessProfile",
    "autoScalerProfile",
    "autoUpgradeProfile",
    "azureMonitorProfile",
    "azurePortalFqdn",
    "bootstrapProfile",
    "currentKubernetesVersion",
    "disableLocalAccounts",
    "diskEncryptionSetId",
    "dnsPrefix",
    "eTag",
    "enableRbac",
    "extendedLocation",
    "fqdn",
    "fqdnSubdomain",
    "hostedSystemProfile",
    "httpProxyConfig",
    "identity",
    "identityProfile",
    "ingressProfile",
    "kind",
    "kubernetesVersion",
    "linuxProfile",
    "networkProfile",
    "nodeProvisioningProfile",
    "nodeResourceGroup",
    "oidcIssuerProfile",
    "podIdentityProfile",
    "powerState",
    "privateFqdn",
    "privateLinkResources",
    "provisioningState",
    "publicNetworkAccess",
    "schedulerProfile",
    "serviceMeshProfile",
    "sku",
    "status",
    "tags",
    "upgradeSettings",
    "windowsProfile",
    "workloadAutoScalerProfile",
];

/// Names az always shows of a pool, in a cluster or by itself.
const POOL: &[&str] = &[
    "artifactStreamingProfile",
    "availabilityZones",
    "capacityReservationGroupId",
    "creationData",
    "gatewayProfile",
    "gpuInstanceProfile",
    "gpuProfile",
    "hostGroupId",
    "kubeletConfig",
    "linuxOsConfig",
    "localDnsProfile",
    "maxCount",
    "messageOfTheDay",
    "minCount",
    "networkProfile",
    "nodeLabels",
    "nodePublicIpPrefixId",
    "nodeTaints",
    "podIpAllocationMode",
    "podSubnetId",
    "proximityPlacementGroupId",
    "scaleSetEvictionPolicy",
    "scaleSetPriority",
    "spotMaxPrice",
    "status",
    "tags",
    "virtualMachineNodesStatus",
    "virtualMachinesProfile",
    "vnetSubnetId",
    "windowsProfile",
];

const GROUP: &[&str] = &["managedBy", "tags"];

/// Maps whose keys belong to the user or are names, and so are not spelt anew.
const FREE: &[&str] = &[
    "tags",
    "nodeLabels",
    "config",
    "addonProfiles",
    "identityProfile",
    "userAssignedIdentities",
    "delegatedResources",
];

/// A cluster.
pub(crate) fn cluster(resource: Value) -> Value {
    let mut shown = lifted(resource);
    if let Some(Value::Array(pools)) = shown.get_mut("agentPoolProfiles") {
        for pool in pools.iter_mut().filter_map(Value::as_object_mut) {
            complete(pool, POOL);
        }
    }
    complete(&mut shown, CLUSTER);
    Value::Object(shown)
}

/// A pool by itself.
pub(crate) fn pool(resource: Value) -> Value {
    let mut shown = lifted(resource);
    complete(&mut shown, POOL);
    complete(&mut shown, &["systemData"]);
    Value::Object(shown)
}

/// A resource group: its properties stay where they are, and it is in no group.
pub(crate) fn group(resource: Value) -> Value {
    let Value::Object(mut shown) = resource else { return resource };
    complete(&mut shown, GROUP);
    Value::Object(shown)
}

fn lifted(resource: Value) -> Map<String, Value> {
    let Value::Object(mut resource) = resource else { return Map::new() };
    if let Some(Value::Object(mut properties)) = resource.remove("properties") {
        // The kind of a pool has the same name as the resource's type.
        if let Some(kind) = properties.remove("type") {
            resource.insert("typePropertiesType".to_owned(), kind);
        }
        resource.extend(properties);
    }
    match spelt(Value::Object(resource), false) {
        Value::Object(shown) => shown,
        _ => Map::new(),
    }
}

fn complete(shown: &mut Map<String, Value>, names: &[&str]) {
    for name in names {
        shown.entry(*name).or_insert(Value::Null);
    }
}

fn spelt(value: Value, free: bool) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(|item| spelt(item, false)).collect()),
        Value::Object(fields) => {
            let group = fields.get("id").and_then(Value::as_str).and_then(group_of).map(str::to_owned);
            let mut shown: Map<String, Value> = fields
                .into_iter()
                .map(|(name, value)| {
                    let below = FREE.contains(&name.as_str());
                    (if free { name } else { spelling(&name) }, spelt(value, below))
                })
                .collect();
            if let Some(group) = group {
                shown.insert("resourceGroup".to_owned(), Value::String(group));
            }
            Value::Object(shown)
        }
        other => other,
    }
}

/// The group in a resource's id.
fn group_of(id: &str) -> Option<&str> {
    let mut segments = id.split('/').skip_while(|segment| !segment.eq_ignore_ascii_case("resourceGroups"));
    segments.next()?;
    segments.next()
}

/// `osDiskSizeGB` as `osDiskSizeGb`, but `outboundIPs` as it is: a run of capitals is one word, save its last
/// letter when a small one follows.
fn spelling(name: &str) -> String {
    if name == "countIPv6" {
        return "countIpv6".to_owned();
    }
    let letters: Vec<char> = name.chars().collect();
    let upper = |at: usize| letters.get(at).is_some_and(char::is_ascii_uppercase);
    let lower = |at: usize| letters.get(at).is_some_and(char::is_ascii_lowercase);
    (0..letters.len())
        .map(|at| {
            let inside = at > 0 && upper(at - 1) && upper(at) && !lower(at + 1);
            if inside { letters[at].to_ascii_lowercase() } else { letters[at] }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_spelt_as_az_spells_them() {
        for (wire, shown) in [
            ("enableRBAC", "enableRbac"),
            ("osDiskSizeGB", "osDiskSizeGb"),
            ("eTag", "eTag"),
            ("osSKU", "osSku"),
            ("effectiveOutboundIPs", "effectiveOutboundIPs"),
            ("outboundIPPrefixes", "outboundIpPrefixes"),
            ("dnsServiceIP", "dnsServiceIp"),
            ("nodeOSUpgradeChannel", "nodeOsUpgradeChannel"),
            ("fqdn", "fqdn"),
            ("azurePortalFQDN", "azurePortalFqdn"),
            ("enableVTPM", "enableVtpm"),
            ("countIPv6", "countIpv6"),
            ("podIPAllocationMode", "podIpAllocationMode"),
            ("adminGroupObjectIDs", "adminGroupObjectIDs"),
        ] {
            assert_eq!(spelling(wire), shown);
        }
    }

    #[test]
    fn properties_are_lifted_and_tags_are_left_alone() {
        let shown = cluster(json!({
            "id": "/subscriptions/s/resourceGroups/rg-dev/providers/P/t/dev", "name": "dev", "tags": {"costID": "1"},
            "properties": {"enableRBAC": true, "agentPoolProfiles": [{"name": "nodepool1", "osDiskSizeGB": 128}]},
        }));
        assert_eq!(shown["enableRbac"], true);
        assert_eq!(shown["resourceGroup"], "rg-dev");
        assert_eq!(shown["tags"], json!({"costID": "1"}));
        assert_eq!(shown["agentPoolProfiles"][0]["osDiskSizeGb"], 128);
        assert!(shown.as_object().unwrap().contains_key("privateFqdn"));
    }

    #[test]
    fn a_pool_has_two_types() {
        let shown = pool(json!({"id": "/subscriptions/s/resourceGroups/g/x", "type": "T",
            "properties": {"type": "VirtualMachineScaleSets"}}));
        assert_eq!(
            (&shown["type"], &shown["typePropertiesType"]),
            (&json!("T"), &json!("VirtualMachineScaleSets"))
        );
    }
}
