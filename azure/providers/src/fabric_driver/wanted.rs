//! Resources to wish: a pure translation, in the order of ids, so that equal resources give equal wishes.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use arm::{Resource, ResourceId, Resources};
use base64::Engine;
use fabric::{
    Balancer, BalancerRule, Machine, Network, NetworkId, NextHop, Power, Probe, ProbeProtocol, Protocol,
    Route, SecurityRule, Subnet, Wanted,
};
use serde_json::Value;

use crate::compute::instances::{self, Instance};
use crate::compute::sizes;
use crate::json::{flag, list, number, text};
use crate::network::{reference, rules, security_groups, uses, virtual_networks};

/// The wish that the store's resources make, without a generation.
pub fn wanted(resources: &Resources, names: &[(String, Ipv4Addr)]) -> Wanted {
    let instances: Vec<Instance> =
        instances::all(resources).into_iter().filter(|instance| !instance.deleting).collect();
    let networks = uses::all(resources, "Microsoft.Network/virtualNetworks");
    let balancers = uses::all(resources, "Microsoft.Network/loadBalancers");
    Wanted {
        generation: 0,
        networks: {
            let exits = exits(resources, &balancers);
            let mut pools: HashMap<String, Vec<&ResourceId>> = HashMap::new();
            for instance in &instances {
                pools.entry(instance.subnet.top().key().to_owned()).or_default().extend(&instance.pools);
            }
            let of = |network: &Resource| pools.get(network.id.key()).map(Vec::as_slice).unwrap_or_default();
            networks.iter().map(|n| network(resources, n, of(n), &exits)).collect()
        },
        machines: instances.iter().filter_map(|instance| machine(resources, instance)).collect(),
        balancers: balancers.iter().flat_map(|b| frontends(resources, b, &instances)).collect(),
        names: names.to_vec(),
    }
}

fn network(
    resources: &Resources,
    network: &Resource,
    pools: &[&ResourceId],
    exits: &[(ResourceId, Ipv4Addr)],
) -> Network {
    let subnets = resources.list_type(&network.id, "Microsoft.Network/virtualNetworks/subnets");
    Network {
        id: NetworkId::of(&network.id.to_string()),
        resource_id: network.id.to_string(),
        prefixes: virtual_networks::prefixes(&network.properties),
        outbound: nat(resources, &subnets)
            .or_else(|| exits.iter().find(|(pool, _)| pools.contains(&pool)).map(|(_, address)| *address)),
        subnets: subnets.iter().filter_map(|s| subnet(resources, s)).collect(),
    }
}

fn subnet(resources: &Resources, subnet: &Resource) -> Option<Subnet> {
    let group = reference(&subnet.properties, "/networkSecurityGroup/id").ok().flatten();
    let table = reference(&subnet.properties, "/routeTable/id").ok().flatten();
    Some(Subnet {
        name: subnet.name.clone(),
        prefix: virtual_networks::prefix(&subnet.properties)?,
        rules: group.map(|group| security(resources, &group)).unwrap_or_default(),
        routes: table.map(|table| routes(resources, &table)).unwrap_or_default(),
    })
}

