//! What else a request needs: a resource that names another one may be written by those only who may use the other.
//!
//! The table is data: type, place in the body, action on what is named there. Places and actions are those of the public
//! cloud, where the resource manager makes the same check before the provider sees the request.

use serde_json::Value;

use super::Access;
use crate::{ArmError, Caller, ResourceId};

const SUBNET: &str = "Microsoft.Network/virtualNetworks/subnets/join/action";
const NETWORK: &str = "Microsoft.Network/virtualNetworks/join/action";
const ADDRESS: &str = "Microsoft.Network/publicIPAddresses/join/action";
const PREFIX: &str = "Microsoft.Network/publicIPPrefixes/join/action";
const SECURITY: &str = "Microsoft.Network/networkSecurityGroups/join/action";
const ROUTES: &str = "Microsoft.Network/routeTables/join/action";
const GATEWAY: &str = "Microsoft.Network/natGateways/join/action";
const POOL: &str = "Microsoft.Network/loadBalancers/backendAddressPools/join/action";
const RULE: &str = "Microsoft.Network/loadBalancers/inboundNatRules/join/action";
const FRONTEND: &str = "Microsoft.Network/loadBalancers/frontendIPConfigurations/join/action";
const GROUP_OF_INTERFACES: &str = "Microsoft.Network/applicationSecurityGroups/joinIpConfiguration/action";
const GROUP_IN_RULE: &str = "Microsoft.Network/applicationSecurityGroups/joinNetworkSecurityRule/action";
const INTERFACE: &str = "Microsoft.Network/networkInterfaces/join/action";
const ZONE: &str = "Microsoft.Network/privateDnsZones/join/action";
const NAT_POOL: &str = "Microsoft.Network/loadBalancers/inboundNatPools/join/action";
const BALANCED_NETWORK: &str = "Microsoft.Network/virtualNetworks/joinLoadBalancer/action";
const BALANCED_SUBNET: &str = "Microsoft.Network/virtualNetworks/subnets/joinLoadBalancer/action";
const PROBE: &str = "Microsoft.Network/loadBalancers/probes/join/action";
const ENDPOINT_POLICY: &str = "Microsoft.Network/serviceEndpointPolicies/join/action";
const BY_ENDPOINT: &str = "Microsoft.Network/virtualNetworks/subnets/joinViaServiceEndpoint/action";
const HUB_KEYS: &str = "Microsoft.EventHub/namespaces/authorizationRules/listkeys/action";
/// Behind the type of what a private endpoint leads to.
const APPROVE: &str = "PrivateEndpointConnectionsApproval/action";
const PEER: &str = "Microsoft.Network/virtualNetworks/peer/action";
const ASSIGN: &str = "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action";
const WORKSPACE_KEYS: &str = "Microsoft.OperationalInsights/workspaces/sharedKeys/read";
const STORAGE_KEYS: &str = "Microsoft.Storage/storageAccounts/listKeys/action";

