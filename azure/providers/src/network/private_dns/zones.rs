//! The zones themselves.

use arm::{Acted, ArmError, Ctx, Deleted, Put, Resource, ResourceId, ResourceType, TypeDescriptor, Written};
use async_trait::async_trait;
use serde_json::{Value, json};

use super::{API_VERSIONS, LINKS, ZONES, records};
use crate::json::{default, flag, set, text};
use crate::network::seal;

/// `Microsoft.Network/privateDnsZones`.
pub struct Zones;

const RECORD_SETS_MAX: u32 = 25_000;
const LINKS_MAX: u32 = 1_000;
const REGISTERING_LINKS_MAX: u32 = 100;
/// Labels of a zone's name: at least two, at most 34.
const LABELS: std::ops::RangeInclusive<usize> = 2..=34;

fn check_name(id: &ResourceId) -> Result<(), ArmError> {
    let name = id.name();
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if LABELS.contains(&name.split('.').count()) && name.len() <= 253 && name.split('.').all(label) {
        return Ok(());
    }
    Err(ArmError::bad_request("BadRequest", format!("The zone name '{name}' is invalid.")))
}

/// The record that says who answers for a zone; made with it.
fn authority(zone: &ResourceId) -> Resource {
    let mut made = Resource::new(zone.child("SOA", "@"));
    made.properties = json!({
        "ttl": 3600,
        "soaRecord": {
            "email": "azureprivatedns-host.microsoft.com", "expireTime": 2_419_200, "host": "azureprivatedns.net",
            "minimumTtl": 10, "refreshTime": 3600, "retryTime": 300, "serialNumber": 1,
        },
    });
    made
}

#[async_trait]
impl ResourceType for Zones {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor {
            etag: Some("etag"),
            global: true,
            delete_rank: 90,
            ..TypeDescriptor::new(ZONES, API_VERSIONS)
        }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        check_name(request.id)?;
        let mut zone = request.resource();
        // Everything in it is the service's.
        zone.properties = json!({});
        seal(&mut zone, request.existing);
        if let Some(map) = zone.properties.as_object_mut() {
            map.remove("resourceGuid");
        }
        let old = request.existing.and_then(|e| text(&e.properties, "/internalId")).map(str::to_owned);
        default(
            &mut zone.properties,
            &["internalId"],
            old.unwrap_or_else(|| format!("{}", uuid::Uuid::new_v4().simple())),
        );
        let soa = authority(request.id);
        if !ctx.resources.exists(&soa.id) {
            ctx.resources.save(soa).await?;
        }
        Ok(Written::Done(zone))
    }

    async fn delete(&self, ctx: &Ctx, existing: &Resource) -> Result<Deleted, ArmError> {
        if ctx.resources.list_type(&existing.id, LINKS).is_empty() {
            return Ok(Deleted::Done);
        }
        Err(ArmError::conflict(
            "CannotDeleteResource",
            format!(
                "Can not delete resource before nested resources are deleted. The zone '{}' has virtual network links.",
                existing.name
            ),
        ))
    }

    async fn read(&self, ctx: &Ctx, existing: &Resource, path: &[String]) -> Result<Acted, ArmError> {
        match path {
            [all] if all.eq_ignore_ascii_case("ALL") => {
                let value: Vec<Value> = records::all(ctx, &existing.id);
                Ok(Acted::Done(Some(json!({ "value": value }))))
            }
            _ => Err(ArmError::not_implemented(format_args!("Reading '{ZONES}/{}'", path.join("/")))),
        }
    }

    fn present(&self, ctx: &Ctx, resource: &Resource) -> Value {
        let links = ctx.resources.list_type(&resource.id, LINKS);
        let registering = links.iter().filter(|l| flag(&l.properties, "/registrationEnabled")).count();
        let mut shown = resource.to_json();
        for (member, value) in [
            ("maxNumberOfRecordSets", json!(RECORD_SETS_MAX)),
            ("maxNumberOfVirtualNetworkLinks", json!(LINKS_MAX)),
            ("maxNumberOfVirtualNetworkLinksWithRegistration", json!(REGISTERING_LINKS_MAX)),
            ("numberOfRecordSets", json!(records::count(&ctx.resources, &resource.id))),
            ("numberOfVirtualNetworkLinks", json!(links.len())),
            ("numberOfVirtualNetworkLinksWithRegistration", json!(registering)),
        ] {
            set(&mut shown, &["properties", member], value);
        }
        shown
    }
}
