//! The roles that are always there: ids, names and actions of the public cloud's, as its reference of built-in roles
//! gives them. Of its several hundred, those that clusters and what is around them are set up with.

use std::sync::OnceLock;

use serde_json::json;

use super::roles::{Permission, Role};

/// GUID of Owner.
pub const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
/// GUID of User Access Administrator.
pub const USER_ACCESS_ADMINISTRATOR: &str = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9";

/// `(guid, page, name, description, actions, notActions, dataActions, notDataActions)`; lists are blank-separated, and
/// `MC:` stands for `Microsoft.ContainerService/managedClusters/`. The page is that of the reference "Azure built-in roles"
/// (`articles/role-based-access-control/built-in-roles/<page>.md`) that the row was compared with; a page with a question
/// mark is where the role stands, not compared yet.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

const COMMON_READ: &str = "Microsoft.Authorization/*/read Microsoft.Insights/alertRules/* Microsoft.Resources/deployments/* Microsoft.Resources/subscriptions/resourceGroups/read";

const KEY_VAULT_READ: &str = "@ Microsoft.Support/* Microsoft.KeyVault/checkNameAvailability/read Microsoft.KeyVault/deletedVaults/read Microsoft.KeyVault/locations/*/read Microsoft.KeyVault/vaults/*/read Microsoft.KeyVault/operations/read";

const READER_DATA: &str = "MC:apps/controllerrevisions/read MC:apps/daemonsets/read MC:apps/deployments/read MC:apps/replicasets/read MC:apps/statefulsets/read MC:autoscaling/horizontalpodautoscalers/read MC:batch/cronjobs/read MC:batch/jobs/read MC:configmaps/read MC:discovery.k8s.io/endpointslices/read MC:endpoints/read MC:events.k8s.io/events/read MC:events/read MC:extensions/daemonsets/read MC:extensions/deployments/read MC:extensions/ingresses/read MC:extensions/networkpolicies/read MC:extensions/replicasets/read MC:limitranges/read MC:metrics.k8s.io/pods/read MC:metrics.k8s.io/nodes/read MC:namespaces/read MC:networking.k8s.io/ingresses/read MC:networking.k8s.io/networkpolicies/read MC:persistentvolumeclaims/read MC:pods/read MC:policy/poddisruptionbudgets/read MC:replicationcontrollers/read MC:resourcequotas/read MC:serviceaccounts/read MC:services/read";

const WRITER_DATA: &str = "MC:apps/controllerrevisions/read MC:apps/daemonsets/* MC:apps/deployments/* MC:apps/replicasets/* MC:apps/statefulsets/* MC:autoscaling/horizontalpodautoscalers/* MC:batch/cronjobs/* MC:coordination.k8s.io/leases/read MC:coordination.k8s.io/leases/write MC:coordination.k8s.io/leases/delete MC:discovery.k8s.io/endpointslices/read MC:batch/jobs/* MC:configmaps/* MC:endpoints/* MC:events.k8s.io/events/read MC:events/* MC:extensions/daemonsets/* MC:extensions/deployments/* MC:extensions/ingresses/* MC:extensions/networkpolicies/* MC:extensions/replicasets/* MC:limitranges/read MC:metrics.k8s.io/pods/read MC:metrics.k8s.io/nodes/read MC:namespaces/read MC:networking.k8s.io/ingresses/* MC:networking.k8s.io/networkpolicies/* MC:persistentvolumeclaims/* MC:pods/* MC:policy/poddisruptionbudgets/* MC:replicationcontrollers/* MC:resourcequotas/read MC:secrets/* MC:serviceaccounts/* MC:services/*";

