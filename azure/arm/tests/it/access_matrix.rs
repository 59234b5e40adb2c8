//! Identities × operations: for each built-in role, what it lets do and what not, as the public cloud's reference of
//! roles says. The table is written from that reference, not from the code's own data.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{World, anything};

const TYPES: &[&str] = &[
    "Microsoft.ContainerService/managedClusters",
    "Microsoft.Network/virtualNetworks",
    "Microsoft.Network/privateDnsZones",
    "Microsoft.Network/dnsZones",
    "Microsoft.Compute/virtualMachineScaleSets",
    "Microsoft.ManagedIdentity/userAssignedIdentities",
    "Microsoft.ContainerRegistry/registries",
    "Microsoft.KeyVault/vaults",
    "Microsoft.Storage/storageAccounts",
    "Microsoft.OperationalInsights/workspaces",
    "Microsoft.Insights/diagnosticSettings",
];

/// A letter for each operation: method, path below the group, body.
const OPERATIONS: &[(char, &str, &str)] = &[
    ('a', "GET", "/providers/Microsoft.ContainerService/managedClusters/x"),
    ('b', "PUT", "/providers/Microsoft.ContainerService/managedClusters/x"),
    ('c', "DELETE", "/providers/Microsoft.ContainerService/managedClusters/gone"),
    ('d', "POST", "/providers/Microsoft.ContainerService/managedClusters/x/listClusterUserCredential"),
    ('e', "POST", "/providers/Microsoft.ContainerService/managedClusters/x/listClusterAdminCredential"),
    ('f', "POST", "/providers/Microsoft.ContainerService/managedClusters/x/runCommand"),
    ('g', "GET", "/providers/Microsoft.Network/virtualNetworks/x"),
    ('h', "PUT", "/providers/Microsoft.Network/virtualNetworks/x"),
    ('i', "PUT", "/providers/Microsoft.Network/privateDnsZones/x"),
    ('j', "PUT", "/providers/Microsoft.Compute/virtualMachineScaleSets/x"),
    ('k', "PUT", "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/x"),
    ('l', "GET", "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/x"),
    ('m', "PUT", "/providers/Microsoft.Authorization/roleAssignments/not-a-guid"),
    ('n', "GET", "/providers/Microsoft.Authorization/roleAssignments"),
    ('o', "PUT", "/providers/Microsoft.Authorization/locks/x"),
    ('p', "PUT", "/providers/Microsoft.ContainerRegistry/registries/x"),
    ('q', "PUT", "/providers/Microsoft.KeyVault/vaults/x"),
    ('r', "GET", "/providers/Microsoft.KeyVault/vaults/x"),
    ('s', "POST", "/providers/Microsoft.Storage/storageAccounts/x/listKeys"),
    ('t', "PUT", "/providers/Microsoft.Resources/tags/default"),
    ('u', "PUT", "/providers/Microsoft.Insights/diagnosticSettings/x"),
    ('v', "PUT", "/providers/Microsoft.Resources/deployments/x"),
    ('w', "PATCH", ""),
    ('x', "GET", ""),
    ('y', "GET", "/providers/Microsoft.Resources/deployments"),
    ('z', "PUT", "/providers/Microsoft.Network/dnsZones/x"),
];

