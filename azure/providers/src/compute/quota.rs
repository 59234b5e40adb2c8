//! How much a region gives a subscription, how much of it is used, and what is refused beyond.
//!
//! The limits are Azure's usual ones, so large that the host's own are met first; they are there to be read and to
//! stop what is absurd.

use std::collections::BTreeSet;

use arm::{ArmError, Resource, Resources};
use serde_json::{Value, json};

use super::instances::{self, Instance};
use super::sizes;
use crate::json::text;

/// Cores of a region, and of each family in it.
const CORES_MAX: u32 = 10_000;
const MACHINES_MAX: u32 = 25_000;
const SETS_MAX: u32 = 2_500;
const DISKS_MAX: u32 = 50_000;

fn here(resources: &Resources, location: &str) -> Vec<Instance> {
    let location = arm::locations::normal(location);
    instances::all(resources)
        .into_iter()
        .filter(|i| arm::locations::normal(&i.location) == location)
        .collect()
}

fn cores(machines: &[Instance], family: Option<&str>) -> u32 {
    let sizes = machines.iter().filter_map(|machine| sizes::find(&machine.size));
    sizes.filter(|size| family.is_none_or(|family| size.family == family)).map(|size| size.cpus).sum()
}

/// Answer of `locations/{l}/usages`.
pub(super) fn usages(resources: &Resources, location: &str) -> Value {
    let machines = here(resources, location);
    let usage = |name: &str, localized: String, used: usize, limit: u32| {
        json!({
            "unit": "Count", "currentValue": used, "limit": limit,
            "name": { "value": name, "localizedValue": localized },
        })
    };
    let sets: BTreeSet<_> = machines.iter().map(|machine| machine.id.top()).collect();
    let disks = resources.list_type(&arm::ResourceId::root(), super::disks::TYPE);
    let location = arm::locations::normal(location);
    let disks_of = |sku: &str| {
        let of_sku =
            |d: &&std::sync::Arc<Resource>| d.sku.as_ref().and_then(|s| text(s, "/name")) == Some(sku);
        let near = |d: &&std::sync::Arc<Resource>| {
            d.location.as_deref().map(arm::locations::normal) == Some(location.clone())
        };
        disks.iter().filter(of_sku).filter(near).count()
    };
    let mut value = vec![
        usage("cores", "Total Regional vCPUs".into(), cores(&machines, None) as usize, CORES_MAX),
        usage("virtualMachines", "Virtual Machines".into(), machines.len(), MACHINES_MAX),
        usage("virtualMachineScaleSets", "Virtual Machine Scale Sets".into(), sets.len(), SETS_MAX),
        usage(
            "StandardDiskCount",
            "Standard Storage Managed Disks".into(),
            disks_of("Standard_LRS"),
            DISKS_MAX,
        ),
        usage(
            "StandardSSDDiskCount",
            "StandardSSDStorageDisks".into(),
            disks_of("StandardSSD_LRS"),
            DISKS_MAX,
        ),
        usage("PremiumDiskCount", "Premium Storage Managed Disks".into(), disks_of("Premium_LRS"), DISKS_MAX),
    ];
    let families: BTreeSet<&str> = sizes::SIZES.iter().map(|size| size.family).collect();
    for family in families {
        value.push(usage(
            family,
            format!("{family} vCPUs"),
            cores(&machines, Some(family)) as usize,
            CORES_MAX,
        ));
    }
    json!({ "value": value })
}

/// Refuses instances beyond the quota.
pub(super) fn require(resources: &Resources, set: &Resource, more: usize) -> Result<(), ArmError> {
    let size = set.sku.as_ref().and_then(|sku| text(sku, "/name")).and_then(sizes::find);
    let Some(size) = size else { return Ok(()) };
    let location = set.location.as_deref().unwrap_or_default();
    let machines = here(resources, location);
    let wanted = u32::try_from(more).unwrap_or(u32::MAX).saturating_mul(size.cpus);
    for (name, used) in
        [("Total Regional", cores(&machines, None)), (size.family, cores(&machines, Some(size.family)))]
    {
        let needed = used.saturating_add(wanted);
        if needed > CORES_MAX {
            return Err(ArmError::conflict(
                "OperationNotAllowed",
                format!(
                    "Operation could not be completed as it results in exceeding approved {name} Cores quota. Additional details - Deployment Model: Resource Manager, Location: {location}, Current Limit: {CORES_MAX}, Current Usage: {used}, Additional Required: {wanted}, (Minimum) New Limit Required: {needed}."
                ),
            ));
        }
    }
    Ok(())
}
