//! Rules of services.

mod addresses;
mod changes;

pub(super) use changes::changes;

use super::names;
use super::place::Place;
use super::pod::port as port_or_name;
use super::report::{Report, internal};
use super::selectors;
use serde_json::{Value, json};
use std::collections::BTreeSet;

pub(super) const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
/// A client stays with its pod for at most a day, in seconds.
const AFFINITY_MAX_S: i64 = 86_400;
const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const MODE: &str = "service.kubernetes.io/topology-mode";
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";

/// A service that has no address of its own.
fn is_headless(spec: &Place) -> bool {
    matches!(spec.field("clusterIPs").list(), [only] if only == "None")
}

/// Whether traffic from outside reaches it.
fn is_external(spec: &Place) -> bool {
    match spec.text("type") {
        "LoadBalancer" | "NodePort" => true,
        "ClusterIP" => !spec.field("externalIPs").is_empty(),
        _ => false,
    }
}

/// Whether balancers ask nodes if they have a pod of it.
fn needs_health_check(spec: &Place) -> bool {
    spec.text("type") == "LoadBalancer" && spec.text("externalTrafficPolicy") == "Local"
}

/// A service.
pub(super) fn service(object: &Place, report: &mut Report) {
    let metadata = object.field("metadata");
    let notes = metadata.field("annotations");
    if notes.has(HINTS) && notes.has(MODE) && notes.text(HINTS) != notes.text(MODE) {
        let detail = format!("must match annotations[{HINTS}] when both are specified");
        report.invalid(&notes.key(MODE), &detail);
    }
    let spec = object.field("spec");
    let ports = spec.field("ports");
    let headless = is_headless(&spec);
    if ports.is_empty() && !headless && spec.text("type") != "ExternalName" {
        report.required(&ports, "");
    }
    by_type(&spec, headless, report);
    let mut names_seen = BTreeSet::new();
    for port in ports.items() {
        service_port(&port, ports.len() > 1, &mut names_seen, report);
    }
    selectors::labels(&spec.field("selector"), report);
    affinity(&spec, report);
    addresses::cluster(&spec, report);
    for ip in spec.field("externalIPs").items() {
        if report.ip(&ip) {
            report.ordinary_ip(&ip);
        }
    }
    report.one_of(&spec.field("type"), &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]);
    port_conflicts(&spec, report);
    balancer(&spec, &notes, report);
    traffic(&spec, report);
}

fn by_type(spec: &Place, headless: bool, report: &mut Report) {
    match spec.text("type") {
        kind @ ("LoadBalancer" | "NodePort") if headless => {
            let addresses = spec.field("clusterIPs");
            report.invalid(&addresses.index(0), &format!("may not be set to 'None' for {kind} services"));
        }
        "ExternalName" => {
            for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                if !spec.field(field).is_empty() {
                    report.forbidden(&spec.field(field), "may not be set for ExternalName services");
                }
            }
            let name = spec.field("externalName");
            let text = name.as_text().strip_suffix('.').unwrap_or(name.as_text());
            if text.is_empty() {
                report.required(&name, "");
            } else {
                report.problems_of(&name, text, names::dns1123_subdomain(text));
            }
        }
        _ => {}
    }
}

fn service_port<'o>(at: &Place<'o, '_>, named: bool, seen: &mut BTreeSet<&'o str>, report: &mut Report) {
    let name = at.field("name");
    if name.is_empty() {
        if named {
            report.required(&name, "");
        }
    } else {
        report.problems(&name, names::dns1123_label(name.as_text()));
        if !seen.insert(name.as_text()) {
            report.duplicate(&name);
        }
    }
    report.port_number(&at.field("port"));
    report.one_of(&at.field("protocol"), &PROTOCOLS);
    port_or_name(&at.field("targetPort"), report);
    let application = at.field("appProtocol");
    if application.is_set() {
        report.problems(&application, names::qualified_name(application.as_text()));
    }
}

fn affinity(spec: &Place, report: &mut Report) {
    let kind = spec.field("sessionAffinity");
    report.one_of(&kind, &["ClientIP", "None"]);
    let config = spec.field("sessionAffinityConfig");
    if kind.as_text() == "None" && config.is_set() {
        report.forbidden(&config, "must not be set when session affinity is None");
    }
    if kind.as_text() != "ClientIP" {
        return;
    }
    const NEEDED: &str = "when session affinity type is ClientIP";
    let client = config.field("clientIP");
    let seconds = client.field("timeoutSeconds");
    if let Some(missing) = [config, client, seconds].iter().find(|part| !part.is_set()) {
        return report.required(missing, NEEDED);
    }
    if !(1..=AFFINITY_MAX_S).contains(&seconds.as_number().unwrap_or(0)) {
        report.invalid(&seconds, &format!("must be greater than 0 and less than {AFFINITY_MAX_S}"));
    }
}