/// Role, and the operations it allows.
const CONTROL: &[(&str, &str)] = &[
    ("Owner", "abcdefghijklmnopqrstuvwxyz"),
    ("Contributor", "abcdefghijklnpqrstuvwxyz"),
    ("Reader", "aglnrxy"),
    ("User Access Administrator", "aglmnorxy"),
    ("Role Based Access Control Administrator", "aglmnrxy"),
    ("Azure Kubernetes Service Cluster Admin Role", "aef"),
    ("Azure Kubernetes Service Cluster User Role", "ad"),
    ("Azure Kubernetes Service Cluster Monitoring User", "a"),
    ("Azure Kubernetes Service Contributor Role", "abcdefnvxy"),
    ("Azure Kubernetes Service RBAC Admin", "dnx"),
    ("Azure Kubernetes Service RBAC Cluster Admin", "dnx"),
    ("Azure Kubernetes Service RBAC Reader", "nx"),
    ("Azure Kubernetes Service RBAC Writer", "nx"),
    ("Azure Kubernetes Service Namespace Contributor", "nvxy"),
    ("Azure Kubernetes Service Namespace User", ""),
    ("Network Contributor", "ghinvxyz"),
    ("Virtual Machine Contributor", "gjnsvxy"),
    ("Managed Identity Operator", "lnvxy"),
    ("Managed Identity Contributor", "klnvxy"),
    ("AcrPull", ""),
    ("AcrPush", ""),
    ("AcrDelete", ""),
    ("Private DNS Zone Contributor", "ginvxy"),
    ("DNS Zone Contributor", "nvxyz"),
    ("Key Vault Contributor", "nqrvxy"),
    ("Key Vault Administrator", "nrvxy"),
    ("Key Vault Reader", "nrvxy"),
    ("Key Vault Secrets Officer", "nrvxy"),
    ("Key Vault Certificates Officer", "nrvxy"),
    ("Key Vault Crypto Officer", "nrvxy"),
    ("Key Vault Secrets User", ""),
    ("Key Vault Certificate User", ""),
    ("Key Vault Crypto User", ""),
    ("Key Vault Crypto Service Encryption User", ""),
    ("Storage Account Contributor", "nsuvxy"),
    ("Storage Account Key Operator Service Role", "s"),
    ("Storage Blob Data Owner", ""),
    ("Storage Blob Data Contributor", ""),
    ("Storage Blob Data Reader", ""),
    ("Storage File Data SMB Share Contributor", ""),
    ("Storage File Data SMB Share Reader", ""),
    ("Monitoring Reader", "aglnrxy"),
    ("Monitoring Contributor", "aglnruvxy"),
    ("Monitoring Metrics Publisher", "x"),
    ("Log Analytics Reader", "aglnrxy"),
    ("Log Analytics Contributor", "aglnrsuvxy"),
    ("Tag Contributor", "ntvxy"),
    ("Locks Contributor", "o"),
    ("Management Group Contributor", "n"),
    ("Management Group Reader", "n"),
    ("Container Registry Repository Reader", ""),
    ("Container Registry Repository Writer", ""),
    ("Container Registry Repository Contributor", ""),
    ("Container Registry Repository Catalog Lister", ""),
];

const CLUSTER: &str = "Microsoft.ContainerService/managedClusters";
const FILES: &str = "Microsoft.Storage/storageAccounts/fileServices/fileshares/files";
const BLOBS: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs";
const VAULT: &str = "Microsoft.KeyVault/vaults";

/// A letter for each action on data.
const DATA: &[(char, &str, &str)] = &[
    ('a', CLUSTER, "pods/read"),
    ('b', CLUSTER, "pods/write"),
    ('c', CLUSTER, "secrets/read"),
    ('d', CLUSTER, "resourcequotas/write"),
    ('e', CLUSTER, "namespaces/delete"),
    ('f', CLUSTER, "rbac.authorization.k8s.io/rolebindings/write"),
    ('g', VAULT, "secrets/getSecret/action"),
    ('h', VAULT, "secrets/setSecret/action"),
    ('i', VAULT, "secrets/readMetadata/action"),
    ('j', VAULT, "keys/sign/action"),
    ('k', VAULT, "keys/wrap/action"),
    ('l', VAULT, "keys/create/action"),
    ('m', VAULT, "certificates/read"),
    ('n', VAULT, "certificates/create/action"),
    ('o', BLOBS, "read"),
    ('p', BLOBS, "write"),
    ('q', BLOBS, "modifyPermissions/action"),
    ('r', FILES, "read"),
    ('s', FILES, "write"),
];

