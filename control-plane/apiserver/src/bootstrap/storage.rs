//! AKS's storage classes.

use serde_json::{Value, json};

use super::Seed;

const DISK: &str = "disk.csi.azure.com";
const FILE: &str = "file.csi.azure.com";
const DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";

/// Name, provisioner, SKU; disks wait for their pod, shares do not.
const CLASSES: [(&str, &str, &str); 9] = [
    ("default", DISK, "StandardSSD_LRS"),
    ("managed", DISK, "StandardSSD_LRS"),
    ("managed-csi", DISK, "StandardSSD_LRS"),
    ("managed-premium", DISK, "Premium_LRS"),
    ("managed-csi-premium", DISK, "Premium_LRS"),
    ("azurefile", FILE, "Standard_LRS"),
    ("azurefile-csi", FILE, "Standard_LRS"),
    ("azurefile-premium", FILE, "Premium_LRS"),
    ("azurefile-csi-premium", FILE, "Premium_LRS"),
];

/// The classes.
pub(super) fn seeds() -> Vec<Seed> {
    CLASSES.iter().map(|(name, provisioner, sku)| class(name, provisioner, sku)).collect()
}

fn class(name: &str, provisioner: &str, sku: &str) -> Seed {
    let disk = provisioner == DISK;
    let mut object: Value = json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name, "labels": {
            "addonmanager.kubernetes.io/mode": "EnsureExists",
            "kubernetes.io/cluster-service": "true",
        }},
        "provisioner": provisioner,
        "parameters": {"skuName": sku},
        "reclaimPolicy": "Delete",
        "allowVolumeExpansion": true,
        "volumeBindingMode": if disk { "WaitForFirstConsumer" } else { "Immediate" },
    });
    if name == "default" {
        object["metadata"]["annotations"] = json!({DEFAULT: "true"});
    }
    if !disk {
        object["mountOptions"] = json!(["mfsymlinks", "actimeo=30", "nosharesock"]);
    }
    Seed { group: "storage.k8s.io", version: "v1", plural: "storageclasses", object }
}
