//! Rules of endpoints and endpoint slices.

use super::ip::parse_ip;
use super::names;
use super::place::Place;
use super::report::Report;
use super::service::PROTOCOLS;
use std::collections::BTreeSet;

/// What one slice may hold.
const ENDPOINTS_MAX: usize = 1000;
const ADDRESSES_MAX: usize = 100;
const PORTS_MAX: usize = 20_000;
const ZONES_MAX: usize = 8;
const NODES_MAX: usize = 8;

/// Endpoints of a service, the old kind.
pub(super) fn endpoints(object: &Place, report: &mut Report) {
    for subset in object.field("subsets").items() {
        if subset.field("addresses").is_empty() && subset.field("notReadyAddresses").is_empty() {
            report.required(&subset, "must specify `addresses` or `notReadyAddresses`");
        }
        for list in ["addresses", "notReadyAddresses"] {
            for address in subset.field(list).items() {
                endpoint_address(&address, report);
            }
        }
        let ports = subset.field("ports");
        for port in ports.items() {
            let name = port.field("name");
            if name.is_empty() {
                if ports.len() > 1 {
                    report.required(&name, "");
                }
            } else {
                report.problems(&name, names::dns1123_label(name.as_text()));
            }
            report.port_number(&port.field("port"));
            report.one_of(&port.field("protocol"), &PROTOCOLS);
            application_protocol(&port, report);
        }
    }
}

fn application_protocol(port: &Place, report: &mut Report) {
    let protocol = port.field("appProtocol");
    if protocol.is_set() {
        report.problems(&protocol, names::qualified_name(protocol.as_text()));
    }
}

fn endpoint_address(at: &Place, report: &mut Report) {
    let ip = at.field("ip");
    report.ip(&ip);
    let host = at.field("hostname");
    if !host.is_empty() {
        report.problems(&host, names::dns1123_label(host.as_text()));
    }
    let node = at.field("nodeName");
    if node.is_set() {
        report.problems(&node, names::dns1123_subdomain(node.as_text()));
    }
    report.ordinary_ip(&ip);
}

/// A slice of a service's endpoints.
pub(super) fn slice(object: &Place, report: &mut Report) {
    let kind = object.field("addressType");
    let known = ["FQDN", "IPv4", "IPv6"];
    match kind.as_text() {
        "" => report.required(&kind, ""),
        text if known.contains(&text) => {}
        _ => report.unsupported(&kind, &known),
    }
    let endpoints = object.field("endpoints");
    if endpoints.len() > ENDPOINTS_MAX {
        report.too_many(&endpoints, ENDPOINTS_MAX);
    } else {
        for endpoint in endpoints.items() {
            slice_endpoint(&endpoint, kind.as_text(), report);
        }
    }
    slice_ports(&object.field("ports"), report);
}

fn slice_endpoint(at: &Place, kind: &str, report: &mut Report) {
    let addresses = at.field("addresses");
    if addresses.is_empty() {
        report.required(&addresses, "must contain at least 1 address");
    } else if addresses.len() > ADDRESSES_MAX {
        report.too_many(&addresses, ADDRESSES_MAX);
    }
    for address in addresses.items() {
        let ip = parse_ip(address.as_text());
        match kind {
            "IPv4" | "IPv6" => {
                let fits = ip.is_some_and(|ip| ip.is_ipv4() == (kind == "IPv4"));
                if fits {
                    report.ordinary_ip(&address);
                } else {
                    report.invalid(&address, &format!("must be a valid {kind} address"));
                }
            }
            "FQDN" => domain_name(&address, report),
            _ => {}
        }
    }
    let node = at.field("nodeName");
    if node.is_set() {
        report.problems(&node, names::dns1123_subdomain(node.as_text()));
    }
    let topology = at.field("deprecatedTopology");
    super::selectors::labels(&topology, report);
    if topology.value().get("kubernetes.io/hostname").is_some() {
        report.invalid_as(
            &topology.key("kubernetes.io/hostname"),
            topology.text("kubernetes.io/hostname"),
            "may not be set, use the nodeName field instead",
        );
    }
    let host = at.field("hostname");
    if host.is_set() {
        report.problems(&host, names::dns1123_label(host.as_text()));
    }
    hints(&at.field("hints"), report);
}

/// A domain name of at least two labels.
fn domain_name(at: &Place, report: &mut Report) {
    let text = at.as_text().strip_suffix('.').unwrap_or(at.as_text());
    if text.is_empty() {
        return report.required(at, "");
    }
    let problems = names::dns1123_subdomain(text);
    if !problems.is_empty() {
        return report.invalid_as(at, text, &problems.join(","));
    }
    if !text.contains('.') {
        return report.invalid_as(
            at,
            text,
            "should be a domain with at least two segments separated by dots",
        );
    }
    for label in text.split('.') {
        let problems = names::dns1123_label(label);
        if !problems.is_empty() {
            return report.invalid_as(at, label, &problems.join(","));
        }
    }
}

fn hints(at: &Place, report: &mut Report) {
    for (list, max) in [("forZones", ZONES_MAX), ("forNodes", NODES_MAX)] {
        let named = at.field(list);
        if named.len() > max {
            report.too_many(&named, max);
            continue;
        }
        let mut seen = BTreeSet::new();
        for one in named.items() {
            let name = one.field("name");
            if !seen.insert(name.as_text()) {
                report.duplicate(&name);
            }
            let problems = if list == "forZones" {
                names::label_value(name.as_text())
            } else {
                names::dns1123_subdomain(name.as_text())
            };
            report.problems(&name, problems);
        }
    }
}

fn slice_ports(at: &Place, report: &mut Report) {
    if at.len() > PORTS_MAX {
        return report.too_many(at, PORTS_MAX);
    }
    let mut seen = BTreeSet::new();
    for port in at.items() {
        let name = port.field("name");
        if !name.is_empty() {
            report.problems(&name, names::dns1123_label(name.as_text()));
        }
        if !seen.insert(name.as_text()) {
            report.duplicate_as(&name, name.as_text());
        }
        let number = port.field("port");
        if number.is_set() {
            report.port_number(&number);
        }
        report.one_of(&port.field("protocol"), &PROTOCOLS);
        application_protocol(&port, report);
    }
}

/// A changed slice.
pub(super) fn slice_changes(new: &Place, old: &Place, report: &mut Report) {
    report.immutable(&new.field("addressType"), &old.field("addressType"));
}
