//! Calls that address the provider itself: usages, service tags, free DNS labels.

use arm::{Acted, ArmError, Call, Ctx, ProviderCalls, ResourceId};
use async_trait::async_trait;
use serde_json::{Value, json};

use super::{service_tags, uses};
use crate::json::text;

/// Calls of `Microsoft.Network`.
pub struct Calls;

/// Counted types: the name of the usage, its title, the type, Azure's usual limit. Limits are shown, not enforced.
const COUNTED: [(&str, &str, &str, u32); 10] = [
    ("VirtualNetworks", "Virtual Networks", "Microsoft.Network/virtualNetworks", 1000),
    ("NetworkSecurityGroups", "Network Security Groups", "Microsoft.Network/networkSecurityGroups", 5000),
    ("PublicIPAddresses", "Public IP Addresses", "Microsoft.Network/publicIPAddresses", 1000),
    ("PublicIpPrefixes", "Public Ip Prefixes", "Microsoft.Network/publicIPPrefixes", 1000),
    ("NatGateways", "Nat Gateways", "Microsoft.Network/natGateways", 1000),
    ("NetworkInterfaces", "Network Interfaces", "Microsoft.Network/networkInterfaces", 65536),
    ("LoadBalancers", "Load Balancers", "Microsoft.Network/loadBalancers", 1000),
    (
        "ApplicationSecurityGroups",
        "Application Security Groups.",
        "Microsoft.Network/applicationSecurityGroups",
        3000,
    ),
    ("RouteTables", "Route Tables", "Microsoft.Network/routeTables", 200),
    ("NetworkWatchers", "Network Watchers", "Microsoft.Network/networkWatchers", 1),
];

fn usages(ctx: &Ctx, scope: &ResourceId, location: &str) -> Value {
    let place = arm::locations::normal(location);
    let value: Vec<Value> = COUNTED
        .iter()
        .map(|(name, title, full_type, limit)| {
            let here = ctx.resources.list_type(scope, full_type);
            let used = here.iter().filter(|r| r.location.as_deref() == Some(place.as_str())).count();
            json!({
                "id": format!("{scope}/providers/Microsoft.Network/locations/{place}/usages/{name}"),
                "name": { "value": name, "localizedValue": title },
                "unit": "Count", "currentValue": used, "limit": limit,
            })
        })
        .collect();
    json!({ "value": value })
}

fn dns_name(ctx: &Ctx, location: &str) -> Value {
    let label = ctx.query("domainnamelabel").unwrap_or_default();
    let place = arm::locations::normal(location);
    let fqdn = format!("{label}.{place}.cloudapp.azure.com");
    let taken = uses::all(&ctx.resources, super::public_ips::TYPE)
        .iter()
        .any(|a| text(&a.properties, "/dnsSettings/fqdn").is_some_and(|f| f.eq_ignore_ascii_case(&fqdn)));
    json!({ "available": !taken })
}

#[async_trait]
impl ProviderCalls for Calls {
    async fn call(&self, ctx: &Ctx, call: Call<'_>) -> Option<Result<Acted, ArmError>> {
        let path: Vec<String> = call.path.iter().map(|segment| segment.to_ascii_lowercase()).collect();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let answer = match path.as_slice() {
            ["locations", location, "usages"] => usages(ctx, call.scope, location),
            ["locations", location, "servicetags"] => {
                service_tags::listing(call.scope.subscription().unwrap_or_default(), location)
            }
            ["locations", location, "checkdnsnameavailability"] => dns_name(ctx, location),
            _ => return None,
        };
        Some(Ok(Acted::Done(Some(answer))))
    }
}
