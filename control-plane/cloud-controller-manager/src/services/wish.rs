//! What a service wants of the cloud, by its spec and annotations. Pure.

use informers::objects::{annotation, uid};
use k8s_openapi::api::core::v1::Service;
use serde_json::{Value, json};

const PREFIX: &str = "service.beta.kubernetes.io/";
/// The backend pool all nodes are in.
pub(super) const POOL: &str = "kubernetes";

/// The value of one of Azure's annotations.
pub(super) fn setting<'a>(service: &'a Service, name: &str) -> Option<&'a str> {
    annotation(&service.metadata, &format!("{PREFIX}{name}")).filter(|v| !v.is_empty())
}

fn is_set(service: &Service, name: &str) -> bool {
    setting(service, name).is_some_and(|v| v.eq_ignore_ascii_case("true"))
}

/// Whether the service is for the virtual network only.
pub(super) fn is_internal(service: &Service) -> bool {
    is_set(service, "azure-load-balancer-internal")
}

/// Whether the service wants a load balancer of this cloud.
pub(super) fn wants_balancer(service: &Service) -> bool {
    let spec = service.spec.clone().unwrap_or_default();
    service.metadata.deletion_timestamp.is_none()
        && spec.type_.as_deref() == Some("LoadBalancer")
        && spec.load_balancer_class.is_none()
}

/// The load balancer of public or internal services.
pub(super) fn balancer_name(internal: bool) -> &'static str {
    if internal { "kubernetes-internal" } else { "kubernetes" }
}

/// `a` and the service's uid without dashes, cut to 32: the frontend's name and the start of its rules' names.
pub(super) fn prefix(service: &Service) -> String {
    let name: String = format!("a{}", uid(&service.metadata).replace('-', ""));
    name.chars().take(32).collect()
}

/// The service's public address, unless it brings its own.
pub(super) fn public_ip_name(service: &Service) -> String {
    format!("kubernetes-{}", prefix(service))
}

/// `namespace/name`.
pub(super) fn name(service: &Service) -> String {
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    format!("{}/{}", part(&service.metadata.namespace), part(&service.metadata.name))
}

/// The start of rule names; internal ones in a subnet of their own carry its name.
fn rule_prefix(service: &Service) -> String {
    match setting(service, "azure-load-balancer-internal-subnet").filter(|_| is_internal(service)) {
        Some(subnet) => format!("{}-{subnet}", prefix(service)),
        None => prefix(service),
    }
}

fn capital(protocol: &str) -> &'static str {
    match protocol {
        "UDP" => "Udp",
        _ => "Tcp",
    }
}

/// The rules and probes of a service on the load balancer with this id.
pub(super) fn rules(service: &Service, balancer: &str) -> (Vec<Value>, Vec<Value>) {
    let spec = service.spec.clone().unwrap_or_default();
    let idle = setting(service, "azure-load-balancer-tcp-idle-timeout").and_then(|v| v.parse::<i64>().ok());
    let floating = !is_set(service, "azure-disable-load-balancer-floating-ip");
    let local = spec.external_traffic_policy.as_deref() == Some("Local");
    let affinity = spec.session_affinity.as_deref() == Some("ClientIP");
    let (mut rules, mut probes) = (Vec::new(), Vec::new());
    for port in spec.ports.iter().flatten() {
        if is_set(service, &format!("port_{}_no_lb_rule", port.port)) {
            continue;
        }
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let name: String =
            format!("{}-{protocol}-{}", rule_prefix(service), port.port).chars().take(80).collect();
        let probe = probe(service, port.node_port, local.then_some(spec.health_check_node_port).flatten());
        let no_probe = is_set(service, &format!("port_{}_no_probe_rule", port.port));
        let probe = probe.filter(|_| (protocol == "TCP" || local) && !no_probe);
        let mut properties = json!({
            "protocol": capital(protocol),
            "frontendPort": port.port,
            "backendPort": if floating { Some(port.port) } else { port.node_port },
            "enableFloatingIP": floating,
            "disableOutboundSnat": true,
            "enableTcpReset": protocol == "TCP" && !is_set(service, "azure-load-balancer-disable-tcp-reset"),
            "idleTimeoutInMinutes": idle.unwrap_or(4).clamp(4, 100),
            "loadDistribution": if affinity { "SourceIP" } else { "Default" },
            "frontendIPConfiguration": {"id": format!("{balancer}/frontendIPConfigurations/{}", prefix(service))},
            "backendAddressPool": {"id": format!("{balancer}/backendAddressPools/{POOL}")},
            "backendAddressPools": [{"id": format!("{balancer}/backendAddressPools/{POOL}")}],
        });
        if let Some(probe) = probe {
            properties["probe"] = json!({"id": format!("{balancer}/probes/{name}")});
            probes.push(json!({"name": name, "properties": probe}));
        }
        rules.push(json!({"name": name, "properties": properties}));
    }
    (rules, probes)
}