/// Roles that allow anything on data; every other allows nothing.
const ON_DATA: &[(&str, &str)] = &[
    ("Azure Kubernetes Service RBAC Admin", "abcf"),
    ("Azure Kubernetes Service RBAC Cluster Admin", "abcdef"),
    ("Azure Kubernetes Service RBAC Reader", "a"),
    ("Azure Kubernetes Service RBAC Writer", "abc"),
    ("Key Vault Administrator", "ghijklmn"),
    ("Key Vault Reader", "im"),
    ("Key Vault Secrets Officer", "ghi"),
    ("Key Vault Secrets User", "gi"),
    ("Key Vault Certificates Officer", "mn"),
    ("Key Vault Certificate User", "gim"),
    ("Key Vault Crypto Officer", "jkl"),
    ("Key Vault Crypto User", "jk"),
    ("Key Vault Crypto Service Encryption User", "k"),
    ("Storage Blob Data Owner", "opq"),
    ("Storage Blob Data Contributor", "op"),
    ("Storage Blob Data Reader", "o"),
    ("Storage File Data SMB Share Contributor", "rs"),
    ("Storage File Data SMB Share Reader", "r"),
];

async fn prepared() -> World {
    let world = World::with_providers(anything(TYPES)).await;
    world.group("g").await;
    for full_type in TYPES.iter().filter(|t| !t.starts_with("Microsoft.Insights")) {
        let path = format!("{}/providers/{full_type}/x", world.group_path("g"));
        assert_eq!(world.put(&path, json!({"location": "eastus"})).await.status, 201);
    }
    world
}

async fn allowed(world: &World, token: &str) -> String {
    let mut letters = String::new();
    for (letter, method, path) in OPERATIONS {
        let body = match *method {
            "PUT" if path.contains("/locks/") => json!({"properties": {"level": "nothing"}}),
            "PUT" | "PATCH" => json!({"location": "eastus", "properties": {"tags": {}, "template": {}}}),
            _ => Value::Null,
        };
        let method: Method = method.parse().unwrap();
        let answer = world.as_who(token, method, &format!("{}{path}", world.group_path("g")), body).await;
        assert!(answer.status.as_u16() < 500, "{letter}: {}", answer.body);
        if answer.status != 403 {
            letters.push(*letter);
        }
    }
    letters
}

#[tokio::test]
async fn every_built_in_role_lets_do_what_the_reference_says() {
    let world = prepared().await;
    let definitions =
        format!("/subscriptions/{}/providers/Microsoft.Authorization/roleDefinitions", world.sub);
    let listed = world.get(&format!("{definitions}?$filter=type eq 'BuiltInRole'")).await.body;
    let roles: Vec<(String, String)> = listed["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| {
            let text = |v: &Value| v.as_str().unwrap().to_owned();
            (text(&r["properties"]["roleName"]), text(&r["name"]))
        })
        .collect();
    assert_eq!(roles.len(), CONTROL.len(), "the table has a row for each role and no other");
    let (who, token) = world.somebody("somebody").await;
    let mut wrong = Vec::new();
    for (name, guid) in &roles {
        let expected = CONTROL.iter().find(|(role, _)| role == name);
        let expected = expected.unwrap_or_else(|| panic!("no row for {name}")).1;
        let id = format!(
            "{}/providers/Microsoft.Authorization/roleAssignments/{}",
            world.group_path("g"),
            uuid::Uuid::new_v4()
        );
        let body =
            json!({"properties": {"roleDefinitionId": format!("{definitions}/{guid}"), "principalId": who}});
        assert_eq!(world.put(&id, body).await.status, 201, "{name}");
        let found = allowed(&world, &token).await;
        if found != *expected {
            wrong.push(format!("{name}: {found} instead of {expected}"));
        }
        let scope = arm::ResourceId::parse(&world.group_path("g")).unwrap();
        let data: String = DATA
            .iter()
            .filter(|(_, kind, deed)| {
                world.front.access().may_data(&who, &[], &format!("{kind}/{deed}"), &scope)
            })
            .map(|(letter, ..)| *letter)
            .collect();
        let expected = ON_DATA.iter().find(|(role, _)| role == name).map_or("", |(_, letters)| letters);
        if data != expected {
            wrong.push(format!("{name}, data: {data} instead of {expected}"));
        }
        assert_eq!(world.delete(&id).await.status, 200);
        assert_eq!(allowed(&world, &token).await, "", "nothing is left of {name}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
