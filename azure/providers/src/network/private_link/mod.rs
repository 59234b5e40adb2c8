//! Private endpoints and private-link services: an address of one's own network that leads to somebody's service.

pub mod endpoints;
pub mod services;
pub mod targets;
pub mod zone_groups;

use arm::{Resource, ResourceId, Resources};
use serde_json::Value;

use crate::json::{list, text};
use crate::network::{reference, uses};

/// Full type of endpoints.
pub const ENDPOINTS: &str = "Microsoft.Network/privateEndpoints";
/// Full type of services.
pub const SERVICES: &str = "Microsoft.Network/privateLinkServices";
/// Full type of zone groups.
pub const ZONE_GROUPS: &str = "Microsoft.Network/privateEndpoints/privateDnsZoneGroups";

/// The connections of an endpoint, those that need an approval too.
pub fn connections(endpoint: &Resource) -> impl Iterator<Item = &Value> {
    ["/privateLinkServiceConnections", "/manualPrivateLinkServiceConnections"]
        .into_iter()
        .flat_map(move |pointer| list(&endpoint.properties, pointer))
}

/// Where a connection leads.
pub fn target(connection: &Value) -> Option<ResourceId> {
    reference(connection, "/properties/privateLinkServiceId").ok().flatten()
}

/// Whether a connection is approved.
pub fn approved(connection: &Value) -> bool {
    text(connection, "/properties/privateLinkServiceConnectionState/status") == Some("Approved")
}

/// The endpoints that lead to a resource.
pub fn endpoints_to(resources: &Resources, to: &ResourceId) -> Vec<std::sync::Arc<Resource>> {
    let mut all = uses::all(resources, ENDPOINTS);
    all.retain(|endpoint| connections(endpoint).any(|c| target(c).as_ref() == Some(to)));
    all
}

/// The address of an endpoint: that of its interface.
pub fn address(resources: &Resources, endpoint: &Resource) -> Option<std::net::Ipv4Addr> {
    let interface = reference(list(&endpoint.properties, "/networkInterfaces").first()?, "/id").ok()??;
    let interface = resources.get(&interface)?;
    text(list(&interface.properties, "/ipConfigurations").first()?, "/properties/privateIPAddress")?
        .parse()
        .ok()
}
