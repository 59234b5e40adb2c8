//! The cluster's network profile: defaults and the refusals for ranges that collide.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::json::{default, list, text};

/// Range of the virtual network AKS makes.
pub const VNET: &str = "10.224.0.0/12";
/// Range of its one subnet.
pub const SUBNET: &str = "10.224.0.0/16";

/// The ranges of a checked profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranges {
    /// Cluster IPs.
    pub service: Ipv4Net,
    /// Cluster IP of DNS.
    pub dns: Ipv4Addr,
    /// Pods; absent where pods take addresses of the subnet.
    pub pod: Option<Ipv4Net>,
}

/// How pods are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Azure CNI Overlay: a /24 per node that the fabric routes.
    Overlay,
    /// kubenet: a /24 per node through a route table.
    Kubenet,
}

/// The mode of a profile that has its defaults, or why it is not offered.
pub fn mode(profile: &Value) -> Result<Mode, Fault> {
    let plugin = text(profile, "/networkPlugin").unwrap_or("azure");
    let plugin_mode = text(profile, "/networkPluginMode");
    match (plugin, plugin_mode) {
        ("azure", Some("overlay")) => Ok(Mode::Overlay),
        ("kubenet", None) => Ok(Mode::Kubenet),
        ("azure" | "none", None) => Err(not_offered("networkPlugin", plugin)),
        ("azure" | "kubenet" | "none", Some(other)) => Err(not_offered("networkPluginMode", other)),
        (other, _) => Err(Fault::parameter(
            "networkProfile.networkPlugin",
            format!("'{other}' is not one of azure, kubenet, none"),
        )),
    }
}

fn not_offered(property: &str, value: &str) -> Fault {
    Fault::bad_request(
        "NotImplemented",
        format!("networkProfile.{property} '{value}' is not implemented by this service yet."),
    )
    .target(&format!("networkProfile.{property}"))
}

/// Fills in what the caller left open.
pub fn fill(profile: &mut Value) {
    if text(profile, "/networkPlugin").is_none() {
        default(profile, &["networkPlugin"], "azure");
        default(profile, &["networkPluginMode"], "overlay");
    }
    default(profile, &["networkPolicy"], "none");
    default(profile, &["networkDataplane"], "azure");
    default(profile, &["loadBalancerSku"], "standard");
    default(profile, &["outboundType"], "loadBalancer");
    default(profile, &["ipFamilies"], json!(["IPv4"]));
    fill_range(profile, "serviceCidr", "serviceCidrs", Some("10.0.0.0/16"));
    let overlay = text(profile, "/networkPluginMode") == Some("overlay");
    let kubenet = text(profile, "/networkPlugin") == Some("kubenet");
    fill_range(profile, "podCidr", "podCidrs", (overlay || kubenet).then_some("10.244.0.0/16"));
    default(profile, &["dnsServiceIP"], "10.0.0.10");
    if text(profile, "/outboundType") == Some("loadBalancer") {
        if list(profile, "/loadBalancerProfile/outboundIPs/publicIPs").is_empty() {
            default(profile, &["loadBalancerProfile", "managedOutboundIPs", "count"], 1);
        }
        default(profile, &["loadBalancerProfile", "backendPoolType"], "nodeIPConfiguration");
    }
}

fn fill_range(profile: &mut Value, one: &str, many: &str, otherwise: Option<&str>) {
    let listed = profile.get(many).and_then(|v| v.get(0)).and_then(Value::as_str).map(str::to_owned);
    let Some(range) = listed.or(otherwise.map(str::to_owned)) else { return };
    default(profile, &[one], range);
    let first = profile.get(one).cloned().unwrap_or_default();
    default(profile, &[many], json!([first]));
}

