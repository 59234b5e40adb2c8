//! Roles: permissions with wildcards. The built-in ones carry the ids and actions of the public cloud.

use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::{Resource, ResourceId};

/// GUID of Owner.
pub const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";

/// What a role lets do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permission {
    /// Allowed on the control plane.
    pub actions: Vec<String>,
    /// Taken away from `actions`.
    pub not_actions: Vec<String>,
    /// Allowed on data.
    pub data_actions: Vec<String>,
    /// Taken away from `data_actions`.
    pub not_data_actions: Vec<String>,
}

impl Permission {
    /// Whether a control-plane action is allowed.
    pub fn allows(&self, action: &str) -> bool {
        self.actions.iter().any(|p| matches(p, action))
            && !self.not_actions.iter().any(|p| matches(p, action))
    }

    /// Whether a data action is allowed.
    pub fn allows_data(&self, action: &str) -> bool {
        self.data_actions.iter().any(|p| matches(p, action))
            && !self.not_data_actions.iter().any(|p| matches(p, action))
    }

    /// As bodies carry it.
    pub fn to_json(&self) -> Value {
        json!({"actions": self.actions, "notActions": self.not_actions, "dataActions": self.data_actions,
            "notDataActions": self.not_data_actions})
    }

    /// Reads `permissions` of a body.
    pub fn read_list(value: Option<&Value>) -> Vec<Permission> {
        let list = |p: &Value, name: &str| -> Vec<String> {
            p.get(name)
                .and_then(Value::as_array)
                .map(|l| l.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect())
                .unwrap_or_default()
        };
        value
            .and_then(Value::as_array)
            .map(|permissions| {
                permissions
                    .iter()
                    .map(|p| Permission {
                        actions: list(p, "actions"),
                        not_actions: list(p, "notActions"),
                        data_actions: list(p, "dataActions"),
                        not_data_actions: list(p, "notDataActions"),
                    })
                    .collect()
            })
            .unwrap_or_default()
    }
}

/// Whether `action` fits `pattern`, in which `*` stands for anything, also for slashes. Case does not matter.
pub fn matches(pattern: &str, action: &str) -> bool {
    let pattern = pattern.to_ascii_lowercase();
    let action = action.to_ascii_lowercase();
    let mut pieces = pattern.split('*');
    let Some(mut rest) = action.strip_prefix(pieces.next().unwrap_or("")) else { return false };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    true
}

/// A role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its name in ids.
    pub guid: String,
    /// Its display name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// `BuiltInRole` or `CustomRole`.
    pub kind: String,
    /// What it lets do.
    pub permissions: Vec<Permission>,
    /// Where it may be assigned.
    pub assignable_scopes: Vec<String>,
}

impl Role {
    /// A custom role from the store.
    pub fn from_resource(resource: &Resource) -> Self {
        let text =
            |name: &str| resource.properties.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
        Self {
            guid: resource.name.clone(),
            name: text("roleName"),
            description: text("description"),
            kind: "CustomRole".to_owned(),
            permissions: Permission::read_list(resource.properties.get("permissions")),
            assignable_scopes: resource
                .properties
                .get("assignableScopes")
                .and_then(Value::as_array)
                .map(|l| l.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect())
                .unwrap_or_default(),
        }
    }

    /// As GET shows it; the id is in the subscription asked for.
    pub fn to_json(&self, scope: &ResourceId) -> Value {
        let prefix = scope.subscription_id().map(|s| s.to_string()).unwrap_or_default();
        json!({
            "id": format!("{prefix}/providers/Microsoft.Authorization/roleDefinitions/{}", self.guid),
            "type": "Microsoft.Authorization/roleDefinitions", "name": self.guid,
            "properties": {
                "roleName": self.name, "type": self.kind, "description": self.description,
                "assignableScopes": self.assignable_scopes,
                "permissions": self.permissions.iter().map(Permission::to_json).collect::<Vec<_>>(),
                "createdOn": "2015-02-02T21:55:09.8806423Z", "updatedOn": "2021-11-11T20:13:07.1018123Z",
                "createdBy": null, "updatedBy": null,
            }
        })
    }
}

