//! With which source address packets leave, and when there is none or no port is left.
//!
//! Guarantees: who has a range of ports leaves with these only; a port may serve several destinations at the same
//! time, and as many connections to one destination as there are ports pass. Does not: count connections that were
//! there when the rules were replaced; the kernel then finds no port for the first one too many, and no counter
//! says so.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::facts::number;
use super::rules::{machines, owned};
use super::security::elements;
use super::{balancing, idle, transit_address};
use crate::wanted::{Network, PortRange, Translation, Wanted};

/// Ports of an address that translations may use (Azure keeps the first 1024).
const PORTS: PortRange = PortRange { first: 1024, last: u16::MAX };
const LEAVING: &str = "oifname \"uplink\" meta mark 0";

/// Who leaves with which addresses, and why.
struct Exit<'a> {
    members: Vec<Ipv4Net>,
    addresses: &'a [Ipv4Addr],
    translation: Translation,
    why: &'static str,
    /// Whose ports these are.
    owner: String,
}

impl Exit<'_> {
    fn ports(&self) -> PortRange {
        self.translation.ports.unwrap_or(PORTS)
    }

    /// Connections to one destination that pass at the same time.
    fn connections_max(&self) -> usize {
        let PortRange { first, last } = self.ports();
        let ports = if first > last { 0 } else { usize::from(last - first) + 1 };
        ports * self.addresses.len()
    }

    fn set(&self) -> String {
        format!("ports_{:08x}", number(&self.owner))
    }
}

/// NAT gateways, then machines that outbound rules give an address.
fn exits<'a>(wanted: &'a Wanted, network: &'a Network) -> Vec<Exit<'a>> {
    let mut exits = Vec::new();
    for subnet in network.subnets.iter().filter(|s| !s.nat.is_empty()) {
        let mut members = vec![subnet.prefix];
        let here = machines(wanted, network).filter(|m| m.subnet == subnet.name);
        members.extend(here.flat_map(|m| m.routed_prefixes.iter().copied()));
        exits.push(Exit {
            members,
            addresses: &subnet.nat,
            translation: subnet.translation,
            why: "nat-gateway",
            owner: format!("subnet {}", subnet.name),
        });
    }
    let mut shared: BTreeMap<(&[Ipv4Addr], Translation), Vec<Ipv4Net>> = BTreeMap::new();
    for machine in machines(wanted, network).filter(|m| !m.outbound.is_empty()) {
        shared.entry((&machine.outbound, machine.translation)).or_default().extend(owned(machine));
    }
    exits.extend(shared.into_iter().map(|((addresses, translation), members)| Exit {
        owner: format!("{addresses:?} {translation:?}"),
        members,
        addresses,
        translation,
        why: "outbound-rule",
    }));
    exits
}

/// Sets and objects that `refusing` speaks of.
pub(super) fn sets(wanted: &Wanted, network: &Network) -> String {
    let exits = exits(wanted, network);
    let seconds: BTreeSet<u32> =
        exits.iter().map(|e| e.translation.idle.after_s).filter(|seconds| *seconds > 0).collect();
    let mut text = idle::objects(&seconds);
    for exit in exits.iter().filter(|exit| exit.connections_max() > 0) {
        text.push_str(&format!(
            "\tset {} {{ type ipv4_addr . inet_service; size 65535; flags dynamic; }}\n",
            exit.set()
        ));
    }
    text
}

/// Lines that refuse what cannot leave, for new connections.
pub(super) fn refusing(wanted: &Wanted, network: &Network) -> Vec<String> {
    let mut lines: Vec<String> = without_address(wanted, network).into_iter().collect();
    for exit in exits(wanted, network) {
        let matched = format!("{LEAVING} ip saddr {}", elements(&exit.members));
        let drop = "counter drop comment \"snat-ports-exhausted\"";
        match exit.connections_max() {
            0 => lines.push(format!("{matched} {drop}")),
            most => lines.push(format!(
                "{matched} meta l4proto {{ tcp, udp }} add @{} {{ ip daddr . th dport ct count over {most} }} {drop}",
                exit.set()
            )),
        }
        if exit.translation.idle.after_s > 0 {
            lines.extend(idle::lines(&matched, exit.translation.idle, ""));
        }
    }
    lines
}

/// Machines of private subnets that nothing gives a source address.
fn without_address(wanted: &Wanted, network: &Network) -> Option<String> {
    let mut prefixes = Vec::new();
    for subnet in network.subnets.iter().filter(|s| s.private && s.nat.is_empty()) {
        for machine in machines(wanted, network).filter(|m| m.subnet == subnet.name) {
            if machine.outbound.is_empty() {
                prefixes.extend(owned(machine));
            }
        }
    }
    (!prefixes.is_empty()).then(|| {
        format!("{LEAVING} ip saddr {} counter drop comment \"no-outbound-address\"", elements(&prefixes))
    })
}

/// Translations: that of a private link, then NAT gateway, outbound rule, the network's.
pub(super) fn translations(wanted: &Wanted, network: &Network) -> Vec<String> {
    let mut lines = Vec::new();
    for balancer in balancing::of_network(wanted, network) {
        if let Some(source) = balancer.source {
            let frontend = balancer.frontend;
            lines.push(format!(
                "ct original ip daddr {frontend} counter snat to {source} comment \"private-link\""
            ));
        }
    }
    let transit = transit_address(&network.id);
    if !network.endpoints.is_empty() {
        lines.push(format!(
            "oifname \"uplink\" ct status dnat counter snat to {transit} comment \"endpoint\""
        ));
    }
    for exit in exits(wanted, network) {
        let PortRange { first, last } = exit.ports();
        let matched = format!("oifname \"uplink\" ip saddr {}", elements(&exit.members));
        let (to, why) = (one_of(exit.addresses), exit.why);
        if first <= last {
            lines.push(format!(
                "{matched} meta l4proto {{ tcp, udp }} counter snat to {to}:{first}-{last} comment \"{why}\""
            ));
        }
        lines.push(format!("{matched} counter snat to {to} comment \"{why}\""));
    }
    let default = network.outbound.unwrap_or(transit);
    lines.push(format!("oifname \"uplink\" counter snat to {default} comment \"default-outbound\""));
    lines
}

/// In turn, so that all ports of all addresses are used.
fn one_of(addresses: &[Ipv4Addr]) -> String {
    match addresses {
        [one] => one.to_string(),
        many => {
            let list: Vec<String> = many.iter().enumerate().map(|(i, a)| format!("{i} : {a}")).collect();
            format!("numgen inc mod {} map {{ {} }}", many.len(), list.join(", "))
        }
    }
}
