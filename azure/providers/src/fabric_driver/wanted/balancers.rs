//! Load balancers: frontends with their rules, source addresses of outbound rules, private-link services.

use std::net::Ipv4Addr;
use std::sync::Arc;

use arm::{Resource, ResourceId, Resources};
use fabric::{Balancer, BalancerRule, Distribution, NetworkId, Probe, ProbeProtocol, Protocol};
use serde_json::Value;

use super::{World, public_address};
use crate::json::{flag, list, number, text};
use crate::network::{private_link, reference, uses};

fn frontend<'a>(balancer: &'a Resource, id: &ResourceId) -> Option<&'a Value> {
    list(&balancer.properties, "/frontendIPConfigurations").iter().find(|f| uses::is(f, "/id", id))
}

/// Pools with the source addresses of their members: of outbound rules, then of balancing rules that allow it.
pub(super) fn exits(resources: &Resources, balancers: &[Arc<Resource>]) -> Vec<(ResourceId, Vec<Ipv4Addr>)> {
    let (mut by_rule, mut implied) = (Vec::new(), Vec::new());
    for balancer in balancers {
        let address = |id: &ResourceId| {
            public_address(resources, frontend(balancer, id)?, "/properties/publicIPAddress/id")
        };
        for rule in list(&balancer.properties, "/outboundRules") {
            let Ok(Some(pool)) = reference(rule, "/properties/backendAddressPool/id") else { continue };
            let wanted = list(rule, "/properties/frontendIPConfigurations").iter();
            let addresses: Vec<Ipv4Addr> =
                wanted.filter_map(|w| address(&reference(w, "/id").ok()??)).collect();
            if !addresses.is_empty() {
                by_rule.push((pool, addresses));
            }
        }
        for rule in list(&balancer.properties, "/loadBalancingRules") {
            if flag(rule, "/properties/disableOutboundSnat") {
                continue;
            }
            let Ok(Some(pool)) = reference(rule, "/properties/backendAddressPool/id") else { continue };
            let from = reference(rule, "/properties/frontendIPConfiguration/id").ok().flatten();
            implied.extend(from.and_then(|id| address(&id)).map(|address| (pool, vec![address])));
        }
    }
    by_rule.extend(implied);
    by_rule
}

pub(super) fn frontends(world: &World<'_>, balancer: &Resource) -> Vec<Balancer> {
    let mut made = Vec::new();
    for frontend in list(&balancer.properties, "/frontendIPConfigurations") {
        let Ok(Some(id)) = reference(frontend, "/id") else { continue };
        let Some((address, network)) = place(world.resources, frontend) else { continue };
        let mut rules: Vec<BalancerRule> = list(&balancer.properties, "/loadBalancingRules")
            .iter()
            .filter(|rule| uses::is(rule, "/properties/frontendIPConfiguration/id", &id))
            .filter_map(|rule| one_rule(world, balancer, rule))
            .collect();
        let nat = list(&balancer.properties, "/inboundNatRules").iter();
        let nat = nat.filter(|rule| uses::is(rule, "/properties/frontendIPConfiguration/id", &id));
        rules.extend(nat.flat_map(|rule| inbound_nat(world, rule)));
        if !rules.is_empty() {
            made.push(Balancer { frontend: address, network, source: None, rules });
        }
    }
    made
}

/// The address of a frontend, and its network when that is private.
fn place(resources: &Resources, frontend: &Value) -> Option<(Ipv4Addr, Option<NetworkId>)> {
    if let Some(address) = public_address(resources, frontend, "/properties/publicIPAddress/id") {
        return Some((address, None));
    }
    let subnet = reference(frontend, "/properties/subnet/id").ok()??;
    let address = text(frontend, "/properties/privateIPAddress")?.parse().ok()?;
    Some((address, Some(NetworkId::of(&subnet.top().to_string()))))
}

fn protocol(rule: &Value) -> Option<Protocol> {
    Some(match text(rule, "/properties/protocol")?.to_ascii_lowercase().as_str() {
        "udp" => Protocol::Udp,
        "all" => Protocol::Any,
        _ => Protocol::Tcp,
    })
}

