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

/// The resource a body names as its source, which its writer must be allowed to read. `written` is what the body is of.
fn named(ctx: &Ctx, written: &ResourceId, properties: &Value) -> Result<Option<ResourceId>, ArmError> {
    let Some(named) = text(properties, SOURCE) else { return Ok(None) };
    let id = ResourceId::parse(named)?;
    let kind = id.resource_type();
    let write = format!("{}/write", written.resource_type());
    ctx.authorize_linked(&write, written, &format!("{kind}/read"), &id)?;
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
        let named = named(ctx, request.id, request.properties())?;
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

/// A wish for a pool with what its snapshot says of version, system and size, if it names one. `written` is the resource
/// that is put, the pool or its cluster; `existing` the pool's properties until now.
pub(crate) fn applied(
    ctx: &Ctx,
    written: &ResourceId,
    cluster: &Resource,
    mut wish: Value,
    existing: Option<&Value>,
) -> Result<Value, ArmError> {
    let before = existing.and_then(|pool| text(pool, SOURCE));
    let same = text(&wish, SOURCE).zip(before).is_some_and(|(new, old)| new.eq_ignore_ascii_case(old));
    if same {
        return Ok(wish);
    }
    let Some(id) = named(ctx, written, &wish)? else { return Ok(wish) };
    let found = ctx.resources.get(&id).filter(|found| found.kind_type.eq_ignore_ascii_case(SNAPSHOTS));
    let snapshot = found.ok_or_else(|| ArmError::resource_not_found(&id))?;
    check_place_and_image(&snapshot, cluster)?;
    for (to, from) in FROM_SNAPSHOT {
        if text(&wish, &format!("/{to}")).is_none_or(str::is_empty) && wish[to].as_bool().is_none() {
            crate::json::remove(&mut wish, &[to]);
            default(&mut wish, &[to], snapshot.properties[from].clone());
        }
    }
    check_kind(&snapshot, &wish)?;
    Ok(wish)
}

/// What a pool takes from its snapshot unless it says otherwise: its own property and the snapshot's.
const FROM_SNAPSHOT: [(&str, &str); 5] = [
    ("orchestratorVersion", "kubernetesVersion"),
    ("vmSize", "vmSize"),
    ("osType", "osType"),
    ("osSKU", "osSku"),
    ("enableFIPS", "enableFIPS"),
];

/// The property that names the snapshot.
const TARGET: &str = "agentPoolProfile.creationData.sourceResourceId";

/// A snapshot is of its region, and its image has to be one that nodes can be made of.
fn check_place_and_image(snapshot: &Resource, cluster: &Resource) -> Result<(), Fault> {
    let place = |resource: &Resource| resource.location.clone().unwrap_or_default();
    if !place(snapshot).eq_ignore_ascii_case(&place(cluster)) {
        return Err(Fault::parameter(
            TARGET,
            format!(
                "the snapshot '{}' is in location '{}', not in the cluster's location '{}'",
                snapshot.id,
                place(snapshot),
                place(cluster)
            ),
        ));
    }
    let image = text(&snapshot.properties, "/nodeImageVersion").unwrap_or_default();
    if image == NODE_IMAGE {
        return Ok(());
    }
    let message =
        format!("Nodes of image '{image}' are not implemented by this service; its image is '{NODE_IMAGE}'.");
    Err(Fault::bad_request("NotImplemented", message).target(TARGET))
}

/// The letters of a size's series: `D` of `Standard_DS2_v2`.
fn series(size: &str) -> String {
    let bare = size.split_once('_').map_or(size, |(_, bare)| bare);
    bare.chars().take(1).collect::<String>().to_ascii_uppercase()
}

/// Images differ by system and by series of machines, so a pool is of its snapshot's.
fn check_kind(snapshot: &Resource, wish: &Value) -> Result<(), Fault> {
    let said =
        |properties: &Value, property: &str| properties[property].as_str().unwrap_or_default().to_owned();
    let (size, from) = (said(wish, "vmSize"), said(&snapshot.properties, "vmSize"));
    if series(&size) != series(&from) {
        return Err(Fault::parameter(
            "agentPoolProfile.vmSize",
            format!("'{size}' is not of the VM family of the snapshot's '{from}'"),
        ));
    }
    for (to, from) in [("osType", "osType"), ("osSKU", "osSku")] {
        let (new, old) = (said(wish, to), said(&snapshot.properties, from));
        if !new.eq_ignore_ascii_case(&old) {
            let reason = format!("'{new}' is not the snapshot's '{old}'");
            return Err(Fault::parameter(&format!("agentPoolProfile.{to}"), reason));
        }
    }
    Ok(())
}
