//! `virtualNetworkPeerings`: each side is a resource of its own; packets flow when both are there.
//!
//! ```text
//! (none) ──PUT here──▶ Initiated ──PUT there──▶ Connected ──DELETE there──▶ Disconnected ──DELETE here──▶ (none)
//! ```

use arm::{
    ArmError, Ctx, Deleted, Put, Resource, ResourceId, ResourceType, Resources, TypeDescriptor, Written,
};
use async_trait::async_trait;
use ipnet::Ipv4Net;
use serde_json::{Value, json};

use super::{API_VERSIONS, reference, require, virtual_networks};
use crate::addresses::overlap;
use crate::json::{default, remove, set, text};

/// `Microsoft.Network/virtualNetworks/virtualNetworkPeerings`.
pub struct Peerings;

/// Its full type.
pub const TYPE: &str = "Microsoft.Network/virtualNetworks/virtualNetworkPeerings";

/// The network at the other end.
pub fn remote(peering: &Resource) -> Option<ResourceId> {
    reference(&peering.properties, "/remoteVirtualNetwork/id").ok().flatten()
}

/// The peering of `from` that leads to `to`.
fn between(resources: &Resources, from: &ResourceId, to: &ResourceId) -> Option<std::sync::Arc<Resource>> {
    resources.list_type(from, TYPE).into_iter().find(|p| remote(p).as_ref() == Some(to))
}

fn state(peering: &Resource) -> &str {
    text(&peering.properties, "/peeringState").unwrap_or_default()
}

fn overlapping(ours: &[Ipv4Net], theirs: &[Ipv4Net]) -> Vec<String> {
    theirs.iter().filter(|t| ours.iter().any(|o| overlap(o, t))).map(ToString::to_string).collect()
}

fn space(network: &Resource) -> Vec<Ipv4Net> {
    virtual_networks::prefixes(&network.properties)
}

/// Refuses address spaces that overlap each other or what the other side is peered with already.
fn check_spaces(
    resources: &Resources,
    id: &ResourceId,
    network: &Resource,
    other: &Resource,
) -> Result<(), ArmError> {
    let begin = format!(
        "Cannot create or update peering {id}. Virtual networks {} and {} cannot be peered because",
        network.id, other.id
    );
    let end = "For more information please refer to https://aka.ms/VnetPeeringInfo";
    let direct = overlapping(&space(network), &space(other));
    if !direct.is_empty() {
        return Err(ArmError::bad_request(
            "VnetAddressSpacesOverlap",
            format!(
                "{begin} their address spaces overlap. Overlapping address prefixes: {}. {end}",
                direct.join(", ")
            ),
        ));
    }
    for theirs in resources.list_type(&other.id, TYPE) {
        let Some(third) = remote(&theirs).filter(|third| *third != network.id) else { continue };
        let Some(third) = resources.get(&third) else { continue };
        let shared = overlapping(&space(network), &space(&third));
        if !shared.is_empty() {
            return Err(ArmError::bad_request(
                "VnetAddressSpaceOverlapsWithAlreadyPeeredVnet",
                format!(
                    "{begin} address space of the first virtual network overlaps with address space of virtual \
                     network {} already peered with the second virtual network. Overlapping address prefixes: {}. \
                     {end}",
                    third.id,
                    shared.join(", ")
                ),
            ));
        }
    }
    Ok(())
}

/// What a peering must know of its network and the other one.
fn ends(ctx: &Ctx, id: &ResourceId, properties: &Value) -> Result<(Resource, Resource), ArmError> {
    let own = id.top();
    let network = ctx.resources.get(&own).ok_or_else(|| ArmError::parent_not_found(id))?;
    let other = reference(properties, "/remoteVirtualNetwork/id")?.ok_or_else(|| {
        ArmError::bad_request(
            "InvalidRequestFormat",
            "Cannot parse the request: required property 'remoteVirtualNetwork' is missing.",
        )
    })?;
    if other == own {
        return Err(ArmError::bad_request(
            "VnetCannotBePeeredWithItself",
            format!(
                "Peering {id} cannot be created because virtual network {own} cannot be peered with itself."
            ),
        ));
    }
    require(&ctx.resources, id, &other)?;
    let other = ctx.resources.get(&other).ok_or_else(|| ArmError::resource_not_found(&other))?;
    Ok(((*network).clone(), (*other).clone()))
}

/// Refuses what contradicts the peerings that are there.
fn check(
    ctx: &Ctx,
    id: &ResourceId,
    network: &Resource,
    other: &Resource,
    existing: Option<&Resource>,
) -> Result<(), ArmError> {
    if let Some(old) = existing.and_then(remote)
        && old != other.id
    {
        return Err(ArmError::bad_request(
            "ChangingRemoteVirtualNetworkNotAllowed",
            format!(
                "Changing remote virtual network of peering {id} from {old} to {} is not allowed.",
                other.id
            ),
        ));
    }
    if let Some(twin) = between(&ctx.resources, &network.id, &other.id).filter(|twin| twin.id != *id) {
        return Err(ArmError::bad_request(
            "AnotherPeeringAlreadyReferencesRemoteVnet",
            format!(
                "Peering {id} cannot be created because virtual network {} already has peering {} that references \
                 virtual network {}.",
                network.id, twin.id, other.id
            ),
        ));
    }
    check_spaces(&ctx.resources, id, network, other)?;
    let back = between(&ctx.resources, &other.id, &network.id);
    if let Some(back) = back.as_deref().filter(|back| state(back) == "Disconnected" && existing.is_none()) {
        return Err(ArmError::bad_request(
            "RemotePeeringIsDisconnected",
            format!(
                "Cannot create or update peering {id} because remote peering {} referencing parent virtual network \
                 {} is in Disconnected state. Update or re-create the remote peering to get it back to Initiated \
                 state. Peering gets Disconnected when remote vnet or remote peering is deleted and re-created.",
                back.id, network.id
            ),
        ));
    }
    Ok(())
}

