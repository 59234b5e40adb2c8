//! `storageAccounts`.

use arm::json::{default, remove, set, text};
use arm::{
    Acted, ArmError, Ctx, Deleted, Put, Resource, ResourceId, ResourceType, Table, TypeDescriptor, Written,
};
use async_trait::async_trait;
use http::StatusCode;
use serde_json::{Value, json};

use super::API_VERSIONS;
use crate::secrets::{self, Pair};

/// The type.
pub const ACCOUNTS: &str = "Microsoft.Storage/storageAccounts";
const SKUS: [&str; 8] = [
    "Standard_LRS",
    "Standard_GRS",
    "Standard_RAGRS",
    "Standard_ZRS",
    "Standard_GZRS",
    "Standard_RAGZRS",
    "Premium_LRS",
    "Premium_ZRS",
];
const KINDS: [&str; 5] = ["StorageV2", "Storage", "BlobStorage", "BlockBlobStorage", "FileStorage"];

pub(super) struct Accounts;

fn keys(ctx: &Ctx) -> Table {
    ctx.table("storage-keys")
}

/// Refuses a name that an account cannot have: a wrong one, or one that another account has anywhere in the cloud.
pub(super) fn free(ctx: &Ctx, name: &str, but: Option<&ResourceId>) -> Result<(), ArmError> {
    let good =
        (3..=24).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if !good {
        return Err(ArmError::bad_request(
            "AccountNameInvalid",
            format!(
                "{name} is not a valid storage account name. Storage account name must be between 3 and 24 characters in length and use numbers and lower-case letters only."
            ),
        ));
    }
    let taken = ctx.resources.list_type(&ResourceId::root(), ACCOUNTS);
    if taken.iter().any(|other| other.name == name && but != Some(&other.id)) {
        return Err(ArmError::conflict(
            "StorageAccountAlreadyTaken",
            format!("The storage account named {name} is already taken."),
        ));
    }
    Ok(())
}

fn check_shape(made: &mut Resource) -> Result<(), ArmError> {
    let given = made.sku.as_ref().and_then(|sku| text(sku, "/name")).unwrap_or_default().to_owned();
    let Some(sku) = SKUS.iter().find(|sku| sku.eq_ignore_ascii_case(&given)) else {
        return Err(ArmError::bad_request(
            "InvalidValuesForRequestParameters",
            format!(
                "Values for request parameters are invalid: sku. '{given}' is not one of {}.",
                SKUS.join(", ")
            ),
        ));
    };
    let tier = sku.split('_').next().unwrap_or_default();
    made.sku = Some(json!({"name": sku, "tier": tier}));
    let given = made.kind.clone().unwrap_or_else(|| "Storage".to_owned());
    let Some(kind) = KINDS.iter().find(|kind| kind.eq_ignore_ascii_case(&given)) else {
        return Err(ArmError::bad_request(
            "InvalidValuesForRequestParameters",
            format!(
                "Values for request parameters are invalid: kind. '{given}' is not one of {}.",
                KINDS.join(", ")
            ),
        ));
    };
    let premium_only = matches!(*kind, "BlockBlobStorage" | "FileStorage");
    if premium_only && tier != "Premium" {
        return Err(ArmError::bad_request(
            "InvalidAccountType",
            format!("The account kind {kind} needs a premium SKU; {sku} is none."),
        ));
    }
    made.kind = Some((*kind).to_owned());
    Ok(())
}

/// The services that an account of this kind has.
fn services(kind: &str, premium: bool) -> &'static [&'static str] {
    match kind {
        "FileStorage" => &["file"],
        "BlobStorage" => &["blob", "dfs", "table"],
        "BlockBlobStorage" => &["blob", "dfs", "web"],
        _ if premium => &["blob", "web"],
        "Storage" => &["blob", "queue", "table", "file"],
        _ => &["dfs", "web", "blob", "queue", "table", "file"],
    }
}

fn fill(ctx: &Ctx, made: &mut Resource, old: Option<&Value>) {
    let now = ctx.clock.now().to_string();
    let kind = made.kind.clone().unwrap_or_default();
    let sku = made.sku.as_ref().and_then(|sku| text(sku, "/name")).unwrap_or_default().to_owned();
    let created = old.and_then(|old| text(old, "/creationTime")).unwrap_or(&now).to_owned();
    let p = &mut made.properties;
    if kind != "Storage" && kind != "FileStorage" {
        default(p, &["accessTier"], if sku.starts_with("Premium") { "Premium" } else { "Hot" });
    }
    default(p, &["supportsHttpsTrafficOnly"], true);
    default(p, &["minimumTlsVersion"], "TLS1_0");
    default(p, &["allowBlobPublicAccess"], false);
    default(p, &["networkAcls", "bypass"], "AzureServices");
    default(p, &["networkAcls", "defaultAction"], "Allow");
    for name in ["virtualNetworkRules", "ipRules", "ipv6Rules"] {
        default(p, &["networkAcls", name], json!([]));
    }
    default(p, &["encryption", "keySource"], "Microsoft.Storage");
    for service in ["blob", "file"] {
        let at = ["encryption", "services", service];
        default(p, &[at[0], at[1], at[2], "enabled"], true);
        default(p, &[at[0], at[1], at[2], "keyType"], "Account");
        set(p, &[at[0], at[1], at[2], "lastEnabledTime"], created.clone());
    }
    let suffix = &ctx.cloud.storage_suffix;
    let place = made.location.clone().unwrap_or_default();
    let endpoints: serde_json::Map<String, Value> = services(&kind, sku.starts_with("Premium"))
        .iter()
        .map(|service| {
            let zone = if *service == "web" { "z13.web" } else { service };
            ((*service).to_owned(), json!(format!("https://{}.{zone}.{suffix}/", made.name)))
        })
        .collect();
    set(p, &["primaryEndpoints"], Value::Object(endpoints));
    set(p, &["primaryLocation"], place);
    set(p, &["statusOfPrimary"], "available");
    set(p, &["creationTime"], created.clone());
    default(p, &["keyCreationTime"], json!({"key1": created, "key2": created}));
    set(p, &["privateEndpointConnections"], json!([]));
    set(p, &["provisioningState"], "Succeeded");
    if let Some(map) = p.as_object_mut() {
        map.retain(|_, value| !value.is_null());
    }
}

