//! `blobServices/default/containers` and `fileServices/default/shares`, as resources.

use arm::json::{default, number, set, text};
use arm::{ArmError, Ctx, Deleted, Put, Resource, ResourceType, TypeDescriptor, Written};
use async_trait::async_trait;
use serde_json::{Value, json};

use super::API_VERSIONS;

const CONTAINERS: &str = "Microsoft.Storage/storageAccounts/blobServices/containers";
const SHARES: &str = "Microsoft.Storage/storageAccounts/fileServices/shares";
/// A share's size in GiB when none is asked for, and at most.
const QUOTA: (i64, i64) = (5120, 102_400);

pub(super) struct Containers;
pub(super) struct Shares;

fn bad(message: impl Into<String>) -> ArmError {
    ArmError::bad_request("InvalidValuesForRequestParameters", message)
}

/// Letters, digits and single hyphens, 3 to 63.
fn check_name(name: &str, special: &[&str]) -> Result<(), ArmError> {
    let plain = (3..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--");
    if plain || special.contains(&name) {
        return Ok(());
    }
    Err(ArmError::bad_request(
        "InvalidResourceName",
        format!(
            "The specified resource name '{name}' contains invalid characters. It has 3 to 63 lower-case letters, digits and single hyphens."
        ),
    ))
}

fn one_of(properties: &Value, name: &str, allowed: &[&str]) -> Result<(), ArmError> {
    let given = text(properties, &format!("/{name}")).unwrap_or_default();
    if allowed.contains(&given) {
        return Ok(());
    }
    Err(bad(format!(
        "Values for request parameters are invalid: {name}. '{given}' is not one of {}.",
        allowed.join(", ")
    )))
}

/// Sets the time of the last change, unless nothing else changed.
fn date(ctx: &Ctx, made: &mut Value, existing: Option<&Resource>) {
    let before = existing.map(|existing| &existing.properties);
    let mut same = made.clone();
    if let Some(at) = before.and_then(|before| text(before, "/lastModifiedTime")) {
        set(&mut same, &["lastModifiedTime"], at.to_owned());
    }
    if before == Some(&same) {
        *made = same;
        return;
    }
    set(made, &["lastModifiedTime"], ctx.clock.now().to_string());
}

fn usual(properties: &mut Value) {
    set(properties, &["leaseStatus"], "Unlocked");
    set(properties, &["leaseState"], "Available");
}

#[async_trait]
impl ResourceType for Containers {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor { etag: Some("etag"), ..TypeDescriptor::new(CONTAINERS, API_VERSIONS) }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        check_name(request.id.name(), &["$root", "$web", "$logs"])?;
        let mut made = request.resource();
        let properties = &mut made.properties;
        default(properties, &["publicAccess"], "None");
        one_of(properties, "publicAccess", &["None", "Blob", "Container"])?;
        let account = ctx.resources.get(&request.id.top());
        let open = account.is_some_and(|account| account.properties["allowBlobPublicAccess"] == json!(true));
        if properties["publicAccess"] != "None" && !open {
            return Err(ArmError::conflict(
                "PublicAccessNotPermitted",
                "Public access is not permitted on this storage account.",
            ));
        }
        usual(properties);
        for (name, value) in [
            ("hasImmutabilityPolicy", json!(false)),
            ("hasLegalHold", json!(false)),
            ("deleted", json!(false)),
            ("remainingRetentionDays", json!(0)),
        ] {
            set(properties, &[name], value);
        }
        default(properties, &["defaultEncryptionScope"], "$account-encryption-key");
        default(properties, &["denyEncryptionScopeOverride"], false);
        date(ctx, properties, request.existing);
        Ok(Written::Done(made))
    }

    async fn delete(&self, _: &Ctx, _: &Resource) -> Result<Deleted, ArmError> {
        Ok(Deleted::Done)
    }
}

#[async_trait]
impl ResourceType for Shares {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor { etag: Some("etag"), ..TypeDescriptor::new(SHARES, API_VERSIONS) }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        check_name(request.id.name(), &[])?;
        let mut made = request.resource();
        let account = ctx.resources.get(&request.id.top());
        let premium = account.is_some_and(|account| account.kind.as_deref() == Some("FileStorage"));
        let properties = &mut made.properties;
        default(properties, &["shareQuota"], if premium { 100 } else { QUOTA.0 });
        if !number(properties, "/shareQuota").is_some_and(|quota| (1..=QUOTA.1).contains(&quota)) {
            return Err(bad(format!(
                "Values for request parameters are invalid: shareQuota. It is from 1 to {}.",
                QUOTA.1
            )));
        }
        default(properties, &["accessTier"], if premium { "Premium" } else { "TransactionOptimized" });
        one_of(properties, "accessTier", &["TransactionOptimized", "Hot", "Cool", "Premium"])?;
        default(properties, &["enabledProtocols"], "SMB");
        one_of(properties, "enabledProtocols", &["SMB", "NFS"])?;
        if properties["enabledProtocols"] == "NFS" {
            if !premium {
                return Err(bad("NFS shares need an account of kind FileStorage."));
            }
            default(properties, &["rootSquash"], "NoRootSquash");
        }
        if let Some(old) =
            request.existing.and_then(|existing| text(&existing.properties, "/enabledProtocols"))
            && properties["enabledProtocols"] != old
        {
            return Err(bad("The protocol of a share cannot be changed."));
        }
        usual(properties);
        date(ctx, properties, request.existing);
        Ok(Written::Done(made))
    }

    async fn delete(&self, _: &Ctx, _: &Resource) -> Result<Deleted, ArmError> {
        Ok(Deleted::Done)
    }
}
