//! Rules of ingresses, their classes, network policies, and of the ranges and addresses of services.

use super::ip::{contains, network_of, parse_cidr, parse_ip};
use super::names;
use super::place::Place;
use super::pod::port as port_or_name;
use super::report::Report;
use super::selectors;
use std::collections::BTreeSet;

const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
/// A controller's name, in bytes.
const CONTROLLER_MAX: usize = 250;

/// A new ingress.
pub(super) fn ingress(object: &Place, report: &mut Report) {
    let spec = object.field("spec");
    let default = spec.field("defaultBackend");
    let rules = spec.field("rules");
    if rules.is_empty() && !default.is_set() {
        report.invalid_collection(
            &spec.with(rules.value()),
            "either `defaultBackend` or `rules` must be specified",
        );
    }
    if default.is_set() {
        backend(&default, report);
    }
    for rule in rules.items() {
        ingress_rule(&rule, report);
    }
    let tls = spec.field("tls");
    for (index, one) in tls.items().enumerate() {
        for host in one.field("hosts").items() {
            let text = host.as_text();
            report.problems_of(&tls.index(index).field("hosts"), text, host_name(text));
        }
        let secret = one.field("secretName");
        if !secret.is_empty() {
            report.problems(&secret, names::dns1123_subdomain(secret.as_text()));
        }
    }
    let class = spec.field("ingressClassName");
    if class.is_set() {
        report.problems(&class, names::dns1123_subdomain(class.as_text()));
    }
}

/// The old and the new way to name a class do not go together.
pub(super) fn ingress_created(object: &Place, report: &mut Report) {
    let metadata = object.field("metadata");
    let notes = metadata.field("annotations");
    if notes.has(CLASS_ANNOTATION) && object.field("spec").has("ingressClassName") {
        let at = object.field("annotations");
        let value = notes.text(CLASS_ANNOTATION);
        report.invalid_as(
            &at.field(CLASS_ANNOTATION),
            value,
            "can not be set when the class field is also set",
        );
    }
}

fn host_name(text: &str) -> Vec<String> {
    if text.contains('*') { names::wildcard_dns1123_subdomain(text) } else { names::dns1123_subdomain(text) }
}

fn ingress_rule(at: &Place, report: &mut Report) {
    let host = at.field("host");
    if !host.is_empty() {
        if parse_ip(host.as_text()).is_some() {
            report.invalid(&host, "must be a DNS name, not an IP address");
        }
        report.problems(&host, host_name(host.as_text()));
    }
    let http = at.field("http");
    if !http.is_set() {
        return;
    }
    let paths = http.field("paths");
    if paths.is_empty() {
        report.required(&paths, "");
    }
    for path in paths.items() {
        ingress_path(&path, report);
    }
}

fn ingress_path(at: &Place, report: &mut Report) {
    let (kind, path) = (at.field("pathType"), at.field("path"));
    let text = path.as_text();
    if !kind.is_set() {
        return report.required(&kind, "pathType must be specified");
    }
    match kind.as_text() {
        "Exact" | "Prefix" => {
            if !text.starts_with('/') {
                report.invalid_text(&path, "must be an absolute path");
            }
            for part in ["//", "/./", "/../", "%2f", "%2F"].iter().filter(|part| text.contains(**part)) {
                report.invalid(&path, &format!("must not contain '{part}'"));
            }
            for end in ["/..", "/."].iter().filter(|end| text.ends_with(**end)) {
                report.invalid(&path, &format!("cannot end with '{end}'"));
            }
        }
        "ImplementationSpecific" => {
            if !text.is_empty() && !text.starts_with('/') {
                report.invalid(&path, "must be an absolute path");
            }
        }
        _ => report.unsupported(&kind, &["Exact", "ImplementationSpecific", "Prefix"]),
    }
    backend(&at.field("backend"), report);
}

fn backend(at: &Place, report: &mut Report) {
    let (service, resource) = (at.field("service"), at.field("resource"));
    match (service.is_set(), resource.is_set()) {
        (true, true) => return report.invalid_as(at, "", "cannot set both resource and service backends"),
        (false, false) => return report.required(at, "resource or service backend is required"),
        (false, true) => return reference(&resource, report),
        (true, false) => {}
    }
    let name = service.field("name");
    if name.is_empty() {
        report.required(&name, "");
    } else {
        report.problems(&name, names::dns1035_label(name.as_text()));
    }
    let port = service.field("port");
    let (by_name, number) = (port.field("name"), port.field("number"));
    match (by_name.is_empty(), port.number("number") == 0) {
        (true, true) => report.required(&service, "port name or number is required"),
        (false, false) => report.invalid_as(&service, "", "cannot set both port name & port number"),
        (false, true) => report.problems(&by_name, names::port_name(by_name.as_text())),
        (true, false) => report.port_number(&number),
    }
}

/// An object of another group in the same namespace.
fn reference(at: &Place, report: &mut Report) {
    let group = at.field("apiGroup");
    if !group.is_empty() {
        report.problems(&group, names::dns1123_subdomain(group.as_text()));
    }
    for field in ["kind", "name"] {
        let part = at.field(field);
        if part.is_empty() {
            report.required(&part, &format!("{field} is required"));
        } else {
            report.problems(&part, names::path_segment(part.as_text()));
        }
    }
}

