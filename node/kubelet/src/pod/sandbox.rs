//! The sandbox's definition: names, DNS, ports, namespaces.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;

use k8s_cri::v1::{
    DnsConfig, LinuxPodSandboxConfig, PodSandboxConfig, PodSandboxMetadata, PortMapping, Protocol,
};
use k8s_openapi::api::core::v1::PodDNSConfig;

use super::spec::Spec;
use super::{cgroup, security};
use crate::labels;

/// A host name has at most so many characters.
const HOSTNAME_MAX: usize = 63;

/// What sandboxes of a node have in common.
pub struct Site<'a> {
    /// Name servers for `ClusterFirst`.
    pub cluster_dns: &'a [IpAddr],
    /// `cluster.local`.
    pub cluster_domain: &'a str,
    /// The node's `/etc/resolv.conf`.
    pub resolv_conf: &'a str,
    /// `/var/log/pods`.
    pub pod_log_dir: &'a Path,
    /// RFC 3339.
    pub now: String,
}

/// The pod's host name and, where it has one, its domain.
pub fn hostname(spec: &Spec, cluster_domain: &str) -> (String, String) {
    let pod = spec.spec();
    let own = pod.and_then(|pod| pod.hostname.clone()).filter(|name| !name.is_empty());
    let mut name = own.unwrap_or_else(|| {
        let cut: String = spec.name().chars().take(HOSTNAME_MAX).collect();
        cut.trim_end_matches(['-', '.']).to_owned()
    });
    let subdomain = pod.and_then(|pod| pod.subdomain.clone()).filter(|name| !name.is_empty());
    let domain = subdomain
        .map(|subdomain| format!("{subdomain}.{}.svc.{cluster_domain}", spec.namespace()))
        .unwrap_or_default();
    if let Some(other) = pod.and_then(|pod| pod.hostname_override.clone()).filter(|name| !name.is_empty()) {
        return (other, String::new());
    }
    if pod.and_then(|pod| pod.set_hostname_as_fqdn) == Some(true) && !domain.is_empty() {
        name = format!("{name}.{domain}");
    }
    (name, domain)
}

/// The directory of a pod's logs.
pub fn log_directory(spec: &Spec, pod_log_dir: &Path) -> std::path::PathBuf {
    pod_log_dir.join(format!("{}_{}_{}", spec.namespace(), spec.name(), spec.uid()))
}

/// The sandbox's definition.
pub fn config(spec: &Spec, attempt: u32, site: &Site<'_>) -> PodSandboxConfig {
    let mut own: HashMap<String, String> =
        spec.pod.metadata.labels.clone().unwrap_or_default().into_iter().collect();
    own.insert(labels::POD_NAME.into(), spec.name().into());
    own.insert(labels::POD_NAMESPACE.into(), spec.namespace().into());
    own.insert(labels::POD_UID.into(), spec.uid().into());
    let mut annotations: HashMap<String, String> =
        spec.pod.metadata.annotations.clone().unwrap_or_default().into_iter().collect();
    annotations.insert(labels::CONFIG_SOURCE.into(), "api".into());
    annotations.insert(labels::CONFIG_SEEN.into(), site.now.clone());
    PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: spec.name().into(),
            uid: spec.uid().into(),
            namespace: spec.namespace().into(),
            attempt,
        }),
        hostname: if spec.host_network() { String::new() } else { hostname(spec, site.cluster_domain).0 },
        log_directory: log_directory(spec, site.pod_log_dir).to_string_lossy().into_owned(),
        dns_config: Some(dns(spec, site)),
        port_mappings: ports(spec),
        labels: own,
        annotations,
        linux: Some(LinuxPodSandboxConfig {
            cgroup_parent: cgroup::parent(&spec.pod),
            security_context: Some(security::sandbox(spec)),
            sysctls: sysctls(spec),
            ..LinuxPodSandboxConfig::default()
        }),
        windows: None,
    }
}

fn sysctls(spec: &Spec) -> HashMap<String, String> {
    let context = spec.spec().and_then(|pod| pod.security_context.as_ref());
    let list = context.and_then(|context| context.sysctls.clone()).unwrap_or_default();
    list.into_iter().map(|sysctl| (sysctl.name, sysctl.value)).collect()
}

fn ports(spec: &Spec) -> Vec<PortMapping> {
    if spec.host_network() {
        return Vec::new();
    }
    let ports = spec.main.iter().chain(&spec.init).flat_map(|container| container.ports.iter().flatten());
    ports
        .filter(|port| port.host_port.unwrap_or(0) > 0)
        .map(|port| PortMapping {
            protocol: match port.protocol.as_deref() {
                Some("UDP") => Protocol::Udp.into(),
                Some("SCTP") => Protocol::Sctp.into(),
                _ => Protocol::Tcp.into(),
            },
            container_port: port.container_port,
            host_port: port.host_port.unwrap_or(0),
            host_ip: port.host_ip.clone().unwrap_or_default(),
        })
        .collect()
}

