//! What a router lets pass, and with which source address it leaves.
//!
//! ```text
//!  from a machine ─▶ leaving: own source? interface's group, subnet's group ─▶ (translation, routing)
//!                 ─▶ forward: routes that lead nowhere, peerings, subnet's group, interface's group ─▶ to a machine
//! ```
//!
//! Every packet between two machines passes the router (ports of a bridge are isolated from each other). Outbound
//! rules see the destination that the machine wrote, inbound rules the one behind a load balancer, as on Azure.
//! Interfaces are told apart by hardware address on the way in and by next hop on the way out, so that packets
//! which only pass through a machine meet its groups too. In a group's chain, `return` is "allowed here".
//!
//! Packets to the platform's own addresses meet a chain of their own instead (`…_platform`), with the rules that name
//! its service tags.

use std::collections::BTreeMap;
use std::fmt::Write;

use ipnet::Ipv4Net;

use super::counters::Checkpoint;
use super::facts::{bridge_name, number};
use super::security::{chain, elements, platform};
use super::{METADATA, WIRE_SERVER, comment, hops, routing, sources};
use crate::wanted::{Direction, Machine, Network, SecurityRule, Wanted};

/// Chains of groups by name.
pub(super) type Groups = BTreeMap<String, Group>;

/// What follows a group's name in that of its chain for packets to the platform.
pub(super) const PLATFORM: &str = "_platform";

/// The chain of a group in one direction.
pub(super) struct Group {
    lines: Vec<String>,
    /// What packets to the platform meet instead.
    platform: Vec<String>,
    /// Who is behind it.
    pub checkpoint: Checkpoint,
}

/// Everything about groups: the chains, and the lines that lead into them.
#[derive(Default)]
struct Gates {
    groups: Groups,
    from_interface: Vec<String>,
    from_subnet: Vec<String>,
    platform_from_interface: Vec<String>,
    platform_from_subnet: Vec<String>,
    to_subnet: Vec<String>,
    to_interface: Vec<String>,
    to_endpoint: Vec<String>,
}

impl Gates {
    /// The chain of a group at one kind of place; equal groups share one. It is named after the first who is behind it,
    /// so that what its rules have counted stays when some of them change.
    fn group(&mut self, place: &str, rules: &[SecurityRule], direction: Direction, user: &str) -> String {
        let lines = chain(rules, direction);
        let platform = match direction {
            Direction::Outbound => platform(rules),
            Direction::Inbound => Vec::new(),
        };
        let is_same = |known: &Group| known.lines == lines && known.platform == platform;
        let way = if direction == Direction::Inbound { "in" } else { "out" };
        let begin = format!("{place}_{way}_");
        let same = self.groups.iter().find(|(name, known)| name.starts_with(&begin) && is_same(known));
        let mut name = match same {
            Some((name, _)) => name.clone(),
            None => format!("{begin}{:08x}", number(user)),
        };
        while self.groups.get(&name).is_some_and(|known| !is_same(known)) {
            name = format!("{begin}{:08x}", number(&name));
        }
        let checkpoint = || match place {
            "subnet" => Checkpoint::Subnets(Vec::new()),
            _ => Checkpoint::Interfaces(Vec::new()),
        };
        let group = self.groups.entry(name.clone());
        let group = group.or_insert_with(|| Group { lines, platform, checkpoint: checkpoint() });
        if let Checkpoint::Subnets(users) | Checkpoint::Interfaces(users) = &mut group.checkpoint {
            if !users.iter().any(|known| known == user) {
                users.push(user.to_owned());
            }
        }
        name
    }

    /// The chain that packets to the platform meet; `None`: no rule is about it.
    fn platform(&self, group: &str) -> Option<String> {
        let named = self.groups.get(group).is_some_and(|group| !group.platform.is_empty());
        named.then(|| format!("{group}{PLATFORM}"))
    }
}

