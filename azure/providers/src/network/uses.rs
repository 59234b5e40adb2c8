//! Who uses a network resource: looked up in the store, never kept.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use arm::{Resource, ResourceId, Resources};
use serde_json::{Value, json};

use crate::compute::instances::{self, Instance};
use crate::json::{list, text};

/// Everything of one type in the cloud.
pub fn all(resources: &Resources, full_type: &str) -> Vec<std::sync::Arc<Resource>> {
    resources.list_type(&ResourceId::root(), full_type)
}

/// Whether a text is the id of this resource.
pub fn is(value: &Value, pointer: &str, id: &ResourceId) -> bool {
    text(value, pointer).is_some_and(|text| ResourceId::parse(text).is_ok_and(|other| other == *id))
}

/// The ids of IP configurations in a subnet: scale-set instances and private frontends.
pub fn of_subnet(resources: &Resources, subnet: &ResourceId) -> Vec<String> {
    let mut users: Vec<String> = instances::all(resources)
        .iter()
        .filter(|instance| instance.subnet == *subnet)
        .map(Instance::ip_configuration)
        .collect();
    for balancer in all(resources, "Microsoft.Network/loadBalancers") {
        for frontend in list(&balancer.properties, "/frontendIPConfigurations") {
            if is(frontend, "/properties/subnet/id", subnet) {
                users.extend(text(frontend, "/id").map(str::to_owned));
            }
        }
    }
    for (id, configuration) in configurations(resources) {
        if is(&configuration, "/properties/subnet/id", subnet) {
            let name = text(&configuration, "/name").unwrap_or_default();
            users.push(format!("{id}/ipConfigurations/{name}"));
        }
    }
    users
}

/// The IP configurations of interfaces and private-link services, with whose they are.
pub fn configurations(resources: &Resources) -> Vec<(ResourceId, Value)> {
    ["Microsoft.Network/networkInterfaces", "Microsoft.Network/privateLinkServices"]
        .into_iter()
        .flat_map(|kind| all(resources, kind))
        .flat_map(|owner| {
            let all = list(&owner.properties, "/ipConfigurations").to_vec();
            all.into_iter().map(move |configuration| (owner.id.clone(), configuration))
        })
        .collect()
}

/// The scale sets whose interfaces are in a subnet, with or without instances.
pub fn scale_sets_of_subnet(resources: &Resources, subnet: &ResourceId) -> Vec<ResourceId> {
    all(resources, "Microsoft.Compute/virtualMachineScaleSets")
        .iter()
        .filter(|set| interfaces(set).iter().any(|i| subnets(i).any(|s| s == *subnet)))
        .map(|set| set.id.clone())
        .collect()
}

/// The interface configurations of a scale set.
pub fn interfaces(set: &Resource) -> &[Value] {
    list(&set.properties, "/virtualMachineProfile/networkProfile/networkInterfaceConfigurations")
}

fn subnets(interface: &Value) -> impl Iterator<Item = ResourceId> + '_ {
    list(interface, "/properties/ipConfigurations")
        .iter()
        .filter_map(|ip| text(ip, "/properties/subnet/id"))
        .filter_map(|id| ResourceId::parse(id).ok())
}

/// Addresses that are taken in a subnet.
pub fn addresses_in_subnet(resources: &Resources, subnet: &ResourceId) -> BTreeSet<Ipv4Addr> {
    let mut taken: BTreeSet<Ipv4Addr> = instances::all(resources)
        .iter()
        .filter(|instance| instance.subnet == *subnet)
        .map(|instance| instance.address)
        .collect();
    for balancer in all(resources, "Microsoft.Network/loadBalancers") {
        for frontend in list(&balancer.properties, "/frontendIPConfigurations") {
            if is(frontend, "/properties/subnet/id", subnet) {
                taken.extend(
                    text(frontend, "/properties/privateIPAddress").and_then(|a| a.parse::<Ipv4Addr>().ok()),
                );
            }
        }
    }
    for (_, configuration) in configurations(resources) {
        if is(&configuration, "/properties/subnet/id", subnet) {
            let address = text(&configuration, "/properties/privateIPAddress");
            taken.extend(address.and_then(|a| a.parse::<Ipv4Addr>().ok()));
        }
    }
    taken
}

/// The subnets that name a security group, route table or NAT gateway under `pointer`.
pub fn subnets_with(resources: &Resources, pointer: &str, id: &ResourceId) -> Vec<Value> {
    all(resources, "Microsoft.Network/virtualNetworks/subnets")
        .iter()
        .filter(|subnet| is(&subnet.properties, pointer, id))
        .map(|subnet| json!({ "id": subnet.id }))
        .collect()
}

