//! Load balancers: frontends with their rules, private-link services.

use std::net::Ipv4Addr;

use arm::{Resource, ResourceId, Resources};
use fabric::{Balancer, BalancerRule, Distribution, Idle, NetworkId, Probe, ProbeProtocol, Protocol};
use serde_json::Value;

use super::{World, public_address};
use crate::compute::instances::Instance;
use crate::json::{flag, list, number, text};
use crate::network::{inbound_nat, private_link, reference, uses};

/// Azure's default of rules that do not say it.
const IDLE_MINUTES: u32 = 4;

pub(super) fn frontend<'a>(balancer: &'a Resource, id: &ResourceId) -> Option<&'a Value> {
    list(&balancer.properties, "/frontendIPConfigurations").iter().find(|f| uses::is(f, "/id", id))
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
        let pools = list(&balancer.properties, "/inboundNatPools").iter();
        let pools = pools.filter(|pool| uses::is(pool, "/properties/frontendIPConfiguration/id", &id));
        rules.extend(pools.flat_map(|pool| inbound_nat_pool(world, pool)));
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
    let backends = pool.iter().flat_map(|pool| world.running(pool)).map(Instance::machine).collect();
    let probe = reference(rule, "/properties/probe/id").ok().flatten().and_then(|id| {
        list(&balancer.properties, "/probes").iter().find(|probe| uses::is(probe, "/id", &id))
    });
    let behavior = probe.and_then(|probe| text(probe, "/properties/noHealthyBackendsBehavior"));
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
        probe: probe.and_then(one_probe),
        all_when_none: behavior.is_some_and(|word| word.eq_ignore_ascii_case("AllProbedUp")),
        idle: idle(rule),
    })
}

/// A range of frontend ports, one for each machine of a pool.
fn inbound_nat(world: &World<'_>, rule: &Value) -> Vec<BalancerRule> {
    let Ok(Some(pool)) = reference(rule, "/properties/backendAddressPool/id") else { return Vec::new() };
    port_each(rule, world.running(&pool))
}

/// The same for the scale sets whose interfaces name a pool of inbound NAT rules.
fn inbound_nat_pool(world: &World<'_>, pool: &Value) -> Vec<BalancerRule> {
    let Ok(Some(id)) = reference(pool, "/id") else { return Vec::new() };
    port_each(pool, world.instances.iter().filter(|i| i.nat_pools.contains(&id)))
}

/// A rule for each machine that the range gives a port.
fn port_each<'a>(rule: &Value, members: impl Iterator<Item = &'a Instance>) -> Vec<BalancerRule> {
    let backend_port = number(rule, "/properties/backendPort").and_then(|port| u16::try_from(port).ok());
    let (Some(name), Some(protocol), Some(backend_port)) =
        (text(rule, "/name"), protocol(rule), backend_port)
    else {
        return Vec::new();
    };
    let given = inbound_nat::port_each(rule, members).into_iter();
    given
        .map(|(frontend_port, instance)| BalancerRule {
            name: format!("{name}-{frontend_port}"),
            protocol,
            frontend_port,
            backend_port,
            distribution: Distribution::default(),
            floating_ip: flag(rule, "/properties/enableFloatingIP"),
            backends: vec![instance.machine()],
            probe: None,
            all_when_none: false,
            idle: idle(rule),
        })
        .collect()
}

/// What becomes of connections of a rule on which nothing is said.
pub(super) fn idle(rule: &Value) -> Idle {
    let minutes = number(rule, "/properties/idleTimeoutInMinutes").and_then(|n| u32::try_from(n).ok());
    let reset = flag(rule, "/properties/enableTcpReset");
    Idle { after_s: minutes.unwrap_or(IDLE_MINUTES).saturating_mul(60), reset }
}

fn one_probe(probe: &Value) -> Option<Probe> {
    let small = |pointer: &str, otherwise: u32| {
        number(probe, pointer).and_then(|n| u32::try_from(n).ok()).unwrap_or(otherwise)
    };
    let path = || text(probe, "/properties/requestPath").unwrap_or("/").to_owned();
    let protocol = match text(probe, "/properties/protocol")?.to_ascii_lowercase().as_str() {
        "http" => ProbeProtocol::Http { path: path() },
        "https" => ProbeProtocol::Https { path: path() },
        _ => ProbeProtocol::Tcp,
    };
    Some(Probe {
        protocol,
        port: number(probe, "/properties/port").and_then(|port| u16::try_from(port).ok())?,
        interval_s: small("/properties/intervalInSeconds", 15),
        // `numberOfProbes` is kept and not followed, as on Azure.
        threshold: small("/properties/probeThreshold", 1),
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
