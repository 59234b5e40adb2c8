//! Facts as lines of `ip` and kernel settings. Every line may be run twice.

use ::linux::ip::{Repeat, batch};

use super::config::LinuxConfig;
use super::{Cause, host};
use crate::fabric::FabricError;
use crate::ids::{MachineId, NetworkId};
use crate::plan::{ENDPOINT_MARK, Fact, Hop, INTERNET, METADATA, WIRE_SERVER, transit_address};

/// The hardware address of every gateway, as on Azure.
const GATEWAY_MAC: &str = "12:34:56:78:9a:bc";

#[derive(Default)]
struct Lines {
    router: Vec<String>,
    internet: Vec<String>,
    machines: Vec<(MachineId, Vec<String>)>,
    settings: Vec<(String, String)>,
}

fn uplink(network: &NetworkId) -> String {
    format!("n-{network}")
}

fn setting(key: String, value: &str) -> (String, String) {
    (key, value.to_owned())
}

fn router_settings() -> Vec<(String, String)> {
    let mut all = vec![setting("ipv4/ip_forward".into(), "1")];
    for scope in ["all", "default"] {
        for key in ["rp_filter", "send_redirects", "accept_redirects"] {
            all.push(setting(format!("ipv4/conf/{scope}/{key}"), "0"));
        }
    }
    all
}

pub(super) fn make_internet(config: &LinuxConfig) -> Result<(), FabricError> {
    let deed = || "make the internet".to_owned();
    let internet = config.internet();
    internet.create().map_err(host(deed()))?;
    internet.sysctl(&router_settings()).map_err(host(deed()))?;
    let lines = [format!("addr replace {INTERNET}/32 dev lo")];
    batch(&internet, &lines, Repeat::Tolerant).map_err(host(deed()))
}

pub(super) fn make_router(config: &LinuxConfig, id: &NetworkId) -> Result<(), FabricError> {
    let deed = || format!("make router {id}");
    let router = config.router(id);
    router.create().map_err(host(deed()))?;
    router.sysctl(&router_settings()).map_err(host(deed()))?;
    let (link, transit) = (uplink(id), transit_address(id));
    let lines = [
        format!("addr replace {WIRE_SERVER}/32 dev lo"),
        format!("addr replace {METADATA}/32 dev lo"),
        format!("link add uplink type veth peer name {link} netns {}", config.internet_name()),
        format!("addr replace {transit}/32 dev uplink"),
        "link set uplink up".into(),
        format!("route replace {INTERNET}/32 dev uplink src {transit}"),
        format!("route replace default via {INTERNET} dev uplink src {transit}"),
    ];
    batch(&router, &lines, Repeat::Tolerant).map_err(host(deed()))?;
    let lines =
        [format!("link set {link} up"), format!("route replace {transit}/32 dev {link} src {INTERNET}")];
    batch(&config.internet(), &lines, Repeat::Tolerant).map_err(host(deed()))
}

pub(super) fn make_namespace(config: &LinuxConfig, id: &MachineId) -> Result<(), FabricError> {
    config.machine(id).create().map_err(host(format!("make namespace of machine {id}")))
}

pub(super) fn link(config: &LinuxConfig, network: &NetworkId, facts: &[Fact]) -> Result<(), FabricError> {
    let mut lines = Lines::default();
    facts.iter().for_each(|fact| add(config, network, fact, &mut lines));
    run(config, network, lines)
}

pub(super) fn unlink(config: &LinuxConfig, network: &NetworkId, facts: &[Fact]) -> Result<(), FabricError> {
    let mut lines = Lines::default();
    facts.iter().rev().for_each(|fact| remove(network, fact, &mut lines));
    run(config, network, lines)
}

