//! `Microsoft.ContainerService/snapshots`: what a pool's nodes were made from, kept to make others like them.
//!
//! Does not: keep an image. Nodes are of the image of this service's version, so a pool from a snapshot of an older one is
//! refused.

use arm::{ArmError, Ctx, Deleted, Put, Resource, ResourceId, ResourceType, TypeDescriptor, Written};
use async_trait::async_trait;
use serde_json::{Value, json};

use crate::clusters::API_VERSIONS;
use crate::fault::Fault;
use crate::json::{default, text};
use crate::pool::NODE_IMAGE;
use crate::state::{self, POOLS};

/// Full type of snapshots.
pub const SNAPSHOTS: &str = "Microsoft.ContainerService/snapshots";

const SOURCE: &str = "/creationData/sourceResourceId";

/// The type.
pub struct Snapshots;

/// The resource a body names as its source, which its writer must be allowed to read.
fn named(ctx: &Ctx, request: &Put<'_>) -> Result<Option<ResourceId>, ArmError> {
    let Some(named) = text(request.properties(), SOURCE) else { return Ok(None) };
    let id = ResourceId::parse(named)?;
    let kind = id.resource_type();
    let write = format!("{}/write", request.id.resource_type());
    ctx.authorize_linked(&write, request.id, &format!("{kind}/read"), &id)?;
    Ok(Some(id))
}

fn source(ctx: &Ctx, id: Option<ResourceId>) -> Result<std::sync::Arc<Resource>, ArmError> {
    let property = "creationData.sourceResourceId";
    let id = id.ok_or_else(|| Fault::parameter(property, "it is missing"))?;
    if !id.resource_type().eq_ignore_ascii_case(POOLS) {
        return Err(Fault::parameter(property, format!("'{id}' is no agent pool")).into());
    }
    let found = ctx.resources.get(&id).ok_or_else(|| ArmError::resource_not_found(&id))?;
    Ok(found)
}

#[async_trait]
impl ResourceType for Snapshots {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor { etag: Some("etag"), ..TypeDescriptor::new(SNAPSHOTS, API_VERSIONS) }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let named = named(ctx, &request)?;
        let mut made = request.resource();
        if let Some(existing) = request.existing {
            // A snapshot is what it was taken of: only its tags change.
            let (new, old) = (text(request.properties(), SOURCE), text(&existing.properties, SOURCE));
            if new.zip(old).is_some_and(|(new, old)| !new.eq_ignore_ascii_case(old)) {
                return Err(Fault::immutable("properties.creationData.sourceResourceId").into());
            }
            made.properties = existing.properties.clone();
            return Ok(Written::Done(made));
        }
        let pool = source(ctx, named)?;
        made.properties = json!({
            "creationData": { "sourceResourceId": pool.id },
            "snapshotType": "NodePool",
            "kubernetesVersion": state::pool_version(&pool.properties),
            "nodeImageVersion": pool.properties["nodeImageVersion"],
            "osType": pool.properties["osType"],
            "osSku": pool.properties["osSKU"],
            "vmSize": pool.properties["vmSize"],
            "enableFIPS": pool.properties["enableFIPS"],
        });
        Ok(Written::Done(made))
    }

    async fn delete(&self, _: &Ctx, _: &Resource) -> Result<Deleted, ArmError> {
        Ok(Deleted::Done)
    }
}

/// A wish for a pool with what its snapshot says of version and size, if it names one.
pub(crate) fn applied(ctx: &Ctx, request: &Put<'_>) -> Result<Value, ArmError> {
    let mut wish = request.properties().clone();
    let before = request.existing.and_then(|pool| text(&pool.properties, SOURCE));
    let same = text(&wish, SOURCE).zip(before).is_some_and(|(new, old)| new.eq_ignore_ascii_case(old));
    if same {
        return Ok(wish);
    }
    let Some(id) = named(ctx, request)? else { return Ok(wish) };
    let found = ctx.resources.get(&id).filter(|found| found.kind_type.eq_ignore_ascii_case(SNAPSHOTS));
    let snapshot = found.ok_or_else(|| ArmError::resource_not_found(&id))?;
    let image = text(&snapshot.properties, "/nodeImageVersion").unwrap_or_default();
    if image != NODE_IMAGE {
        return Err(Fault::bad_request(
            "NotImplemented",
            format!(
                "Nodes of image '{image}' are not implemented by this service; its image is '{NODE_IMAGE}'."
            ),
        )
        .target("agentPoolProfile.creationData.sourceResourceId")
        .into());
    }
    for (to, from) in [("orchestratorVersion", "kubernetesVersion"), ("vmSize", "vmSize")] {
        if text(&wish, &format!("/{to}")).is_none_or(str::is_empty) {
            crate::json::remove(&mut wish, &[to]);
            default(&mut wish, &[to], snapshot.properties[from].clone());
        }
    }
    Ok(wish)
}
