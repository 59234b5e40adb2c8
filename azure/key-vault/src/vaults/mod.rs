//! `Microsoft.KeyVault/vaults` and `locations/deletedVaults`.
//!
//! A vault's name is the whole cloud's. A deleted one keeps its name and contents until it is recovered or purged.

mod calls;
mod deleted;
mod directory;
mod policies;
mod shape;

use arm::{ArmError, Ctx, Deleted, Patch, Provider, Put, Resource, ResourceType, TypeDescriptor, Written};
use async_trait::async_trait;
use http::StatusCode;
use serde_json::{Value, json};

pub(crate) use directory::{Directory, Entry, TABLE};

/// The type of a vault.
pub const VAULTS: &str = "Microsoft.KeyVault/vaults";
/// The type of a vault that was deleted and can come back.
pub(crate) const DELETED: &str = "Microsoft.KeyVault/locations/deletedVaults";

const API_VERSIONS: &[&str] = &[
    "2026-02-01",
    "2025-05-01",
    "2024-11-01",
    "2023-07-01",
    "2023-02-01",
    "2022-07-01",
    "2021-10-01",
    "2019-09-01",
    "2018-02-14",
    "2016-10-01",
    "2015-06-01",
];

/// The provider.
pub fn provider() -> Provider {
    Provider::new("Microsoft.KeyVault")
        .with(Vaults)
        .with(policies::Policies)
        .with(deleted::DeletedVaults)
        .with_calls(calls::Calls)
}

struct Vaults;

impl Vaults {
    async fn recover(ctx: &Ctx, request: &Put<'_>, from: &Resource) -> Result<Resource, ArmError> {
        let kept = deleted::kept(from)
            .ok_or_else(|| ArmError::conflict("VaultCannotBeRecovered", "The deleted vault is not whole."))?;
        if kept.id != *request.id {
            return Err(ArmError::bad_request(
                "BadRequest",
                format!("The vault '{}' can only be recovered as '{}'.", request.id.name(), kept.id),
            ));
        }
        // The vault first: as long as it is there it counts, and what is kept of it does not (`Directory::find`). So whenever
        // the service ends, one of the two holds.
        let back = ctx.resources.save(kept).await?;
        Directory::new(ctx).retire(request.id.name(), &back.id).await?;
        ctx.resources.remove(&from.id).await?;
        Ok(back)
    }
}

#[async_trait]
impl ResourceType for Vaults {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor {
            created: StatusCode::OK,
            delete_rank: 70,
            ..TypeDescriptor::new(VAULTS, API_VERSIONS)
        }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let name = request.id.name();
        shape::check_name(name)?;
        let mode = request.properties()["createMode"].as_str().unwrap_or("default").to_ascii_lowercase();
        let directory = Directory::new(ctx);
        if request.existing.is_none() {
            match (directory.find(name)?, mode.as_str()) {
                (Some(Entry::Deleted(from)), "recover") => {
                    return Ok(Written::Done(Self::recover(ctx, &request, &from).await?));
                }
                (Some(Entry::Deleted(_)), _) => {
                    return Err(ArmError::conflict(
                        "ConflictError",
                        "A vault with the same name already exists in deleted state. You need to either recover or purge existing key vault. Follow this link https://go.microsoft.com/fwlink/?linkid=2149745 for more information on soft delete.",
                    ));
                }
                (Some(Entry::Active(_)), _) => return Err(taken(name)),
                (None, "recover") => {
                    return Err(ArmError::new(
                        StatusCode::NOT_FOUND,
                        "VaultNotFound",
                        format!("There is no deleted vault '{name}' to recover."),
                    ));
                }
                (None, _) => {}
            }
        }
        let made = shape::vault(ctx, &request)?;
        if request.existing.is_none() {
            directory.name(name, request.id).await?;
        }
        Ok(Written::Done(made))
    }

    async fn patch(&self, ctx: &Ctx, request: Patch<'_>) -> Result<Written, ArmError> {
        let mut body = request.existing.to_json();
        arm::resource::merge_patch(&mut body, &request.body);
        arm::resource::replace_tags(&mut body, &request.body);
        self.put(ctx, Put { id: request.id, body, existing: Some(request.existing) }).await
    }

    async fn delete(&self, ctx: &Ctx, existing: &Resource) -> Result<Deleted, ArmError> {
        deleted::keep(ctx, existing).await?;
        Ok(Deleted::Done)
    }
}

fn taken(name: &str) -> ArmError {
    ArmError::conflict(
        "VaultAlreadyExists",
        format!(
            "The vault name '{name}' is already in use. Vault names are globally unique so it is possible that the name is already taken. If you are sure that the vault name was not taken then it is possible that a vault with the same name was recently deleted but not purged after being placed in a recoverable state. If the vault is in a recoverable state then the vault will need to be purged before reusing the name. For more information about VaultAlreadyExists, soft delete and purging a vault follow this link https://go.microsoft.com/fwlink/?linkid=2147740."
        ),
    )
}

/// `{"value": […]}` of what the callers lists.
fn collection(list: Vec<Value>) -> Value {
    json!({ "value": list })
}