fn run(config: &LinuxConfig, network: &NetworkId, lines: Lines) -> Result<(), FabricError> {
    let deed = |where_to: &str| format!("change links of {where_to}");
    let router = config.router(network);
    batch(&router, &lines.router, Repeat::Tolerant).map_err(host(deed(&format!("router {network}"))))?;
    if !lines.settings.is_empty() {
        router.sysctl(&lines.settings).map_err(host(deed(&format!("router {network}"))))?;
    }
    batch(&config.internet(), &lines.internet, Repeat::Tolerant).map_err(host(deed("the internet")))?;
    // One process per machine: at the same time.
    std::thread::scope(|scope| {
        let running: Vec<_> = lines
            .machines
            .iter()
            .map(|(id, lines)| (id, scope.spawn(|| batch(&config.machine(id), lines, Repeat::Tolerant))))
            .collect();
        for (id, thread) in running {
            let deed = deed(&format!("machine {id}"));
            match thread.join() {
                Ok(done) => done.map_err(host(deed))?,
                Err(_) => return Err(host(deed)(Cause::from("a thread panicked"))),
            }
        }
        Ok(())
    })
}

fn add(config: &LinuxConfig, network: &NetworkId, fact: &Fact, lines: &mut Lines) {
    let router = &mut lines.router;
    match fact {
        Fact::Bridge { name, gateway } => {
            router.push(format!("link add {name} address {GATEWAY_MAC} type bridge forward_delay 0"));
            router.push(format!("addr replace {gateway} dev {name}"));
            router.push(format!("link set {name} up"));
            // Ports are isolated: the bridge answers for every neighbour, so all packets are routed and filtered.
            lines.settings.push(setting(format!("ipv4/conf/{name}/proxy_arp_pvlan"), "1"));
            lines.settings.push(setting(format!("ipv4/conf/{name}/send_redirects"), "0"));
            lines.settings.push(setting(format!("ipv4/conf/{name}/rp_filter"), "0"));
            lines.settings.push(setting(format!("ipv4/neigh/{name}/proxy_delay"), "0"));
        }
        Fact::Port { machine, bridge, address, gateway, mac } => {
            let port = format!("m-{machine}");
            router.push(format!(
                "link add {port} type veth peer name eth0 address {mac} netns {}",
                config.machine_name(machine)
            ));
            router.push(format!("link set {port} master {bridge}"));
            router.push(format!("link set {port} type bridge_slave isolated on"));
            router.push(format!("link set {port} up"));
            let inside = vec![
                format!("addr replace {address} dev eth0"),
                "link set eth0 up".into(),
                format!("route replace default via {gateway}"),
            ];
            lines.machines.push((machine.clone(), inside));
        }
        Fact::PeerLink { .. }
        | Fact::PeerRoute { .. }
        | Fact::HopLink { .. }
        | Fact::HopEnd { .. }
        | Fact::UserRoute { hop: Hop::Link { .. }, .. } => add_between(config, network, fact, router),
        Fact::Ground => {
            // Never sends: what is routed to it is counted and dropped on the way.
            router.push("link add nowhere type bridge".into());
            router.push("link set nowhere up".into());
            router.push(format!("rule add pref 90 fwmark {ENDPOINT_MARK:#x} lookup main"));
        }
        Fact::NoRoute { prefix } => router.push(format!("route replace {prefix} dev nowhere")),
        Fact::Frontend { address, bridge } => {
            router.push(format!("route replace {address}/32 dev nowhere"));
            // Its subnet's bridge answers for it, though no machine there has it.
            lines.settings.extend(bridge.iter().map(|b| setting(format!("ipv4/conf/{b}/proxy_arp"), "1")));
        }
        Fact::Pods { prefix, via, .. } => router.push(format!("route replace {prefix} via {via}")),
        Fact::Mark { mark, via, .. } => {
            router.push(format!("route replace default via {via} table {mark}"));
            router.push(format!("rule add pref 100 fwmark {mark:#x} lookup {mark}"));
        }
        Fact::Table { bridge, table } => {
            router.push(format!("rule add pref 1000 iif {bridge} lookup {table}"))
        }
        Fact::UserRoute { table, prefix, hop } => router.push(match hop {
            Hop::Network => format!("route replace throw {prefix} table {table}"),
            Hop::Via(address) => format!("route replace {prefix} via {address} table {table}"),
            Hop::Internet => format!("route replace {prefix} via {INTERNET} dev uplink table {table}"),
            Hop::Nowhere | Hop::Link { .. } => format!("route replace {prefix} dev nowhere table {table}"),
        }),
        Fact::Public { address } => {
            // What is not translated or marked must not bounce between router and internet.
            router.push(format!("route replace {address}/32 dev nowhere"));
            let (link, transit) = (uplink(network), transit_address(network));
            lines.internet.push(format!("route replace {address}/32 via {transit} dev {link} onlink"));
        }
    }
}

