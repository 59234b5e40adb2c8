//! `publicIPPrefixes`: blocks of addresses that stay together, from 20.3.0.0/16.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use arm::{
    ArmError, Ctx, Deleted, Put, Resource, ResourceId, ResourceType, Resources, TypeDescriptor, Written,
};
use async_trait::async_trait;
use ipnet::Ipv4Net;
use serde_json::{Value, json};

use super::{API_VERSIONS, seal, uses};
use crate::addresses::next_block;
use crate::json::{default, list, number, remove, set, text};

/// Where blocks come from.
pub const RANGE: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(20, 3, 0, 0), 16);

/// Its full type.
pub const TYPE: &str = "Microsoft.Network/publicIPPrefixes";
/// Lengths that Azure gives.
const LENGTHS: std::ops::RangeInclusive<i64> = 21..=31;
/// The smallest block; every block is made of such.
const UNIT: u8 = 31;

/// `Microsoft.Network/publicIPPrefixes`.
pub struct PublicPrefixes {
    /// Held from the choice of a block until it is in the store.
    giving: tokio::sync::Mutex<()>,
}

impl PublicPrefixes {
    pub(super) fn new() -> Self {
        Self { giving: tokio::sync::Mutex::new(()) }
    }
}

/// The block of a prefix.
pub fn block(prefix: &Resource) -> Option<Ipv4Net> {
    text(&prefix.properties, "/ipPrefix")?.parse().ok()
}

/// Every address of a prefix: as on Azure none is kept back.
pub fn addresses(prefix: &Resource) -> Vec<Ipv4Addr> {
    let Some(block) = block(prefix) else { return Vec::new() };
    (u32::from(block.network())..=u32::from(block.broadcast())).map(Ipv4Addr::from).collect()
}

/// Public addresses that were taken from a prefix.
fn members(resources: &Resources, prefix: &ResourceId) -> Vec<String> {
    uses::all(resources, super::public_ips::TYPE)
        .iter()
        .filter(|address| uses::is(&address.properties, "/publicIPPrefix/id", prefix))
        .map(|address| address.id.to_string())
        .collect()
}

fn gateway(resources: &Resources, prefix: &ResourceId) -> Option<String> {
    uses::all(resources, "Microsoft.Network/natGateways")
        .iter()
        .find(|g| list(&g.properties, "/publicIpPrefixes").iter().any(|p| uses::is(p, "/id", prefix)))
        .map(|gateway| gateway.id.to_string())
}

#[async_trait]
impl ResourceType for PublicPrefixes {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor { etag: Some("etag"), delete_rank: 92, ..TypeDescriptor::new(TYPE, API_VERSIONS) }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let mut prefix = request.resource();
        for computed in ["ipPrefix", "publicIPAddresses", "natGateway", "loadBalancerFrontendIpConfiguration"]
        {
            remove(&mut prefix.properties, &[computed]);
        }
        prefix.sku.get_or_insert_with(|| json!({ "name": "Standard", "tier": "Regional" }));
        if let Some(sku) = &mut prefix.sku {
            default(sku, &["name"], "Standard");
            default(sku, &["tier"], "Regional");
        }
        default(&mut prefix.properties, &["publicIPAddressVersion"], "IPv4");
        default(&mut prefix.properties, &["ipTags"], json!([]));
        if text(&prefix.properties, "/publicIPAddressVersion") != Some("IPv4") {
            return Err(ArmError::not_implemented("A public IP prefix of another version than IPv4"));
        }
        let length = number(&prefix.properties, "/prefixLength").unwrap_or(28);
        if !LENGTHS.contains(&length) {
            return Err(ArmError::bad_request(
                "PublicIpPrefixInvalidPrefixLength",
                format!("Public IP prefix {} has the invalid prefix length {length}.", request.id),
            ));
        }
        set(&mut prefix.properties, &["prefixLength"], length);
        seal(&mut prefix, request.existing);
        if let Some(old) = request.existing {
            if number(&old.properties, "/prefixLength") != Some(length) {
                return Err(ArmError::bad_request(
                    "PublicIpPrefixLengthCannotBeChanged",
                    format!("The prefix length of public IP prefix {} cannot be changed.", request.id),
                ));
            }
            if let Some(block) = old.properties.get("ipPrefix") {
                set(&mut prefix.properties, &["ipPrefix"], block.clone());
            }
            return Ok(Written::Done(prefix));
        }
        let _turn = self.giving.lock().await;
        let mut taken: BTreeSet<Ipv4Net> = BTreeSet::new();
        let length = u8::try_from(length).unwrap_or(UNIT);
        for other in uses::all(&ctx.resources, TYPE).iter().filter_map(|other| block(other)) {
            // Whoever shares an address with another block is taken, whatever its length.
            match other.prefix_len() >= length {
                true => taken.extend(around(other, length)),
                false => taken.extend(other.subnets(length).into_iter().flatten()),
            }
        }
        let given = next_block(RANGE, length, &taken).ok_or_else(|| {
            ArmError::bad_request(
                "PublicIPPrefixCountLimitReached",
                "Cannot create more public IP prefixes: the range of this cloud is used up.",
            )
        })?;
        set(&mut prefix.properties, &["ipPrefix"], given.to_string());
        // Stored here, inside the turn: the framework stores only after this returns.
        Ok(Written::Done(ctx.resources.save(prefix).await?))
    }

    async fn delete(&self, ctx: &Ctx, existing: &Resource) -> Result<Deleted, ArmError> {
        let user = members(&ctx.resources, &existing.id).into_iter().next();
        let Some(user) = user.or_else(|| gateway(&ctx.resources, &existing.id)) else {
            return Ok(Deleted::Done);
        };
        Err(ArmError::bad_request(
            "InUsePublicIpPrefixCannotBeDeleted",
            format!("Public IP prefix {} is in use by {user} and cannot be deleted.", existing.id),
        ))
    }

    fn present(&self, ctx: &Ctx, resource: &Resource) -> Value {
        let mut shown = resource.to_json();
        let members: Vec<Value> =
            members(&ctx.resources, &resource.id).into_iter().map(|id| json!({ "id": id })).collect();
        if !members.is_empty() {
            set(&mut shown, &["properties", "publicIPAddresses"], members);
        }
        if let Some(id) = gateway(&ctx.resources, &resource.id) {
            set(&mut shown, &["properties", "natGateway"], json!({ "id": id }));
        }
        shown
    }
}

/// The block of a length that holds another one.
fn around(block: Ipv4Net, length: u8) -> Option<Ipv4Net> {
    Ipv4Net::new(block.network(), length).ok().map(|net| net.trunc())
}
