//! What a machine is told: who it is, and which cluster it shall join.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use k8s_openapi::api::core::v1::Taint;
use serde::Deserialize;

/// `/var/lib/waagent/machine.json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// Host name, also the node's name.
    pub hostname: String,
    /// The scale-set instance's ARM id.
    pub resource_id: String,
    /// Processors.
    pub cpus: u32,
    /// Memory.
    pub memory_bytes: u64,
    /// Its address.
    pub address: Ipv4Addr,
    /// Prefix length of its subnet.
    pub prefix_length: u8,
    /// Prefixes routed to it: its pods' addresses.
    #[serde(default)]
    pub routed_prefixes: Vec<Ipv4Net>,
}

impl Facts {
    /// The subnet it is in.
    pub fn subnet(&self) -> Ipv4Net {
        Ipv4Net::new(self.address, self.prefix_length.min(32))
            .map_or_else(|_| self.address.into(), |n| n.trunc())
    }
}

/// Whether custom data is a bootstrap document. A scale set that belongs to no cluster has none, or something for another
/// program (`#cloud-config`, which is not run): its machines boot and join nothing.
pub(crate) fn is_bootstrap(custom_data: &[u8]) -> bool {
    custom_data.trim_ascii_start().starts_with(b"{")
}

/// `/var/lib/waagent/custom-data`: the bootstrap document.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bootstrap {
    /// `1.35.6`.
    pub kubernetes_version: String,
    /// The API server's name.
    pub fqdn: String,
    /// Its port.
    pub api_server_port: u16,
    /// The cluster's authority.
    pub ca_pem: String,
    /// Lets the node ask for its first certificate.
    pub bootstrap_token: String,
    /// Addresses of services.
    pub service_cidr: Ipv4Net,
    /// Addresses of all pods.
    pub pod_cidr: Ipv4Net,
    /// The cluster's name service.
    pub dns_service_ip: Ipv4Addr,
    /// `cluster.local`.
    pub cluster_domain: String,
    /// How many pods the node takes.
    pub max_pods: u32,
    /// Labels to register with.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Taints to register with: `key=value:Effect`.
    #[serde(default)]
    pub taints: Vec<String>,
    /// Where images are pulled from.
    #[serde(default)]
    pub registry_mirror: Option<RegistryMirror>,
    /// The directory that the kubelet's identity is of.
    #[serde(default)]
    pub tenant_id: String,
    /// The kubelet's identity, by its application's id.
    #[serde(default)]
    pub kubelet_client_id: Option<String>,
    /// The region.
    #[serde(default)]
    pub location: String,
    /// The image of pause and add-ons.
    pub system_image: String,
}

/// A registry that is asked for all images.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistryMirror {
    /// `https://lazurite.azurecr.io`.
    pub server: String,
    /// Its authority.
    pub ca_pem: String,
}

impl Bootstrap {
    /// The taints, parsed, with the one the cloud controller manager takes away.
    pub fn parsed_taints(&self) -> Vec<Taint> {
        let uninitialized = "node.cloudprovider.kubernetes.io/uninitialized=true:NoSchedule";
        self.taints.iter().map(String::as_str).chain([uninitialized]).filter_map(parse_taint).collect()
    }
}

fn parse_taint(text: &str) -> Option<Taint> {
    let (pair, effect) = text.rsplit_once(':')?;
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    let value = Some(value.to_owned()).filter(|v| !v.is_empty());
    Some(Taint { key: key.to_owned(), value, effect: effect.to_owned(), time_added: None })
}

#[cfg(test)]
mod tests {
    use super::{is_bootstrap, parse_taint};

    #[test]
    fn taints_are_read_as_written() {
        let taint = parse_taint("a.b/c=d:NoExecute").unwrap();
        assert_eq!(
            (taint.key.as_str(), taint.value.as_deref(), taint.effect.as_str()),
            ("a.b/c", Some("d"), "NoExecute")
        );
        assert_eq!(parse_taint("a:NoSchedule").unwrap().value, None);
        assert!(parse_taint("a").is_none());
    }

    #[test]
    fn only_a_document_joins_a_cluster() {
        for (data, expected) in [("", false), ("#cloud-config\n", false), (" {\"clusterName\":", true)] {
            assert_eq!(is_bootstrap(data.as_bytes()), expected, "{data}");
        }
    }
}
