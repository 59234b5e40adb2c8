//! `privateDnsZoneGroups`: the endpoint's names, entered in private zones for as long as the group is there.

use arm::{ArmError, Ctx, Deleted, Put, Resource, ResourceId, ResourceType, TypeDescriptor, Written};
use async_trait::async_trait;
use serde_json::{Value, json};

use super::{ZONE_GROUPS, address, connections, target, targets};
use crate::json::{list, remove, set, text};
use crate::network::{API_VERSIONS, private_dns, reference, require};

/// `Microsoft.Network/privateEndpoints/privateDnsZoneGroups`.
pub struct ZoneGroups;

const TTL_S: u32 = 10;

/// The record set that a zone holds for an endpoint.
fn record(ctx: &Ctx, endpoint: &Resource, zone: &ResourceId) -> Option<Resource> {
    let address = address(&ctx.resources, endpoint)?;
    let suffix = format!(".{}", zone.name().to_ascii_lowercase());
    let private = connections(endpoint)
        .filter_map(|c| targets::names(&target(c)?, text(c, "/properties/groupIds/0")?))
        .find(|names| names.private.ends_with(&suffix))?
        .private;
    let mut set = Resource::new(zone.child("A", private.strip_suffix(&suffix)?));
    set.properties = json!({
        "ttl": TTL_S, "aRecords": [{ "ipv4Address": address }],
        "metadata": { "creator": format!("created by private endpoint {} with resource guid {}", endpoint.name,
            text(&endpoint.properties, "/resourceGuid").unwrap_or_default()) },
    });
    Some(set)
}

fn zones(group: &Resource) -> Vec<ResourceId> {
    list(&group.properties, "/privateDnsZoneConfigs")
        .iter()
        .filter_map(|c| reference(c, "/properties/privateDnsZoneId").ok().flatten())
        .collect()
}

async fn withdraw(ctx: &Ctx, endpoint: &Resource, zones: &[ResourceId]) -> Result<(), ArmError> {
    for zone in zones {
        let Some(set) = record(ctx, endpoint, zone) else { continue };
        let own = ctx.resources.get(&set.id).is_some_and(|old| old.properties == set.properties);
        if own {
            ctx.resources.remove(&set.id).await?;
        }
    }
    Ok(())
}

/// Takes every record of an endpoint out of its zones.
pub(super) async fn forget(ctx: &Ctx, endpoint: &Resource) -> Result<(), ArmError> {
    for group in ctx.resources.list_type(&endpoint.id, ZONE_GROUPS) {
        withdraw(ctx, endpoint, &zones(&group)).await?;
    }
    Ok(())
}

#[async_trait]
impl ResourceType for ZoneGroups {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor { etag: Some("etag"), ..TypeDescriptor::new(ZONE_GROUPS, API_VERSIONS) }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let parent = request.id.top();
        let endpoint = ctx.resources.get(&parent).ok_or_else(|| ArmError::parent_not_found(request.id))?;
        let mut group = request.resource();
        let Some(Value::Array(mut configurations)) =
            remove(&mut group.properties, &["privateDnsZoneConfigs"])
        else {
            return Err(ArmError::bad_request(
                "PrivateDnsZoneConfigsAreMissing",
                format!("Private DNS zone group {} must have zone configurations.", request.id),
            ));
        };
        let mut records = Vec::new();
        for configuration in &mut configurations {
            let zone = reference(configuration, "/properties/privateDnsZoneId")?.ok_or_else(|| {
                ArmError::bad_request(
                    "PrivateDnsZoneIdIsMissing",
                    format!("A zone configuration of {} has no private DNS zone id.", request.id),
                )
            })?;
            require(&ctx.resources, request.id, &zone)?;
            if !zone.is_type(private_dns::ZONES) {
                return Err(ArmError::bad_request(
                    "InvalidPrivateDnsZoneId",
                    format!("{zone} is no private DNS zone."),
                ));
            }
            let made = record(ctx, &endpoint, &zone);
            let shown = made.iter().map(|set| {
                json!({
                    "recordType": "A", "recordSetName": set.name, "fqdn": format!("{}.{}", set.name, zone.name()),
                    "ttl": TTL_S, "provisioningState": "Succeeded",
                    "ipAddresses": list(&set.properties, "/aRecords").iter().map(|r| r["ipv4Address"].clone()).collect::<Vec<_>>(),
                })
            });
            set(configuration, &["properties", "recordSets"], shown.collect::<Vec<_>>());
            records.extend(made);
        }
        set(&mut group.properties, &["privateDnsZoneConfigs"], configurations);
        set(&mut group.properties, &["provisioningState"], "Succeeded");
        let now = zones(&group);
        if let Some(old) = request.existing {
            let gone: Vec<ResourceId> = zones(old).into_iter().filter(|zone| !now.contains(zone)).collect();
            withdraw(ctx, &endpoint, &gone).await?;
        }
        for record in records {
            if ctx.resources.get(&record.id).is_none_or(|old| old.properties != record.properties) {
                ctx.resources.save(record).await?;
            }
        }
        Ok(Written::Done(group))
    }

    async fn delete(&self, ctx: &Ctx, existing: &Resource) -> Result<Deleted, ArmError> {
        if let Some(endpoint) = ctx.resources.get(&existing.id.top()) {
            withdraw(ctx, &endpoint, &zones(existing)).await?;
        }
        Ok(Deleted::Done)
    }
}
