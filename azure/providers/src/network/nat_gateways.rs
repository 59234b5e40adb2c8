//! `natGateways`: an outbound address for the subnets that name it.

use arm::{ArmError, Ctx, Deleted, Put, Resource, ResourceId, ResourceType, TypeDescriptor, Written};
use async_trait::async_trait;
use serde_json::{Value, json};

use super::{API_VERSIONS, require, seal, uses};
use crate::json::{default, list, number, remove, set, text};

const IDLE_MINUTES: std::ops::RangeInclusive<i64> = 4..=120;

/// `Microsoft.Network/natGateways`.
pub struct NatGateways;

#[async_trait]
impl ResourceType for NatGateways {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor {
            etag: Some("etag"),
            delete_rank: 85,
            ..TypeDescriptor::new("Microsoft.Network/natGateways", API_VERSIONS)
        }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let mut gateway = request.resource();
        remove(&mut gateway.properties, &["subnets"]);
        for member in ["/publicIpAddresses", "/publicIpPrefixes"] {
            for address in list(&gateway.properties, member) {
                let id = ResourceId::parse(text(address, "/id").unwrap_or_default())?;
                require(&ctx.resources, request.id, &id)?;
                let Some((_, user)) = uses::of_public_ip(&ctx.resources, &id) else { continue };
                if !user.eq_ignore_ascii_case(&request.id.to_string()) {
                    return Err(ArmError::bad_request(
                        "PublicIPAddressInUse",
                        format!(
                            "Resource {} is referencing public IP address {id} that is already allocated to resource {user}.",
                            request.id
                        ),
                    ));
                }
            }
        }
        default(&mut gateway.properties, &["idleTimeoutInMinutes"], 4);
        let idle = number(&gateway.properties, "/idleTimeoutInMinutes").unwrap_or(0);
        if !IDLE_MINUTES.contains(&idle) {
            return Err(ArmError::bad_request(
                "NatGatewayInvalidIdleTimeout",
                format!(
                    "The idle timeout {idle} of NAT gateway {} is not between 4 and 120 minutes.",
                    request.id
                ),
            ));
        }
        gateway.sku.get_or_insert_with(|| json!({ "name": "Standard" }));
        seal(&mut gateway, request.existing);
        Ok(Written::Done(gateway))
    }

    async fn delete(&self, ctx: &Ctx, existing: &Resource) -> Result<Deleted, ArmError> {
        let subnets = uses::subnets_with(&ctx.resources, "/natGateway/id", &existing.id);
        let Some(subnet) = subnets.first() else { return Ok(Deleted::Done) };
        Err(ArmError::bad_request(
            "InUseNatGatewayCannotBeDeleted",
            format!(
                "Nat Gateway {} is in use by {} and cannot be deleted.",
                existing.id,
                subnet["id"].as_str().unwrap_or_default()
            ),
        ))
    }

    fn present(&self, ctx: &Ctx, resource: &Resource) -> Value {
        let mut shown = resource.to_json();
        let subnets = uses::subnets_with(&ctx.resources, "/natGateway/id", &resource.id);
        if !subnets.is_empty() {
            set(&mut shown, &["properties", "subnets"], subnets);
        }
        shown
    }
}