/// A class of ingresses.
pub(super) fn ingress_class(object: &Place, report: &mut Report) {
    let spec = object.field("spec");
    let controller = spec.field("controller");
    if controller.len() > CONTROLLER_MAX {
        report.too_long(&controller, CONTROLLER_MAX);
    }
    super::batch::domain_path(&controller, report);
    let parameters = spec.field("parameters");
    if !parameters.is_set() {
        return;
    }
    reference(&parameters, report);
    let scope = parameters.field("scope");
    let known = ["Cluster", "Namespace"];
    if !scope.is_set() {
        return report.required(&scope, "");
    }
    report.optional_of(&scope, &known);
    let namespace = parameters.field("namespace");
    match scope.as_text() {
        "Namespace" if namespace.is_empty() => {
            report.required(&namespace, "`parameters.scope` is set to 'Namespace'");
        }
        "Namespace" => report.problems(&namespace, names::dns1123_label(namespace.as_text())),
        "Cluster" if namespace.is_set() => {
            report.forbidden(&namespace, "`parameters.scope` is set to 'Cluster'");
        }
        _ => {}
    }
}

pub(super) fn ingress_class_changes(new: &Place, old: &Place, report: &mut Report) {
    let (at, had) = (new.field("spec"), old.field("spec"));
    report.immutable(&at.field("controller"), &had.field("controller"));
}

/// A network policy.
pub(super) fn policy(object: &Place, report: &mut Report) {
    let spec = object.field("spec");
    selectors::label_selector(&spec.field("podSelector"), report);
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for rule in spec.field(direction).items() {
            for port in rule.field("ports").items() {
                policy_port(&port, report);
            }
            for peer in rule.field(peers).items() {
                policy_peer(&peer, report);
            }
        }
    }
    let types = spec.field("policyTypes");
    if types.len() > 2 {
        return report.invalid(&types, "may not specify more than two policyTypes");
    }
    for kind in types.items() {
        report.optional_of(&kind, &["Egress", "Ingress"]);
    }
}

fn policy_port(at: &Place, report: &mut Report) {
    report.optional_of(&at.field("protocol"), &["SCTP", "TCP", "UDP"]);
    let (port, end) = (at.field("port"), at.field("endPort"));
    if port.is_set() {
        port_or_name(&port, report);
        if let (Some(first), Some(last)) = (port.as_number(), end.as_number()) {
            if last < first {
                report.invalid(&end, "must be greater than or equal to `port`");
            }
            report.port_number(&end);
        }
        if port.value().is_string() && end.is_set() {
            report.invalid(&end, "may not be specified when `port` is non-numeric");
        }
    } else if end.is_set() {
        report.invalid(&end, "may not be specified when `port` is not specified");
    }
}

fn policy_peer(at: &Place, report: &mut Report) {
    let mut found = 0;
    for field in ["podSelector", "namespaceSelector"] {
        if at.has(field) {
            found += 1;
            selectors::label_selector(&at.field(field), report);
        }
    }
    let block = at.field("ipBlock");
    if block.is_set() {
        found += 1;
        ip_block(&block, report);
    }
    if found == 0 {
        report.required(at, "must specify a peer");
    } else if found > 1 && block.is_set() {
        report.forbidden(at, "may not specify both ipBlock and another peer");
    }
}

fn ip_block(at: &Place, report: &mut Report) {
    let cidr = at.field("cidr");
    if cidr.is_empty() {
        return report.required(&cidr, "");
    }
    if !report.cidr(&cidr, cidr.as_text()) {
        return;
    }
    let Some(whole) = parse_cidr(cidr.as_text()) else { return };
    for except in at.field("except").items() {
        if !report.cidr(&except, except.as_text()) {
            return;
        }
        let Some(part) = parse_cidr(except.as_text()) else { return };
        if !contains(whole, network_of(part)) || whole.1 >= part.1 {
            report.invalid(&except, "must be a strict subset of `cidr`");
        }
    }
}

/// An address that belongs to something.
pub(super) fn address(object: &Place, report: &mut Report) {
    let spec = object.field("spec");
    let parent = spec.field("parentRef");
    if !parent.is_set() {
        return report.required(&parent, "");
    }
    let group = parent.field("group");
    if !group.is_empty() {
        report.problems(&group, names::dns1123_subdomain(group.as_text()));
    }
    for field in ["resource", "name"] {
        let part = parent.field(field);
        if part.is_empty() {
            report.required(&part, "");
        } else {
            report.problems(&part, names::path_segment(part.as_text()));
        }
    }
    let namespace = parent.field("namespace");
    if !namespace.is_empty() {
        report.problems(&namespace, names::path_segment(namespace.as_text()));
    }
}

pub(super) fn address_changes(new: &Place, old: &Place, report: &mut Report) {
    let (at, had) = (new.field("spec"), old.field("spec"));
    report.immutable(&at.field("parentRef"), &had.field("parentRef"));
}

/// A range of addresses of services.
pub(super) fn service_range(object: &Place, report: &mut Report) {
    let spec = object.field("spec");
    let ranges = spec.field("cidrs");
    if ranges.is_empty() {
        return report.required(&ranges, "at least one CIDR required");
    }
    if ranges.len() > 2 {
        return report.invalid(&ranges, "may only hold up to 2 values");
    }
    let mut families = BTreeSet::new();
    for range in ranges.items() {
        let text = range.as_text();
        let Some(cidr) = parse_cidr(text) else {
            report.cidr(&range, text);
            continue;
        };
        families.insert(cidr.0.is_ipv4());
        let canonical = format!("{}/{}", network_of(cidr), cidr.1);
        if canonical != text {
            let detail = format!("must be in canonical form ({})", crate::cause::quoted(&canonical));
            report.invalid(&range, &detail);
        }
    }
    if ranges.len() == 2 && families.len() < 2 {
        report.invalid(
            &ranges,
            "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64",
        );
    }
}

pub(super) fn service_range_changes(new: &Place, old: &Place, report: &mut Report) {
    let (at, had) = (new.field("spec"), old.field("spec"));
    report.immutable(&at.field("cidrs"), &had.field("cidrs"));
}
