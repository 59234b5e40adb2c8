//! Rules of services.

use super::container::port_range;
use super::names;
use super::report::{Report, list, number, spec, text};
use crate::cause::Cause;
use crate::path::FieldPath;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];

pub(super) fn service(o: &Value, report: &mut Report) {
    let (path, spec) = spec(o);
    let kind = text(spec, "type");
    report.one_of(&path.child("type"), spec.get("type"), &TYPES, true);
    report.one_of(&path.child("sessionAffinity"), spec.get("sessionAffinity"), &["ClientIP", "None"], true);
    super::metadata::labels(spec.get("selector"), &path.child("selector"), report);
    let ip = text(spec, "clusterIP");
    match kind {
        "ExternalName" => {
            let name = text(spec, "externalName").trim_end_matches('.');
            if name.is_empty() {
                report.required(&path.child("externalName"), "");
            } else {
                report.problems(
                    &path.child("externalName"),
                    name,
                    names::dns1123_subdomain(&name.to_lowercase()),
                );
            }
            if !ip.is_empty() {
                report.forbidden(&path.child("clusterIPs"), "may not be set when `type` is 'ExternalName'");
            }
        }
        "LoadBalancer" | "NodePort" if ip == "None" => {
            let detail = format!("may not be set to 'None' for {kind} services");
            report.push(Cause::invalid_str(&path.child("clusterIPs").index(0), ip, &detail));
        }
        _ => {}
    }
    if !ip.is_empty() && ip != "None" && ip.parse::<std::net::IpAddr>().is_err() {
        let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        report.push(Cause::invalid_str(&path.child("clusterIPs").index(0), ip, detail));
    }
    if list(spec, "ports").is_empty() && ip != "None" && kind != "ExternalName" {
        report.required(&path.child("ports"), "");
    }
    ports(spec, kind, &path, report);
    for (field, allowed) in
        [("externalTrafficPolicy", ["Cluster", "Local"]), ("internalTrafficPolicy", ["Cluster", "Local"])]
    {
        report.one_of(&path.child(field), spec.get(field), &allowed, false);
    }
    for (index, range) in list(spec, "loadBalancerSourceRanges").iter().enumerate() {
        let text = range.as_str().unwrap_or_default().trim();
        let fits = text
            .split_once('/')
            .is_some_and(|(ip, bits)| ip.parse::<std::net::IpAddr>().is_ok() && bits.parse::<u8>().is_ok());
        if !fits {
            let detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
            report.push(Cause::invalid_str(
                &path.child("loadBalancerSourceRanges").index(index),
                text,
                detail,
            ));
        }
    }
}

fn ports(spec: &Value, kind: &str, path: &FieldPath, report: &mut Report) {
    let ports = list(spec, "ports");
    let (mut names_seen, mut seen, mut node_ports) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (index, port) in ports.iter().enumerate() {
        let at = path.child("ports").index(index);
        match text(port, "name") {
            "" if ports.len() > 1 => report.required(&at.child("name"), ""),
            "" => {}
            name => {
                report.problems(&at.child("name"), name, names::dns1123_label(name));
                if !names_seen.insert(name) {
                    report.push(Cause::duplicate(&at.child("name"), &name.into()));
                }
            }
        }
        let (protocol, value) = (text(port, "protocol"), number(port, "port").unwrap_or(0));
        port_range(&at.child("port"), value, report);
        report.one_of(&at.child("protocol"), port.get("protocol"), &["SCTP", "TCP", "UDP"], true);
        match port.get("targetPort") {
            Some(Value::String(name)) => {
                report.problems(&at.child("targetPort"), name, names::port_name(name))
            }
            Some(target) => port_range(&at.child("targetPort"), target.as_i64().unwrap_or(0), report),
            None => {}
        }
        if !seen.insert((protocol, value)) {
            report.push(Cause::duplicate(&at, &json!({"port": value, "protocol": protocol})));
        }
        let node = number(port, "nodePort").unwrap_or(0);
        if node != 0 {
            if matches!(kind, "ClusterIP" | "ExternalName") {
                report.forbidden(&at.child("nodePort"), "may not be used when `type` is 'ClusterIP'");
            }
            if !node_ports.insert((protocol, node)) {
                report.push(Cause::duplicate(&at.child("nodePort"), &node.into()));
            }
        }
    }
}

pub(super) fn changes(new: &Value, old: &Value, report: &mut Report) {
    let at = |o: &Value, field: &str| {
        o.pointer(&format!("/spec/{field}")).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let named = |o: &Value| at(o, "type") == "ExternalName";
    let (now, before) = (at(new, "clusterIP"), at(old, "clusterIP"));
    if !named(new) && !named(old) && !before.is_empty() && now != before {
        let value = new.pointer("/spec/clusterIPs").cloned().unwrap_or_else(|| json!([now]));
        report.invalid(&FieldPath::new("spec.clusterIPs[0]"), &value, "may not change once set");
    }
}