const ROWS: &[Row] = &[
    (
        OWNER,
        "privileged",
        "Owner",
        "Grants full access to manage all resources, including the ability to assign roles in Azure RBAC.",
        "*",
        "",
        "",
        "",
    ),
    (
        "b24988ac-6180-42a0-ab88-20f7382dd24c",
        "privileged",
        "Contributor",
        "Grants full access to manage all resources, but does not allow you to assign roles in Azure RBAC, manage assignments in Azure Blueprints, or share image galleries.",
        "*",
        "Microsoft.Authorization/*/Delete Microsoft.Authorization/*/Write Microsoft.Authorization/elevateAccess/Action Microsoft.Blueprint/blueprintAssignments/write Microsoft.Blueprint/blueprintAssignments/delete Microsoft.Compute/galleries/share/action Microsoft.Purview/consents/write Microsoft.Purview/consents/delete Microsoft.Resources/deploymentStacks/manageDenySetting/action Microsoft.Subscription/cancel/action Microsoft.Subscription/enable/action",
        "",
        "",
    ),
    (
        "acdd72a7-3385-48ef-bd42-f606fba81ae7",
        "general",
        "Reader",
        "View all resources, but does not allow you to make any changes.",
        "*/read",
        "",
        "",
        "",
    ),
    (
        USER_ACCESS_ADMINISTRATOR,
        "privileged",
        "User Access Administrator",
        "Lets you manage user access to Azure resources.",
        "*/read Microsoft.Authorization/* Microsoft.Support/*",
        "",
        "",
        "",
    ),
    (
        "f58310d9-a9f6-439a-9e8d-f62e7b41a168",
        "privileged",
        "Role Based Access Control Administrator",
        "Manage access to Azure resources by assigning roles using Azure RBAC. This role does not allow you to manage access using other ways, such as Azure Policy.",
        "Microsoft.Authorization/roleAssignments/write Microsoft.Authorization/roleAssignments/delete */read Microsoft.Support/*",
        "",
        "",
        "",
    ),
    (
        "0ab0b1a8-8aac-4efd-b8c2-3ee1fb270be8",
        "containers",
        "Azure Kubernetes Service Cluster Admin Role",
        "List cluster admin credential action.",
        "MC:listClusterAdminCredential/action MC:accessProfiles/listCredential/action MC:read MC:runcommand/action",
        "",
        "",
        "",
    ),
    (
        "4abbcc35-e782-43d8-92c5-2d3f1bd2253f",
        "containers",
        "Azure Kubernetes Service Cluster User Role",
        "List cluster user credential action.",
        "MC:listClusterUserCredential/action MC:read",
        "",
        "",
        "",
    ),
    (
        "1afdec4b-e479-420e-99e7-f82237c7c5e6",
        "containers",
        "Azure Kubernetes Service Cluster Monitoring User",
        "List cluster monitoring user credential action.",
        "MC:listClusterMonitoringUserCredential/action MC:read",
        "",
        "",
        "",
    ),
    (
        "ed7f3fbd-7b88-4dd4-9017-9adb7ce333f8",
        "containers",
        "Azure Kubernetes Service Contributor Role",
        "Grants access to read and write Azure Kubernetes Service clusters",
        "@ Microsoft.ContainerService/locations/* MC:* Microsoft.ContainerService/managedclustersnapshots/* Microsoft.ContainerService/snapshots/*",
        "",
        "",
        "",
    ),
    (
        "3498e952-d568-435e-9b2c-8d77e338d7f7",
        "containers",
        "Azure Kubernetes Service RBAC Admin",
        "Lets you manage all resources under cluster/namespace, except update or delete resource quotas and namespaces.",
        "Microsoft.Authorization/*/read Microsoft.Resources/subscriptions/operationresults/read Microsoft.Resources/subscriptions/read Microsoft.Resources/subscriptions/resourceGroups/read MC:listClusterUserCredential/action",
        "",
        "MC:*",
        "MC:resourcequotas/write MC:resourcequotas/delete MC:namespaces/write MC:namespaces/delete",
    ),
    (
        "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b",
        "containers",
        "Azure Kubernetes Service RBAC Cluster Admin",
        "Lets you manage all resources in the cluster.",
        "Microsoft.Authorization/*/read Microsoft.Resources/subscriptions/operationresults/read Microsoft.Resources/subscriptions/read Microsoft.Resources/subscriptions/resourceGroups/read MC:listClusterUserCredential/action",
        "",
        "MC:*",
        "",
    ),
    (
        "7f6c6a51-bcf8-42ba-9220-52d62157d7db",
        "containers",
        "Azure Kubernetes Service RBAC Reader",
        "Allows read-only access to see most objects in a namespace. It does not allow viewing roles or role bindings. This role does not allow viewing Secrets, since reading the contents of Secrets enables access to ServiceAccount credentials in the namespace, which would allow API access as any ServiceAccount in the namespace (a form of privilege escalation). Applying this role at cluster scope will give access across all namespaces.",
        "Microsoft.Authorization/*/read Microsoft.Resources/subscriptions/operationresults/read Microsoft.Resources/subscriptions/read Microsoft.Resources/subscriptions/resourceGroups/read",
        "",
        READER_DATA,
        "",
    ),
    (
        "a7ffa36f-339b-4b5c-8bdf-e2c188b2c0eb",
        "containers",
        "Azure Kubernetes Service RBAC Writer",
        "Allows read/write access to most objects in a namespace.This role does not allow viewing or modifying roles or role bindings. However, this role allows accessing Secrets and running Pods as any ServiceAccount in the namespace, so it can be used to gain the API access levels of any ServiceAccount in the namespace. Applying this role at cluster scope will give access across all namespaces.",
        "Microsoft.Authorization/*/read Microsoft.Resources/subscriptions/operationresults/read Microsoft.Resources/subscriptions/read Microsoft.Resources/subscriptions/resourceGroups/read",
        "",
        WRITER_DATA,
        "",
    ),
    (
        "4d97b98b-1d4f-4787-a291-c67834d212e7",
        "networking",
        "Network Contributor",
        "Lets you manage networks, but not access to them.",
        "@ Microsoft.Network/* Microsoft.ResourceHealth/availabilityStatuses/read Microsoft.Support/*",
        "",
        "",
        "",
    ),
    (
        "9980e02c-c2be-4d73-94e8-173b1dc7cf3c",
        "compute?",
        "Virtual Machine Contributor",
        "Lets you manage virtual machines, but not access to them, and not the virtual network or storage account they're connected to.",
        "@ Microsoft.Compute/availabilitySets/* Microsoft.Compute/locations/* Microsoft.Compute/virtualMachines/* Microsoft.Compute/virtualMachineScaleSets/* Microsoft.Compute/cloudServices/* Microsoft.Compute/disks/write Microsoft.Compute/disks/read Microsoft.Compute/disks/delete Microsoft.Network/applicationGateways/backendAddressPools/join/action Microsoft.Network/loadBalancers/backendAddressPools/join/action Microsoft.Network/loadBalancers/inboundNatPools/join/action Microsoft.Network/loadBalancers/inboundNatRules/join/action Microsoft.Network/loadBalancers/probes/join/action Microsoft.Network/loadBalancers/read Microsoft.Network/locations/* Microsoft.Network/networkInterfaces/* Microsoft.Network/networkSecurityGroups/join/action Microsoft.Network/networkSecurityGroups/read Microsoft.Network/publicIPAddresses/join/action Microsoft.Network/publicIPAddresses/read Microsoft.Network/virtualNetworks/read Microsoft.Network/virtualNetworks/subnets/join/action Microsoft.DevTestLab/schedules/* Microsoft.ResourceHealth/availabilityStatuses/read Microsoft.SerialConsole/serialPorts/connect/action Microsoft.Storage/storageAccounts/listKeys/action Microsoft.Storage/storageAccounts/read Microsoft.Support/*",
        "",
        "",
        "",
    ),
    (
        "f1a07417-d97a-45cb-824c-7a7467783830",
        "identity",
        "Managed Identity Operator",
        "Read and Assign User Assigned Identity",
        "Microsoft.ManagedIdentity/userAssignedIdentities/*/read Microsoft.ManagedIdentity/userAssignedIdentities/*/assign/action @ Microsoft.Support/*",
        "",
        "",
        "",
    ),
    (
        "e40ec5ca-96e0-45a2-b4ff-59039f2c2b59",
        "identity",
        "Managed Identity Contributor",
        "Create, Read, Update, and Delete User Assigned Identity",
        "Microsoft.ManagedIdentity/userAssignedIdentities/read Microsoft.ManagedIdentity/userAssignedIdentities/write Microsoft.ManagedIdentity/userAssignedIdentities/delete Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/read Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/delete Microsoft.ManagedIdentity/userAssignedIdentities/revokeTokens/action @ Microsoft.Support/*",
        "",
        "",
        "",
    ),
    (
        "7f951dda-4ed3-4680-a7ca-43fe172d538d",
        "containers",
        "AcrPull",
        "acr pull",
        "Microsoft.ContainerRegistry/registries/pull/read",
        "",
        "",
        "",
    ),
    (
        "8311e382-0749-4cb8-b61a-304f252e45ec",
        "containers",
        "AcrPush",
        "acr push",
        "Microsoft.ContainerRegistry/registries/pull/read Microsoft.ContainerRegistry/registries/push/write",
        "",
        "",
        "",
    ),
    (
        "c2f4ef07-c644-48eb-af81-4b1b4947fb11",
        "containers",
        "AcrDelete",
        "acr delete",
        "Microsoft.ContainerRegistry/registries/artifacts/delete",
        "",
        "",
        "",
    ),
    (
        "b12aa53e-6015-4669-85d0-8515ebb3ae7f",
        "networking",
        "Private DNS Zone Contributor",
        "Lets you manage private DNS zone resources, but not the virtual networks they are linked to.",
        "@ Microsoft.Support/* Microsoft.Network/privateDnsZones/* Microsoft.Network/privateDnsOperationResults/* Microsoft.Network/privateDnsOperationStatuses/* Microsoft.Network/virtualNetworks/read Microsoft.Network/virtualNetworks/join/action",
        "",
        "",
        "",
    ),
    (
        "00482a5a-887f-4fb3-b363-3b7fe8e74483",
        "security",
        "Key Vault Administrator",
        "Perform all data plane operations on a key vault and all objects in it, including certificates, keys, and secrets. Cannot manage key vault resources or manage role assignments. Only works for key vaults that use the 'Azure role-based access control' permission model.",
        KEY_VAULT_READ,
        "",
        "Microsoft.KeyVault/vaults/*",
        "",
    ),
    (
        "4633458b-17de-408a-b874-0445c86b69e6",
        "security",
        "Key Vault Secrets User",
        "Read secret contents. Only works for key vaults that use the 'Azure role-based access control' permission model.",
        "",
        "",
        "Microsoft.KeyVault/vaults/secrets/getSecret/action Microsoft.KeyVault/vaults/secrets/readMetadata/action",
        "",
    ),
    (
        "3913510d-42f4-4e42-8a64-420c390055eb",
        "monitor",
        "Monitoring Metrics Publisher",
        "Enables publishing metrics against Azure resources",
        "Microsoft.Insights/Register/Action Microsoft.Support/* Microsoft.Resources/subscriptions/resourceGroups/read",
        "",
        "Microsoft.Insights/Metrics/Write Microsoft.Insights/Telemetry/Write",
        "",
    ),
    (
        "73c42c96-874c-492b-b04d-ab87d138a893",
        "monitor",
        "Log Analytics Reader",
        "Log Analytics Reader can view and search all monitoring data as well as and view monitoring settings, including viewing the configuration of Azure diagnostics on all Azure resources.",
        "*/read Microsoft.OperationalInsights/workspaces/analytics/query/action Microsoft.OperationalInsights/workspaces/search/action Microsoft.Support/*",
        "Microsoft.OperationalInsights/workspaces/sharedKeys/read",
        "",
        "",
    ),
    (
        "21090545-7ca7-4776-b22c-e363652d74d2",
        "security",
        "Key Vault Reader",
        "Read metadata of key vaults and its certificates, keys, and secrets. Cannot read sensitive values such as secret contents or key material. Only works for key vaults that use the 'Azure role-based access control' permission model.",
        KEY_VAULT_READ,
        "",
        "Microsoft.KeyVault/vaults/*/read Microsoft.KeyVault/vaults/secrets/readMetadata/action",
        "",
    ),
    (
        "f25e0fa2-a7c8-4377-a976-54943a77a395",
        "security",
        "Key Vault Contributor",
        "Lets you manage key vaults, but not access to them.",
        "@ Microsoft.KeyVault/* Microsoft.Support/*",
        "Microsoft.KeyVault/locations/deletedVaults/purge/action Microsoft.KeyVault/hsmPools/* Microsoft.KeyVault/managedHsms/*",
        "",
        "",
    ),
    (
        "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
        "security",
        "Key Vault Secrets Officer",
        "Perform any action on the secrets of a key vault, except manage permissions. Only works for key vaults that use the 'Azure role-based access control' permission model.",
        KEY_VAULT_READ,
        "",
        "Microsoft.KeyVault/vaults/secrets/*",
        "",
    ),
    (
        "a4417e6f-fecd-4de8-b567-7b0420556985",
        "security",
        "Key Vault Certificates Officer",
        "Perform any action on the certificates of a key vault, except manage permissions. Only works for key vaults that use the 'Azure role-based access control' permission model.",
        KEY_VAULT_READ,
        "",
        "Microsoft.KeyVault/vaults/certificatecas/* Microsoft.KeyVault/vaults/certificates/* Microsoft.KeyVault/vaults/certificatecontacts/write",
        "",
    ),
    (
        "db79e9a7-68ee-4b58-9aeb-b90e7c24fcba",
        "security",
        "Key Vault Certificate User",
        "Read certificate contents. Only works for key vaults that use the 'Azure role-based access control' permission model.",
        "",
        "",
        "Microsoft.KeyVault/vaults/certificates/read Microsoft.KeyVault/vaults/secrets/getSecret/action Microsoft.KeyVault/vaults/secrets/readMetadata/action Microsoft.KeyVault/vaults/keys/read",
        "",
    ),
    (
        "14b46e9e-c2b7-41b4-b07b-48a6ebf60603",
        "security",
        "Key Vault Crypto Officer",
        "Perform any action on the keys of a key vault, except manage permissions. Only works for key vaults that use the 'Azure role-based access control' permission model.",
        KEY_VAULT_READ,
        "",
        "Microsoft.KeyVault/vaults/keys/* Microsoft.KeyVault/vaults/keyrotationpolicies/*",
        "",
    ),
    (
        "12338af0-0e69-4776-bea7-57ae8d297424",
        "security",
        "Key Vault Crypto User",
        "Perform cryptographic operations using keys. Only works for key vaults that use the 'Azure role-based access control' permission model.",
        "",
        "",
        "Microsoft.KeyVault/vaults/keys/read Microsoft.KeyVault/vaults/keys/update/action Microsoft.KeyVault/vaults/keys/backup/action Microsoft.KeyVault/vaults/keys/encrypt/action Microsoft.KeyVault/vaults/keys/decrypt/action Microsoft.KeyVault/vaults/keys/wrap/action Microsoft.KeyVault/vaults/keys/unwrap/action Microsoft.KeyVault/vaults/keys/sign/action Microsoft.KeyVault/vaults/keys/verify/action",
        "",
    ),
    (
        "e147488a-f6f5-4113-8e2d-b22465e65bf6",
        "security",
        "Key Vault Crypto Service Encryption User",
        "Read metadata of keys and perform wrap/unwrap operations. Only works for key vaults that use the 'Azure role-based access control' permission model.",
        "Microsoft.EventGrid/eventSubscriptions/write Microsoft.EventGrid/eventSubscriptions/read Microsoft.EventGrid/eventSubscriptions/delete",
        "",
        "Microsoft.KeyVault/vaults/keys/read Microsoft.KeyVault/vaults/keys/wrap/action Microsoft.KeyVault/vaults/keys/unwrap/action",
        "",
    ),
    (
        "17d1049b-9a84-46fb-8f53-869881c3d3ab",
        "storage",
        "Storage Account Contributor",
        "Lets you manage storage accounts, including accessing storage account keys which provide full access to storage account data.",
        "@ Microsoft.Insights/diagnosticSettings/* Microsoft.Network/virtualNetworks/subnets/joinViaServiceEndpoint/action Microsoft.ResourceHealth/availabilityStatuses/read Microsoft.Storage/storageAccounts/* Microsoft.Support/*",
        "",
        "",
        "",
    ),
    (
        "81a9662b-bebf-436f-a333-f67b29880f12",
        "storage",
        "Storage Account Key Operator Service Role",
        "Storage Account Key Operators are allowed to list and regenerate keys on Storage Accounts",
        "Microsoft.Storage/storageAccounts/listkeys/action Microsoft.Storage/storageAccounts/regeneratekey/action",
        "",
        "",
        "",
    ),
    (
        "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
        "storage",
        "Storage Blob Data Owner",
        "Allows for full access to Azure Storage blob containers and data, including assigning POSIX access control.",
        "Microsoft.Storage/storageAccounts/blobServices/containers/* Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action",
        "",
        "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/*",
        "",
    ),
    (
        "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
        "storage",
        "Storage Blob Data Contributor",
        "Allows for read, write and delete access to Azure Storage blob containers and data",
        "Microsoft.Storage/storageAccounts/blobServices/containers/delete Microsoft.Storage/storageAccounts/blobServices/containers/read Microsoft.Storage/storageAccounts/blobServices/containers/write Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action",
        "",
        "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/delete Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write Microsoft.Storage/storageAccounts/blobServices/containers/blobs/move/action Microsoft.Storage/storageAccounts/blobServices/containers/blobs/add/action",
        "",
    ),
    (
        "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
        "storage",
        "Storage Blob Data Reader",
        "Allows for read access to Azure Storage blob containers and data",
        "Microsoft.Storage/storageAccounts/blobServices/containers/read Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action",
        "",
        "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read",
        "",
    ),
    (
        "0c867c2a-1d8c-454a-a3db-ab2ea1bdc8bb",
        "storage?",
        "Storage File Data SMB Share Contributor",
        "Allows for read, write, and delete access in Azure Storage file shares over SMB",
        "",
        "",
        "Microsoft.Storage/storageAccounts/fileServices/fileshares/files/read Microsoft.Storage/storageAccounts/fileServices/fileshares/files/write Microsoft.Storage/storageAccounts/fileServices/fileshares/files/delete",
        "",
    ),
    (
        "aba4ae5f-2193-4029-9191-0cb91df5e314",
        "storage?",
        "Storage File Data SMB Share Reader",
        "Allows for read access to Azure File Share over SMB",
        "",
        "",
        "Microsoft.Storage/storageAccounts/fileServices/fileshares/files/read",
        "",
    ),
    (
        "43d0d8ad-25c7-4714-9337-8ba259a9fe05",
        "monitor?",
        "Monitoring Reader",
        "Can read all monitoring data.",
        "*/read Microsoft.OperationalInsights/workspaces/search/action Microsoft.Support/*",
        "",
        "",
        "",
    ),
    (
        "749f88d5-cbae-40b8-bcfc-e573ddc772fa",
        "monitor",
        "Monitoring Contributor",
        "Can read all monitoring data and update monitoring settings.",
        "*/read Microsoft.AlertsManagement/alerts/* Microsoft.AlertsManagement/alertsSummary/* Microsoft.AlertsManagement/issues/* Microsoft.Insights/actiongroups/* Microsoft.Insights/activityLogAlerts/* Microsoft.Insights/AlertRules/* Microsoft.Insights/components/* Microsoft.Insights/createNotifications/* Microsoft.Insights/dataCollectionEndpoints/* Microsoft.Insights/dataCollectionRules/* Microsoft.Insights/dataCollectionRuleAssociations/* Microsoft.Insights/DiagnosticSettings/* Microsoft.Insights/eventtypes/* Microsoft.Insights/LogDefinitions/* Microsoft.Insights/metricalerts/* Microsoft.Insights/MetricDefinitions/* Microsoft.Insights/Metrics/* Microsoft.Insights/notificationStatus/* Microsoft.Insights/Register/Action Microsoft.Insights/scheduledqueryrules/* Microsoft.Insights/webtests/* Microsoft.Insights/workbooks/* Microsoft.Insights/workbooktemplates/* Microsoft.Insights/privateLinkScopes/* Microsoft.Insights/privateLinkScopeOperationStatuses/* Microsoft.Monitor/accounts/* Microsoft.Monitor/settings/* Microsoft.OperationalInsights/workspaces/write Microsoft.OperationalInsights/workspaces/intelligencepacks/* Microsoft.OperationalInsights/workspaces/savedSearches/* Microsoft.OperationalInsights/workspaces/search/action Microsoft.OperationalInsights/workspaces/sharedKeys/action Microsoft.OperationalInsights/workspaces/sharedKeys/read Microsoft.OperationalInsights/workspaces/storageinsightconfigs/* Microsoft.OperationalInsights/locations/workspaces/failover/action Microsoft.OperationalInsights/workspaces/failback/action Microsoft.Support/* Microsoft.AlertsManagement/smartDetectorAlertRules/* Microsoft.AlertsManagement/actionRules/* Microsoft.AlertsManagement/smartGroups/* Microsoft.AlertsManagement/migrateFromSmartDetection/* Microsoft.AlertsManagement/investigations/* Microsoft.AlertsManagement/prometheusRuleGroups/* Microsoft.Monitor/investigations/* Microsoft.Resources/deployments/*",
        "",
        "",
        "",
    ),
    (
        "92aaf0da-9dab-42b6-94a3-d43ce8d16293",
        "monitor",
        "Log Analytics Contributor",
        "Log Analytics Contributor can read all monitoring data and edit monitoring settings. Editing monitoring settings includes adding the VM extension to VMs; reading storage account keys to be able to configure collection of logs from Azure Storage; adding solutions; and configuring Azure diagnostics on all Azure resources.",
        "*/read Microsoft.ClassicCompute/virtualMachines/extensions/* Microsoft.ClassicStorage/storageAccounts/listKeys/action Microsoft.Compute/virtualMachines/extensions/* Microsoft.HybridCompute/machines/extensions/write Microsoft.Insights/alertRules/* Microsoft.Insights/diagnosticSettings/* Microsoft.OperationalInsights/* Microsoft.OperationsManagement/* Microsoft.Resources/deployments/* Microsoft.Resources/subscriptions/resourcegroups/deployments/* Microsoft.Storage/storageAccounts/listKeys/action Microsoft.Support/*",
        "",
        "",
        "",
    ),
    (
        "befefa01-2a29-4197-83a8-272ff33ce314",
        "networking?",
        "DNS Zone Contributor",
        "Lets you manage DNS zones and record sets in Azure DNS, but does not let you control who has access to them.",
        "@ Microsoft.Network/dnsZones/* Microsoft.ResourceHealth/availabilityStatuses/read Microsoft.Support/*",
        "",
        "",
        "",
    ),
    (
        "4a9ae827-6dc8-4573-8ac7-8239d42aa03f",
        "management-and-governance",
        "Tag Contributor",
        "Lets you manage tags on entities, without providing access to the entities themselves.",
        "@ Microsoft.Resources/subscriptions/resourceGroups/resources/read Microsoft.Resources/subscriptions/resources/read Microsoft.Resources/tags/* Microsoft.Support/*",
        "",
        "",
        "",
    ),
    (
        "28bf596f-4eb7-45ce-b5bc-6cf482fec137",
        "management-and-governance?",
        "Locks Contributor",
        "Can Manage Locks Operations.",
        "Microsoft.Authorization/locks/* Microsoft.Resources/deployments/* Microsoft.Resources/subscriptions/resourceGroups/read",
        "",
        "",
        "",
    ),
    (
        "5d58bcaf-24a5-4b20-bdb6-eed9f69fbe4c",
        "management-and-governance?",
        "Management Group Contributor",
        "Management Group Contributor Role",
        "Microsoft.Authorization/*/read Microsoft.Management/managementGroups/delete Microsoft.Management/managementGroups/read Microsoft.Management/managementGroups/subscriptions/delete Microsoft.Management/managementGroups/subscriptions/write Microsoft.Management/managementGroups/write Microsoft.Management/managementGroups/subscriptions/read",
        "",
        "",
        "",
    ),
    (
        "ac63b705-f282-497d-ac71-919bf39d939d",
        "management-and-governance?",
        "Management Group Reader",
        "Management Group Reader Role",
        "Microsoft.Authorization/*/read Microsoft.Management/managementGroups/read Microsoft.Management/managementGroups/subscriptions/read",
        "",
        "",
        "",
    ),
    (
        "b93aa761-3e63-49ed-ac28-beffa264f7ac",
        "containers?",
        "Container Registry Repository Reader",
        "Allows for read access to Azure Container Registry repositories, but excluding catalog listing. This role is in preview and subject to change.",
        "",
        "",
        "Microsoft.ContainerRegistry/registries/repositories/metadata/read Microsoft.ContainerRegistry/registries/repositories/content/read",
        "",
    ),
    (
        "2a1e307c-b015-4ebd-883e-5b7698a07328",
        "containers",
        "Container Registry Repository Writer",
        "Allows for read and write access to Azure Container Registry repositories, but excluding catalog listing. This role is in preview and subject to change.",
        "",
        "",
        "Microsoft.ContainerRegistry/registries/repositories/metadata/read Microsoft.ContainerRegistry/registries/repositories/content/read Microsoft.ContainerRegistry/registries/repositories/metadata/write Microsoft.ContainerRegistry/registries/repositories/content/write",
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
            .map(|(guid, _, name, description, actions, not_actions, data, not_data)| Role {
                guid: (*guid).to_owned(),
                name: (*name).to_owned(),
                description: (*description).to_owned(),
                kind: "BuiltInRole".to_owned(),
                history: json!({"createdOn": "2015-02-02T21:55:09.8806423Z",
                    "updatedOn": "2021-11-11T20:13:07.1018123Z", "createdBy": null, "updatedBy": null}),
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
    use super::ROWS;

    /// Pages of the reference of built-in roles.
    const PAGES: &str = "privileged general containers networking compute identity security storage monitor management-and-governance";

    #[test]
    fn every_role_says_where_it_stands_in_the_reference() {
        for (guid, page, name, ..) in ROWS {
            let page = page.trim_end_matches('?');
            assert!(PAGES.split(' ').any(|known| known == page), "{name} {guid}: {page}");
        }
        let compared = ROWS.iter().filter(|row| !row.1.ends_with('?')).count();
        assert!(compared >= 41, "only {compared} rows were compared with the reference");
    }
}
