//! Every request that the real providers know, with the operation that it is.

use http::Method;
use serde_json::Value;

use crate::read_back::{World, text};

/// POST actions, by what they are asked of: the kinds of a path and the names of actions.
const ACTIONS: &[(&str, &str)] = &[
    (
        "Microsoft.ContainerService/managedClusters",
        "listClusterUserCredential listClusterAdminCredential listClusterMonitoringUserCredential runCommand start stop abort rotateClusterCertificates resetAADProfile resetServicePrincipalProfile rotateServiceAccountSigningKeys accessProfiles/clusterAdmin/listCredential",
    ),
    ("Microsoft.ContainerService/managedClusters/managedNamespaces", "listCredential"),
    ("Microsoft.ContainerService/managedClusters/agentPools", "abort deleteMachines upgradeNodeImageVersion"),
    (
        "Microsoft.Compute/virtualMachineScaleSets",
        "delete start restart reimage reimageAll poweroff deallocate manualupgrade",
    ),
    (
        "Microsoft.Compute/virtualMachineScaleSets/virtualMachines",
        "start restart reimage reimageAll poweroff deallocate runCommand retrieveBootDiagnosticsData",
    ),
    ("Microsoft.Compute/disks", "beginGetAccess endGetAccess"),
    ("Microsoft.Network/networkInterfaces", "effectiveNetworkSecurityGroups effectiveRouteTable"),
    ("Microsoft.Network/networkWatchers", "ipFlowVerify nextHop topology"),
    (
        "Microsoft.ContainerRegistry/registries",
        "listCredentials regenerateCredential generateCredentials importImage listUsages",
    ),
    ("Microsoft.Storage/storageAccounts", "listKeys regenerateKey listAccountSas listServiceSas failover"),
    ("Microsoft.OperationalInsights/workspaces", "sharedKeys listKeys regenerateSharedKey"),
    ("Microsoft.Insights/actionGroups", "createNotifications"),
];

/// What is read below a resource without being a type.
const BELOW: &[(&str, &str)] = &[
    (
        "Microsoft.ContainerService/managedClusters",
        "upgradeProfiles/default availableAgentPoolVersions accessProfiles/clusterAdmin operations operations/latest commandResults/1",
    ),
    (
        "Microsoft.ContainerService/managedClusters/agentPools",
        "upgradeProfiles/default machines machines/x operations/latest",
    ),
    ("Microsoft.Compute/virtualMachineScaleSets", "instanceView networkInterfaces skus"),
    ("Microsoft.Compute/virtualMachineScaleSets/virtualMachines", "instanceView"),
    ("Microsoft.Network/virtualNetworks", "usages CheckIPAddressAvailability"),
    ("Microsoft.Network/loadBalancers", "frontendIPConfigurations backendAddressPools/pool probes"),
    ("Microsoft.Network/privateDnsZones", "ALL"),
    ("Microsoft.ContainerRegistry/registries", "listUsages"),
];

/// Calls to providers themselves, behind a subscription, and what a role names them: to ask for a free name is to read.
const CALLS: &[(&str, &str, &str)] = &[
    ("GET", "Microsoft.Network/locations/eastus/usages", "Microsoft.Network/locations/usages/read"),
    ("GET", "Microsoft.Network/locations/eastus/serviceTags", "Microsoft.Network/locations/serviceTags/read"),
    (
        "GET",
        "Microsoft.Network/locations/eastus/CheckDnsNameAvailability",
        "Microsoft.Network/locations/checkDnsNameAvailability/read",
    ),
    ("GET", "Microsoft.Compute/skus", "Microsoft.Compute/skus/read"),
    ("GET", "Microsoft.Compute/locations/eastus/vmSizes", "Microsoft.Compute/locations/vmSizes/read"),
    ("GET", "Microsoft.Compute/locations/eastus/usages", "Microsoft.Compute/locations/usages/read"),
    (
        "GET",
        "Microsoft.ContainerService/locations/eastus/kubernetesVersions",
        "Microsoft.ContainerService/locations/kubernetesVersions/read",
    ),
    (
        "POST",
        "Microsoft.ContainerRegistry/checkNameAvailability",
        "Microsoft.ContainerRegistry/checkNameAvailability/read",
    ),
    ("POST", "Microsoft.KeyVault/checkNameAvailability", "Microsoft.KeyVault/checkNameAvailability/read"),
    ("GET", "Microsoft.KeyVault/deletedVaults", "Microsoft.KeyVault/deletedVaults/read"),
    (
        "POST",
        "Microsoft.KeyVault/locations/eastus/deletedVaults/x/purge",
        "Microsoft.KeyVault/locations/deletedVaults/purge/action",
    ),
    ("POST", "Microsoft.Storage/checkNameAvailability", "Microsoft.Storage/checknameavailability/read"),
    (
        "GET",
        "Microsoft.OperationalInsights/deletedWorkspaces",
        "Microsoft.OperationalInsights/deletedWorkspaces/read",
    ),
    // Not built: refused before that is said.
    ("GET", "Microsoft.Authorization/policyAssignments", "Microsoft.Authorization/policyAssignments/read"),
    ("PUT", "Microsoft.Authorization/policyAssignments/x", "Microsoft.Authorization/policyAssignments/write"),
    (
        "DELETE",
        "Microsoft.Authorization/policyDefinitions/x",
        "Microsoft.Authorization/policyDefinitions/delete",
    ),
    ("GET", "Microsoft.Compute/virtualMachines", "Microsoft.Compute/virtualMachines/read"),
    ("PUT", "Microsoft.Compute/virtualMachines/x", "Microsoft.Compute/virtualMachines/write"),
    ("POST", "Microsoft.Compute/virtualMachines/x/start", "Microsoft.Compute/virtualMachines/start/action"),
    ("PUT", "Microsoft.Web/sites/x", "Microsoft.Web/sites/write"),
];