/// The scale sets whose interfaces carry a security group.
pub fn scale_sets_with_group(resources: &Resources, group: &ResourceId) -> Vec<ResourceId> {
    all(resources, "Microsoft.Compute/virtualMachineScaleSets")
        .iter()
        .filter(|set| interfaces(set).iter().any(|i| is(i, "/properties/networkSecurityGroup/id", group)))
        .map(|set| set.id.clone())
        .collect()
}

/// The IP configuration that holds a public address: a load balancer's frontend or a NAT gateway.
pub fn of_public_ip(resources: &Resources, address: &ResourceId) -> Option<(&'static str, String)> {
    for balancer in all(resources, "Microsoft.Network/loadBalancers") {
        for frontend in list(&balancer.properties, "/frontendIPConfigurations") {
            if is(frontend, "/properties/publicIPAddress/id", address) {
                return text(frontend, "/id").map(|id| ("ipConfiguration", id.to_owned()));
            }
        }
    }
    for gateway in all(resources, "Microsoft.Network/natGateways") {
        if list(&gateway.properties, "/publicIpAddresses").iter().any(|a| is(a, "/id", address)) {
            return Some(("natGateway", gateway.id.to_string()));
        }
    }
    configurations(resources).into_iter().find_map(|(id, configuration)| {
        let name = text(&configuration, "/name").unwrap_or_default();
        is(&configuration, "/properties/publicIPAddress/id", address)
            .then(|| ("ipConfiguration", format!("{id}/ipConfigurations/{name}")))
    })
}

/// Interfaces that carry a security group.
pub fn interfaces_with_group(resources: &Resources, group: &ResourceId) -> Vec<ResourceId> {
    all(resources, "Microsoft.Network/networkInterfaces")
        .iter()
        .filter(|interface| is(&interface.properties, "/networkSecurityGroup/id", group))
        .map(|interface| interface.id.clone())
        .collect()
}

/// Interfaces and scale sets that are in an application security group.
pub fn interfaces_in_application_group(resources: &Resources, group: &ResourceId) -> Vec<String> {
    let inside = |configuration: &Value| {
        list(configuration, "/properties/applicationSecurityGroups").iter().any(|g| is(g, "/id", group))
    };
    let sets = all(resources, "Microsoft.Compute/virtualMachineScaleSets");
    let of_sets = sets.iter().filter(|set| {
        interfaces(set).iter().flat_map(|i| list(i, "/properties/ipConfigurations")).any(inside)
    });
    let single =
        configurations(resources).into_iter().filter(|(_, c)| inside(c)).map(|(id, _)| id.to_string());
    of_sets.map(|set| set.id.to_string()).chain(single).collect()
}

/// The addresses that are in an application security group.
pub fn addresses_in_application_group(resources: &Resources, group: &ResourceId) -> Vec<Ipv4Addr> {
    let inside = |configuration: &Value| {
        list(configuration, "/properties/applicationSecurityGroups").iter().any(|g| is(g, "/id", group))
    };
    let mut found: Vec<Ipv4Addr> = instances::all(resources)
        .iter()
        .filter(|instance| !instance.deleting && instance.application_groups.contains(group))
        .map(|instance| instance.address)
        .collect();
    found.extend(
        configurations(resources)
            .iter()
            .filter(|(_, c)| inside(c))
            .filter_map(|(_, c)| text(c, "/properties/privateIPAddress")?.parse::<Ipv4Addr>().ok()),
    );
    found
}

/// The ids of the backend pools that a scale set's interfaces are in.
pub fn pools_of(set: &Resource) -> Vec<ResourceId> {
    named_by(set, "/properties/loadBalancerBackendAddressPools")
}

/// The ids of the pools of inbound NAT rules that a scale set's interfaces name.
pub fn nat_pools_of(set: &Resource) -> Vec<ResourceId> {
    named_by(set, "/properties/loadBalancerInboundNatPools")
}

fn named_by(set: &Resource, member: &str) -> Vec<ResourceId> {
    interfaces(set)
        .iter()
        .flat_map(|i| list(i, "/properties/ipConfigurations"))
        .flat_map(|ip| list(ip, member))
        .filter_map(|pool| text(pool, "/id"))
        .filter_map(|id| ResourceId::parse(id).ok())
        .collect()
}