fn check_fixed(made: &Resource, existing: &Resource) -> Result<(), ArmError> {
    let fixed = ["isHnsEnabled", "isNfsV3Enabled"];
    for name in fixed {
        let at = |r: &Resource| r.properties.get(name).and_then(Value::as_bool).unwrap_or(false);
        if at(made) != at(existing) {
            return Err(ArmError::conflict(
                "AccountPropertyCannotBeUpdated",
                format!(
                    "The property '{name}' was specified in the input, but it cannot be updated as it is read-only."
                ),
            ));
        }
    }
    let upgrade = existing.kind.as_deref() == Some("Storage") && made.kind.as_deref() == Some("StorageV2");
    if made.kind != existing.kind && !upgrade {
        return Err(ArmError::conflict(
            "AccountPropertyCannotBeUpdated",
            "The property 'kind' was specified in the input, but it cannot be updated as it is read-only.",
        ));
    }
    Ok(())
}

fn shown(pair: &Pair) -> Value {
    let one = |name: &str, key: &secrets::Key| json!({"creationTime": key.created, "keyName": name, "value": key.value, "permissions": "FULL"});
    json!({"keys": [one("key1", &pair.first), one("key2", &pair.second)]})
}

#[async_trait]
impl ResourceType for Accounts {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor {
            identity: true,
            created: StatusCode::OK,
            delete_rank: 70,
            ..TypeDescriptor::new(ACCOUNTS, API_VERSIONS)
        }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        free(ctx, request.id.name(), Some(request.id))?;
        let mut made = request.resource();
        check_shape(&mut made)?;
        if let Some(existing) = request.existing {
            check_fixed(&made, existing)?;
            if let (None, Some(times)) =
                (made.properties.get("keyCreationTime"), existing.properties.get("keyCreationTime"))
            {
                set(&mut made.properties, &["keyCreationTime"], times.clone());
            }
        } else {
            remove(&mut made.properties, &["keyCreationTime"]);
            secrets::forget(&keys(ctx), request.id).await?;
        }
        fill(ctx, &mut made, request.existing.map(|existing| &existing.properties));
        Ok(Written::Done(made))
    }

    async fn delete(&self, ctx: &Ctx, existing: &Resource) -> Result<Deleted, ArmError> {
        secrets::forget(&keys(ctx), &existing.id).await?;
        Ok(Deleted::Done)
    }

    async fn action(
        &self,
        ctx: &Ctx,
        existing: &Resource,
        name: &str,
        body: Value,
    ) -> Result<Acted, ArmError> {
        if existing.properties["allowSharedKeyAccess"] == json!(false)
            && name.to_ascii_lowercase().contains("sas")
        {
            return Err(ArmError::conflict(
                "KeyBasedAuthenticationNotPermitted",
                "Key based authentication is not permitted on this storage account.",
            ));
        }
        match name.to_ascii_lowercase().as_str() {
            "listkeys" => Ok(Acted::Done(Some(shown(&secrets::of(ctx, &keys(ctx), &existing.id).await?)))),
            "regeneratekey" => {
                let second = match body["keyName"].as_str().map(str::to_ascii_lowercase).as_deref() {
                    Some("key1") => false,
                    Some("key2") => true,
                    _ => {
                        return Err(ArmError::bad_request(
                            "InvalidValuesForRequestParameters",
                            "Values for request parameters are invalid: keyName. It is key1 or key2.",
                        ));
                    }
                };
                let pair = secrets::renew(ctx, &keys(ctx), &existing.id, second).await?;
                let times = json!({"key1": pair.first.created, "key2": pair.second.created});
                ctx.resources
                    .modify(&existing.id, |account| {
                        set(&mut account.properties, &["keyCreationTime"], times);
                        true
                    })
                    .await?;
                Ok(Acted::Done(Some(shown(&pair))))
            }
            _ => Err(ArmError::not_implemented(format_args!("The action '{ACCOUNTS}/{name}'"))),
        }
    }
}