/// `(guid, name, description, actions, notActions, dataActions, notDataActions)`; lists are blank-separated, and `MC:`
/// stands for `Microsoft.ContainerService/managedClusters/`.
type Row = (&'static str, &'static str, &'static str, &'static str, &'static str, &'static str, &'static str);

const COMMON_READ: &str = "Microsoft.Authorization/*/read Microsoft.Insights/alertRules/* Microsoft.Resources/deployments/* Microsoft.Resources/subscriptions/resourceGroups/read";

const READER_DATA: &str = "MC:apps/controllerrevisions/read MC:apps/daemonsets/read MC:apps/deployments/read MC:apps/replicasets/read MC:apps/statefulsets/read MC:autoscaling/horizontalpodautoscalers/read MC:batch/cronjobs/read MC:batch/jobs/read MC:configmaps/read MC:discovery.k8s.io/endpointslices/read MC:endpoints/read MC:events.k8s.io/events/read MC:events/read MC:extensions/daemonsets/read MC:extensions/deployments/read MC:extensions/ingresses/read MC:extensions/networkpolicies/read MC:extensions/replicasets/read MC:limitranges/read MC:metrics.k8s.io/pods/read MC:metrics.k8s.io/nodes/read MC:namespaces/read MC:networking.k8s.io/ingresses/read MC:networking.k8s.io/networkpolicies/read MC:persistentvolumeclaims/read MC:pods/read MC:policy/poddisruptionbudgets/read MC:replicationcontrollers/read MC:resourcequotas/read MC:serviceaccounts/read MC:services/read";

const WRITER_DATA: &str = "MC:apps/controllerrevisions/read MC:apps/daemonsets/* MC:apps/deployments/* MC:apps/replicasets/* MC:apps/statefulsets/* MC:autoscaling/horizontalpodautoscalers/* MC:batch/cronjobs/* MC:coordination.k8s.io/leases/read MC:coordination.k8s.io/leases/write MC:coordination.k8s.io/leases/delete MC:discovery.k8s.io/endpointslices/read MC:batch/jobs/* MC:configmaps/* MC:endpoints/* MC:events.k8s.io/events/read MC:events/* MC:extensions/daemonsets/* MC:extensions/deployments/* MC:extensions/ingresses/* MC:extensions/networkpolicies/* MC:extensions/replicasets/* MC:limitranges/read MC:metrics.k8s.io/pods/read MC:metrics.k8s.io/nodes/read MC:namespaces/read MC:networking.k8s.io/ingresses/* MC:networking.k8s.io/networkpolicies/* MC:persistentvolumeclaims/* MC:pods/* MC:policy/poddisruptionbudgets/* MC:replicationcontrollers/* MC:resourcequotas/read MC:secrets/* MC:serviceaccounts/* MC:services/*";

const ROWS: &[Row] = &[
    (
        OWNER,
        "Owner",
        "Grants full access to manage all resources, including the ability to assign roles in Azure RBAC.",
        "*",
        "",
        "",
        "",
    ),
    (
        "b24988ac-6180-42a0-ab88-20f7382dd24c",
        "Contributor",
        "Grants full access to manage all resources, but does not allow you to assign roles in Azure RBAC, manage assignments in Azure Blueprints, or share image galleries.",
        "*",
        "Microsoft.Authorization/*/Delete Microsoft.Authorization/*/Write Microsoft.Authorization/elevateAccess/Action Microsoft.Blueprint/blueprintAssignments/write Microsoft.Blueprint/blueprintAssignments/delete Microsoft.Compute/galleries/share/action Microsoft.Purview/consents/write Microsoft.Purview/consents/delete Microsoft.Resources/deploymentStacks/manageDenySetting/action",
        "",
        "",
    ),
    (
        "acdd72a7-3385-48ef-bd42-f606fba81ae7",
        "Reader",
        "View all resources, but does not allow you to make any changes.",
        "*/read",
        "",
        "",
        "",
    ),
    (
        "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9",
        "User Access Administrator",
        "Lets you manage user access to Azure resources.",
        "*/read Microsoft.Authorization/* Microsoft.Support/*",
        "",
        "",
        "",
    ),
    (
        "f58310d9-a9f6-439a-9e8d-f62e7b41a168",
        "Role Based Access Control Administrator",
        "Manage access to Azure resources by assigning roles using Azure RBAC.",
        "Microsoft.Authorization/roleAssignments/write Microsoft.Authorization/roleAssignments/delete */read Microsoft.Support/*",
        "",
        "",
        "",
    ),
    (
        "0ab0b1a8-8aac-4efd-b8c2-3ee1fb270be8",
        "Azure Kubernetes Service Cluster Admin Role",
        "List cluster admin credential action.",
        "MC:listClusterAdminCredential/action MC:accessProfiles/listCredential/action MC:read MC:runcommand/action",
        "",
        "",
        "",
    ),
    (
        "4abbcc35-e782-43d8-92c5-2d3f1bd2253f",
        "Azure Kubernetes Service Cluster User Role",
        "List cluster user credential action.",
        "MC:listClusterUserCredential/action MC:read",
        "",
        "",
        "",
    ),
    (
        "1afdec4b-e479-420e-99e7-f82237c7c5e6",
        "Azure Kubernetes Service Cluster Monitoring User",
        "List cluster monitoring user credential action.",
        "MC:listClusterMonitoringUserCredential/action MC:read",
        "",
        "",
        "",
    ),
    (
        "ed7f3fbd-7b88-4dd4-9017-9adb7ce333f8",
        "Azure Kubernetes Service Contributor Role",
        "Grants access to read and write Azure Kubernetes Service clusters",
        "MC:read MC:write MC:* Microsoft.ContainerService/locations/* Microsoft.Resources/deployments/*",
        "",
        "",
        "",
    ),
    (
        "3498e952-d568-435e-9b2c-8d77e338d7f7",
        "Azure Kubernetes Service RBAC Admin",
        "Lets you manage all resources under cluster/namespace, except update or delete resource quotas and namespaces.",
        "Microsoft.Authorization/*/read Microsoft.Resources/subscriptions/operationresults/read Microsoft.Resources/subscriptions/read Microsoft.Resources/subscriptions/resourceGroups/read MC:listClusterUserCredential/action",
        "",
        "MC:*",
        "MC:resourcequotas/write MC:resourcequotas/delete MC:namespaces/write MC:namespaces/delete",
    ),
    (
        "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b",
        "Azure Kubernetes Service RBAC Cluster Admin",
        "Lets you manage all resources in the cluster.",
        "Microsoft.Authorization/*/read Microsoft.Resources/subscriptions/operationresults/read Microsoft.Resources/subscriptions/read Microsoft.Resources/subscriptions/resourceGroups/read MC:listClusterUserCredential/action",
        "",
        "MC:*",
        "",
    ),
    (
        "7f6c6a51-bcf8-42ba-9220-52d62157d7db",
        "Azure Kubernetes Service RBAC Reader",
        "Allows read-only access to see most objects in a namespace. It does not allow viewing roles or role bindings. This role does not allow viewing Secrets.",
        "Microsoft.Authorization/*/read Microsoft.Resources/subscriptions/operationresults/read Microsoft.Resources/subscriptions/read Microsoft.Resources/subscriptions/resourceGroups/read",
        "",
        READER_DATA,
        "",
    ),
    (
        "a7ffa36f-339b-4b5c-8bdf-e2c188b2c0eb",
        "Azure Kubernetes Service RBAC Writer",
        "Allows read/write access to most objects in a namespace. This role does not allow viewing or modifying roles or role bindings.",
        "Microsoft.Authorization/*/read Microsoft.Resources/subscriptions/operationresults/read Microsoft.Resources/subscriptions/read Microsoft.Resources/subscriptions/resourceGroups/read",
        "",
        WRITER_DATA,
        "",
    ),
    (
        "4d97b98b-1d4f-4787-a291-c67834d212e7",
        "Network Contributor",
        "Lets you manage networks, but not access to them.",
        "@ Microsoft.Network/* Microsoft.ResourceHealth/availabilityStatuses/read Microsoft.Support/*",
        "",
        "",
        "",
    ),
    (
        "9980e02c-c2be-4d73-94e8-173b1dc7cf3c",
        "Virtual Machine Contributor",
        "Lets you manage virtual machines, but not access to them, and not the virtual network or storage account they're connected to.",
        "@ Microsoft.Compute/availabilitySets/* Microsoft.Compute/locations/* Microsoft.Compute/virtualMachines/* Microsoft.Compute/virtualMachineScaleSets/* Microsoft.Compute/cloudServices/* Microsoft.Compute/disks/write Microsoft.Compute/disks/read Microsoft.Compute/disks/delete Microsoft.Network/applicationGateways/backendAddressPools/join/action Microsoft.Network/loadBalancers/backendAddressPools/join/action Microsoft.Network/loadBalancers/inboundNatPools/join/action Microsoft.Network/loadBalancers/inboundNatRules/join/action Microsoft.Network/loadBalancers/probes/join/action Microsoft.Network/loadBalancers/read Microsoft.Network/locations/* Microsoft.Network/networkInterfaces/* Microsoft.Network/networkSecurityGroups/join/action Microsoft.Network/networkSecurityGroups/read Microsoft.Network/publicIPAddresses/join/action Microsoft.Network/publicIPAddresses/read Microsoft.Network/virtualNetworks/read Microsoft.Network/virtualNetworks/subnets/join/action",
        "",
        "",
        "",
    ),
    (
        "f1a07417-d97a-45cb-824c-7a7467783830",
        "Managed Identity Operator",
        "Read and Assign User Assigned Identity",
        "Microsoft.ManagedIdentity/userAssignedIdentities/*/read Microsoft.ManagedIdentity/userAssignedIdentities/*/assign/action Microsoft.ManagedIdentity/userAssignedIdentities/read Microsoft.ManagedIdentity/userAssignedIdentities/assign/action @ Microsoft.Support/*",
        "",
        "",
        "",
    ),
    (
        "e40ec5ca-96e0-45a2-b4ff-59039f2c2b59",
        "Managed Identity Contributor",
        "Create, Read, Update, and Delete User Assigned Identity",
        "Microsoft.ManagedIdentity/userAssignedIdentities/read Microsoft.ManagedIdentity/userAssignedIdentities/write Microsoft.ManagedIdentity/userAssignedIdentities/delete Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/* @ Microsoft.Support/*",
        "",
        "",
        "",
    ),
    (
        "7f951dda-4ed3-4680-a7ca-43fe172d538d",
        "AcrPull",
        "acr pull",
        "Microsoft.ContainerRegistry/registries/pull/read",
        "",
        "",
        "",
    ),
    (
        "8311e382-0749-4cb8-b61a-304f252e45ec",
        "AcrPush",
        "acr push",
        "Microsoft.ContainerRegistry/registries/pull/read Microsoft.ContainerRegistry/registries/push/write",
        "",
        "",
        "",
    ),
    (
        "c2f4ef07-c644-48eb-af81-4b1b4947fb11",
        "AcrDelete",
        "acr delete",
        "Microsoft.ContainerRegistry/registries/artifacts/delete",
        "",
        "",
        "",
    ),
    (
        "b12aa53e-6015-4669-85d0-8515ebb3ae7f",
        "Private DNS Zone Contributor",
        "Lets you manage private DNS zone resources, but not the virtual networks they are linked to.",
        "@ Microsoft.Support/* Microsoft.Network/privateDnsZones/* Microsoft.Network/privateDnsOperationResults/* Microsoft.Network/privateDnsOperationStatuses/* Microsoft.Network/virtualNetworks/read Microsoft.Network/virtualNetworks/join/action",
        "",
        "",
        "",
    ),
    (
        "00482a5a-887f-4fb3-b363-3b7fe8e74483",
        "Key Vault Administrator",
        "Perform all data plane operations on a key vault and all objects in it.",
        "@ Microsoft.KeyVault/checkNameAvailability/read Microsoft.KeyVault/deletedVaults/read Microsoft.KeyVault/locations/*/read Microsoft.KeyVault/vaults/*/read Microsoft.KeyVault/operations/read",
        "",
        "Microsoft.KeyVault/vaults/*",
        "",
    ),
    (
        "4633458b-17de-408a-b874-0445c86b69e6",
        "Key Vault Secrets User",
        "Read secret contents.",
        "",
        "",
        "Microsoft.KeyVault/vaults/secrets/getSecret/action Microsoft.KeyVault/vaults/secrets/readMetadata/action",
        "",
    ),
    (
        "3913510d-42f4-4e42-8a64-420c390055eb",
        "Monitoring Metrics Publisher",
        "Enables publishing metrics against Azure resources",
        "Microsoft.Insights/Register/Action Microsoft.Support/* Microsoft.Resources/subscriptions/resourceGroups/read",
        "",
        "Microsoft.Insights/Metrics/Write",
        "",
    ),
    (
        "73c42c96-874c-492b-b04d-ab87d138a893",
        "Log Analytics Reader",
        "Log Analytics Reader can view and search all monitoring data as well as and view monitoring settings.",
        "*/read Microsoft.OperationalInsights/workspaces/analytics/query/action Microsoft.OperationalInsights/workspaces/search/action Microsoft.Support/*",
        "Microsoft.OperationalInsights/workspaces/sharedKeys/read",
        "",
        "",
    ),
];

fn words(text: &str) -> Vec<String> {
    text.split_whitespace()
        .flat_map(|word| if word == "@" { COMMON_READ.split_whitespace().collect() } else { vec![word] })
        .map(|word| match word.strip_prefix("MC:") {
            Some(rest) => format!("Microsoft.ContainerService/managedClusters/{rest}"),
            None => word.to_owned(),
        })
        .collect()
}

/// The roles that are always there.
pub fn built_in() -> &'static [Role] {
    static ROLES: OnceLock<Vec<Role>> = OnceLock::new();
    ROLES.get_or_init(|| {
        ROWS.iter()
            .map(|(guid, name, description, actions, not_actions, data, not_data)| Role {
                guid: (*guid).to_owned(),
                name: (*name).to_owned(),
                description: (*description).to_owned(),
                kind: "BuiltInRole".to_owned(),
                assignable_scopes: vec!["/".to_owned()],
                permissions: vec![Permission {
                    actions: words(actions),
                    not_actions: words(not_actions),
                    data_actions: words(data),
                    not_data_actions: words(not_data),
                }],
            })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::{built_in, matches};

    #[test]
    fn patterns() {
        let table = [
            ("*", "Microsoft.X/y/write", true),
            ("*/read", "Microsoft.X/y/read", true),
            ("*/read", "Microsoft.X/y/write", false),
            ("Microsoft.Network/*", "microsoft.network/virtualNetworks/subnets/join/action", true),
            ("Microsoft.Authorization/*/Write", "Microsoft.Authorization/roleAssignments/write", true),
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/*/c/*/d", "a/x/c/y/d", true),
            ("a/*/c/*/d", "a/x/y/d", false),
        ];
        for (pattern, action, expected) in table {
            assert_eq!(matches(pattern, action), expected, "{pattern} {action}");
        }
    }

    #[test]
    fn contributor_cannot_assign_roles_and_reader_only_reads() {
        let role = |name: &str| built_in().iter().find(|r| r.name == name).unwrap().permissions[0].clone();
        assert!(role("Contributor").allows("Microsoft.Network/loadBalancers/write"));
        assert!(!role("Contributor").allows("Microsoft.Authorization/roleAssignments/write"));
        assert!(role("Owner").allows("Microsoft.Authorization/roleAssignments/write"));
        assert!(
            !role("Reader")
                .allows("Microsoft.ContainerService/managedClusters/listClusterUserCredential/action")
        );
        assert!(
            role("Azure Kubernetes Service RBAC Reader")
                .allows_data("Microsoft.ContainerService/managedClusters/pods/read")
        );
        assert!(
            !role("Azure Kubernetes Service RBAC Reader")
                .allows_data("Microsoft.ContainerService/managedClusters/secrets/read")
        );
    }
}
