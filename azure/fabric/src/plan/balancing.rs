//! Load balancers as nftables: a new connection gets the mark (floating address) or the address (translation) of
//! a healthy backend, and keeps it.
//!
//! Guarantees: the same client hash leads to the same backend as long as the same backends are healthy, also after
//! the rules were made anew; a connection stays with its backend when that turns unhealthy. Does not: move
//! datagrams of a known client away from such a backend.

use std::collections::{BTreeMap, BTreeSet};

use super::hops;
use super::idle;
use super::routing;
use super::{ENDPOINT_MARK, comment, machine_mark};
use crate::ids::MachineId;
use crate::wanted::{Balancer, BalancerRule, Distribution, Machine, Network, Probe, Protocol, Wanted};

/// One probed backend: a machine and how it is asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendKey {
    /// The machine.
    pub machine: MachineId,
    /// The probe.
    pub probe: Probe,
}

/// What probes found; a backend that is not in it is taken as healthy until it was asked.
pub type Health = BTreeMap<BackendKey, bool>;

/// Balancers that a network's router runs: private ones of the network, public ones with a backend in it.
pub(super) fn of_network<'a>(wanted: &'a Wanted, network: &'a Network) -> impl Iterator<Item = &'a Balancer> {
    let here = |id: &MachineId| wanted.machines.iter().any(|m| m.id == *id && m.network == network.id);
    wanted.balancers.iter().filter(move |b| match &b.network {
        Some(id) => *id == network.id,
        None => b.rules.iter().any(|r| r.backends.iter().any(here)),
    })
}

/// The rules of a balancer in the order they are asked: one for every port comes after those for one.
pub(super) fn in_order(balancer: &Balancer) -> Vec<&BalancerRule> {
    let mut rules: Vec<&BalancerRule> = balancer.rules.iter().collect();
    rules.sort_by_key(|rule| rule.frontend_port == 0);
    rules
}

/// The lines of the table, by chain.
#[derive(Default)]
struct Lines {
    idle: BTreeSet<u32>,
    bypass: Vec<String>,
    steer: Vec<String>,
    translate: Vec<String>,
}

/// Body of the table; empty when there is nothing to balance.
pub(super) fn compile(wanted: &Wanted, network: &Network, health: &Health) -> String {
    let mut lines = Lines::default();
    for endpoint in &network.endpoints {
        let (address, target) = (endpoint.address, endpoint.target);
        let name = comment(&endpoint.name);
        let past = routing::past(network, endpoint).join(", ");
        let from = match past.is_empty() {
            true => String::new(),
            false => format!("iifname != {{ {past} }} "),
        };
        if !past.is_empty() {
            // What an appliance passes on has the same addresses: it is a connection there, and here not yet.
            lines.bypass.push(format!("iifname {{ {past} }} ip daddr {address} notrack"));
        }
        lines.steer.push(format!("{from}ip daddr {address} meta mark set {ENDPOINT_MARK:#x}"));
        lines
            .translate
            .push(format!("ip daddr {address} counter dnat to {target} comment \"endpoint {name}\""));
    }
    for balancer in of_network(wanted, network) {
        for rule in in_order(balancer) {
            one(balancer, rule, &backends(wanted, network, rule, health), &mut lines);
        }
    }
    let hops = hops::compile(wanted, network, health);
    if lines.steer.is_empty() && lines.translate.is_empty() && hops.entrances.is_empty() {
        return String::new();
    }
    lines.steer.push(format!(
        "ct direction original ct mark != 0 ct mark & {:#x} == 0 meta mark set ct mark",
        hops::MARK
    ));
    lines.steer.extend(hops.entrances);
    let block = |lines: &[String]| lines.iter().map(|line| format!("\t\t{line}\n")).collect::<String>();
    let bypass = match lines.bypass.is_empty() {
        true => String::new(),
        false => format!(
            "\tchain bypass {{\n\t\ttype filter hook prerouting priority -300; policy accept;\n{}\t}}\n",
            block(&lines.bypass)
        ),
    };
    format!(
        "{}{}{bypass}\tchain steer {{
\t\ttype filter hook prerouting priority -150; policy accept;
{}\t}}
\tchain translate {{
\t\ttype nat hook prerouting priority -100; policy accept;
{}\t}}
",
        idle::objects(&lines.idle),
        hops.chains,
        block(&lines.steer),
        block(&lines.translate),
    )
}