/// Azure's defaults; gateways are not there.
fn fill(id: &ResourceId, properties: &mut Value, other: &Resource) -> Result<(), ArmError> {
    for (member, otherwise) in [
        ("allowVirtualNetworkAccess", true),
        ("allowForwardedTraffic", false),
        ("allowGatewayTransit", false),
        ("useRemoteGateways", false),
        ("doNotVerifyRemoteGateways", false),
        ("peerCompleteVnets", true),
    ] {
        default(properties, &[member], otherwise);
    }
    if properties.get("useRemoteGateways").and_then(Value::as_bool) != Some(true) {
        return Ok(());
    }
    Err(ArmError::bad_request(
        "RemoteVnetHasNoGateways",
        format!(
            "Peering {id} cannot have UseRemoteGateways flag set to true, because remote virtual network {} \
             referenced by the peering does not have any gateways.",
            other.id
        ),
    ))
}

/// Makes the peering that a client describes, and connects the other side when it is there.
pub async fn shape(
    ctx: &Ctx,
    id: &ResourceId,
    mut properties: Value,
    existing: Option<&Resource>,
) -> Result<Resource, ArmError> {
    for computed in
        ["peeringState", "peeringSyncLevel", "remoteVirtualNetworkAddressSpace", "provisioningState"]
    {
        remove(&mut properties, &[computed]);
    }
    let (network, other) = ends(ctx, id, &properties)?;
    check(ctx, id, &network, &other, existing)?;
    fill(id, &mut properties, &other)?;
    let back = between(&ctx.resources, &other.id, &network.id);
    let sync = ctx.query("syncremoteaddressspace").is_some_and(|sync| sync.eq_ignore_ascii_case("true"));
    let kept = existing.and_then(|e| e.properties.get("remoteAddressSpace").cloned()).filter(|_| !sync);
    let current = json!({ "addressPrefixes": space(&other) });
    set(&mut properties, &["remoteAddressSpace"], kept.unwrap_or(current));
    set(&mut properties, &["provisioningState"], "Succeeded");
    set(&mut properties, &["peeringState"], if back.is_some() { "Connected" } else { "Initiated" });
    if let Some(guid) = existing.and_then(|e| text(&e.properties, "/resourceGuid")) {
        set(&mut properties, &["resourceGuid"], guid);
    }
    default(&mut properties, &["resourceGuid"], uuid::Uuid::new_v4().to_string());
    if let Some(back) = back {
        set_state(&ctx.resources, &back.id, "Connected").await?;
    }
    let mut peering = existing.cloned().unwrap_or_else(|| Resource::new(id.clone()));
    peering.properties = properties;
    Ok(peering)
}

async fn set_state(resources: &Resources, id: &ResourceId, state: &str) -> Result<(), ArmError> {
    resources
        .modify(id, |peering| {
            let news = text(&peering.properties, "/peeringState") != Some(state);
            set(&mut peering.properties, &["peeringState"], state);
            news
        })
        .await?;
    Ok(())
}

/// The other side of a peering that goes loses its connection.
pub async fn disconnect(resources: &Resources, peering: &Resource) -> Result<(), ArmError> {
    let Some(other) = remote(peering) else { return Ok(()) };
    match between(resources, &other, &peering.id.top()) {
        Some(back) => set_state(resources, &back.id, "Disconnected").await,
        None => Ok(()),
    }
}

/// A peering's properties as they are shown.
pub fn properties(resources: &Resources, peering: &Resource) -> Value {
    let mut shown = peering.properties.clone();
    let known = virtual_networks::prefixes(&json!({ "addressSpace": shown["remoteAddressSpace"] }));
    let other = remote(peering).and_then(|id| resources.get(&id));
    let current = other.as_deref().map(space).unwrap_or_else(|| known.clone());
    let remote_in_sync = known == current;
    let local_in_sync = other.as_deref().is_none_or(|other| {
        let own = resources.get(&peering.id.top()).as_deref().map(space).unwrap_or_default();
        between(resources, &other.id, &peering.id.top()).is_none_or(|back| {
            virtual_networks::prefixes(&json!({ "addressSpace": back.properties["remoteAddressSpace"] }))
                == own
        })
    });
    let level = match (local_in_sync, remote_in_sync) {
        (true, true) => "FullyInSync",
        (true, false) => "RemoteNotInSync",
        (false, true) => "LocalNotInSync",
        (false, false) => "LocalAndRemoteNotInSync",
    };
    set(&mut shown, &["peeringSyncLevel"], level);
    set(&mut shown, &["remoteVirtualNetworkAddressSpace"], json!({ "addressPrefixes": current }));
    shown
}

#[async_trait]
impl ResourceType for Peerings {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor { etag: Some("etag"), ..TypeDescriptor::new(TYPE, API_VERSIONS) }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let properties = request.properties().clone();
        Ok(Written::Done(shape(ctx, request.id, properties, request.existing).await?))
    }

    async fn delete(&self, ctx: &Ctx, existing: &Resource) -> Result<Deleted, ArmError> {
        disconnect(&ctx.resources, existing).await?;
        Ok(Deleted::Done)
    }

    fn present(&self, ctx: &Ctx, resource: &Resource) -> Value {
        let mut shown = resource.to_json();
        set(&mut shown, &["properties"], properties(&ctx.resources, resource));
        shown
    }
}
