//! `disks`: the resource with Azure's defaults. No bytes are behind it yet, so it cannot be attached.

use arm::{ArmError, Ctx, Deleted, Put, Resource, ResourceType, TypeDescriptor, Written};
use async_trait::async_trait;
use serde_json::{Value, json};

use super::API_VERSIONS;
use crate::json::{default, number, set, text};

/// `Microsoft.Compute/disks`.
pub struct Disks;

#[async_trait]
impl ResourceType for Disks {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor::new("Microsoft.Compute/disks", API_VERSIONS)
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
        if !disk.sku.as_ref().is_some_and(Value::is_object) {
            disk.sku = Some(json!({ "name": "Standard_LRS", "tier": "Standard" }));
        }
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
