//! Types that Azure has in the namespaces of this cloud, and this cloud has not.
//!
//! Who asks for one is told that it is not implemented; a type that is in neither does not exist.

const TYPES: &[(&str, &[&str])] = &[
    (
        "Microsoft.Compute",
        &[
            "availabilitySets",
            "capacityReservationGroups",
            "cloudServices",
            "diskAccesses",
            "diskEncryptionSets",
            "galleries",
            "hostGroups",
            "images",
            "proximityPlacementGroups",
            "restorePointCollections",
            "snapshots",
            "sshPublicKeys",
            "virtualMachines",
        ],
    ),
    (
        "Microsoft.ContainerService",
        &["containerServices", "fleets", "managedclustersnapshots", "openShiftManagedClusters"],
    ),
    ("Microsoft.KeyVault", &["managedHSMs"]),
    ("Microsoft.ManagedIdentity", &["identities"]),
    (
        "Microsoft.Network",
        &[
            "applicationGatewayWebApplicationFirewallPolicies",
            "applicationGateways",
            "azureFirewalls",
            "bastionHosts",
            "connections",
            "customIpPrefixes",
            "ddosCustomPolicies",
            "ddosProtectionPlans",
            "dnsForwardingRulesets",
            "dnsResolvers",
            "dnsZones",
            "expressRouteCircuits",
            "expressRouteGateways",
            "expressRoutePorts",
            "firewallPolicies",
            "frontDoors",
            "ipAllocations",
            "ipGroups",
            "localNetworkGateways",
            "networkManagers",
            "networkProfiles",
            "networkSecurityPerimeters",
            "networkVirtualAppliances",
            "routeFilters",
            "serviceEndpointPolicies",
            "trafficManagerProfiles",
            "virtualHubs",
            "virtualNetworkGateways",
            "virtualNetworkTaps",
            "virtualRouters",
            "virtualWans",
            "vpnGateways",
            "vpnSites",
        ],
    ),
    ("Microsoft.OperationalInsights", &["clusters", "queryPacks"]),
];

/// Whether Azure has this type, though this cloud has not.
pub(super) fn is(namespace: &str, first: &str) -> bool {
    let types = TYPES.iter().find(|(of, _)| of.eq_ignore_ascii_case(namespace));
    types.is_some_and(|(_, types)| types.iter().any(|one| one.eq_ignore_ascii_case(first)))
}

#[cfg(test)]
mod tests {
    use super::is;

    #[test]
    fn a_type_is_known_in_any_case_and_only_in_its_namespace() {
        assert!(is("microsoft.compute", "VirtualMachines"));
        assert!(!is("Microsoft.Network", "virtualMachines"));
        assert!(!is("Microsoft.Compute", "gadgets"));
    }
}
