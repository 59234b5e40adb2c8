//! Load balancers as nftables: a new connection gets the mark (floating address) or the address (translation) of
//! a healthy backend, and keeps it.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::machine_mark;
use crate::ids::MachineId;
use crate::wanted::{Balancer, BalancerRule, Machine, Network, Protocol, Wanted};

/// One probed backend: machine and port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendKey {
    /// The machine.
    pub machine: MachineId,
    /// The probed port.
    pub port: u16,
}

/// What probes found; a backend that is not in it is taken as healthy until it was asked.
pub type Health = BTreeMap<BackendKey, bool>;

/// Balancers with a backend in a network.
pub(super) fn of_network<'a>(wanted: &'a Wanted, network: &'a Network) -> impl Iterator<Item = &'a Balancer> {
    let here = |id: &MachineId| wanted.machines.iter().any(|m| m.id == *id && m.network == network.id);
    wanted.balancers.iter().filter(move |b| b.rules.iter().any(|r| r.backends.iter().any(here)))
}

/// Body of the table; empty when there is nothing to balance.
pub(super) fn compile(wanted: &Wanted, network: &Network, health: &Health) -> String {
    let mut marks = String::new();
    let mut translations = String::new();
    for balancer in of_network(wanted, network) {
        for rule in &balancer.rules {
            let to = if rule.floating_ip { &mut marks } else { &mut translations };
            one(wanted, network, balancer, rule, health, to);
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
    to: &mut String,
) {
    let protocol = match rule.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Any | Protocol::Icmp => return,
    };
    let backends: Vec<&Machine> = rule
        .backends
        .iter()
        .filter_map(|id| wanted.machines.iter().find(|m| m.id == *id && m.network == network.id))
        .filter(|m| is_healthy(rule, m, health))
        .collect();
    let comment: String =
        rule.name.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).take(100).collect();
    let matched =
        format!("ip daddr {} {protocol} dport {} ct state new", balancer.frontend, rule.frontend_port);
    let choice = |targets: Vec<String>| {
        let list: Vec<String> = targets.iter().enumerate().map(|(i, t)| format!("{i} : {t}")).collect();
        format!("numgen random mod {} map {{ {} }}", targets.len(), list.join(", "))
    };
    let action = match (backends.is_empty(), rule.floating_ip) {
        // A chain of translations must not drop; without a backend the frontend's port leads nowhere.
        (true, true) => "counter drop".to_owned(),
        (true, false) => return,
        (false, true) => {
            let marks = backends.iter().map(|m| format!("{:#x}", machine_mark(&m.id))).collect();
            format!("counter ct mark set {}", choice(marks))
        }
        (false, false) => {
            let addresses = backends.iter().map(|m| m.address.to_string()).collect();
            format!("counter dnat to {}:{}", choice(addresses), rule.backend_port)
        }
    };
    let _ = writeln!(to, "\t\t{matched} {action} comment \"{comment}\"");
}

fn is_healthy(rule: &BalancerRule, machine: &Machine, health: &Health) -> bool {
    let Some(probe) = &rule.probe else { return true };
    let key = BackendKey { machine: machine.id.clone(), port: probe.port };
    health.get(&key).copied().unwrap_or(true)
}
