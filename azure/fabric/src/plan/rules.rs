//! Security groups and outbound address translation as nftables.
//!
//! Every packet between two machines passes the router (ports of a bridge are isolated from each other), so
//! there is one stateful place: out of the source's interface, out of its subnet, into the destination's subnet,
//! into its interface. In a group's chain, `return` is "allowed here, ask the next".

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::{METADATA, WIRE_SERVER, machine_mark, transit_address};
use crate::wanted::{Access, Direction, Machine, Network, Peer, PortRange, Protocol, SecurityRule, Wanted};

const COMMENT_MAX: usize = 100;

/// Body of the table.
pub(super) fn compile(wanted: &Wanted, network: &Network) -> String {
    let machines: Vec<&Machine> = wanted.machines.iter().filter(|m| m.network == network.id).collect();
    let mut text = String::new();
    let mut prefixes = network.prefixes.clone();
    prefixes.extend(machines.iter().flat_map(|m| m.routed_prefixes.iter().copied()));
    let _ =
        writeln!(text, "\tset vnet {{ type ipv4_addr; flags interval; elements = {} }}", elements(&prefixes));
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut inbound = Vec::new();
    let mut outbound = Vec::new();
    for machine in machines.iter().filter(|m| !m.rules.is_empty()) {
        let (into, out) = (format!("nic_in_{}", machine.id), format!("nic_out_{}", machine.id));
        outbound.push(format!("ip saddr {} jump {out}", elements(&owned(machine))));
        groups.insert(into, chain(&machine.rules, Direction::Inbound));
        groups.insert(out, chain(&machine.rules, Direction::Outbound));
    }
    for (number, subnet) in network.subnets.iter().enumerate().filter(|(_, s)| !s.rules.is_empty()) {
        let (into, out) = (format!("subnet_in_{number}"), format!("subnet_out_{number}"));
        let here: Vec<&&Machine> = machines.iter().filter(|m| m.subnet == subnet.name).collect();
        let mut members = vec![subnet.prefix];
        members.extend(here.iter().flat_map(|m| m.routed_prefixes.iter().copied()));
        outbound.push(format!("ip saddr {} jump {out}", elements(&members)));
        inbound.push(format!("ip daddr {} jump {into}", elements(&members)));
        // With a floating address the destination is the frontend; the mark tells the machine.
        inbound.extend(
            here.iter()
                .map(|m| format!("meta mark {:#x} ip daddr != @vnet jump {into}", machine_mark(&m.id))),
        );
        groups.insert(into, chain(&subnet.rules, Direction::Inbound));
        groups.insert(out, chain(&subnet.rules, Direction::Outbound));
    }
    for machine in machines.iter().filter(|m| !m.rules.is_empty()) {
        let into = format!("nic_in_{}", machine.id);
        inbound.push(format!("ip daddr {} jump {into}", elements(&owned(machine))));
        let mark = machine_mark(&machine.id);
        inbound.push(format!("meta mark {mark:#x} ip daddr != @vnet jump {into}"));
    }
    for (name, lines) in
        groups.into_iter().chain([("outbound".into(), outbound), ("inbound".into(), inbound)])
    {
        let _ = writeln!(text, "\tchain {name} {{");
        for line in lines {
            let _ = writeln!(text, "\t\t{line}");
        }
        text.push_str("\t}\n");
    }
    text.push_str(&hooks(network));
    text
}

/// Where the chains are entered.
fn hooks(network: &Network) -> String {
    let source: Ipv4Addr = network.outbound.unwrap_or_else(|| transit_address(&network.id));
    format!(
        "\tchain forward {{
\t\ttype filter hook forward priority 0; policy accept;
\t\tct state vmap {{ established : accept, related : accept, invalid : drop }}
\t\tjump outbound
\t\tjump inbound
\t}}
\tchain output {{
\t\ttype filter hook output priority 0; policy accept;
\t\tct state vmap {{ established : accept, related : accept }}
\t\tip saddr {WIRE_SERVER} jump inbound
\t}}
\tchain input {{
\t\ttype filter hook input priority 0; policy drop;
\t\tct state vmap {{ established : accept, related : accept }}
\t\tiifname \"lo\" accept
\t\tip protocol icmp accept
\t\tiifname != \"uplink\" ip daddr != {{ {WIRE_SERVER}, {METADATA} }} ip daddr @vnet accept
\t\tiifname != \"uplink\" ip daddr {WIRE_SERVER} meta l4proto {{ tcp, udp }} th dport {{ 53, 80 }} accept
\t\tiifname != \"uplink\" ip daddr {METADATA} tcp dport 80 accept
\t}}
\tchain postrouting {{
\t\ttype nat hook postrouting priority 100; policy accept;
\t\toifname \"uplink\" snat to {source}
\t}}
"
    )
}

/// The addresses a machine sends from.
fn owned(machine: &Machine) -> Vec<Ipv4Net> {
    let mut all = vec![Ipv4Net::from(machine.address)];
    all.extend(&machine.routed_prefixes);
    all
}

pub(super) fn elements(prefixes: &[Ipv4Net]) -> String {
    let list: Vec<String> = Ipv4Net::aggregate(&prefixes.to_vec()).iter().map(ToString::to_string).collect();
    format!("{{ {} }}", list.join(", "))
}

