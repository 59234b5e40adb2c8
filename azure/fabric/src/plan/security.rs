//! Rules of security groups as lines of nftables.
//!
//! Guarantees: names and metadata of the platform are stopped by rules that name their service tags and by no others,
//! the wire server by none (Azure's documentation of 168.63.129.16).

use ipnet::Ipv4Net;

use super::{METADATA, WIRE_SERVER};
use crate::wanted::{Access, Direction, Peer, Platform, PortRange, Protocol, SecurityRule};

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

/// A group's rules of one direction in the order they are asked, Azure's defaults at the end.
pub(super) fn ordered(rules: &[SecurityRule], direction: Direction) -> Vec<SecurityRule> {
    let mut mine: Vec<SecurityRule> = rules.iter().filter(|r| r.direction == direction).cloned().collect();
    if !mine.iter().any(|r| r.priority >= 65000) {
        mine.extend(defaults(direction));
    }
    mine.sort_by_key(|r| r.priority);
    mine
}

/// The lines of a group's chain. `return`: allowed here, ask the next group.
pub(super) fn chain(rules: &[SecurityRule], direction: Direction) -> Vec<String> {
    let all = ordered(rules, direction);
    all.iter().flat_map(|rule| lines(rule, side("daddr", &rule.destinations))).collect()
}

/// The lines that a machine's packets to the platform meet instead: those of rules that name it.
pub(super) fn platform(rules: &[SecurityRule]) -> Vec<String> {
    let all = ordered(rules, Direction::Outbound);
    all.iter().flat_map(|rule| lines(rule, to_platform(rule))).collect()
}

fn to_platform(rule: &SecurityRule) -> Vec<String> {
    let of = |peer: &Peer| match peer {
        Peer::Platform(Platform::Names) if !has_ports(rule.protocol) => None,
        Peer::Platform(Platform::Names) => {
            Some(format!("ip daddr {WIRE_SERVER} meta l4proto {{ tcp, udp }} th dport {NAMES_PORT}"))
        }
        Peer::Platform(Platform::Metadata) => Some(format!("ip daddr {METADATA}")),
        _ => None,
    };
    rule.destinations.iter().filter_map(of).collect()
}

/// Where names are asked for.
pub(super) const NAMES_PORT: u16 = 53;

/// Whether packets of a protocol have ports.
pub(super) fn has_ports(protocol: Protocol) -> bool {
    !matches!(protocol, Protocol::Icmp | Protocol::Esp | Protocol::Ah)
}

/// A rule is one line for each way its sides can be written.
fn lines(rule: &SecurityRule, destinations: Vec<String>) -> Vec<String> {
    let verdict = match rule.access {
        Access::Allow => "return",
        Access::Deny => "drop",
    };
    let comment = super::comment(&rule.name);
    let ports = ports(rule);
    let mut lines = Vec::new();
    for source in side("saddr", &rule.sources) {
        for destination in &destinations {
            let parts = [&source, destination, &ports].map(String::as_str);
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
            Peer::Service { prefixes: all, .. } => prefixes.extend(all.iter().map(Ipv4Net::trunc)),
            // Packets to the platform do not come here.
            Peer::Platform(_) => {}
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
        // These have no ports; what a rule says of them is not asked.
        Protocol::Icmp => return "meta l4proto icmp".into(),
        Protocol::Esp => return "meta l4proto esp".into(),
        Protocol::Ah => return "meta l4proto ah".into(),
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
