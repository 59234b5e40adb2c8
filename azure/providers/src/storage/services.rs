//! `blobServices/default` and `fileServices/default`: there with every account, with properties that can be set.

use arm::json::default;
use arm::{ArmError, Ctx, Deleted, Put, Resource, ResourceId, ResourceType, TypeDescriptor, Written};
use async_trait::async_trait;
use http::StatusCode;
use serde_json::{Value, json};

use super::API_VERSIONS;

const BLOB: &str = "Microsoft.Storage/storageAccounts/blobServices";
const FILE: &str = "Microsoft.Storage/storageAccounts/fileServices";

pub(super) struct BlobServices;
pub(super) struct FileServices;

fn descriptor(full_type: &'static str) -> TypeDescriptor {
    TypeDescriptor {
        created: StatusCode::OK,
        name_pattern: Some("default"),
        ..TypeDescriptor::new(full_type, API_VERSIONS)
    }
}

/// The service with what is always there filled in, and the account's SKU beside it.
fn filled(ctx: &Ctx, mut made: Resource, fill: fn(&mut Value)) -> Resource {
    fill(&mut made.properties);
    default(&mut made.properties, &["cors", "corsRules"], json!([]));
    made.sku = ctx.resources.get(&made.id.top()).and_then(|account| account.sku.clone());
    made
}

fn blob(properties: &mut Value) {
    default(properties, &["deleteRetentionPolicy", "enabled"], false);
    default(properties, &["deleteRetentionPolicy", "allowPermanentDelete"], false);
}

fn file(properties: &mut Value) {
    default(properties, &["shareDeleteRetentionPolicy", "enabled"], true);
    if properties["shareDeleteRetentionPolicy"]["enabled"] == json!(true) {
        default(properties, &["shareDeleteRetentionPolicy", "days"], 7);
    }
    default(properties, &["protocolSettings", "smb"], json!({}));
}

/// The stored service, or the one that every account has.
fn get(ctx: &Ctx, id: &ResourceId, fill: fn(&mut Value)) -> Option<Resource> {
    ctx.resources.get(&id.top())?;
    if !id.name().eq_ignore_ascii_case("default") {
        return None;
    }
    let stored = ctx.resources.get(id).map(|stored| (*stored).clone());
    Some(filled(ctx, stored.unwrap_or_else(|| Resource::new(id.clone())), fill))
}

fn days_in_range(policy: &Value, name: &str) -> Result<(), ArmError> {
    let Some(days) = policy.get(name).and_then(|policy| policy.get("days")).filter(|days| !days.is_null())
    else {
        return Ok(());
    };
    if days.as_i64().is_some_and(|days| (1..=365).contains(&days)) {
        return Ok(());
    }
    Err(ArmError::bad_request(
        "InvalidValuesForRequestParameters",
        format!("Values for request parameters are invalid: {name}.days. It is from 1 to 365."),
    ))
}

#[async_trait]
impl ResourceType for BlobServices {
    fn descriptor(&self) -> TypeDescriptor {
        descriptor(BLOB)
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        for name in ["deleteRetentionPolicy", "containerDeleteRetentionPolicy", "restorePolicy"] {
            days_in_range(request.properties(), name)?;
        }
        Ok(Written::Done(filled(ctx, request.resource(), blob)))
    }

    async fn delete(&self, _: &Ctx, _: &Resource) -> Result<Deleted, ArmError> {
        Err(always_there("The blob service of an account"))
    }

    async fn get(&self, ctx: &Ctx, id: &ResourceId) -> Result<Option<Resource>, ArmError> {
        Ok(get(ctx, id, blob))
    }

    async fn list(&self, ctx: &Ctx, scope: &ResourceId) -> Result<Vec<Resource>, ArmError> {
        Ok(get(ctx, &scope.child("blobServices", "default"), blob).into_iter().collect())
    }
}

#[async_trait]
impl ResourceType for FileServices {
    fn descriptor(&self) -> TypeDescriptor {
        descriptor(FILE)
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        days_in_range(request.properties(), "shareDeleteRetentionPolicy")?;
        Ok(Written::Done(filled(ctx, request.resource(), file)))
    }

    async fn delete(&self, _: &Ctx, _: &Resource) -> Result<Deleted, ArmError> {
        Err(always_there("The file service of an account"))
    }

    async fn get(&self, ctx: &Ctx, id: &ResourceId) -> Result<Option<Resource>, ArmError> {
        Ok(get(ctx, id, file))
    }

    async fn list(&self, ctx: &Ctx, scope: &ResourceId) -> Result<Vec<Resource>, ArmError> {
        Ok(get(ctx, &scope.child("fileServices", "default"), file).into_iter().collect())
    }
}

fn always_there(what: &str) -> ArmError {
    ArmError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "HttpMethodNotAllowed",
        format!("{what} goes with it and cannot be deleted."),
    )
}
