//! Portals as one nftables script.
//!
//! ```text
//! prerouting, output ─▶ services ─(address . protocol . port)─▶ svc-… ─(random)─▶ dnat
//!                               └─(node port)────────────────▶ ext-… (marks for masquerade) ─▶ svc-…
//! postrouting: what was marked, and a pod that reached itself, is masqueraded
//! filter: an address without endpoints is rejected, so clients fail at once instead of waiting
//! ```

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::model::{Endpoint, ServicePortal};
use crate::{Config, TABLE};

/// The bit that says "masquerade this", as upstream's kube-proxy uses it.
const MARK: &str = "0x4000";

/// The script that replaces the whole table in one transaction.
pub fn script(portals: &[ServicePortal], config: &Config) -> String {
    let mut out = String::with_capacity(1024 + portals.len() * 512);
    // Adding before deleting makes the deletion succeed the first time too.
    let _ = writeln!(out, "add table ip {TABLE}\ndelete table ip {TABLE}\ntable ip {TABLE} {{");
    maps(&mut out, portals);
    base_chains(&mut out, config);
    for (number, portal) in portals.iter().enumerate() {
        portal_chains(&mut out, number, portal);
    }
    out.push_str("}\n");
    out
}

/// The script that removes the table.
pub fn removal() -> String {
    format!("add table ip {TABLE}\ndelete table ip {TABLE}\n")
}

fn maps(out: &mut String, portals: &[ServicePortal]) {
    let (mut addresses, mut ports) = (Vec::new(), Vec::new());
    let (mut dead, mut dead_ports) = (Vec::new(), Vec::new());
    let mut seen_ports = BTreeSet::new();
    for (number, portal) in portals.iter().enumerate() {
        let (protocol, port) = (portal.protocol.word(), portal.port);
        let inside = format!("{} . {protocol} . {port}", portal.cluster_ip);
        if portal.internal().is_empty() {
            let verdict = if portal.endpoints.is_empty() { "goto refuse" } else { "drop" };
            dead.push(format!("{inside} : {verdict}"));
        } else {
            addresses.push(format!("{inside} : goto svc-{number}"));
        }
        let lost = portal.external().is_empty();
        let verdict = if portal.endpoints.is_empty() { "goto refuse" } else { "drop" };
        for address in &portal.external_ips {
            let outside = format!("{address} . {protocol} . {port}");
            if lost {
                dead.push(format!("{outside} : {verdict}"));
            } else {
                addresses.push(format!("{outside} : goto ext-{number}"));
            }
        }
        if let Some(node_port) = portal.node_port
            && seen_ports.insert((portal.protocol, node_port))
        {
            if lost {
                dead_ports.push(format!("{protocol} . {node_port} : {verdict}"));
            } else {
                ports.push(format!("{protocol} . {node_port} : goto ext-{number}"));
            }
        }
    }
    let keyed = "ipv4_addr . inet_proto . inet_service : verdict";
    map(out, "service-ips", keyed, &addresses);
    map(out, "service-nodeports", "inet_proto . inet_service : verdict", &ports);
    map(out, "no-endpoint-services", keyed, &dead);
    map(out, "no-endpoint-nodeports", "inet_proto . inet_service : verdict", &dead_ports);
}

fn map(out: &mut String, name: &str, kind: &str, elements: &[String]) {
    let _ = writeln!(out, "  map {name} {{\n    type {kind}");
    if !elements.is_empty() {
        let _ = writeln!(out, "    elements = {{\n      {}\n    }}", elements.join(",\n      "));
    }
    out.push_str("  }\n");
}

