//! `Microsoft.Network`: virtual networks and peerings, security groups, route tables, public addresses, load
//! balancers, interfaces, private endpoints and zones, and what the network watcher answers.
//!
//! Children (subnets, security rules, routes) are resources of their own in the store; their parent shows them
//! inline and accepts them inline. What others do with a resource (the machines of a subnet, the subnets of a
//! security group) is never stored twice: it is looked up when shown.
//!
//! Does not move packets: [`fabric_driver`](crate::fabric_driver) reads the resources and tells the fabric.

pub mod application_security_groups;
pub mod calls;
mod capacity;
pub mod effective;
pub mod inbound_nat;
pub mod interfaces;
pub mod load_balancer_parts;
mod load_balancer_view;
pub mod load_balancers;
pub mod nat_gateways;
pub mod peerings;
pub mod platform;
mod private_addresses;
pub mod private_dns;
pub mod private_link;
pub mod public_ip_prefixes;
pub mod public_ips;
pub mod route_tables;
pub mod rules;
pub mod security_groups;
pub mod service_tags;
pub mod uses;
pub mod virtual_networks;
pub mod watchers;

use arm::{ArmError, Provider, Resource, ResourceId, Resources};
use serde_json::{Value, json};

use crate::json::{remove, set, text};

/// Listed api-versions; others are accepted.
pub(crate) const API_VERSIONS: &[&str] =
    &["2025-07-01", "2025-05-01", "2025-01-01", "2024-07-01", "2024-05-01", "2023-11-01", "2022-01-01"];

/// The provider with all its types.
pub fn provider() -> Provider {
    let addresses = public_ips::PublicAddresses::new();
    let mut provider = Provider::new("Microsoft.Network")
        .without_system_data()
        .with(virtual_networks::VirtualNetworks)
        .with(virtual_networks::Subnets)
        .with(peerings::Peerings)
        .with(application_security_groups::ApplicationSecurityGroups)
        .with(interfaces::Interfaces)
        .with(public_ip_prefixes::PublicPrefixes::new())
        .with(private_link::endpoints::Endpoints)
        .with(private_link::zone_groups::ZoneGroups)
        .with(private_link::services::Services)
        .with(private_link::services::Connections)
        .with(private_dns::zones::Zones)
        .with(private_dns::links::Links)
        .with(watchers::Watchers)
        .with_calls(calls::Calls)
        .with(security_groups::SecurityGroups)
        .with(security_groups::SecurityRules)
        .with(route_tables::RouteTables)
        .with(route_tables::Routes)
        .with(addresses)
        .with(load_balancers::LoadBalancers)
        .with(load_balancer_parts::POOLS)
        .with(load_balancer_parts::INBOUND_NAT_RULES)
        .with(nat_gateways::NatGateways);
    for kind in private_dns::records::KINDS {
        provider = provider.with(private_dns::records::Records(*kind));
    }
    provider
}

/// Adds what Azure adds to every network resource.
pub(crate) fn seal(resource: &mut Resource, existing: Option<&Resource>) {
    let guid = existing.and_then(|e| text(&e.properties, "/resourceGuid")).map(str::to_owned);
    let guid = guid.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    set(&mut resource.properties, &["provisioningState"], "Succeeded");
    set(&mut resource.properties, &["resourceGuid"], guid);
}

/// Reads a reference to another resource.
pub(crate) fn reference(value: &Value, pointer: &str) -> Result<Option<ResourceId>, ArmError> {
    match text(value, pointer) {
        Some(id) => Ok(Some(ResourceId::parse(id)?)),
        None => Ok(None),
    }
}

/// Refuses a reference to a resource that is not there.
pub(crate) fn require(resources: &Resources, by: &ResourceId, to: &ResourceId) -> Result<(), ArmError> {
    if resources.exists(to) { Ok(()) } else { Err(missing(by, to)) }
}

/// The refusal of a reference to what is not there.
pub(crate) fn missing(by: impl std::fmt::Display, to: &ResourceId) -> ArmError {
    ArmError::bad_request(
        "InvalidResourceReference",
        format!(
            "Resource {to} referenced by resource {by} was not found. Please make sure that the referenced resource \
             exists, and that both resources are in the same region."
        ),
    )
}

/// A child as its parent shows it inline.
pub(crate) fn inline(child: &Resource, properties: Value) -> Value {
    json!({
        "id": child.id, "name": child.name, "type": child.kind_type, "etag": format!("W/\"{}\"", child.etag),
        "properties": properties,
    })
}

/// Takes the inline children out of a parent's properties: `(name, properties)`. `None`: the client sent none,
/// so those that are there stay.
pub(crate) fn take_inline(
    properties: &mut Value,
    member: &str,
) -> Result<Option<Vec<(String, Value)>>, ArmError> {
    let Some(Value::Array(items)) = remove(properties, &[member]) else { return Ok(None) };
    items
        .into_iter()
        .map(|item| match text(&item, "/name") {
            Some(name) => Ok((name.to_owned(), item.get("properties").cloned().unwrap_or_else(|| json!({})))),
            None => Err(ArmError::bad_request(
                "InvalidRequestFormat",
                format!("Cannot parse the request: an entry of '{member}' has no name."),
            )),
        })
        .collect::<Result<Vec<_>, _>>()
        .map(Some)
}