/// Which packets a rule is for, whatever their destination; `None`: it is for none.
pub(super) fn ports(rule: &BalancerRule) -> Option<String> {
    let every_port = is_for_every_port(rule);
    Some(match rule.protocol {
        Protocol::Any => "meta l4proto { tcp, udp }".to_owned(),
        Protocol::Tcp if every_port => "meta l4proto tcp".to_owned(),
        Protocol::Udp if every_port => "meta l4proto udp".to_owned(),
        Protocol::Tcp => format!("tcp dport {}", rule.frontend_port),
        Protocol::Udp => format!("udp dport {}", rule.frontend_port),
        Protocol::Icmp | Protocol::Esp | Protocol::Ah => return None,
    })
}

fn is_for_every_port(rule: &BalancerRule) -> bool {
    rule.frontend_port == 0 || rule.protocol == Protocol::Any
}

/// Who is asked now.
pub(super) fn backends<'a>(
    wanted: &'a Wanted,
    network: &Network,
    rule: &BalancerRule,
    health: &Health,
) -> Vec<&'a Machine> {
    let all: Vec<&Machine> = rule
        .backends
        .iter()
        .filter_map(|id| wanted.machines.iter().find(|m| m.id == *id && m.network == network.id))
        .collect();
    let healthy: Vec<&Machine> = all.iter().copied().filter(|m| is_healthy(rule, m, health)).collect();
    if healthy.is_empty() && rule.all_when_none { all } else { healthy }
}

/// One of some targets, the same for what a rule's connections have in common.
pub(super) fn choice(rule: &BalancerRule, targets: &[String]) -> String {
    if let [only] = targets {
        return only.clone();
    }
    let list: Vec<String> = targets.iter().enumerate().map(|(i, t)| format!("{i} : {t}")).collect();
    let what = match rule.distribution {
        Distribution::Connection => "ip saddr . ip daddr . ip protocol . th sport . th dport",
        Distribution::Client => "ip saddr . ip daddr",
        Distribution::ClientAndProtocol => "ip saddr . ip daddr . ip protocol",
    };
    // A fixed seed: else each replacement of the rules would send all clients elsewhere.
    format!("jhash {what} mod {} seed 0x1a2b3c map {{ {} }}", targets.len(), list.join(", "))
}

fn one(balancer: &Balancer, rule: &BalancerRule, backends: &[&Machine], lines: &mut Lines) {
    let Some(ports) = ports(rule) else { return };
    let name = comment(&rule.name);
    let matched = format!("ip daddr {} {ports} ct state new", balancer.frontend);
    if rule.idle.after_s > 0 && matches!(rule.protocol, Protocol::Tcp | Protocol::Any) {
        lines.idle.insert(rule.idle.after_s);
        lines.steer.extend(idle::lines(&matched, rule.idle, &format!(" of {name}")));
    }
    if backends.is_empty() {
        // A chain of translations must not drop, so this one does.
        lines.steer.push(format!("{matched} counter drop comment \"no-healthy-backend of {name}\""));
    } else if rule.floating_ip {
        let targets: Vec<String> = backends.iter().map(|m| format!("{:#x}", machine_mark(&m.id))).collect();
        let choice = choice(rule, &targets);
        lines.steer.push(format!("{matched} counter ct mark set {choice} comment \"{name}\""));
    } else {
        let port = match is_for_every_port(rule) {
            true => String::new(),
            false => format!(":{}", rule.backend_port),
        };
        let targets: Vec<String> = backends.iter().map(|m| m.address.to_string()).collect();
        let choice = choice(rule, &targets);
        lines.translate.push(format!("{matched} counter dnat to {choice}{port} comment \"{name}\""));
    }
}

fn is_healthy(rule: &BalancerRule, machine: &Machine, health: &Health) -> bool {
    let Some(probe) = &rule.probe else { return true };
    let key = BackendKey { machine: machine.id.clone(), probe: probe.clone() };
    health.get(&key).copied().unwrap_or(true)
}
