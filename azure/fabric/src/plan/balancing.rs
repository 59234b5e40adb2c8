//! Load balancers as nftables: a new connection gets the mark (floating address) or the address (translation) of
//! a healthy backend, and keeps it.

use std::collections::BTreeMap;
use std::fmt::Write;

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

/// Body of the table; empty when there is nothing to balance.
pub(super) fn compile(wanted: &Wanted, network: &Network, health: &Health) -> String {
    let mut marks = String::new();
    let mut translations = String::new();
    for endpoint in &network.endpoints {
        let address = endpoint.address;
        let name = comment(&endpoint.name);
        let _ = writeln!(marks, "\t\tip daddr {address} meta mark set {ENDPOINT_MARK:#x}");
        let _ = writeln!(
            translations,
            "\t\tip daddr {address} counter dnat to {} comment \"endpoint {name}\"",
            endpoint.target
        );
    }
    for balancer in of_network(wanted, network) {
        let mut rules: Vec<&BalancerRule> = balancer.rules.iter().collect();
        // A rule for every port comes after those for one.
        rules.sort_by_key(|rule| rule.frontend_port == 0);
        for rule in rules {
            one(wanted, network, balancer, rule, health, &mut marks, &mut translations);
        }
    }
    if marks.is_empty() && translations.is_empty() {
        return String::new();
    }
    format!(
        "\tchain steer {{
\t\ttype filter hook prerouting priority -150; policy accept;
{marks}\t\tct direction original ct mark != 0 meta mark set ct mark
\t}}
\tchain translate {{
\t\ttype nat hook prerouting priority -100; policy accept;
{translations}\t}}
"
    )
}

fn one(
    wanted: &Wanted,
    network: &Network,
    balancer: &Balancer,
    rule: &BalancerRule,
    health: &Health,
    marks: &mut String,
    translations: &mut String,
) {
    let every_port = rule.frontend_port == 0 || rule.protocol == Protocol::Any;
    let ports = match rule.protocol {
        Protocol::Icmp => return,
        Protocol::Any => "meta l4proto { tcp, udp }".to_owned(),
        Protocol::Tcp if every_port => "meta l4proto tcp".to_owned(),
        Protocol::Udp if every_port => "meta l4proto udp".to_owned(),
        Protocol::Tcp => format!("tcp dport {}", rule.frontend_port),
        Protocol::Udp => format!("udp dport {}", rule.frontend_port),
    };
    let backends: Vec<&Machine> = rule
        .backends
        .iter()
        .filter_map(|id| wanted.machines.iter().find(|m| m.id == *id && m.network == network.id))
        .filter(|m| is_healthy(rule, m, health))
        .collect();
    let name = comment(&rule.name);
    let matched = format!("ip daddr {} {ports} ct state new", balancer.frontend);
    let choice = |targets: Vec<String>| {
        if let [only] = targets.as_slice() {
            return only.clone();
        }
        let list: Vec<String> = targets.iter().enumerate().map(|(i, t)| format!("{i} : {t}")).collect();
        let by = match rule.distribution {
            Distribution::Connection => "numgen random",
            Distribution::Client => "jhash ip saddr",
            Distribution::ClientAndProtocol => "jhash ip saddr . ip protocol",
        };
        format!("{by} mod {} map {{ {} }}", targets.len(), list.join(", "))
    };
    if backends.is_empty() {
        // A chain of translations must not drop, so this one does.
        let _ = writeln!(marks, "\t\t{matched} counter drop comment \"no-healthy-backend of {name}\"");
    } else if rule.floating_ip {
        let targets = backends.iter().map(|m| format!("{:#x}", machine_mark(&m.id))).collect();
        let _ = writeln!(marks, "\t\t{matched} counter ct mark set {} comment \"{name}\"", choice(targets));
    } else {
        let port = if every_port { String::new() } else { format!(":{}", rule.backend_port) };
        let targets = backends.iter().map(|m| m.address.to_string()).collect();
        let _ = writeln!(
            translations,
            "\t\t{matched} counter dnat to {}{port} comment \"{name}\"",
            choice(targets)
        );
    }
}

fn is_healthy(rule: &BalancerRule, machine: &Machine, health: &Health) -> bool {
    let Some(probe) = &rule.probe else { return true };
    let key = BackendKey { machine: machine.id.clone(), probe: probe.clone() };
    health.get(&key).copied().unwrap_or(true)
}