fn one_rule(world: &World<'_>, balancer: &Resource, rule: &Value) -> Option<BalancerRule> {
    let port = |pointer: &str| number(rule, pointer).and_then(|port| u16::try_from(port).ok());
    let pool = reference(rule, "/properties/backendAddressPool/id").ok().flatten();
    let backends = world
        .instances
        .iter()
        .filter(|instance| {
            instance.private.on && pool.as_ref().is_some_and(|pool| instance.pools.contains(pool))
        })
        .map(|instance| instance.machine())
        .collect();
    let probe = reference(rule, "/properties/probe/id").ok().flatten().and_then(|id| {
        list(&balancer.properties, "/probes")
            .iter()
            .find(|probe| uses::is(probe, "/id", &id))
            .and_then(one_probe)
    });
    Some(BalancerRule {
        name: text(rule, "/name")?.to_owned(),
        protocol: protocol(rule)?,
        frontend_port: port("/properties/frontendPort")?,
        backend_port: port("/properties/backendPort")?,
        distribution: match text(rule, "/properties/loadDistribution").unwrap_or_default() {
            "SourceIP" => Distribution::Client,
            "SourceIPProtocol" => Distribution::ClientAndProtocol,
            _ => Distribution::Connection,
        },
        floating_ip: flag(rule, "/properties/enableFloatingIP"),
        backends,
        probe,
    })
}

/// A range of frontend ports, one for each machine of a pool, in the order of machines.
fn inbound_nat(world: &World<'_>, rule: &Value) -> Vec<BalancerRule> {
    let port = |pointer: &str| number(rule, pointer).and_then(|port| u16::try_from(port).ok());
    let Ok(Some(pool)) = reference(rule, "/properties/backendAddressPool/id") else { return Vec::new() };
    let (Some(first), Some(last)) =
        (port("/properties/frontendPortRangeStart"), port("/properties/frontendPortRangeEnd"))
    else {
        return Vec::new();
    };
    let (Some(name), Some(protocol), Some(backend_port)) =
        (text(rule, "/name"), protocol(rule), port("/properties/backendPort"))
    else {
        return Vec::new();
    };
    let members = world.instances.iter().filter(|i| i.private.on && i.pools.contains(&pool));
    (first..=last)
        .zip(members)
        .map(|(frontend_port, instance)| BalancerRule {
            name: format!("{name}-{frontend_port}"),
            protocol,
            frontend_port,
            backend_port,
            distribution: Distribution::default(),
            floating_ip: flag(rule, "/properties/enableFloatingIP"),
            backends: vec![instance.machine()],
            probe: None,
        })
        .collect()
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

/// Private-link services: the frontends they name, under their own address and with their own source.
pub(super) fn private_links(world: &World<'_>, balancers: &[Balancer]) -> Vec<Balancer> {
    let mut made = Vec::new();
    for service in uses::all(world.resources, private_link::SERVICES) {
        let (Some(alias), Some(source)) =
            (private_link::services::alias(&service), private_link::services::source(&service))
        else {
            continue;
        };
        let mut rules = Vec::new();
        for wanted in list(&service.properties, "/loadBalancerFrontendIpConfigurations") {
            let Ok(Some(id)) = reference(wanted, "/id") else { continue };
            let Some(balancer) = world.resources.get(&id.top()) else { continue };
            let Some((address, network)) = frontend(&balancer, &id).and_then(|f| place(world.resources, f))
            else {
                continue;
            };
            let same = balancers.iter().filter(|b| b.frontend == address && b.network == network);
            // A floating address would reach the machine as the service's own, which nobody there knows.
            rules.extend(same.flat_map(|b| b.rules.iter().filter(|rule| !rule.floating_ip).cloned()));
        }
        if !rules.is_empty() {
            made.push(Balancer { frontend: alias, network: None, source: Some(source), rules });
        }
    }
    made
}