/// The rules every group ends with, unless the wish has them already.
fn defaults(direction: Direction) -> Vec<SecurityRule> {
    let rule = |name: &str, priority, access, source, destination| SecurityRule {
        name: name.into(),
        priority,
        direction,
        access,
        protocol: Protocol::Any,
        sources: vec![source],
        source_ports: Vec::new(),
        destinations: vec![destination],
        destination_ports: Vec::new(),
    };
    let vnet = || Peer::VirtualNetwork;
    match direction {
        Direction::Inbound => vec![
            rule("AllowVnetInBound", 65000, Access::Allow, vnet(), vnet()),
            rule("AllowAzureLoadBalancerInBound", 65001, Access::Allow, Peer::AzureLoadBalancer, Peer::Any),
            rule("DenyAllInBound", 65500, Access::Deny, Peer::Any, Peer::Any),
        ],
        Direction::Outbound => vec![
            rule("AllowVnetOutBound", 65000, Access::Allow, vnet(), vnet()),
            rule("AllowInternetOutBound", 65001, Access::Allow, Peer::Any, Peer::Internet),
            rule("DenyAllOutBound", 65500, Access::Deny, Peer::Any, Peer::Any),
        ],
    }
}

fn chain(rules: &[SecurityRule], direction: Direction) -> Vec<String> {
    let mut mine: Vec<SecurityRule> = rules.iter().filter(|r| r.direction == direction).cloned().collect();
    if !mine.iter().any(|r| r.priority >= 65000) {
        mine.extend(defaults(direction));
    }
    mine.sort_by_key(|r| r.priority);
    mine.iter().flat_map(lines).collect()
}

/// A rule is one line for each way its sides can be written.
fn lines(rule: &SecurityRule) -> Vec<String> {
    let verdict = match rule.access {
        Access::Allow => "return",
        Access::Deny => "drop",
    };
    let comment: String = rule
        .name
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c))
        .take(COMMENT_MAX)
        .collect();
    let ports = ports(rule);
    let mut lines = Vec::new();
    for source in side("saddr", &rule.sources) {
        for destination in side("daddr", &rule.destinations) {
            let parts = [&source, &destination, &ports].map(String::as_str);
            let parts: Vec<&str> = parts.into_iter().filter(|p| !p.is_empty()).collect();
            let space = if parts.is_empty() { "" } else { " " };
            lines.push(format!("{}{space}counter {verdict} comment \"{comment}\"", parts.join(" ")));
        }
    }
    lines
}

fn side(field: &str, peers: &[Peer]) -> Vec<String> {
    let mut prefixes = Vec::new();
    let mut matches = Vec::new();
    for peer in peers {
        match peer {
            Peer::Any => return vec![String::new()],
            Peer::Prefix(prefix) if prefix.prefix_len() == 0 => return vec![String::new()],
            Peer::Prefix(prefix) => prefixes.push(prefix.trunc()),
            Peer::VirtualNetwork => matches.push(format!("ip {field} @vnet")),
            Peer::Internet => matches.push(format!("ip {field} != @vnet")),
            Peer::AzureLoadBalancer => matches.push(format!("ip {field} {WIRE_SERVER}")),
        }
    }
    if !prefixes.is_empty() {
        matches.push(format!("ip {field} {}", elements(&prefixes)));
    }
    matches
}

fn ports(rule: &SecurityRule) -> String {
    let protocol = match rule.protocol {
        Protocol::Any => None,
        Protocol::Tcp => Some("tcp"),
        Protocol::Udp => Some("udp"),
        Protocol::Icmp => return "ip protocol icmp".into(),
    };
    let all =
        |ranges: &[PortRange]| ranges.is_empty() || ranges.iter().any(|r| r.first == 0 && r.last == u16::MAX);
    let mut parts = Vec::new();
    for (field, ranges) in [("sport", &rule.source_ports), ("dport", &rule.destination_ports)] {
        if !all(ranges) {
            let list: Vec<String> = merged(ranges).iter().map(show).collect();
            parts.push(format!("th {field} {{ {} }}", list.join(", ")));
        }
    }
    match (protocol, parts.is_empty()) {
        (None, true) => String::new(),
        (None, false) => format!("meta l4proto {{ tcp, udp }} {}", parts.join(" ")),
        (Some(protocol), true) => format!("meta l4proto {protocol}"),
        (Some(protocol), false) => format!("meta l4proto {protocol} {}", parts.join(" ")),
    }
}

fn show(range: &PortRange) -> String {
    if range.first == range.last {
        range.first.to_string()
    } else {
        format!("{}-{}", range.first, range.last)
    }
}

/// Sorted, without overlaps: nftables refuses those.
fn merged(ranges: &[PortRange]) -> Vec<PortRange> {
    let mut sorted: Vec<PortRange> = ranges.iter().copied().filter(|r| r.first <= r.last).collect();
    sorted.sort_by_key(|r| r.first);
    let mut out: Vec<PortRange> = Vec::new();
    for range in sorted {
        match out.last_mut() {
            Some(last) if u32::from(range.first) <= u32::from(last.last) + 1 => {
                last.last = last.last.max(range.last)
            }
            _ => out.push(range),
        }
    }
    out
}
