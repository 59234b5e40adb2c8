//! `locations/deletedVaults`: what is kept of a deleted vault, until it is recovered, purged or too old.

use arm::{Acted, ArmError, Ctx, Deleted, Put, Resource, ResourceId, ResourceType, TypeDescriptor, Written};
use async_trait::async_trait;
use http::StatusCode;
use jiff::ToSpan;
use serde_json::{Value, json};

use super::directory::{Directory, expired, of_deleted};
use super::{API_VERSIONS, DELETED};

/// The type.
pub(super) struct DeletedVaults;

/// Where the whole vault is kept inside the deleted one's properties; never shown.
const KEPT: &str = "vault";

/// Keeps a vault that is about to go, under its location.
pub(super) async fn keep(ctx: &Ctx, vault: &Resource) -> Result<(), ArmError> {
    let subscription = vault.id.subscription().unwrap_or_default();
    let location = vault.location.clone().unwrap_or_default();
    let id =
        ResourceId::of_subscription(subscription).extension(DELETED, &format!("{location}/{}", vault.name));
    let days = vault.properties["softDeleteRetentionInDays"].as_i64().unwrap_or(90);
    let now = ctx.clock.now();
    let purge = now.checked_add((days * 24).hours()).unwrap_or(now);
    let mut made = Resource::new(id.clone());
    made.properties = json!({
        "vaultId": vault.id, "location": location, "tags": vault.tags.clone().unwrap_or_default(),
        "deletionDate": now.to_string(), "scheduledPurgeDate": purge.to_string(),
        KEPT: vault,
    });
    if vault.properties["enablePurgeProtection"] == json!(true) {
        made.properties["purgeProtectionEnabled"] = json!(true);
    }
    ctx.resources.save(made).await?;
    Directory::new(ctx).retire(&vault.name, &id).await
}

/// The vault as it was.
pub(super) fn kept(deleted: &Resource) -> Option<Resource> {
    serde_json::from_value(deleted.properties.get(KEPT)?.clone()).ok()
}

/// As clients see it.
pub(super) fn shown(deleted: &Resource) -> Value {
    let mut body = json!({
        "id": deleted.id, "name": deleted.name, "type": "Microsoft.KeyVault/deletedVaults",
        "properties": deleted.properties,
    });
    if let Some(map) = body["properties"].as_object_mut() {
        map.remove(KEPT);
    }
    body
}

/// Whether the vault is really gone and can still be recovered.
fn is_gone(ctx: &Ctx, deleted: &Resource, now: jiff::Timestamp) -> bool {
    !expired(deleted, now) && of_deleted(&ctx.resources, deleted).is_none()
}

/// Those of a subscription that can still be recovered.
pub(super) fn all(ctx: &Ctx, scope: &ResourceId) -> Vec<Resource> {
    let now = ctx.clock.now();
    let found = ctx.resources.list_type(scope, DELETED);
    found.iter().filter(|deleted| is_gone(ctx, deleted, now)).map(|deleted| (**deleted).clone()).collect()
}

#[async_trait]
impl ResourceType for DeletedVaults {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor::new(DELETED, API_VERSIONS)
    }

    async fn put(&self, _: &Ctx, _: Put<'_>) -> Result<Written, ArmError> {
        Err(refused("PUT"))
    }

    async fn delete(&self, _: &Ctx, _: &Resource) -> Result<Deleted, ArmError> {
        Err(refused("DELETE"))
    }

    async fn get(&self, ctx: &Ctx, id: &ResourceId) -> Result<Option<Resource>, ArmError> {
        let found = ctx.resources.get(id).filter(|deleted| is_gone(ctx, deleted, ctx.clock.now()));
        match found {
            Some(found) => Ok(Some((*found).clone())),
            None => Err(ArmError::new(
                StatusCode::NOT_FOUND,
                "DeletedVaultNotFound",
                format!("The deleted vault '{}' was not found.", id.name()),
            )),
        }
    }

    async fn list(&self, ctx: &Ctx, scope: &ResourceId) -> Result<Vec<Resource>, ArmError> {
        Ok(all(ctx, scope))
    }

    fn present(&self, _: &Ctx, resource: &Resource) -> Value {
        shown(resource)
    }

    async fn action(&self, ctx: &Ctx, existing: &Resource, name: &str, _: Value) -> Result<Acted, ArmError> {
        if !name.eq_ignore_ascii_case("purge") {
            return Err(ArmError::not_implemented(format_args!("The action '{DELETED}/{name}'")));
        }
        if existing.properties["purgeProtectionEnabled"] == json!(true) {
            return Err(ArmError::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                "Operation 'DeletedVaultPurge' is not allowed.",
            ));
        }
        let location = existing.properties["location"].as_str().unwrap_or_default().to_owned();
        let operation = ctx.operations.create(&existing.id, "purge", &location).await?;
        let (ctx, id, name) = (ctx.clone(), existing.id.clone(), existing.name.clone());
        Ok(Acted::Accepted(operation.work(async move {
            Directory::new(&ctx).purge(&name).await?;
            ctx.resources.remove(&id).await?;
            Ok(())
        })))
    }
}

fn refused(method: &str) -> ArmError {
    ArmError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "HttpMethodNotAllowed",
        format!("The HTTP method '{method}' is not supported for a deleted vault."),
    )
}
