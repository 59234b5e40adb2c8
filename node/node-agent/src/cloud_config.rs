//! `/etc/kubernetes/azure.json`: what a node knows of its cloud, where drivers and `az aks check-acr` look for it.
//!
//! Written anew at every boot, readable by root. Does not hold a secret: the node's identity is asked for at the metadata service.

use std::path::Path;

use kit::files::{Readers, make_dir, write_atomic};
use serde_json::{Value, json};

use crate::document::{Bootstrap, Facts};
use crate::error::{BootError, Cause};

const FILE: &str = "etc/kubernetes/azure.json";
/// Who issued the certificate of the registries that stand in front of all.
const REGISTRY_CA: &str = "etc/kubernetes/certs/registry-ca.crt";
/// Pods that speak to the cloud mount it from the host, which may have none.
const PUBLIC_CERTIFICATES: &str = "etc/ssl/certs";

/// Writes it below `root`, which is `/` but for tests.
pub(crate) fn write(root: &Path, facts: &Facts, bootstrap: &Bootstrap) -> Result<(), BootError> {
    try_write(root, facts, bootstrap).map_err(BootError::Kubelet)
}

fn try_write(root: &Path, facts: &Facts, bootstrap: &Bootstrap) -> Result<(), Cause> {
    let text = serde_json::to_vec_pretty(&config(facts, bootstrap))?;
    write_atomic(&root.join(FILE), &text, Readers::Owner)?;
    make_dir(&root.join(PUBLIC_CERTIFICATES))?;
    if let Some(mirror) = &bootstrap.registry_mirror {
        write_atomic(&root.join(REGISTRY_CA), mirror.ca_pem.as_bytes(), Readers::Everyone)?;
    }
    Ok(())
}

/// The value after a segment of an ARM id.
fn after<'a>(id: &'a str, segment: &str) -> &'a str {
    let mut segments = id.split('/');
    segments.find(|one| one.eq_ignore_ascii_case(segment)).and_then(|_| segments.next()).unwrap_or_default()
}

fn config(facts: &Facts, bootstrap: &Bootstrap) -> Value {
    let own = |segment: &str| after(&facts.resource_id, segment);
    json!({
        "cloud": "AzurePublicCloud",
        "tenantId": bootstrap.tenant_id,
        "subscriptionId": own("subscriptions"),
        "aadClientId": "msi",
        "aadClientSecret": "msi",
        "resourceGroup": own("resourceGroups"),
        "location": bootstrap.location,
        "vmType": "vmss",
        "primaryScaleSetName": own("virtualMachineScaleSets"),
        "loadBalancerSku": "standard",
        "useInstanceMetadata": true,
        "useManagedIdentityExtension": bootstrap.kubelet_client_id.is_some(),
        "userAssignedIdentityID": bootstrap.kubelet_client_id.clone().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_node_writes_down_where_it_is_and_whose_its_identity_is() {
        let facts = json!({
            "hostname": "aks-a-1-vmss000000", "cpus": 2, "memoryBytes": 1, "address": "10.224.0.4", "prefixLength": 16,
            "resourceId": "/subscriptions/s1/resourceGroups/MC_a/providers/Microsoft.Compute/virtualMachineScaleSets/aks-a-1-vmss/virtualMachines/0",
        });
        let bootstrap = json!({
            "kubernetesVersion": "1.35.6", "fqdn": "f", "apiServerPort": 443, "caPem": "", "bootstrapToken": "",
            "serviceCidr": "10.0.0.0/16", "podCidr": "10.244.0.0/16", "dnsServiceIp": "10.0.0.10",
            "clusterDomain": "cluster.local", "maxPods": 30, "systemImage": "i", "tenantId": "t1", "location": "eastus",
            "kubeletClientId": "k1", "registryMirror": { "server": "https://m", "caPem": "CA" },
        });
        let (facts, bootstrap) =
            (serde_json::from_value(facts).unwrap(), serde_json::from_value(bootstrap).unwrap());
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &facts, &bootstrap).unwrap();
        let path = root.path().join(FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let found: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        for (member, value) in [
            ("tenantId", "t1"),
            ("subscriptionId", "s1"),
            ("resourceGroup", "MC_a"),
            ("location", "eastus"),
            ("primaryScaleSetName", "aks-a-1-vmss"),
            ("userAssignedIdentityID", "k1"),
        ] {
            assert_eq!(found[member], value, "{member}");
        }
        assert_eq!(found["useManagedIdentityExtension"], true);
        assert_eq!(std::fs::read(root.path().join(REGISTRY_CA)).unwrap(), b"CA");
    }
}
