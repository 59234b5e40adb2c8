//! The VM sizes on offer, with Azure's names, cores and memory.
//!
//! Facts: Azure's size pages. A machine of ours gets these limits.

use serde_json::{Value, json};

/// A size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VmSize {
    /// For example `Standard_DS2_v2`.
    pub name: &'static str,
    /// Family as quotas count it.
    pub family: &'static str,
    /// Virtual cores.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Temporary disk in MiB; 0 where the size has none.
    pub temp_disk_mib: u64,
    /// Most data disks.
    pub data_disks: u32,
}

const fn size(
    name: &'static str,
    family: &'static str,
    cpus: u32,
    gib: u64,
    temp_gib: u64,
    data_disks: u32,
) -> VmSize {
    VmSize { name, family, cpus, memory_mib: gib * 1024, temp_disk_mib: temp_gib * 1024, data_disks }
}

/// Every size on offer.
pub const SIZES: &[VmSize] = &[
    size("Standard_A2_v2", "standardAv2Family", 2, 4, 20, 4),
    size("Standard_A4_v2", "standardAv2Family", 4, 8, 40, 8),
    size("Standard_B1s", "standardBSFamily", 1, 1, 4, 2),
    size("Standard_B1ms", "standardBSFamily", 1, 2, 4, 2),
    size("Standard_B2s", "standardBSFamily", 2, 4, 8, 4),
    size("Standard_B2ms", "standardBSFamily", 2, 8, 16, 4),
    size("Standard_B4ms", "standardBSFamily", 4, 16, 32, 8),
    size("Standard_B8ms", "standardBSFamily", 8, 32, 64, 16),
    size("Standard_B2s_v2", "standardBsv2Family", 2, 8, 0, 4),
    size("Standard_B4s_v2", "standardBsv2Family", 4, 16, 0, 8),
    size("Standard_DS1_v2", "standardDSv2Family", 1, 3, 7, 4),
    size("Standard_DS2_v2", "standardDSv2Family", 2, 7, 14, 8),
    size("Standard_DS3_v2", "standardDSv2Family", 4, 14, 28, 16),
    size("Standard_DS4_v2", "standardDSv2Family", 8, 28, 56, 32),
    size("Standard_DS5_v2", "standardDSv2Family", 16, 56, 112, 64),
    size("Standard_D2s_v3", "standardDSv3Family", 2, 8, 16, 4),
    size("Standard_D4s_v3", "standardDSv3Family", 4, 16, 32, 8),
    size("Standard_D8s_v3", "standardDSv3Family", 8, 32, 64, 16),
    size("Standard_D16s_v3", "standardDSv3Family", 16, 64, 128, 32),
    size("Standard_D2ds_v4", "standardDDSv4Family", 2, 8, 75, 4),
    size("Standard_D4ds_v4", "standardDDSv4Family", 4, 16, 150, 8),
    size("Standard_D8ds_v4", "standardDDSv4Family", 8, 32, 300, 16),
    size("Standard_D2s_v4", "standardDSv4Family", 2, 8, 0, 4),
    size("Standard_D4s_v4", "standardDSv4Family", 4, 16, 0, 8),
    size("Standard_D2s_v5", "standardDSv5Family", 2, 8, 0, 4),
    size("Standard_D4s_v5", "standardDSv5Family", 4, 16, 0, 8),
    size("Standard_D8s_v5", "standardDSv5Family", 8, 32, 0, 16),
    size("Standard_D16s_v5", "standardDSv5Family", 16, 64, 0, 32),
    size("Standard_D2ds_v5", "standardDDSv5Family", 2, 8, 75, 4),
    size("Standard_D4ds_v5", "standardDDSv5Family", 4, 16, 150, 8),
    size("Standard_D8ds_v5", "standardDDSv5Family", 8, 32, 300, 16),
    size("Standard_D2as_v5", "standardDASv5Family", 2, 8, 0, 4),
    size("Standard_D4as_v5", "standardDASv5Family", 4, 16, 0, 8),
    size("Standard_D8as_v5", "standardDASv5Family", 8, 32, 0, 16),
    size("Standard_D2ads_v5", "standardDADSv5Family", 2, 8, 75, 4),
    size("Standard_D4ads_v5", "standardDADSv5Family", 4, 16, 150, 8),
    size("Standard_D2ads_v6", "standardDADv6Family", 2, 8, 110, 4),
    size("Standard_D4ads_v6", "standardDADv6Family", 4, 16, 220, 8),
    size("Standard_D2s_v6", "standardDSv6Family", 2, 8, 0, 8),
    size("Standard_D4s_v6", "standardDSv6Family", 4, 16, 0, 12),
    size("Standard_E2s_v3", "standardESv3Family", 2, 16, 32, 4),
    size("Standard_E4s_v3", "standardESv3Family", 4, 32, 64, 8),
    size("Standard_E2s_v5", "standardESv5Family", 2, 16, 0, 4),
    size("Standard_E4s_v5", "standardESv5Family", 4, 32, 0, 8),
    size("Standard_E8s_v5", "standardESv5Family", 8, 64, 0, 16),
    size("Standard_F2s_v2", "standardFSv2Family", 2, 4, 16, 4),
    size("Standard_F4s_v2", "standardFSv2Family", 4, 8, 32, 8),
    size("Standard_F8s_v2", "standardFSv2Family", 8, 16, 64, 16),
    size("Standard_F16s_v2", "standardFSv2Family", 16, 32, 128, 32),
];