fn security(resources: &Resources, group: &ResourceId) -> Vec<SecurityRule> {
    match resources.get(group) {
        Some(group) => rules::effective(&security_groups::shown(resources, &group)),
        None => Vec::new(),
    }
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

fn public_address(resources: &Resources, value: &Value, pointer: &str) -> Option<Ipv4Addr> {
    let id = reference(value, pointer).ok()??;
    text(&resources.get(&id)?.properties, "/ipAddress")?.parse().ok()
}

/// The address of a NAT gateway that a subnet of the network names.
fn nat(resources: &Resources, subnets: &[std::sync::Arc<Resource>]) -> Option<Ipv4Addr> {
    subnets.iter().find_map(|subnet| {
        let gateway = reference(&subnet.properties, "/natGateway/id").ok()??;
        let gateway = resources.get(&gateway)?;
        list(&gateway.properties, "/publicIpAddresses")
            .iter()
            .find_map(|a| public_address(resources, a, "/id"))
    })
}

/// Every outbound rule that has an address: the pool it is for, and the address.
fn exits(resources: &Resources, balancers: &[std::sync::Arc<Resource>]) -> Vec<(ResourceId, Ipv4Addr)> {
    let mut exits = Vec::new();
    for balancer in balancers {
        for rule in list(&balancer.properties, "/outboundRules") {
            let Ok(Some(pool)) = reference(rule, "/properties/backendAddressPool/id") else { continue };
            let address = list(rule, "/properties/frontendIPConfigurations").iter().find_map(|wanted| {
                let id = reference(wanted, "/id").ok()??;
                let frontend = list(&balancer.properties, "/frontendIPConfigurations")
                    .iter()
                    .find(|frontend| uses::is(frontend, "/id", &id))?;
                public_address(resources, frontend, "/properties/publicIPAddress/id")
            });
            exits.extend(address.map(|address| (pool, address)));
        }
    }
    exits
}

fn machine(resources: &Resources, instance: &Instance) -> Option<Machine> {
    let size = sizes::find(&instance.size)?;
    let private = &instance.private;
    Some(Machine {
        id: instance.machine(),
        resource_id: instance.id.to_string(),
        hostname: instance.computer_name.clone(),
        network: NetworkId::of(&instance.subnet.top().to_string()),
        subnet: instance.subnet.name().to_owned(),
        address: instance.address,
        routed_prefixes: private.pods.into_iter().collect(),
        rules: instance.group.as_ref().map(|group| security(resources, group)).unwrap_or_default(),
        cpus: size.cpus,
        memory_bytes: size.memory_mib << 20,
        vm_size: size.name.to_owned(),
        zone: instance.zone.clone(),
        location: instance.location.clone(),
        custom_data: base64::engine::general_purpose::STANDARD
            .decode(&private.custom_data)
            .unwrap_or_default(),
        imds: Value::Null,
        generation: private.generation,
        power: if private.on { Power::On } else { Power::Off },
    })
}

fn frontends(resources: &Resources, balancer: &Resource, instances: &[Instance]) -> Vec<Balancer> {
    let mut made = Vec::new();
    for frontend in list(&balancer.properties, "/frontendIPConfigurations") {
        let private = text(frontend, "/properties/privateIPAddress").and_then(|a| a.parse().ok());
        let Some(address) = public_address(resources, frontend, "/properties/publicIPAddress/id").or(private)
        else {
            continue;
        };
        let Ok(Some(id)) = reference(frontend, "/id") else { continue };
        let rules: Vec<BalancerRule> = list(&balancer.properties, "/loadBalancingRules")
            .iter()
            .filter(|rule| uses::is(rule, "/properties/frontendIPConfiguration/id", &id))
            .filter_map(|rule| one_rule(balancer, rule, instances))
            .collect();
        if !rules.is_empty() {
            made.push(Balancer { frontend: address, rules });
        }
    }
    made
}

fn one_rule(balancer: &Resource, rule: &Value, instances: &[Instance]) -> Option<BalancerRule> {
    let port = |pointer: &str| number(rule, pointer).and_then(|port| u16::try_from(port).ok());
    let pool = reference(rule, "/properties/backendAddressPool/id").ok().flatten();
    let backends = instances
        .iter()
        .filter(|instance| {
            instance.private.on && pool.as_ref().is_some_and(|pool| instance.pools.contains(pool))
        })
        .map(Instance::machine)
        .collect();
    let probe = reference(rule, "/properties/probe/id").ok().flatten();
    let probe = probe.and_then(|id| {
        list(&balancer.properties, "/probes")
            .iter()
            .find(|probe| uses::is(probe, "/id", &id))
            .and_then(one_probe)
    });
    Some(BalancerRule {
        name: text(rule, "/name")?.to_owned(),
        protocol: match text(rule, "/properties/protocol")?.to_ascii_lowercase().as_str() {
            "udp" => Protocol::Udp,
            "all" => Protocol::Any,
            _ => Protocol::Tcp,
        },
        frontend_port: port("/properties/frontendPort")?,
        backend_port: port("/properties/backendPort")?,
        floating_ip: flag(rule, "/properties/enableFloatingIP"),
        backends,
        probe,
    })
}

fn one_probe(probe: &Value) -> Option<Probe> {
    let small = |pointer: &str, otherwise: u32| {
        number(probe, pointer).and_then(|n| u32::try_from(n).ok()).unwrap_or(otherwise)
    };
    let protocol = match text(probe, "/properties/protocol")?.to_ascii_lowercase().as_str() {
        "http" | "https" => {
            ProbeProtocol::Http { path: text(probe, "/properties/requestPath").unwrap_or("/").to_owned() }
        }
        _ => ProbeProtocol::Tcp,
    };
    Some(Probe {
        protocol,
        port: number(probe, "/properties/port").and_then(|port| u16::try_from(port).ok())?,
        interval_s: small("/properties/intervalInSeconds", 5),
        threshold: small("/properties/numberOfProbes", 2),
    })
}
