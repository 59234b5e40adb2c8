//! Host ports: one table, replaced as a whole.

use std::fmt::Write;
use std::net::Ipv4Addr;

use linux::nft;

use crate::addresses::Owner;
use crate::error::CniError;

const TABLE: &str = "cni-hostports";

pub(crate) fn write(owners: &[(Ipv4Addr, Owner)]) -> Result<(), CniError> {
    nft::apply_here(&script(owners))
        .map_err(|source| CniError::Link { deed: "map host ports", source: Box::new(source) })
}

fn script(owners: &[(Ipv4Addr, Owner)]) -> String {
    let mut rules = String::new();
    let mut own = String::new();
    for (address, owner) in owners {
        for port in owner.ports.iter().filter(|p| p.host_port != 0) {
            let to = if port.host_ip.is_empty() || port.host_ip == "0.0.0.0" {
                "fib daddr type local".to_owned()
            } else {
                format!("ip daddr {}", port.host_ip)
            };
            let protocol = port.protocol.to_ascii_lowercase();
            let (from, inside) = (port.host_port, port.container_port);
            let _ = writeln!(rules, "\t\t{to} {protocol} dport {from} dnat to {address}:{inside}");
            let _ = writeln!(own, "\t\tip saddr {address} ip daddr {address} ct status dnat masquerade");
        }
    }
    if rules.is_empty() {
        return nft::remove_table("ip", TABLE);
    }
    let body = format!(
        "\tchain hostports {{\n{rules}\t}}
\tchain prerouting {{\n\t\ttype nat hook prerouting priority -101; policy accept;\n\t\tjump hostports\n\t}}
\tchain output {{\n\t\ttype nat hook output priority -101; policy accept;\n\t\tjump hostports\n\t}}
\tchain postrouting {{\n\t\ttype nat hook postrouting priority 99; policy accept;\n{own}\t}}\n"
    );
    nft::replace_table("ip", TABLE, &body)
}
