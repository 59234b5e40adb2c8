//! `disks`: the resource with Azure's defaults. No bytes are behind it yet, so it cannot be attached.

use arm::{ArmError, Ctx, Deleted, Put, Resource, ResourceType, TypeDescriptor, Written};
use async_trait::async_trait;
use serde_json::{Value, json};

use super::API_VERSIONS;
use crate::json::{default, number, set, text};

/// Full type of disks.
pub const TYPE: &str = "Microsoft.Compute/disks";

/// `Microsoft.Compute/disks`.
pub struct Disks;

/// A disk type: its name, tier, and what it gives up to a size in GiB: operations and megabytes a second.
/// Facts: Azure's managed disk types, the smallest figures of each.
const SKUS: &[(&str, &str)] = &[
    ("Standard_LRS", "Standard"),
    ("StandardSSD_LRS", "Standard"),
    ("StandardSSD_ZRS", "Standard"),
    ("Premium_LRS", "Premium"),
    ("Premium_ZRS", "Premium"),
    ("PremiumV2_LRS", "Premium"),
    ("UltraSSD_LRS", "Ultra"),
];

/// Names of the disk types on offer, with their tiers.
pub(super) fn skus() -> impl Iterator<Item = (&'static str, &'static str)> {
    SKUS.iter().copied()
}

fn sku(given: Option<&Value>) -> Result<Value, ArmError> {
    let name = given.and_then(|sku| text(sku, "/name")).unwrap_or("Standard_LRS");
    let found = SKUS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    let (name, tier) = found.ok_or_else(|| {
        let known: Vec<&str> = SKUS.iter().map(|(name, _)| *name).collect();
        ArmError::invalid_parameter(
            "disk.sku.name",
            format!(
                "The value '{name}' of parameter 'disk.sku.name' is invalid. Supported values are: {}.",
                known.join(", ")
            ),
        )
    })?;
    Ok(json!({ "name": name, "tier": tier }))
}

#[async_trait]
impl ResourceType for Disks {
    fn descriptor(&self) -> TypeDescriptor {
        // az takes no 201 for a disk.
        TypeDescriptor { created: http::StatusCode::OK, ..TypeDescriptor::new(TYPE, API_VERSIONS) }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let mut disk = request.resource();
        let Some(gib) = number(&disk.properties, "/diskSizeGB").filter(|gib| (1..=32767).contains(gib))
        else {
            return Err(ArmError::invalid_parameter(
                "diskSizeGB",
                "The value of 'diskSizeGB' is invalid: it must be between 1 and 32767.",
            ));
        };
        if request.existing.and_then(|e| number(&e.properties, "/diskSizeGB")).is_some_and(|old| old > gib) {
            return Err(ArmError::bad_request("OperationNotAllowed", "Disk size cannot be reduced."));
        }
        let kept = request.existing.and_then(|e| e.sku.clone());
        disk.sku = Some(sku(disk.sku.take().filter(Value::is_object).or(kept).as_ref())?);
        let made = request.existing.and_then(|e| text(&e.properties, "/timeCreated")).map(str::to_owned);
        let id = request.existing.and_then(|e| text(&e.properties, "/uniqueId")).map(str::to_owned);
        set(&mut disk.properties, &["timeCreated"], made.unwrap_or_else(|| ctx.clock.now().to_string()));
        set(&mut disk.properties, &["uniqueId"], id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string()));
        set(&mut disk.properties, &["diskSizeBytes"], gib << 30);
        set(&mut disk.properties, &["diskState"], "Unattached");
        default(&mut disk.properties, &["creationData", "createOption"], "Empty");
        default(&mut disk.properties, &["networkAccessPolicy"], "AllowAll");
        default(&mut disk.properties, &["publicNetworkAccess"], "Enabled");
        set(&mut disk.properties, &["provisioningState"], "Succeeded");
        Ok(Written::Done(disk))
    }

    async fn delete(&self, _: &Ctx, _: &Resource) -> Result<Deleted, ArmError> {
        Ok(Deleted::Done)
    }
}