fn port_conflicts(spec: &Place, report: &mut Report) {
    let ports = spec.field("ports");
    if spec.text("type") == "ClusterIP" {
        for port in ports.items().filter(|port| port.number("nodePort") != 0) {
            report.forbidden(&port.field("nodePort"), "may not be used when `type` is 'ClusterIP'");
        }
    }
    let (mut on_nodes, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for port in ports.items() {
        let number = port.number("nodePort");
        if number != 0 && !on_nodes.insert((port.text("protocol"), number)) {
            report.duplicate(&port.field("nodePort"));
        }
    }
    for port in ports.items() {
        let (protocol, number) = (port.text("protocol"), port.number("port"));
        if !seen.insert((protocol, number)) {
            let shown = internal(&[
                ("Name", "".into()),
                ("Protocol", protocol.into()),
                ("AppProtocol", Value::Null),
                ("Port", number.into()),
                ("TargetPort", json!(0)),
                ("NodePort", json!(0)),
            ]);
            report.duplicate_shown(&port, &shown, "");
        }
    }
}

fn balancer(spec: &Place, notes: &Place, report: &mut Report) {
    const ONLY: &str = "may only be used when `type` is 'LoadBalancer'";
    let balanced = spec.text("type") == "LoadBalancer";
    let ranges = spec.field_as("loadBalancerSourceRanges", "LoadBalancerSourceRanges");
    if !ranges.is_empty() {
        if !balanced {
            report.forbidden(&ranges, ONLY);
        }
        for range in ranges.items() {
            // They once were an annotation, where spaces were well.
            report.cidr(&range, range.as_text().trim());
        }
    } else if notes.has(SOURCE_RANGES) {
        let at = notes.key(SOURCE_RANGES);
        if !balanced {
            report.forbidden(&at, ONLY);
        }
        let text = at.as_text().trim();
        if !text.is_empty() {
            for range in text.split(',') {
                report.cidr(&at, range.trim());
            }
        }
    }
    let allocate = spec.field("allocateLoadBalancerNodePorts");
    if allocate.is_set() && !balanced {
        report.forbidden(&allocate, ONLY);
    }
    if !allocate.is_set() && balanced {
        report.required(&allocate, "");
    }
    let class = spec.field("loadBalancerClass");
    if class.is_set() {
        if balanced {
            report.problems(&class, names::qualified_name(class.as_text()));
        } else {
            report.forbidden(&class, ONLY);
        }
    }
}

fn traffic(spec: &Place, report: &mut Report) {
    const POLICIES: [&str; 2] = ["Cluster", "Local"];
    let external = spec.field("externalTrafficPolicy");
    if is_external(spec) {
        report.one_of(&external, &POLICIES);
    } else if !external.is_empty() {
        report.invalid(&external, "may only be set for externally-accessible services");
    }
    let health = spec.field("healthCheckNodePort");
    let port = health.as_number().unwrap_or(0);
    if needs_health_check(spec) {
        if port == 0 {
            report.required(&health, "");
        } else {
            report.port_number(&health);
        }
    } else if port != 0 {
        let detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        report.invalid(&health, detail);
    }
    let inside = spec.field("internalTrafficPolicy");
    if !inside.is_set() && matches!(spec.text("type"), "NodePort" | "LoadBalancer" | "ClusterIP") {
        report.required(&inside, "");
    }
    report.optional_of(&inside, &POLICIES);
    report.optional_of(
        &spec.field("trafficDistribution"),
        &["PreferClose", "PreferSameNode", "PreferSameZone"],
    );
}

/// What may be written to a service's status; ingresses have the same.
pub(super) fn balancer_status(new: &Place, _old: &Place, report: &mut Report) {
    let status = new.field("status");
    let balancer = status.field("loadBalancer");
    let ingress = balancer.field("ingress");
    let spec = new.field("spec");
    if spec.has("type") && spec.text("type") != "LoadBalancer" && !ingress.is_empty() {
        return report.forbidden(&ingress, "may only be used when `spec.type` is 'LoadBalancer'");
    }
    for one in ingress.items() {
        let (ip, mode, host) = (one.field("ip"), one.field("ipMode"), one.field("hostname"));
        if !ip.is_empty() {
            report.ip(&ip);
        }
        if spec.has("type") {
            if !mode.is_set() && !ip.is_empty() {
                report.required(&mode, "must be specified when `ip` is set");
            } else if mode.is_set() && ip.is_empty() {
                report.forbidden(&mode, "may not be specified when `ip` is not set");
            } else {
                report.optional_of(&mode, &["Proxy", "VIP"]);
            }
        }
        if !host.is_empty() {
            report.problems(&host, names::dns1123_subdomain(host.as_text()));
            if super::ip::parse_ip(host.as_text()).is_some() {
                report.invalid(&host, "must be a DNS name, not an IP address");
            }
        }
    }
}
