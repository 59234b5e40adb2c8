//! Networks: subnets with their groups, routes and NAT gateways; peerings; private endpoints.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use arm::{Resource, ResourceId, Resources};
use fabric::{Endpoint, Idle, Network, NetworkId, NextHop, Peering, Route, Subnet, Translation};
use serde_json::Value;

use super::{World, names, public_address};
use crate::json::{flag, list, number, text};
use crate::network::{
    peerings, platform, private_link, public_ip_prefixes, reference, uses, virtual_networks,
};

pub(super) fn network(world: &World<'_>, network: &Resource) -> Network {
    let resources = world.resources;
    let subnets = resources.list_type(&network.id, virtual_networks::SUBNETS);
    Network {
        id: NetworkId::of(&network.id.to_string()),
        resource_id: network.id.to_string(),
        prefixes: virtual_networks::prefixes(&network.properties),
        outbound: None,
        subnets: subnets.iter().filter_map(|s| subnet(world, s)).collect(),
        peerings: resources
            .list_type(&network.id, peerings::TYPE)
            .iter()
            .filter_map(|p| peering(resources, p))
            .collect(),
        endpoints: endpoints(world, &network.id),
        dns_servers: list(&network.properties, "/dhcpOptions/dnsServers")
            .iter()
            .filter_map(|server| server.as_str()?.parse().ok())
            .collect(),
    }
}

fn subnet(world: &World<'_>, subnet: &Resource) -> Option<Subnet> {
    let to = |pointer: &str| reference(&subnet.properties, pointer).ok().flatten();
    let gateway = to("/natGateway/id").and_then(|id| world.resources.get(&id));
    Some(Subnet {
        name: subnet.name.clone(),
        prefix: virtual_networks::prefix(&subnet.properties)?,
        rules: world.group(to("/networkSecurityGroup/id").as_ref()),
        routes: to("/routeTable/id").map(|table| routes(world.resources, &table)).unwrap_or_default(),
        nat: gateway.as_deref().map(|gateway| nat(world.resources, gateway)).unwrap_or_default(),
        translation: gateway.as_deref().map(translation).unwrap_or_default(),
        private: subnet.properties.get("defaultOutboundAccess").and_then(Value::as_bool) == Some(false),
        services: list(&subnet.properties, "/serviceEndpoints")
            .iter()
            .filter_map(|endpoint| platform::of_endpoint(text(endpoint, "/service")?))
            .collect(),
    })
}

/// A NAT gateway always tells who still speaks on a connection that it has forgotten.
fn translation(gateway: &Resource) -> Translation {
    let minutes = number(&gateway.properties, "/idleTimeoutInMinutes").and_then(|n| u32::try_from(n).ok());
    let after_s = minutes.unwrap_or(4).saturating_mul(60);
    Translation { ports: None, idle: Idle { after_s, reset: true } }
}

fn routes(resources: &Resources, table: &ResourceId) -> Vec<Route> {
    let stored = resources.list_type(table, "Microsoft.Network/routeTables/routes");
    stored.iter().filter_map(|route| one_route(route)).collect()
}

fn one_route(route: &Resource) -> Option<Route> {
    let hop = match text(&route.properties, "/nextHopType")?.to_ascii_lowercase().as_str() {
        "virtualappliance" => {
            NextHop::VirtualAppliance(text(&route.properties, "/nextHopIpAddress")?.parse().ok()?)
        }
        "internet" => NextHop::Internet,
        "vnetlocal" => NextHop::VnetLocal,
        _ => NextHop::None,
    };
    Some(Route {
        name: route.name.clone(),
        prefix: text(&route.properties, "/addressPrefix")?.parse().ok()?,
        next_hop: hop,
    })
}

/// The addresses of a NAT gateway: its public addresses, then those of its prefixes.
fn nat(resources: &Resources, gateway: &Resource) -> Vec<Ipv4Addr> {
    let addresses = list(&gateway.properties, "/publicIpAddresses").iter();
    let mut found: Vec<Ipv4Addr> = addresses.filter_map(|a| public_address(resources, a, "/id")).collect();
    for prefix in list(&gateway.properties, "/publicIpPrefixes") {
        let prefix = reference(prefix, "/id").ok().flatten().and_then(|id| resources.get(&id));
        found.extend(prefix.as_deref().map(public_ip_prefixes::addresses).unwrap_or_default());
    }
    found
}

/// A peering that both sides have.
fn peering(resources: &Resources, peering: &Resource) -> Option<Peering> {
    let other = peerings::remote(peering)?;
    let connected = text(&peering.properties, "/peeringState") == Some("Connected");
    if !connected || !resources.exists(&other) {
        return None;
    }
    let space = peering.properties.get("remoteAddressSpace").cloned().unwrap_or_default();
    Some(Peering {
        name: peering.name.clone(),
        network: NetworkId::of(&other.to_string()),
        prefixes: virtual_networks::prefixes(&serde_json::json!({ "addressSpace": space })),
        access: flag(&peering.properties, "/allowVirtualNetworkAccess"),
        forwarded: flag(&peering.properties, "/allowForwardedTraffic"),
    })
}

/// Private endpoints, by the network that they are in.
pub(super) fn endpoints_by_network(resources: &Resources) -> HashMap<ResourceId, Vec<Arc<Resource>>> {
    let mut found = HashMap::<ResourceId, Vec<Arc<Resource>>>::new();
    for endpoint in uses::all(resources, private_link::ENDPOINTS) {
        if let Ok(Some(subnet)) = reference(&endpoint.properties, "/subnet/id") {
            found.entry(subnet.top()).or_default().push(endpoint);
        }
    }
    found
}

/// Approved endpoints in a network whose service has an address.
fn endpoints(world: &World<'_>, network: &ResourceId) -> Vec<Endpoint> {
    let resources = world.resources;
    let here = world.endpoints.get(network).into_iter().flatten();
    here.filter_map(|endpoint| {
        let connection = private_link::connections(endpoint).find(|c| private_link::approved(c))?;
        let to = private_link::target(connection)?;
        let target = match to.is_type(private_link::SERVICES) {
            true => private_link::services::alias(&*resources.get(&to)?)?,
            false => names::address_of(world, &to, text(connection, "/properties/groupIds/0")?)?,
        };
        let address = private_link::address(resources, endpoint)?;
        let subnet = reference(&endpoint.properties, "/subnet/id").ok().flatten();
        let subnet = subnet.and_then(|id| resources.get(&id));
        let policies = subnet.as_deref().and_then(|s| text(&s.properties, "/privateEndpointNetworkPolicies"));
        let policy = |one: &str| {
            policies.is_some_and(|set| ["Enabled", one].iter().any(|word| word.eq_ignore_ascii_case(set)))
        };
        Some(Endpoint {
            name: endpoint.name.clone(),
            address,
            target,
            guarded: policy("NetworkSecurityGroupEnabled"),
            routed: policy("RouteTableEnabled"),
        })
    })
    .collect()
}
