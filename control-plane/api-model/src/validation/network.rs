//! Rules of endpoint slices, ingresses and network policies.

use super::container::port_range;
use super::report::{Report, at, list, number, spec, text};
use super::{names, workloads};
use crate::cause::Cause;
use crate::path::FieldPath;
use serde_json::Value;

pub(super) fn endpoint_slice(o: &Value, report: &mut Report) {
    report.one_of(&FieldPath::new("addressType"), o.get("addressType"), &["FQDN", "IPv4", "IPv6"], true);
    let endpoints = list(o, "endpoints");
    if endpoints.len() > 1000 {
        report.push(Cause::too_many(&FieldPath::new("endpoints"), endpoints.len(), 1000));
    }
    let kind = text(o, "addressType");
    for (index, endpoint) in endpoints.iter().enumerate() {
        let at = FieldPath::new("endpoints").index(index).child("addresses");
        let addresses = list(endpoint, "addresses");
        if addresses.is_empty() {
            report.required(&at, "must contain at least 1 address");
        }
        for (index, address) in addresses.iter().enumerate() {
            let text = address.as_str().unwrap_or_default();
            let (fits, what) = match kind {
                "IPv4" => (text.parse::<std::net::Ipv4Addr>().is_ok(), "must be an IPv4 address"),
                "IPv6" => (text.parse::<std::net::Ipv6Addr>().is_ok(), "must be an IPv6 address"),
                _ => (true, ""),
            };
            if !fits {
                report.push(Cause::invalid_str(&at.index(index), text, what));
            }
        }
    }
    let ports = list(o, "ports");
    if ports.len() > 20_000 {
        report.push(Cause::too_many(&FieldPath::new("ports"), ports.len(), 20_000));
    }
    for (index, port) in ports.iter().enumerate() {
        let at = FieldPath::new("ports").index(index);
        report.one_of(&at.child("protocol"), port.get("protocol"), &["SCTP", "TCP", "UDP"], true);
        if let Some(number) = number(port, "port") {
            port_range(&at.child("port"), number, report);
        }
    }
}

pub(super) fn ingress(o: &Value, report: &mut Report) {
    let (path, spec) = spec(o);
    let default = spec.get("defaultBackend").filter(|b| !b.is_null());
    if list(spec, "rules").is_empty() && default.is_none() {
        let detail = "either `defaultBackend` or `rules` must be specified";
        report.push(Cause::invalid_str(&path, "", detail));
    }
    if let Some(default) = default {
        backend(default, &path.child("defaultBackend"), report);
    }
    for (index, rule) in list(spec, "rules").iter().enumerate() {
        let at_rule = path.child("rules").index(index);
        let host = text(rule, "host");
        if !host.is_empty() {
            let plain = host.strip_prefix("*.").unwrap_or(host);
            report.problems(&at_rule.child("host"), host, names::dns1123_subdomain(plain));
        }
        for (index, entry) in list(at(rule, "/http"), "paths").iter().enumerate() {
            let at = at_rule.child("http").child("paths").index(index);
            let kinds = ["Exact", "ImplementationSpecific", "Prefix"];
            match entry.get("pathType") {
                None | Some(Value::Null) => {
                    report.required(&at.child("pathType"), "pathType must be specified")
                }
                kind => report.one_of(&at.child("pathType"), kind, &kinds, true),
            }
            let place = text(entry, "path");
            if matches!(text(entry, "pathType"), "Exact" | "Prefix") && !place.starts_with('/') {
                report.push(Cause::invalid_str(&at.child("path"), place, "must be an absolute path"));
            }
            backend(entry.get("backend").unwrap_or(&Value::Null), &at.child("backend"), report);
        }
    }
}

fn backend(backend: &Value, path: &FieldPath, report: &mut Report) {
    let has = |field: &str| backend.get(field).is_some_and(|v| !v.is_null());
    match (has("service"), has("resource")) {
        (true, true) => {
            report.push(Cause::invalid_str(path, "", "cannot set both resource and service backends"))
        }
        (false, false) => report.required(path, "resource or service backend is required"),
        (false, true) => {}
        (true, false) => {
            let service = at(backend, "/service");
            let path = path.child("service");
            match text(service, "name") {
                "" => report.required(&path.child("name"), ""),
                name => report.problems(&path.child("name"), name, names::dns1035_label(name)),
            }
            let port = at(service, "/port");
            match (text(port, "name"), self::number(port, "number").unwrap_or(0)) {
                ("", 0) => report.required(&path, "port name or number is required"),
                ("", number) => port_range(&path.child("port").child("number"), number, report),
                (name, 0) => report.problems(&path.child("port").child("name"), name, names::port_name(name)),
                _ => report.push(Cause::invalid_str(&path, "", "cannot set both port name & port number")),
            }
        }
    }
}

pub(super) fn policy(o: &Value, report: &mut Report) {
    let (path, spec) = spec(o);
    if let Some(selector) = spec.get("podSelector") {
        workloads::label_selector(selector, &path.child("podSelector"), report);
    }
    for (index, kind) in list(spec, "policyTypes").iter().enumerate() {
        report.one_of(&path.child("policyTypes").index(index), Some(kind), &["Egress", "Ingress"], true);
    }
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for (index, rule) in list(spec, direction).iter().enumerate() {
            let at = path.child(direction).index(index);
            for (index, peer) in list(rule, peers).iter().enumerate() {
                let at = at.child(peers).index(index);
                let has = |field: &str| peer.get(field).is_some_and(|v| !v.is_null());
                if has("ipBlock") && (has("podSelector") || has("namespaceSelector")) {
                    report.forbidden(&at, "may not specify both ipBlock and another peer");
                } else if !has("ipBlock") && !has("podSelector") && !has("namespaceSelector") {
                    report.required(&at, "must specify a peer");
                }
            }
            for (index, port) in list(rule, "ports").iter().enumerate() {
                let at = at.child("ports").index(index);
                report.one_of(&at.child("protocol"), port.get("protocol"), &["SCTP", "TCP", "UDP"], false);
                if let Some(number) = port.get("port").and_then(Value::as_i64) {
                    port_range(&at.child("port"), number, report);
                }
            }
        }
    }
}