/// What joins the routers of two networks. Both make the link; the second finds it there.
fn add_between(config: &LinuxConfig, network: &NetworkId, fact: &Fact, router: &mut Vec<String>) {
    let mut join = |near: &str, far: &str, peer: &NetworkId| {
        let netns = config.router_name(peer);
        router.push(format!("link add {near} type veth peer name {far} netns {netns}"));
        // An address of its own: without it neighbours would be asked for under one that both ends have.
        router.push(format!("addr replace {}/32 dev {near}", transit_address(network)));
        router.push(format!("link set {near} up"));
    };
    match fact {
        Fact::PeerLink { network: peer } => join(&peer_link(peer), &peer_link(network), peer),
        Fact::HopLink { link, peer } => join(link, link, peer),
        Fact::HopEnd { link, peer, via, table, balanced } => {
            join(link, link, peer);
            router.push(match balanced {
                true => format!("route replace default dev nowhere table {table}"),
                false => format!("route replace default via {via} table {table}"),
            });
            router.push(format!("rule add pref 200 iif {link} lookup {table}"));
        }
        Fact::PeerRoute { prefix, network: peer } => {
            let (link, via) = (peer_link(peer), transit_address(peer));
            router.push(format!("route replace {prefix} via {via} dev {link} onlink"));
        }
        Fact::UserRoute { table, prefix, hop: Hop::Link { link, network: peer } } => {
            let via = transit_address(peer);
            router.push(format!("route replace {prefix} via {via} dev {link} onlink table {table}"));
        }
        _ => {}
    }
}

fn peer_link(peer: &NetworkId) -> String {
    format!("p-{peer}")
}

fn remove(network: &NetworkId, fact: &Fact, lines: &mut Lines) {
    let router = &mut lines.router;
    match fact {
        Fact::Bridge { name, .. } => router.push(format!("link del {name}")),
        Fact::Port { machine, .. } => router.push(format!("link del m-{machine}")),
        Fact::Ground => {
            router.push(format!("rule del pref 90 fwmark {ENDPOINT_MARK:#x} lookup main"));
            router.push("link del nowhere".into());
        }
        Fact::PeerLink { network: peer } => router.push(format!("link del {}", peer_link(peer))),
        Fact::PeerRoute { prefix, network: peer } => {
            router.push(format!("route del {prefix} dev {}", peer_link(peer)));
        }
        Fact::HopLink { link, .. } => router.push(format!("link del {link}")),
        Fact::HopEnd { link, table, .. } => {
            router.push(format!("rule del pref 200 iif {link} lookup {table}"));
            router.push(format!("route del default table {table}"));
            router.push(format!("link del {link}"));
        }
        Fact::NoRoute { prefix } => router.push(format!("route del {prefix} dev nowhere")),
        Fact::Frontend { address, .. } => router.push(format!("route del {address}/32 dev nowhere")),
        Fact::Pods { prefix, via, .. } => router.push(format!("route del {prefix} via {via}")),
        Fact::Mark { mark, .. } => {
            router.push(format!("rule del pref 100 fwmark {mark:#x} lookup {mark}"));
            router.push(format!("route del default table {mark}"));
        }
        Fact::Table { bridge, table } => {
            router.push(format!("rule del pref 1000 iif {bridge} lookup {table}"))
        }
        Fact::UserRoute { table, prefix, hop } => {
            let kind = match hop {
                Hop::Network => "throw ",
                _ => "",
            };
            router.push(format!("route del {kind}{prefix} table {table}"));
        }
        Fact::Public { address } => {
            router.push(format!("route del {address}/32 dev nowhere"));
            lines.internet.push(format!("route del {address}/32 dev {}", uplink(network)));
        }
    }
}