/// A size by name, without regard to case.
pub fn find(name: &str) -> Option<&'static VmSize> {
    SIZES.iter().find(|size| size.name.eq_ignore_ascii_case(name))
}

/// Answer of `locations/{l}/vmSizes`.
pub fn listing() -> Value {
    let value: Vec<Value> = SIZES
        .iter()
        .map(|size| {
            json!({
                "name": size.name,
                "numberOfCores": size.cpus,
                "osDiskSizeInMB": 1_047_552,
                "resourceDiskSizeInMB": size.temp_disk_mib,
                "memoryInMB": size.memory_mib,
                "maxDataDiskCount": size.data_disks,
            })
        })
        .collect();
    json!({ "value": value })
}

/// Answer of `Microsoft.Compute/skus`, for these regions.
pub fn skus(locations: &[String]) -> Value {
    let mut value = Vec::new();
    for location in locations {
        for size in SIZES {
            value.push(sku(size, location));
        }
        for (name, tier) in super::disks::skus() {
            value.push(json!({
                "resourceType": "disks", "name": name, "tier": tier, "locations": [location],
                "locationInfo": [{ "location": location, "zones": ["1", "2", "3"], "zoneDetails": [] }],
                "capabilities": [{ "name": "MaxSizeGiB", "value": "32767" }, { "name": "MinSizeGiB", "value": "1" }],
                "restrictions": [],
            }));
        }
    }
    json!({ "value": value })
}

fn sku(size: &VmSize, location: &str) -> Value {
    let capability = |name: &str, value: String| json!({ "name": name, "value": value });
    json!({
        "resourceType": "virtualMachines",
        "name": size.name,
        "tier": "Standard",
        "size": size.name.trim_start_matches("Standard_"),
        "family": size.family,
        "locations": [location],
        "locationInfo": [{ "location": location, "zones": ["1", "2", "3"], "zoneDetails": [] }],
        "capabilities": [
            capability("vCPUs", size.cpus.to_string()),
            capability("MemoryGB", (size.memory_mib / 1024).to_string()),
            capability("MaxResourceVolumeMB", size.temp_disk_mib.to_string()),
            capability("MaxDataDiskCount", size.data_disks.to_string()),
            capability("HyperVGenerations", "V1,V2".into()),
            capability("CpuArchitectureType", "x64".into()),
            capability("PremiumIO", "True".into()),
            capability("AcceleratedNetworkingEnabled", "True".into()),
            capability("EphemeralOSDiskSupported", if size.temp_disk_mib > 0 { "True" } else { "False" }.into()),
        ],
        "restrictions": [],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_found_in_any_case_and_named_once() {
        assert_eq!(find("standard_ds2_V2").unwrap().cpus, 2);
        assert!(find("Standard_Z1").is_none());
        for size in SIZES {
            assert_eq!(SIZES.iter().filter(|other| other.name == size.name).count(), 1, "{}", size.name);
        }
    }
}