fn base_chains(out: &mut String, config: &Config) {
    let node = config.node_address;
    let pods = config.pod_cidr;
    let _ = write!(
        out,
        "  chain prerouting {{
    type nat hook prerouting priority -100; policy accept;
    jump services
  }}
  chain output {{
    type nat hook output priority -100; policy accept;
    jump services
  }}
  chain services {{
    ip daddr . meta l4proto . th dport vmap @service-ips
    ip daddr {{ {node}, 127.0.0.1 }} meta l4proto . th dport vmap @service-nodeports
  }}
  chain postrouting {{
    type nat hook postrouting priority 100; policy accept;
    meta mark & {MARK} == {MARK} meta mark set meta mark & 0xffffbfff masquerade fully-random
  }}
  chain mark-foreign {{
    ip saddr != {pods} meta mark set meta mark | {MARK}
  }}
  chain filter-forward {{
    type filter hook forward priority 0; policy accept;
    ct state new jump dead-services
  }}
  chain filter-input {{
    type filter hook input priority 0; policy accept;
    ct state new ip daddr {{ {node}, 127.0.0.1 }} meta l4proto . th dport vmap @no-endpoint-nodeports
  }}
  chain filter-output {{
    type filter hook output priority 0; policy accept;
    ct state new jump dead-services
  }}
  chain dead-services {{
    ip daddr . meta l4proto . th dport vmap @no-endpoint-services
  }}
  chain refuse {{
    meta l4proto tcp reject with tcp reset
    reject
  }}
"
    );
}

fn portal_chains(out: &mut String, number: usize, portal: &ServicePortal) {
    let internal = portal.internal();
    if !internal.is_empty() {
        // From a node's own address or from beyond the cluster the answer must come back through here.
        balance(out, &format!("svc-{number}"), portal, &internal, Some("jump mark-foreign"));
    }
    let external = portal.external();
    if portal.is_external() && !external.is_empty() {
        // With `Local` the source stays as it is: only local endpoints are asked.
        let mark = format!("meta mark set meta mark | {MARK}");
        let mark = (!portal.external_local).then_some(mark.as_str());
        balance(out, &format!("ext-{number}"), portal, &external, mark);
    }
}

fn balance(
    out: &mut String,
    chain: &str,
    portal: &ServicePortal,
    endpoints: &[&Endpoint],
    mark: Option<&str>,
) {
    let protocol = portal.protocol.word();
    if let Some(seconds) = portal.affinity_seconds {
        for index in 0..endpoints.len() {
            let _ = writeln!(
                out,
                "  set {chain}-{index}-clients {{\n    type ipv4_addr; flags dynamic,timeout; timeout {seconds}s\n  }}"
            );
        }
    }
    for (index, endpoint) in endpoints.iter().enumerate() {
        let _ = writeln!(out, "  chain {chain}-{index} {{");
        if portal.affinity_seconds.is_some() {
            let _ = writeln!(out, "    update @{chain}-{index}-clients {{ ip saddr }}");
        }
        // A pod that reaches itself through its service would see its own address as the source.
        let _ = writeln!(out, "    ip saddr {} meta mark set meta mark | {MARK}", endpoint.address);
        let _ =
            writeln!(out, "    meta l4proto {protocol} dnat to {}:{}\n  }}", endpoint.address, endpoint.port);
    }
    let _ = writeln!(out, "  chain {chain} {{\n    comment \"{}\"", portal.name);
    if chain.starts_with("ext-") && !portal.source_ranges.is_empty() {
        let _ = writeln!(out, "    ip saddr != {{ {} }} drop", portal.source_ranges.join(", "));
    }
    if let Some(mark) = mark {
        let _ = writeln!(out, "    {mark}");
    }
    if portal.affinity_seconds.is_some() {
        for index in 0..endpoints.len() {
            let _ = writeln!(out, "    ip saddr @{chain}-{index}-clients goto {chain}-{index}");
        }
    }
    let targets: Vec<String> =
        (0..endpoints.len()).map(|index| format!("{index} : goto {chain}-{index}")).collect();
    let _ =
        writeln!(out, "    numgen random mod {} vmap {{ {} }}\n  }}", endpoints.len(), targets.join(", "));
}