/// How the cloud finds out whether a node serves: for `Local` by the health check, otherwise by the node port.
fn probe(service: &Service, node_port: Option<i32>, health_port: Option<i32>) -> Option<Value> {
    let number =
        |name: &str, default: i64| setting(service, name).and_then(|v| v.parse().ok()).unwrap_or(default);
    let interval = number("azure-load-balancer-health-probe-interval", 5);
    let count = number("azure-load-balancer-health-probe-num-of-probe", 2);
    let mut probe = json!({"intervalInSeconds": interval, "numberOfProbes": count, "probeThreshold": count});
    if let Some(port) = health_port.filter(|p| *p > 0) {
        probe["protocol"] = "Http".into();
        probe["port"] = port.into();
        probe["requestPath"] = "/healthz".into();
        return Some(probe);
    }
    probe["port"] = node_port.filter(|p| *p > 0)?.into();
    match setting(service, "azure-load-balancer-health-probe-protocol").map(str::to_lowercase).as_deref() {
        Some(web @ ("http" | "https")) => {
            probe["protocol"] = if web == "http" { "Http" } else { "Https" }.into();
            probe["requestPath"] =
                setting(service, "azure-load-balancer-health-probe-request-path").unwrap_or("/").into();
        }
        _ => probe["protocol"] = "Tcp".into(),
    }
    Some(probe)
}

/// Replaces the entries of `list` whose names begin with the service's prefix; returns whether that changed it.
pub(super) fn replace_own(list: &mut Value, prefix: &str, wanted: Vec<Value>) -> bool {
    let present = list.as_array().cloned().unwrap_or_default();
    let is_own = |entry: &Value| {
        entry["name"].as_str().is_some_and(|n| n == prefix || n.starts_with(&format!("{prefix}-")))
    };
    let own: Vec<&Value> = present.iter().filter(|e| is_own(e)).collect();
    let same = own.len() == wanted.len()
        && wanted.iter().all(|w| own.iter().any(|o| o["name"] == w["name"] && covers(o, w)));
    if same {
        return false;
    }
    let mut all: Vec<Value> = present.iter().filter(|e| !is_own(e)).cloned().collect();
    all.extend(wanted);
    *list = Value::Array(all);
    true
}

/// Whether everything that is wanted is there; the cloud adds members of its own.
fn covers(there: &Value, wanted: &Value) -> bool {
    match (there, wanted) {
        (Value::Object(there), Value::Object(wanted)) => wanted.iter().all(|(k, w)| {
            there.get(k).is_some_and(|t| covers(t, w)) || k == "backendAddressPools" || k == "probeThreshold"
        }),
        (Value::String(there), Value::String(wanted)) => there.eq_ignore_ascii_case(wanted),
        (there, wanted) => there == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(extra: Value) -> Service {
        let mut value = json!({
            "metadata": {"name": "web", "namespace": "default", "uid": "01234567-89ab-cdef-0123-456789abcdef"},
            "spec": {"type": "LoadBalancer", "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30080}]},
        });
        for (key, with) in extra.as_object().unwrap() {
            for (k, v) in with.as_object().unwrap() {
                value[key][k] = v.clone();
            }
        }
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn names_are_aks_names() {
        let service = service(json!({}));
        assert_eq!(prefix(&service), "a0123456789abcdef0123456789abcde");
        assert_eq!(public_ip_name(&service), "kubernetes-a0123456789abcdef0123456789abcde");
        let (rules, probes) = rules(&service, "/lb");
        assert_eq!(rules[0]["name"], "a0123456789abcdef0123456789abcde-TCP-80");
        assert_eq!(rules[0]["properties"]["enableFloatingIP"], true);
        assert_eq!(probes[0]["properties"]["port"], 30080);
        assert_eq!(probes[0]["properties"]["protocol"], "Tcp");
    }

    #[test]
    fn local_traffic_is_probed_by_the_health_check() {
        let service =
            service(json!({"spec": {"externalTrafficPolicy": "Local", "healthCheckNodePort": 31000}}));
        let (_, probes) = rules(&service, "/lb");
        let probe = &probes[0]["properties"];
        assert_eq!((probe["protocol"].as_str(), probe["port"].as_i64()), (Some("Http"), Some(31000)));
        assert_eq!(probe["requestPath"], "/healthz");
    }

    #[test]
    fn annotations_are_heard() {
        let service = service(json!({"metadata": {"annotations": {
            "service.beta.kubernetes.io/azure-load-balancer-internal": "true",
            "service.beta.kubernetes.io/azure-load-balancer-internal-subnet": "apps",
            "service.beta.kubernetes.io/azure-disable-load-balancer-floating-ip": "true",
            "service.beta.kubernetes.io/azure-load-balancer-tcp-idle-timeout": "30",
        }}}));
        assert!(is_internal(&service));
        let (rules, _) = rules(&service, "/lb");
        assert_eq!(rules[0]["name"], "a0123456789abcdef0123456789abcde-apps-TCP-80");
        assert_eq!(rules[0]["properties"]["backendPort"], 30080);
        assert_eq!(rules[0]["properties"]["idleTimeoutInMinutes"], 30);
    }

    #[test]
    fn others_entries_stay_and_equal_ones_are_not_written() {
        let wanted = vec![json!({"name": "a1-TCP-80", "properties": {"frontendPort": 80}})];
        let mut list = json!([{"name": "aksOutboundRule"}, {"name": "a1-TCP-81"}]);
        assert!(replace_own(&mut list, "a1", wanted.clone()));
        assert_eq!(
            list,
            json!([{"name": "aksOutboundRule"}, {"name": "a1-TCP-80", "properties": {"frontendPort": 80}}])
        );
        list[1]["id"] = "x".into();
        assert!(!replace_own(&mut list, "a1", wanted));
        assert!(replace_own(&mut list, "a1", vec![]));
        assert_eq!(list, json!([{"name": "aksOutboundRule"}]));
    }
}