fn gates(wanted: &Wanted, network: &Network) -> Gates {
    let mut gates = Gates::default();
    for machine in machines(wanted, network).filter(|m| !m.rules.is_empty()) {
        let out = gates.group("nic", &machine.rules, Direction::Outbound, &machine.resource_id);
        gates.from_interface.push(format!("{} : jump {out}", machine.id.mac()));
        if let Some(platform) = gates.platform(&out) {
            gates.platform_from_interface.push(format!("{} : jump {platform}", machine.id.mac()));
        }
        let into = gates.group("nic", &machine.rules, Direction::Inbound, &machine.resource_id);
        gates.to_interface.push(format!("{} : jump {into}", machine.address));
    }
    for subnet in network.subnets.iter().filter(|s| !s.rules.is_empty()) {
        let bridge = bridge_name(&subnet.name);
        let out = gates.group("subnet", &subnet.rules, Direction::Outbound, &subnet.name);
        gates.from_subnet.push(format!("\"{bridge}\" : jump {out}"));
        if let Some(platform) = gates.platform(&out) {
            gates.platform_from_subnet.push(format!("\"{bridge}\" : jump {platform}"));
        }
        let into = gates.group("subnet", &subnet.rules, Direction::Inbound, &subnet.name);
        gates.to_subnet.push(format!("\"{bridge}\" : jump {into}"));
    }
    for endpoint in network.endpoints.iter().filter(|endpoint| endpoint.guarded) {
        let subnet = network.subnets.iter().find(|s| s.prefix.contains(&endpoint.address));
        let Some(subnet) = subnet.filter(|s| !s.rules.is_empty()) else { continue };
        let into = gates.group("subnet", &subnet.rules, Direction::Inbound, &subnet.name);
        // Before its address is translated: rules are written for that one.
        gates.to_endpoint.push(format!("ip daddr {} jump {into}", endpoint.address));
    }
    gates
}

/// The groups of a network by the names of their chains.
pub(super) fn groups(wanted: &Wanted, network: &Network) -> Groups {
    gates(wanted, network).groups
}

pub(super) fn machines<'a>(wanted: &'a Wanted, network: &'a Network) -> impl Iterator<Item = &'a Machine> {
    wanted.machines.iter().filter(|m| m.network == network.id)
}

/// The addresses that the service tag `VirtualNetwork` stands for.
pub(super) fn virtual_network(wanted: &Wanted, network: &Network) -> Vec<Ipv4Net> {
    let mut prefixes = network.prefixes.clone();
    prefixes.extend(machines(wanted, network).flat_map(|m| m.routed_prefixes.iter().copied()));
    let peers = network.peerings.iter().filter(|p| p.access);
    prefixes.extend(peers.flat_map(|p| p.prefixes.iter().copied()));
    // The host's own address is part of the tag: a rule about the internet stops no probe.
    prefixes.push(WIRE_SERVER.into());
    prefixes
}

/// Body of the table.
pub(super) fn compile(wanted: &Wanted, network: &Network) -> String {
    let gates = gates(wanted, network);
    let mut text = String::new();
    let vnet = elements(&virtual_network(wanted, network));
    let _ = writeln!(text, "\tset vnet {{ type ipv4_addr; flags interval; elements = {vnet} }}");
    let guard = Guard::of(wanted, network);
    text.push_str(&guard.sets);
    text.push_str(&sources::sets(wanted, network));
    let map = |key: &str, entries: &[String]| match entries {
        [] => Vec::new(),
        _ => vec![format!("{key} vmap {{ {} }}", entries.join(", "))],
    };
    let mut outbound = map("ether saddr", &gates.from_interface);
    outbound.extend(map("iifname", &gates.from_subnet));
    let mut inbound = map("oifname", &gates.to_subnet);
    inbound.extend(map("rt ip nexthop", &gates.to_interface));
    let mut platform = map("ether saddr", &gates.platform_from_interface);
    platform.extend(map("iifname", &gates.platform_from_subnet));
    for (name, group) in &gates.groups {
        write_chain(&mut text, name, "", &group.lines);
        if !group.platform.is_empty() {
            write_chain(&mut text, &format!("{name}{PLATFORM}"), "", &group.platform);
        }
    }
    let names_platform = !platform.is_empty();
    for (name, lines) in [("outbound", outbound), ("inbound", inbound)] {
        write_chain(&mut text, name, "", &lines);
    }
    if names_platform {
        write_chain(&mut text, "platform", "", &platform);
    }
    text.push_str(&hooks(wanted, network, &guard, gates.to_endpoint, names_platform));
    text
}

fn write_chain(text: &mut String, name: &str, hook: &str, lines: &[String]) {
    let _ = writeln!(text, "\tchain {name} {{");
    if !hook.is_empty() {
        let _ = writeln!(text, "\t\ttype {hook};");
    }
    for line in lines {
        let _ = writeln!(text, "\t\t{line}");
    }
    text.push_str("\t}\n");
}

/// Machines that may only send and receive under their own addresses.
#[derive(Default)]
struct Guard {
    sets: String,
    leaving: Option<&'static str>,
    arriving: Vec<String>,
}

