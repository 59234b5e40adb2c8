//! `routeTables` and their `routes`.

use arm::{ArmError, Ctx, Deleted, Put, Resource, ResourceType, TypeDescriptor, Written};
use async_trait::async_trait;
use ipnet::Ipv4Net;
use serde_json::Value;

use super::{API_VERSIONS, inline, seal, take_inline, uses};
use crate::json::{default, remove, set, text};

/// `Microsoft.Network/routeTables`.
pub struct RouteTables;
/// `Microsoft.Network/routeTables/routes`.
pub struct Routes;

const TABLES: &str = "Microsoft.Network/routeTables";
const ROUTES: &str = "Microsoft.Network/routeTables/routes";
const HOPS: [&str; 5] = ["VirtualNetworkGateway", "VnetLocal", "Internet", "VirtualAppliance", "None"];

fn check(name: &str, properties: &Value) -> Result<(), ArmError> {
    let prefix = text(properties, "/addressPrefix").unwrap_or_default();
    if prefix.parse::<Ipv4Net>().is_err() {
        return Err(ArmError::bad_request(
            "RouteInvalidAddressPrefix",
            format!("Route {name} has the invalid address prefix '{prefix}'."),
        ));
    }
    let hop = text(properties, "/nextHopType").unwrap_or_default();
    if !HOPS.iter().any(|known| known.eq_ignore_ascii_case(hop)) {
        return Err(ArmError::bad_request(
            "RouteInvalidNextHopType",
            format!("Route {name} has the invalid next hop type '{hop}'."),
        ));
    }
    let appliance = hop.eq_ignore_ascii_case("VirtualAppliance");
    let address = text(properties, "/nextHopIpAddress").and_then(|a| a.parse::<std::net::Ipv4Addr>().ok());
    if appliance && address.is_none() {
        return Err(ArmError::bad_request(
            "RouteInvalidNextHopIpAddress",
            format!("Route {name} needs an IPv4 next hop address."),
        ));
    }
    Ok(())
}

fn shape(mut properties: Value) -> Value {
    default(&mut properties, &["hasBgpOverride"], false);
    set(&mut properties, &["provisioningState"], "Succeeded");
    properties
}

/// Refuses two routes to the same addresses.
fn conflicts<'a>(
    name: &str,
    properties: &Value,
    mut others: impl Iterator<Item = (&'a str, &'a Value)>,
) -> Result<(), ArmError> {
    let prefix = text(properties, "/addressPrefix");
    match others.find(|(_, other)| prefix.is_some() && text(other, "/addressPrefix") == prefix) {
        Some((other, _)) => Err(ArmError::bad_request(
            "RouteConflict",
            format!(
                "Route: {name} conflicts with Route: {other}. Routes cannot have the same AddressPrefix."
            ),
        )),
        None => Ok(()),
    }
}

#[async_trait]
impl ResourceType for RouteTables {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor { etag: Some("etag"), delete_rank: 90, ..TypeDescriptor::new(TABLES, API_VERSIONS) }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let mut table = request.resource();
        remove(&mut table.properties, &["subnets"]);
        if let Some(wanted) = take_inline(&mut table.properties, "routes")? {
            for (index, (name, properties)) in wanted.iter().enumerate() {
                check(name, properties)?;
                conflicts(name, properties, wanted.iter().take(index).map(|(n, p)| (n.as_str(), p)))?;
            }
            for old in ctx.resources.list_type(request.id, ROUTES) {
                if !wanted.iter().any(|(name, _)| name.eq_ignore_ascii_case(&old.name)) {
                    ctx.resources.remove(&old.id).await?;
                }
            }
            for (name, properties) in wanted {
                let id = request.id.child("routes", &name);
                let old = ctx.resources.get(&id);
                let properties = shape(properties);
                if old.as_ref().is_none_or(|old| old.properties != properties) {
                    let mut route = old.map_or_else(|| Resource::new(id), |old| (*old).clone());
                    route.properties = properties;
                    ctx.resources.save(route).await?;
                }
            }
        }
        default(&mut table.properties, &["disableBgpRoutePropagation"], false);
        seal(&mut table, request.existing);
        Ok(Written::Done(table))
    }

    async fn delete(&self, ctx: &Ctx, existing: &Resource) -> Result<Deleted, ArmError> {
        let subnets = uses::subnets_with(&ctx.resources, "/routeTable/id", &existing.id);
        let Some(subnet) = subnets.first() else { return Ok(Deleted::Done) };
        Err(ArmError::bad_request(
            "InUseRouteTableCannotBeDeleted",
            format!(
                "Route table {} is in use and cannot be deleted. It is used by {}.",
                existing.name,
                subnet["id"].as_str().unwrap_or_default()
            ),
        ))
    }

    fn present(&self, ctx: &Ctx, resource: &Resource) -> Value {
        let routes: Vec<Value> = ctx
            .resources
            .list_type(&resource.id, ROUTES)
            .iter()
            .map(|route| inline(route, route.properties.clone()))
            .collect();
        let mut shown = resource.to_json();
        set(&mut shown, &["properties", "routes"], routes);
        let subnets = uses::subnets_with(&ctx.resources, "/routeTable/id", &resource.id);
        if !subnets.is_empty() {
            set(&mut shown, &["properties", "subnets"], subnets);
        }
        shown
    }
}

#[async_trait]
impl ResourceType for Routes {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor { etag: Some("etag"), ..TypeDescriptor::new(ROUTES, API_VERSIONS) }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let mut route = request.resource();
        check(&route.name, &route.properties)?;
        let others = ctx.resources.list_type(&request.id.top(), ROUTES);
        let others = others.iter().filter(|other| other.id != *request.id);
        conflicts(&route.name, &route.properties, others.map(|o| (o.name.as_str(), &o.properties)))?;
        route.properties = shape(route.properties);
        Ok(Written::Done(route))
    }

    async fn delete(&self, _: &Ctx, _: &Resource) -> Result<Deleted, ArmError> {
        Ok(Deleted::Done)
    }
}