/// Reads a filled profile's ranges and refuses those that collide. `nodes` are the ranges the nodes use: the
/// virtual network AKS makes, or the customer's subnets.
pub fn check(profile: &Value, nodes: &[Ipv4Net]) -> Result<Ranges, Fault> {
    mode(profile)?;
    check_words(profile)?;
    let service = range(profile, "serviceCidr")?
        .ok_or_else(|| Fault::parameter("networkProfile.serviceCIDR", "a service CIDR is required"))?;
    if service.prefix_len() < 12 {
        return Err(Fault::parameter(
            "networkProfile.serviceCIDR",
            format!("the service CIDR {service} must be smaller than a /12"),
        ));
    }
    let pod = range(profile, "podCidr")?;
    let dns = dns(profile, service)?;
    for node in nodes {
        if overlap(&service, node) {
            return Err(Fault::bad_request(
                "ServiceCidrOverlapExistingSubnetsCidr",
                format!(
                    "The specified service CIDR {service} is conflicted with an existing subnet CIDR {node}"
                ),
            )
            .target("networkProfile.serviceCIDR"));
        }
        if let Some(pod) = pod.filter(|pod| overlap(pod, node)) {
            return Err(Fault::bad_request(
                "NetworkProfileCIDROverlapVNET",
                format!("NetworkProfile CIDR {pod} overlaps with reserved VNET CIDR {node}"),
            )
            .target("networkProfile.podCIDR"));
        }
    }
    if let Some(pod) = pod.filter(|pod| overlap(pod, &service)) {
        return Err(Fault::parameter(
            "networkProfile.podCIDR",
            format!("the pod CIDR {pod} overlaps with the service CIDR {service}"),
        ));
    }
    Ok(Ranges { service, dns, pod })
}

fn check_words(profile: &Value) -> Result<(), Fault> {
    let lb = text(profile, "/loadBalancerSku").unwrap_or("standard");
    if lb.eq_ignore_ascii_case("basic") {
        return Err(Fault::parameter(
            "networkProfile.loadBalancerSku",
            "load balancer SKU 'basic' has been retired, use 'standard'",
        ));
    }
    match text(profile, "/outboundType").unwrap_or("loadBalancer") {
        "loadBalancer" => {}
        known
        @ ("userDefinedRouting" | "managedNATGateway" | "userAssignedNATGateway" | "none" | "block") => {
            return Err(not_offered("outboundType", known));
        }
        other => {
            return Err(Fault::parameter(
                "networkProfile.outboundType",
                format!("'{other}' is not an outbound type"),
            ));
        }
    }
    for (property, offered) in [("networkPolicy", "none"), ("networkDataplane", "azure")] {
        let value = profile.get(property).and_then(Value::as_str).unwrap_or(offered);
        if value != offered {
            return Err(not_offered(property, value));
        }
    }
    Ok(())
}

fn range(profile: &Value, property: &str) -> Result<Option<Ipv4Net>, Fault> {
    let Some(written) = profile.get(property).and_then(Value::as_str) else { return Ok(None) };
    let target = format!("networkProfile.{}", property.replace("Cidr", "CIDR"));
    match written.parse::<Ipv4Net>() {
        Ok(net) if net.trunc() == net => Ok(Some(net)),
        _ => Err(Fault::parameter(&target, format!("'{written}' is not a valid IPv4 CIDR"))),
    }
}

fn dns(profile: &Value, service: Ipv4Net) -> Result<Ipv4Addr, Fault> {
    const TARGET: &str = "networkProfile.dnsServiceIP";
    let written = text(profile, "/dnsServiceIP").unwrap_or_default();
    let address: Ipv4Addr = written
        .parse()
        .map_err(|_| Fault::parameter(TARGET, format!("'{written}' is not a valid IPv4 address")))?;
    if !service.contains(&address) {
        return Err(Fault::bad_request(
            "DnsServiceIpOutOfServiceCidr",
            format!("The DNS service IP {address} is out of the range defined by service CIDR {service}."),
        )
        .target(TARGET));
    }
    let first = service.hosts().next();
    if address == service.network() || Some(address) == first {
        return Err(Fault::parameter(
            TARGET,
            format!("{address} must not be the first or second address of the service CIDR {service}"),
        ));
    }
    Ok(address)
}

