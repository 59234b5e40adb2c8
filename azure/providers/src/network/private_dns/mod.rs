//! `privateDnsZones`: zones, their record sets and the networks they answer in.

pub mod links;
pub mod records;
pub mod zones;

use arm::{ResourceId, Resources};

use crate::compute::instances::{self, Instance};
use crate::json::flag;
use crate::network::reference;

/// Listed api-versions of zones and record sets; others are accepted.
pub(crate) const API_VERSIONS: &[&str] = &["2024-06-01", "2020-06-01", "2020-01-01", "2018-09-01"];

/// Full type of zones.
pub const ZONES: &str = "Microsoft.Network/privateDnsZones";
/// Full type of links.
pub const LINKS: &str = "Microsoft.Network/privateDnsZones/virtualNetworkLinks";

/// The machines that a zone enters by itself: those of networks linked with registration.
pub fn registered(resources: &Resources, zone: &ResourceId) -> Vec<Instance> {
    let networks: Vec<ResourceId> = resources
        .list_type(zone, LINKS)
        .iter()
        .filter(|link| flag(&link.properties, "/registrationEnabled"))
        .filter_map(|link| reference(&link.properties, "/virtualNetwork/id").ok().flatten())
        .collect();
    if networks.is_empty() {
        return Vec::new();
    }
    let all = instances::all(resources).into_iter();
    all.filter(|i| !i.deleting && networks.contains(&i.subnet.top())).collect()
}