impl Guard {
    fn of(wanted: &Wanted, network: &Network) -> Self {
        let guarded: Vec<&Machine> = machines(wanted, network).filter(|m| !m.ip_forwarding).collect();
        if guarded.is_empty() {
            return Self::default();
        }
        let list = |one: &dyn Fn(&Machine) -> Vec<String>| {
            guarded.iter().flat_map(|m| one(m)).collect::<Vec<_>>().join(", ")
        };
        let pairs = |key: &dyn Fn(&Machine) -> String| {
            list(&|m| owned(m).iter().map(|p| format!("{} . {p}", key(m))).collect())
        };
        let (mac, address) = (|m: &Machine| m.id.mac(), |m: &Machine| m.address.to_string());
        let sets = format!(
            "\tset guarded_from {{ type ether_addr; elements = {{ {} }} }}
\tset guarded_to {{ type ipv4_addr; elements = {{ {} }} }}
\tset own_source {{ type ether_addr . ipv4_addr; flags interval; elements = {{ {} }} }}
\tset own_destination {{ type ipv4_addr . ipv4_addr; flags interval; elements = {{ {} }} }}
",
            list(&|m| vec![mac(m)]),
            list(&|m| vec![address(m)]),
            pairs(&mac),
            pairs(&address),
        );
        Self {
            sets,
            leaving: Some(
                "ether saddr @guarded_from ether saddr . ip saddr != @own_source counter drop comment \"source-address-of-another\"",
            ),
            // A mark leads to a backend with a floating address, whatever the destination; that of a next hop does not.
            arriving: ["meta mark 0".to_owned(), format!("meta mark != 0 ct mark & {:#x} != 0", hops::MARK)]
                .map(|when| {
                    format!(
                        "{when} rt ip nexthop @guarded_to rt ip nexthop . ip daddr != @own_destination counter drop comment \"ip-forwarding-is-off\""
                    )
                })
                .to_vec(),
        }
    }
}

/// Where the chains are entered.
fn hooks(
    wanted: &Wanted,
    network: &Network,
    guard: &Guard,
    to_endpoint: Vec<String>,
    names_platform: bool,
) -> String {
    let mut text = String::new();
    let mut leaving = vec!["ct state vmap { established : accept, related : accept }".to_owned()];
    if names_platform {
        leaving.push(format!("ip daddr {{ {WIRE_SERVER}, {METADATA} }} jump platform"));
    }
    leaving.push("fib daddr type local accept".to_owned());
    leaving.extend(guard.leaving.map(str::to_owned));
    leaving.push("jump outbound".to_owned());
    leaving.extend(to_endpoint);
    write_chain(&mut text, "leaving", "filter hook prerouting priority -160; policy accept", &leaving);
    let mut forward = vec![
        "ct state vmap { established : accept, related : accept }".to_owned(),
        "ct state invalid counter drop comment \"no-such-connection\"".to_owned(),
    ];
    forward.extend(routing::dropping(wanted, network));
    forward.extend(peerings(network));
    forward.extend(sources::refusing(wanted, network));
    forward.extend(guard.arriving.clone());
    forward.push("jump inbound".to_owned());
    write_chain(&mut text, "forward", "filter hook forward priority 0; policy accept", &forward);
    let _ = write!(
        text,
        "\tchain output {{
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
"
    );
    let postrouting = sources::translations(wanted, network);
    write_chain(&mut text, "postrouting", "nat hook postrouting priority 100; policy accept", &postrouting);
    text
}

/// What peerings refuse.
fn peerings(network: &Network) -> Vec<String> {
    let mut lines = Vec::new();
    for peering in &network.peerings {
        let link = format!("p-{}", peering.network);
        let name = comment(&peering.name);
        if !peering.access {
            for side in ["iifname", "oifname"] {
                lines.push(format!("{side} \"{link}\" counter drop comment \"peering {name} no-access\""));
            }
        } else if !peering.forwarded && !peering.prefixes.is_empty() {
            let theirs = elements(&peering.prefixes);
            lines.push(format!(
                "iifname \"{link}\" ip saddr != {theirs} counter drop comment \"peering {name} no-forwarded-traffic\""
            ));
        }
    }
    if network.peerings.len() > 1 {
        lines.push(
            "iifname \"p-*\" oifname \"p-*\" counter drop comment \"peerings-are-not-transitive\"".into(),
        );
    }
    lines
}

/// The addresses a machine sends from.
pub(super) fn owned(machine: &Machine) -> Vec<Ipv4Net> {
    let mut all = vec![Ipv4Net::from(machine.address)];
    all.extend(machine.routed_prefixes.iter().map(Ipv4Net::trunc));
    all
}