/// The pod's name servers and search list.
pub fn dns(spec: &Spec, site: &Site<'_>) -> DnsConfig {
    let pod = spec.spec();
    let policy = pod.and_then(|pod| pod.dns_policy.as_deref()).unwrap_or("ClusterFirst");
    let cluster = match policy {
        "ClusterFirstWithHostNet" => true,
        "ClusterFirst" => !spec.host_network(),
        _ => false,
    } && !site.cluster_dns.is_empty();
    let node = parse_resolv_conf(site.resolv_conf);
    let mut out = if policy == "None" {
        DnsConfig::default()
    } else if cluster {
        let (namespace, domain) = (spec.namespace(), site.cluster_domain);
        let mut searches =
            vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.to_owned()];
        searches.extend(node.searches.into_iter().filter(|search| search != domain));
        DnsConfig {
            servers: site.cluster_dns.iter().map(ToString::to_string).collect(),
            searches,
            options: vec!["ndots:5".into()],
        }
    } else {
        node
    };
    if let Some(extra) = pod.and_then(|pod| pod.dns_config.as_ref()) {
        add_dns(&mut out, extra);
    }
    out
}

fn add_dns(out: &mut DnsConfig, extra: &PodDNSConfig) {
    let add = |list: &mut Vec<String>, more: &Option<Vec<String>>| {
        for one in more.iter().flatten() {
            if !list.contains(one) {
                list.push(one.clone());
            }
        }
    };
    add(&mut out.servers, &extra.nameservers);
    add(&mut out.searches, &extra.searches);
    for option in extra.options.iter().flatten() {
        let Some(name) = &option.name else { continue };
        out.options.retain(|known| known.split(':').next() != Some(name));
        out.options.push(match &option.value {
            Some(value) if !value.is_empty() => format!("{name}:{value}"),
            _ => name.clone(),
        });
    }
}

fn parse_resolv_conf(text: &str) -> DnsConfig {
    let mut out = DnsConfig::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => out.servers.extend(words.next().map(str::to_owned)),
            Some("search") => out.searches = words.filter(|word| *word != ".").map(str::to_owned).collect(),
            Some("options") => out.options = words.map(str::to_owned).collect(),
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn spec(pod: Value) -> Spec {
        let pod = json!({"metadata": {"name": "web-0", "namespace": "shop", "uid": "u1"}, "spec": pod});
        Spec::new(Arc::new(serde_json::from_value(pod).unwrap()))
    }

    fn seen(pod: Value) -> String {
        let cluster_dns = ["10.0.0.10".parse().unwrap()];
        let site = Site {
            cluster_dns: &cluster_dns,
            cluster_domain: "cluster.local",
            resolv_conf: "# node\nnameserver 168.63.129.16\nsearch internal.net\noptions edns0\n",
            pod_log_dir: Path::new("/var/log/pods"),
            now: String::new(),
        };
        let dns = dns(&spec(pod), &site);
        format!("{} | {} | {}", dns.servers.join(" "), dns.searches.join(" "), dns.options.join(" "))
    }

    #[test]
    fn dns_follows_the_policy() {
        let cluster =
            "10.0.0.10 | shop.svc.cluster.local svc.cluster.local cluster.local internal.net | ndots:5";
        let node = "168.63.129.16 | internal.net | edns0";
        for (pod, expected) in [
            (json!({"containers": []}), cluster),
            (json!({"containers": [], "dnsPolicy": "Default"}), node),
            (json!({"containers": [], "hostNetwork": true, "dnsPolicy": "ClusterFirst"}), node),
            (json!({"containers": [], "hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet"}), cluster),
            (
                json!({"containers": [], "dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"],
                    "searches": ["x.y"], "options": [{"name": "ndots", "value": "2"}, {"name": "rotate"}]}}),
                "1.1.1.1 | x.y | ndots:2 rotate",
            ),
        ] {
            assert_eq!(seen(pod), expected);
        }
    }

    #[test]
    fn a_pod_in_a_subdomain_knows_it() {
        let pod = spec(json!({"containers": [], "subdomain": "db", "setHostnameAsFQDN": true}));
        let (name, domain) = hostname(&pod, "cluster.local");
        assert_eq!(domain, "db.shop.svc.cluster.local");
        assert_eq!(name, "web-0.db.shop.svc.cluster.local");
        assert_eq!(hostname(&spec(json!({"containers": []})), "cluster.local").0, "web-0");
    }
}
