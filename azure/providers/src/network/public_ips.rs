//! `publicIPAddresses`: each gets an address of 20.2.0.0/16, never one twice.
//!
//! An address is free again when its resource is gone from the store.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use arm::{ArmError, Ctx, Deleted, Put, Resource, ResourceType, TypeDescriptor, Written};
use async_trait::async_trait;
use ipnet::Ipv4Net;
use serde_json::{Value, json};

use super::{API_VERSIONS, public_ip_prefixes, reference, require, seal, uses};
use crate::addresses::next_in_range;
use crate::json::{default, number, remove, set, text};

/// Where customers' public addresses come from.
pub const RANGE: Ipv4Net = match Ipv4Net::new(Ipv4Addr::new(20, 2, 0, 0), 16) {
    Ok(net) => net,
    Err(_) => panic!("a constant range"),
};

/// Its full type.
pub const TYPE: &str = "Microsoft.Network/publicIPAddresses";

/// `Microsoft.Network/publicIPAddresses`.
pub struct PublicAddresses {
    /// Held from the choice of an address until it is in the store.
    giving: tokio::sync::Mutex<()>,
}

/// How long an idle flow may be kept.
const IDLE_TIMEOUT_MINUTES: std::ops::RangeInclusive<i64> = 4..=30;

impl PublicAddresses {
    pub(super) fn new() -> Self {
        Self { giving: tokio::sync::Mutex::new(()) }
    }
}

#[async_trait]
impl ResourceType for PublicAddresses {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor { etag: Some("etag"), delete_rank: 90, ..TypeDescriptor::new(TYPE, API_VERSIONS) }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let mut address = request.resource();
        for computed in ["ipConfiguration", "natGateway", "ipAddress"] {
            remove(&mut address.properties, &[computed]);
        }
        fill(&mut address);
        check(&address, &request)?;
        name(ctx, &mut address)?;
        seal(&mut address, request.existing);
        let block = from_prefix(ctx, &address)?;
        if let Some(old) = request.existing.and_then(|e| text(&e.properties, "/ipAddress")) {
            set(&mut address.properties, &["ipAddress"], old);
            return Ok(Written::Done(address));
        }
        let _turn = self.giving.lock().await;
        let taken: BTreeSet<Ipv4Addr> = uses::all(&ctx.resources, TYPE)
            .iter()
            .filter_map(|other| text(&other.properties, "/ipAddress")?.parse().ok())
            .collect();
        let free = match block {
            Some(block) => block.hosts().find(|address| !taken.contains(address)),
            None => next_in_range(RANGE, &taken),
        };
        let given = free.ok_or_else(|| match block {
            Some(block) => ArmError::bad_request(
                "PublicIpPrefixOutOfIpAddresses",
                format!("Public IP prefix {block} has no free address for {}.", request.id),
            ),
            None => ArmError::bad_request(
                "PublicIPCountLimitReached",
                "Cannot create more public IP addresses: the range of this cloud is used up.",
            ),
        })?;
        set(&mut address.properties, &["ipAddress"], given.to_string());
        // Stored here, inside the turn: the framework stores only after this returns.
        Ok(Written::Done(ctx.resources.save(address).await?))
    }

    async fn delete(&self, ctx: &Ctx, existing: &Resource) -> Result<Deleted, ArmError> {
        let Some((_, user)) = uses::of_public_ip(&ctx.resources, &existing.id) else {
            return Ok(Deleted::Done);
        };
        Err(ArmError::bad_request(
            "PublicIPAddressCannotBeDeleted",
            format!(
                "Public IP address {} can not be deleted since it is still allocated to resource {user}. In order to \
                 delete the public IP, disassociate/detach the Public IP address from the resource. To learn how to \
                 do this, see aka.ms/deletepublicip.",
                existing.id
            ),
        ))
    }

    fn present(&self, ctx: &Ctx, resource: &Resource) -> Value {
        let mut shown = resource.to_json();
        if let Some((member, id)) = uses::of_public_ip(&ctx.resources, &resource.id) {
            set(&mut shown, &["properties", member], json!({ "id": id }));
        }
        shown
    }
}

fn is_basic(address: &Resource) -> bool {
    address.sku.as_ref().and_then(|sku| text(sku, "/name")) == Some("Basic")
}

/// Azure's defaults for what was left out.
fn fill(address: &mut Resource) {
    if !address.sku.as_ref().is_some_and(Value::is_object) {
        address.sku = Some(json!({ "name": "Standard", "tier": "Regional" }));
    }
    if let Some(sku) = &mut address.sku {
        default(sku, &["name"], "Standard");
        default(sku, &["tier"], "Regional");
    }
    let method = if is_basic(address) { "Dynamic" } else { "Static" };
    let properties = &mut address.properties;
    default(properties, &["publicIPAllocationMethod"], method);
    default(properties, &["publicIPAddressVersion"], "IPv4");
    default(properties, &["idleTimeoutInMinutes"], 4);
    default(properties, &["ipTags"], json!([]));
    default(properties, &["ddosSettings", "protectionMode"], "VirtualNetworkInherited");
}

fn check(address: &Resource, request: &Put<'_>) -> Result<(), ArmError> {
    let in_prefix = text(&address.properties, "/publicIPPrefix/id").is_some();
    if is_basic(address) && request.existing.is_none() && in_prefix {
        return Err(ArmError::bad_request(
            "PublicIPAndPublicIPPrefixSkuMismatch",
            format!("Public IP address {} of SKU Basic cannot be taken from a prefix.", request.id),
        ));
    }
    if text(&address.properties, "/publicIPAddressVersion") != Some("IPv4") {
        return Err(ArmError::not_implemented("A public address of another version than IPv4"));
    }
    let idle = number(&address.properties, "/idleTimeoutInMinutes");
    if !idle.is_some_and(|minutes| IDLE_TIMEOUT_MINUTES.contains(&minutes)) {
        return Err(ArmError::bad_request(
            "InvalidRequestFormat",
            format!(
                "Public IP address {} has invalid Idle Timeout. The value must be between {} and {}.",
                request.id,
                IDLE_TIMEOUT_MINUTES.start(),
                IDLE_TIMEOUT_MINUTES.end()
            ),
        ));
    }
    Ok(())
}

/// The full name that a label stands for, refused when another address has it.
fn name(ctx: &Ctx, address: &mut Resource) -> Result<(), ArmError> {
    let Some(label) = text(&address.properties, "/dnsSettings/domainNameLabel") else { return Ok(()) };
    let fqdn = format!("{label}.{}.cloudapp.azure.com", address.location.as_deref().unwrap_or_default());
    let used = |other: &Resource| {
        text(&other.properties, "/dnsSettings/fqdn").is_some_and(|f| f.eq_ignore_ascii_case(&fqdn))
    };
    if uses::all(&ctx.resources, TYPE).iter().any(|other| other.id != address.id && used(other)) {
        return Err(ArmError::bad_request(
            "DnsRecordInUse",
            format!("DNS record {fqdn} is already used by another public IP."),
        ));
    }
    set(&mut address.properties, &["dnsSettings", "fqdn"], fqdn);
    Ok(())
}

/// The block of the prefix that an address shall be taken from.
fn from_prefix(ctx: &Ctx, address: &Resource) -> Result<Option<Ipv4Net>, ArmError> {
    let Some(prefix) = reference(&address.properties, "/publicIPPrefix/id")? else { return Ok(None) };
    require(&ctx.resources, &address.id, &prefix)?;
    Ok(ctx.resources.get(&prefix).as_deref().and_then(public_ip_prefixes::block))
}