/// Whether two ranges share an address.
pub fn overlap(a: &Ipv4Net, b: &Ipv4Net) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

/// Refuses more nodes than the pod range has /24s for.
pub fn check_node_capacity(pod: Ipv4Net, nodes: u64) -> Result<(), Fault> {
    let blocks = 1_u64 << 24_u8.saturating_sub(pod.prefix_len());
    if pod.prefix_len() <= 24 && nodes <= blocks {
        return Ok(());
    }
    let available = 1_u64 << (32 - pod.prefix_len());
    Err(Fault::bad_request(
        "InsufficientSubnetSize",
        format!(
            "Pre-allocated IPs {} exceeds IPs available {available} in Subnet Cidr {pod}, Subnet Name \
             networkProfile.podCIDR. If Autoscaler is enabled, the max-count from each nodepool is counted towards \
             this total (which means that pre-allocated IPs count represents a theoretical max value, not the \
             actual number of IPs requested). http://aka.ms/aks/insufficientsubnetsize",
            nodes * 256
        ),
    )
    .target("networkProfile.podCIDR"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(mut profile: Value) -> String {
        fill(&mut profile);
        match check(&profile, &[VNET.parse().unwrap()]) {
            Ok(ranges) => format!("{} {} {:?}", ranges.service, ranges.dns, ranges.pod),
            Err(fault) => format!("{} {}", fault.code, fault.target.unwrap_or_default()),
        }
    }

    #[test]
    fn defaults_and_refusals() {
        for (profile, expected) in [
            (json!({}), "10.0.0.0/16 10.0.0.10 Some(10.244.0.0/16)"),
            (json!({"networkPlugin": "kubenet"}), "10.0.0.0/16 10.0.0.10 Some(10.244.0.0/16)"),
            (
                json!({"serviceCidr": "10.200.0.0/16"}),
                "DnsServiceIpOutOfServiceCidr networkProfile.dnsServiceIP",
            ),
            (
                json!({"serviceCidr": "10.225.0.0/16", "dnsServiceIP": "10.225.0.10"}),
                "ServiceCidrOverlapExistingSubnetsCidr networkProfile.serviceCIDR",
            ),
            (json!({"podCidr": "10.230.0.0/16"}), "NetworkProfileCIDROverlapVNET networkProfile.podCIDR"),
            (json!({"podCidr": "10.0.0.0/8"}), "NetworkProfileCIDROverlapVNET networkProfile.podCIDR"),
            (json!({"podCidr": "10.0.4.0/22"}), "InvalidParameter networkProfile.podCIDR"),
            (json!({"podCidr": "10.244.0.1/16"}), "InvalidParameter networkProfile.podCIDR"),
            (json!({"dnsServiceIP": "10.0.0.1"}), "InvalidParameter networkProfile.dnsServiceIP"),
            (json!({"networkPlugin": "calico"}), "InvalidParameter networkProfile.networkPlugin"),
            (json!({"networkPlugin": "azure"}), "NotImplemented networkProfile.networkPlugin"),
            (json!({"networkPolicy": "calico"}), "NotImplemented networkProfile.networkPolicy"),
            (json!({"outboundType": "none"}), "NotImplemented networkProfile.outboundType"),
        ] {
            assert_eq!(verdict(profile.clone()), expected, "{profile}");
        }
    }

    #[test]
    fn a_pod_range_has_a_block_per_node() {
        let pod: Ipv4Net = "10.244.0.0/22".parse().unwrap();
        check_node_capacity(pod, 4).unwrap();
        let fault = check_node_capacity(pod, 5).unwrap_err();
        assert_eq!(fault.code, "InsufficientSubnetSize");
        assert!(fault.message.starts_with("Pre-allocated IPs 1280 exceeds IPs available 1024"));
    }
}