/// `(type, place below properties, action on what stands there)`; `*` is every element of a list.
const LINKS: &[(&str, &str, &str)] = &[
    ("Microsoft.Network/virtualNetworks/subnets", "networkSecurityGroup/id", SECURITY),
    ("Microsoft.Network/virtualNetworks/subnets", "routeTable/id", ROUTES),
    ("Microsoft.Network/virtualNetworks/subnets", "natGateway/id", GATEWAY),
    ("Microsoft.Network/virtualNetworks", "subnets/*/properties/networkSecurityGroup/id", SECURITY),
    ("Microsoft.Network/virtualNetworks", "subnets/*/properties/routeTable/id", ROUTES),
    ("Microsoft.Network/virtualNetworks", "subnets/*/properties/natGateway/id", GATEWAY),
    (
        "Microsoft.Network/virtualNetworks",
        "subnets/*/properties/serviceEndpointPolicies/*/id",
        ENDPOINT_POLICY,
    ),
    (
        "Microsoft.Network/virtualNetworks",
        "virtualNetworkPeerings/*/properties/remoteVirtualNetwork/id",
        PEER,
    ),
    ("Microsoft.Network/virtualNetworks/subnets", "serviceEndpointPolicies/*/id", ENDPOINT_POLICY),
    ("Microsoft.Network/virtualNetworks/virtualNetworkPeerings", "remoteVirtualNetwork/id", PEER),
    ("Microsoft.Network/publicIPAddresses", "publicIPPrefix/id", PREFIX),
    ("Microsoft.Network/networkInterfaces", "networkSecurityGroup/id", SECURITY),
    ("Microsoft.Network/networkInterfaces", "ipConfigurations/*/properties/subnet/id", SUBNET),
    ("Microsoft.Network/networkInterfaces", "ipConfigurations/*/properties/publicIPAddress/id", ADDRESS),
    (
        "Microsoft.Network/networkInterfaces",
        "ipConfigurations/*/properties/loadBalancerBackendAddressPools/*/id",
        POOL,
    ),
    (
        "Microsoft.Network/networkInterfaces",
        "ipConfigurations/*/properties/loadBalancerInboundNatRules/*/id",
        RULE,
    ),
    (
        "Microsoft.Network/networkInterfaces",
        "ipConfigurations/*/properties/applicationSecurityGroups/*/id",
        GROUP_OF_INTERFACES,
    ),
    ("Microsoft.Network/loadBalancers", "frontendIPConfigurations/*/properties/subnet/id", SUBNET),
    ("Microsoft.Network/loadBalancers", "frontendIPConfigurations/*/properties/publicIPAddress/id", ADDRESS),
    ("Microsoft.Network/loadBalancers", "frontendIPConfigurations/*/properties/publicIPPrefix/id", PREFIX),
    (
        "Microsoft.Network/loadBalancers",
        "backendAddressPools/*/properties/virtualNetwork/id",
        BALANCED_NETWORK,
    ),
    (
        "Microsoft.Network/loadBalancers",
        "backendAddressPools/*/properties/loadBalancerBackendAddresses/*/properties/virtualNetwork/id",
        BALANCED_NETWORK,
    ),
    (
        "Microsoft.Network/loadBalancers",
        "backendAddressPools/*/properties/loadBalancerBackendAddresses/*/properties/subnet/id",
        BALANCED_SUBNET,
    ),
    ("Microsoft.Network/loadBalancers/backendAddressPools", "virtualNetwork/id", BALANCED_NETWORK),
    (
        "Microsoft.Network/loadBalancers/backendAddressPools",
        "loadBalancerBackendAddresses/*/properties/virtualNetwork/id",
        BALANCED_NETWORK,
    ),
    (
        "Microsoft.Network/loadBalancers/backendAddressPools",
        "loadBalancerBackendAddresses/*/properties/subnet/id",
        BALANCED_SUBNET,
    ),
    ("Microsoft.Network/natGateways", "publicIpAddresses/*/id", ADDRESS),
    ("Microsoft.Network/natGateways", "publicIpPrefixes/*/id", PREFIX),
    ("Microsoft.Network/privateEndpoints", "subnet/id", SUBNET),
    ("Microsoft.Network/privateEndpoints", "applicationSecurityGroups/*/id", GROUP_OF_INTERFACES),
    (
        "Microsoft.Network/privateEndpoints",
        "privateLinkServiceConnections/*/properties/privateLinkServiceId",
        APPROVE,
    ),
    (
        "Microsoft.Network/privateEndpoints/privateDnsZoneGroups",
        "privateDnsZoneConfigs/*/properties/privateDnsZoneId",
        ZONE,
    ),
    ("Microsoft.Network/privateLinkServices", "ipConfigurations/*/properties/subnet/id", SUBNET),
    ("Microsoft.Network/privateLinkServices", "loadBalancerFrontendIpConfigurations/*/id", FRONTEND),
    ("Microsoft.Network/privateDnsZones/virtualNetworkLinks", "virtualNetwork/id", NETWORK),
    (
        "Microsoft.Network/networkSecurityGroups",
        "securityRules/*/properties/sourceApplicationSecurityGroups/*/id",
        GROUP_IN_RULE,
    ),
    (
        "Microsoft.Network/networkSecurityGroups",
        "securityRules/*/properties/destinationApplicationSecurityGroups/*/id",
        GROUP_IN_RULE,
    ),
    (
        "Microsoft.Network/networkSecurityGroups/securityRules",
        "sourceApplicationSecurityGroups/*/id",
        GROUP_IN_RULE,
    ),
    (
        "Microsoft.Network/networkSecurityGroups/securityRules",
        "destinationApplicationSecurityGroups/*/id",
        GROUP_IN_RULE,
    ),
    ("Microsoft.Compute/virtualMachines", "networkProfile/networkInterfaces/*/id", INTERFACE),
    (
        "Microsoft.Compute/virtualMachineScaleSets",
        "virtualMachineProfile/networkProfile/networkInterfaceConfigurations/*/properties/networkSecurityGroup/id",
        SECURITY,
    ),
    (
        "Microsoft.Compute/virtualMachineScaleSets",
        "virtualMachineProfile/networkProfile/networkInterfaceConfigurations/*/properties/ipConfigurations/*/properties/subnet/id",
        SUBNET,
    ),
    (
        "Microsoft.Compute/virtualMachineScaleSets",
        "virtualMachineProfile/networkProfile/networkInterfaceConfigurations/*/properties/ipConfigurations/*/properties/loadBalancerBackendAddressPools/*/id",
        POOL,
    ),
    (
        "Microsoft.Compute/virtualMachineScaleSets",
        "virtualMachineProfile/networkProfile/networkInterfaceConfigurations/*/properties/ipConfigurations/*/properties/applicationSecurityGroups/*/id",
        GROUP_OF_INTERFACES,
    ),
    (
        "Microsoft.Compute/virtualMachineScaleSets",
        "virtualMachineProfile/networkProfile/networkInterfaceConfigurations/*/properties/ipConfigurations/*/properties/loadBalancerInboundNatPools/*/id",
        NAT_POOL,
    ),
    (
        "Microsoft.Compute/virtualMachineScaleSets",
        "virtualMachineProfile/networkProfile/networkInterfaceConfigurations/*/properties/ipConfigurations/*/properties/publicIPAddressConfiguration/properties/publicIPPrefix/id",
        PREFIX,
    ),
    (
        "Microsoft.Compute/virtualMachineScaleSets",
        "virtualMachineProfile/networkProfile/healthProbe/id",
        PROBE,
    ),
    ("Microsoft.ContainerService/managedClusters", "agentPoolProfiles/*/vnetSubnetID", SUBNET),
    ("Microsoft.ContainerService/managedClusters", "agentPoolProfiles/*/nodePublicIPPrefixID", PREFIX),
    ("Microsoft.ContainerService/managedClusters", "agentPoolProfiles/*/podSubnetID", SUBNET),
    ("Microsoft.ContainerService/managedClusters", "apiServerAccessProfile/subnetId", SUBNET),
    ("Microsoft.ContainerService/managedClusters", "identityProfile/kubeletidentity/resourceId", ASSIGN),
    (
        "Microsoft.ContainerService/managedClusters",
        "networkProfile/loadBalancerProfile/outboundIPs/publicIPs/*/id",
        ADDRESS,
    ),
    (
        "Microsoft.ContainerService/managedClusters",
        "networkProfile/loadBalancerProfile/outboundIPPrefixes/publicIPPrefixes/*/id",
        PREFIX,
    ),
    (
        "Microsoft.ContainerService/managedClusters",
        "addonProfiles/omsagent/config/logAnalyticsWorkspaceResourceID",
        WORKSPACE_KEYS,
    ),
    ("Microsoft.ContainerService/managedClusters/agentPools", "vnetSubnetID", SUBNET),
    ("Microsoft.ContainerService/managedClusters/agentPools", "podSubnetID", SUBNET),
    ("Microsoft.ContainerService/managedClusters/agentPools", "nodePublicIPPrefixID", PREFIX),
    ("Microsoft.Insights/diagnosticSettings", "workspaceId", WORKSPACE_KEYS),
    ("Microsoft.Insights/diagnosticSettings", "storageAccountId", STORAGE_KEYS),
    ("Microsoft.Insights/diagnosticSettings", "eventHubAuthorizationRuleId", HUB_KEYS),
    ("Microsoft.Storage/storageAccounts", "networkAcls/virtualNetworkRules/*/id", BY_ENDPOINT),
    ("Microsoft.KeyVault/vaults", "networkAcls/virtualNetworkRules/*/id", BY_ENDPOINT),
    ("Microsoft.ContainerRegistry/registries", "networkRuleSet/virtualNetworkRules/*/id", BY_ENDPOINT),
];

