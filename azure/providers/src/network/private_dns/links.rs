//! `virtualNetworkLinks`: the networks a zone answers in, with or without entering their machines.

use arm::{ArmError, Ctx, Deleted, Put, Resource, ResourceType, TypeDescriptor, Written};
use async_trait::async_trait;

use super::{API_VERSIONS, LINKS};
use crate::json::{default, flag, set, text};
use crate::network::{reference, require, uses};

/// `Microsoft.Network/privateDnsZones/virtualNetworkLinks`.
pub struct Links;

const POLICIES: [&str; 2] = ["Default", "NxDomainRedirect"];

/// Refuses links that contradict others: one registration per network, one zone of a name, one link to a network.
fn check(ctx: &Ctx, link: &Resource) -> Result<(), ArmError> {
    let network = reference(&link.properties, "/virtualNetwork/id")?.ok_or_else(|| {
        ArmError::bad_request(
            "BadRequest",
            "The virtual network of a virtual network link must be specified.",
        )
    })?;
    require(&ctx.resources, &link.id, &network)?;
    for other in uses::all(&ctx.resources, LINKS) {
        if other.id == link.id || !uses::is(&other.properties, "/virtualNetwork/id", &network) {
            continue;
        }
        let (zone, other_zone) = (link.id.top(), other.id.top());
        if other_zone == zone {
            return Err(ArmError::conflict(
                "Conflict",
                format!(
                    "A virtual network link already exists for the virtual network '{network}' in the zone '{}': '{}'.",
                    zone.name(),
                    other.name
                ),
            ));
        }
        if other_zone.name().eq_ignore_ascii_case(zone.name()) {
            return Err(ArmError::bad_request(
                "BadRequest",
                format!(
                    "A virtual network cannot be linked to multiple zones with overlapping namespaces. You tried to \
                     link virtual network with '{}' and '{}' zones.",
                    zone.name(),
                    other_zone.name()
                ),
            ));
        }
        if flag(&link.properties, "/registrationEnabled") && flag(&other.properties, "/registrationEnabled") {
            return Err(ArmError::bad_request(
                "BadRequest",
                format!(
                    "A virtual network can only be linked to 1 Private DNS zone with auto-registration enabled; \
                     '{network}' registers in '{}' already.",
                    other_zone.name()
                ),
            ));
        }
    }
    Ok(())
}

#[async_trait]
impl ResourceType for Links {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor {
            etag: Some("etag"),
            tracked: true,
            global: true,
            delete_rank: 20,
            ..TypeDescriptor::new(LINKS, API_VERSIONS)
        }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let mut link = request.resource();
        check(ctx, &link)?;
        let network = reference(&link.properties, "/virtualNetwork/id")?;
        if let Some(old) = request.existing
            && reference(&old.properties, "/virtualNetwork/id")? != network
        {
            return Err(ArmError::bad_request(
                "BadRequest",
                "The virtual network of an existing virtual network link cannot be changed.",
            ));
        }
        default(&mut link.properties, &["registrationEnabled"], false);
        default(&mut link.properties, &["resolutionPolicy"], "Default");
        let policy = text(&link.properties, "/resolutionPolicy").unwrap_or_default();
        if !POLICIES.iter().any(|known| known.eq_ignore_ascii_case(policy)) {
            return Err(ArmError::bad_request(
                "BadRequest",
                format!("The resolution policy '{policy}' is invalid. Allowed: {}.", POLICIES.join(", ")),
            ));
        }
        set(&mut link.properties, &["virtualNetworkLinkState"], "Completed");
        set(&mut link.properties, &["provisioningState"], "Succeeded");
        Ok(Written::Done(link))
    }

    async fn delete(&self, _: &Ctx, _: &Resource) -> Result<Deleted, ArmError> {
        Ok(Deleted::Done)
    }
}
