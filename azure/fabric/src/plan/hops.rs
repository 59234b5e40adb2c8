//! A private load balancer as the next hop of a route: each connection goes through one of its healthy appliances,
//! in both directions.
//!
//! The routing tables lead such packets nowhere; a mark, set before they are asked, leads them to the appliance. The
//! mark of a connection is kept apart from that of floating addresses, because the appliance sends the same packets
//! on through the same router, where they must not come to it again.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::Ipv4Addr;

use super::facts::{bridge_name, number};
use super::routing::{HopType, effective_routes, remote_hops};
use super::{Health, balancing, comment, machine_mark};
use crate::wanted::{Balancer, Network, Subnet, Wanted};

/// Set in a connection's mark: the rest of it is the appliance's.
pub(super) const MARK: u32 = 0x8000_0000;

/// What the table of balancing rules holds for next hops.
#[derive(Default)]
pub(super) struct Hops {
    pub chains: String,
    /// Lines that lead into them.
    pub entrances: Vec<String>,
}

/// The private balancer of a network with this frontend.
pub(super) fn balancer<'a>(wanted: &'a Wanted, network: &Network, via: Ipv4Addr) -> Option<&'a Balancer> {
    wanted.balancers.iter().find(|b| b.network.as_ref() == Some(&network.id) && b.frontend == via)
}

fn chain_of(via: Ipv4Addr) -> String {
    format!("hop_{:08x}", u32::from(via))
}

pub(super) fn compile(wanted: &Wanted, network: &Network, health: &Health) -> Hops {
    let mut hops = Hops::default();
    let mut used = BTreeSet::new();
    for subnet in &network.subnets {
        let lines = longest_first(wanted, network, subnet, &mut used);
        if lines.is_empty() {
            continue;
        }
        let bridge = bridge_name(&subnet.name);
        let name = format!("via_{:08x}", number(&bridge));
        write(&mut hops.chains, &name, &lines);
        hops.entrances.push(format!("iifname \"{bridge}\" fib daddr type != local jump {name}"));
    }
    for hop in remote_hops(wanted).into_iter().filter(|hop| hop.to == network.id) {
        if balancer(wanted, network, hop.via).is_some() {
            used.insert(hop.via);
            hops.entrances.push(format!("iifname \"{}\" jump {}", hop.link(), chain_of(hop.via)));
        }
    }
    let mut before = String::new();
    for via in used {
        if let Some(balancer) = balancer(wanted, network, via) {
            write(&mut before, &chain_of(via), &steer(wanted, network, balancer, health));
        }
    }
    hops.chains.insert_str(0, &before);
    hops
}

fn write(text: &mut String, name: &str, lines: &[String]) {
    let _ = writeln!(text, "\tchain {name} {{");
    for line in lines {
        let _ = writeln!(text, "\t\t{line}");
    }
    text.push_str("\t}\n");
}

/// The routes of a subnet as far as they decide whether a packet goes to a balancer, the longest prefix first.
fn longest_first(
    wanted: &Wanted,
    network: &Network,
    subnet: &Subnet,
    used: &mut BTreeSet<Ipv4Addr>,
) -> Vec<String> {
    let mut lines: Vec<(u8, bool, String)> = Vec::new();
    let mut found = false;
    for route in effective_routes(network, subnet).into_iter().filter(|r| r.active) {
        let (prefix, length) = (route.prefix, route.prefix.prefix_len());
        match route.hop {
            HopType::VirtualAppliance(via) if balancer(wanted, network, via).is_some() => {
                found = true;
                used.insert(via);
                lines.push((length, true, format!("ip daddr {prefix} goto {}", chain_of(via))));
            }
            _ => lines.push((length, false, format!("ip daddr {prefix} return"))),
        }
    }
    if !found {
        return Vec::new();
    }
    // Pods of an overlay are the platform's own; no route table of a subnet knows them.
    let here = wanted.machines.iter().filter(|m| m.network == network.id);
    for prefix in here.flat_map(|m| &m.routed_prefixes) {
        lines.push((prefix.prefix_len(), false, format!("ip daddr {prefix} return")));
    }
    lines.sort_by_key(|(length, balanced, _)| (std::cmp::Reverse(*length), !balanced));
    lines.into_iter().map(|(_, _, line)| line).collect()
}

/// Which appliance a connection goes through.
fn steer(wanted: &Wanted, network: &Network, balancer: &Balancer, health: &Health) -> Vec<String> {
    let mut lines = Vec::new();
    for rule in balancing::in_order(balancer) {
        let Some(ports) = balancing::ports(rule) else { continue };
        let name = comment(&rule.name);
        let backends = balancing::backends(wanted, network, rule, health);
        if backends.is_empty() {
            lines.push(format!("ct mark 0 {ports} counter drop comment \"no-healthy-backend of {name}\""));
            continue;
        }
        let marks: Vec<String> =
            backends.iter().map(|m| format!("{:#x}", MARK | machine_mark(&m.id))).collect();
        let choice = balancing::choice(rule, &marks);
        lines.push(format!("ct mark 0 {ports} counter ct mark set {choice} comment \"{name}\""));
    }
    lines.push(format!("ct mark & {MARK:#x} != 0 meta mark set ct mark & {:#x}", !MARK));
    lines
}