/// Every text at a place.
fn texts<'a>(value: &'a Value, place: &str, found: &mut Vec<&'a str>) {
    let Some((name, rest)) =
        place.split_once('/').map(|(name, rest)| (name, Some(rest))).or(Some((place, None)))
    else {
        return;
    };
    let inner: Vec<&Value> = match (name, value) {
        ("*", Value::Array(list)) => list.iter().collect(),
        (name, Value::Object(map)) => {
            map.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
        }
        _ => Vec::new(),
    };
    for value in inner {
        match (rest, value) {
            (Some(rest), value) => texts(value, rest, found),
            (None, Value::String(text)) => found.push(text),
            (None, _) => {}
        }
    }
}

impl Access {
    /// Refuses a body whose writer may not use what it names. What is part of the written resource itself needs nothing
    /// more; a text that is no id is left to the provider, which knows the better words.
    pub(crate) fn check_links(
        &self,
        caller: &Caller,
        action: &str,
        id: &ResourceId,
        properties: &Value,
    ) -> Result<(), ArmError> {
        let full_type = id.resource_type();
        let mut actions: Vec<String> = Vec::new();
        let mut scopes: Vec<ResourceId> = Vec::new();
        for (_, place, linked) in LINKS.iter().filter(|(of, ..)| of.eq_ignore_ascii_case(&full_type)) {
            let mut found = Vec::new();
            texts(properties, place, &mut found);
            for named in found.into_iter().filter_map(|text| ResourceId::parse(text).ok()) {
                let linked = match *linked {
                    APPROVE => format!("{}/{APPROVE}", named.resource_type()),
                    other => other.to_owned(),
                };
                if named.subscription().is_some()
                    && !named.is_within(id)
                    && !self.may(caller, &linked, &named)
                {
                    if !actions.contains(&linked) {
                        actions.push(linked);
                    }
                    if !scopes.contains(&named) {
                        scopes.push(named);
                    }
                }
            }
        }
        if actions.is_empty() {
            return Ok(());
        }
        Err(ArmError::linked_authorization_failed(caller, action, id, &actions.join(","), &scopes))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{LINKS, texts};

    #[test]
    fn what_a_body_names_is_found() {
        let body = json!({"subnets": [{"properties": {"routeTable": {"id": "a"}}}, {"properties": {}},
            {"properties": {"RouteTable": {"ID": "b"}}}, 7], "x": "y"});
        let mut found = Vec::new();
        texts(&body, "subnets/*/properties/routeTable/id", &mut found);
        assert_eq!(found, ["a", "b"]);
    }

    #[test]
    fn actions_are_on_a_type() {
        for (of, place, action) in LINKS {
            assert!(of.matches('/').count() >= 1 && !place.starts_with('/'), "{of} {place}");
            assert!(action.ends_with("/action") || action.ends_with("/read"), "{action}");
        }
    }
}