/// A request, and the operation it is as the public cloud's lists of operations name it.
pub struct Asked {
    pub method: Method,
    pub path: String,
    pub action: String,
}

/// Writes the resources of the read-back bodies that are wanted.
pub async fn made(world: &World, wanted: impl Fn(&str) -> bool) {
    for row in world.rows().iter().filter(|row| row["body"].is_object()) {
        let at = text(&row["at"]);
        if !at.starts_with('/') || !wanted(&at) {
            continue;
        }
        let mut body = row["body"].clone();
        // Networks that are not there in every test.
        if let Some(properties) = body["properties"].as_object_mut() {
            properties.remove("networkAcls");
        }
        let version = world.versions[&text(&row["type"]).to_ascii_lowercase()][0].clone();
        world.write(Method::PUT, &at, &version, &body).await.unwrap_or_else(|error| panic!("{at}: {error}"));
    }
}

/// Where a row's resource is, or would be.
fn place(row: &Value) -> Option<String> {
    match row["at"].as_str()? {
        "first" => Some(format!("{}/0", text(&row["of"]))),
        at => Some(at.to_owned()).filter(|at| at.starts_with('/')),
    }
}

/// Every request on the types, with the resources of the read-back bodies.
pub fn requests(world: &World) -> Vec<Asked> {
    let mut all = Vec::new();
    let mut ask = |method: Method, path: String, action: String| all.push(Asked { method, path, action });
    for row in world.rows() {
        let kind = text(&row["type"]);
        if let Some(list) = row["list only"].as_str() {
            ask(Method::GET, list.to_owned(), format!("{kind}/read"));
        }
        let Some(at) = place(&row) else { continue };
        if kind == "Microsoft.Resources/resourceGroups" || kind == "Microsoft.Management/managementGroups" {
            continue;
        }
        for (method, verb) in [
            (Method::GET, "read"),
            (Method::HEAD, "read"),
            (Method::PUT, "write"),
            (Method::PATCH, "write"),
            (Method::DELETE, "delete"),
        ] {
            let unknown = kind.starts_with("Microsoft.Authorization")
                && (method == Method::PATCH || method == Method::HEAD);
            let deployment = kind == "Microsoft.Resources/deployments" && method == Method::PATCH;
            let tags = kind == "Microsoft.Resources/tags" && method == Method::HEAD;
            if !(unknown || deployment || tags) {
                ask(method, at.clone(), format!("{kind}/{verb}"));
            }
        }
        if let Some((collection, _)) = at.rsplit_once('/') {
            if kind != "Microsoft.Resources/tags" {
                ask(Method::GET, collection.to_owned(), format!("{kind}/read"));
            }
        }
        let of = |table: &[(&str, &'static str)]| -> Vec<&'static str> {
            let rows = table.iter().filter(|(of, _)| *of == kind);
            rows.flat_map(|(_, names)| names.split_whitespace()).collect()
        };
        for name in of(ACTIONS) {
            ask(Method::POST, format!("{at}/{name}"), format!("{kind}/{}/action", every_other(name)));
        }
        for name in of(BELOW) {
            ask(Method::GET, format!("{at}/{name}"), format!("{kind}/{}/read", every_other(name)));
        }
        if kind.matches('/').count() == 1
            && !kind.starts_with("Microsoft.Authorization")
            && !at.contains("/tags/")
        {
            ask(Method::GET, world.subscription(&format!("/providers/{kind}")), format!("{kind}/read"));
        }
    }
    for (method, path, action) in CALLS {
        let path = world.subscription(&format!("/providers/{path}"));
        ask(method.parse().unwrap(), path, (*action).to_owned());
    }
    let groups = "Microsoft.Resources/subscriptions/resourceGroups";
    for (method, below, deed) in [
        (Method::GET, "", "read"),
        (Method::HEAD, "", "read"),
        (Method::PUT, "", "write"),
        (Method::PATCH, "", "write"),
        (Method::DELETE, "", "delete"),
        (Method::POST, "/moveResources", "moveResources/action"),
        (Method::POST, "/exportTemplate", "exportTemplate/action"),
    ] {
        ask(method, format!("{}{below}", world.group), format!("{groups}/{deed}"));
    }
    all
}

/// The words of a path without the names between them.
fn every_other(path: &str) -> String {
    path.split('/').step_by(2).collect::<Vec<_>>().join("/")
}
