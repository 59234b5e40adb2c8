//! What each service address and port leads to: the API's objects boiled down to what the kernel needs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::api::discovery::v1::EndpointSlice;

/// A transport protocol, as nftables writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// `tcp`
    Tcp,
    /// `udp`
    Udp,
    /// `sctp`
    Sctp,
}

impl Protocol {
    fn parse(text: Option<&str>) -> Self {
        match text {
            Some("UDP") => Protocol::Udp,
            Some("SCTP") => Protocol::Sctp,
            _ => Protocol::Tcp,
        }
    }

    /// The word in nftables.
    pub fn word(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        }
    }
}

/// One place traffic ends up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// The pod's address.
    pub address: Ipv4Addr,
    /// The pod's port.
    pub port: u16,
    /// Whether the pod is on this node.
    pub local: bool,
}

/// One port of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePortal {
    /// `namespace/name:port`, for comments and chain names.
    pub name: String,
    /// The protocol.
    pub protocol: Protocol,
    /// The service's port.
    pub port: u16,
    /// The cluster address.
    pub cluster_ip: Ipv4Addr,
    /// Load-balancer and external addresses.
    pub external_ips: BTreeSet<Ipv4Addr>,
    /// Sources that may use the load-balancer addresses; empty: all.
    pub source_ranges: Vec<String>,
    /// The node port, if any.
    pub node_port: Option<u16>,
    /// Seconds a client stays with its endpoint, if it does.
    pub affinity_seconds: Option<u32>,
    /// Traffic from inside goes to local endpoints only.
    pub internal_local: bool,
    /// Traffic from outside goes to local endpoints only, and keeps its source.
    pub external_local: bool,
    /// Where it leads: ready endpoints, or (if there is none) those that still serve while ending.
    pub endpoints: Vec<Endpoint>,
}

impl ServicePortal {
    /// Endpoints for traffic from inside the cluster.
    pub fn internal(&self) -> Vec<&Endpoint> {
        self.endpoints.iter().filter(|endpoint| !self.internal_local || endpoint.local).collect()
    }

    /// Endpoints for traffic from outside the cluster.
    pub fn external(&self) -> Vec<&Endpoint> {
        self.endpoints.iter().filter(|endpoint| !self.external_local || endpoint.local).collect()
    }

    /// Whether it has addresses beyond the cluster address.
    pub fn is_external(&self) -> bool {
        self.node_port.is_some() || !self.external_ips.is_empty()
    }
}

/// The service and slice objects of a cluster, as portals; sorted, so equal worlds give equal rules.
pub fn portals<'a>(
    services: impl Iterator<Item = &'a Service>,
    slices: impl Iterator<Item = &'a EndpointSlice>,
    node: &str,
) -> Vec<ServicePortal> {
    let mut by_service: BTreeMap<(&str, &str), Vec<&EndpointSlice>> = BTreeMap::new();
    for slice in slices {
        let labels = slice.metadata.labels.as_ref();
        let service = labels.and_then(|labels| labels.get("kubernetes.io/service-name"));
        if let (Some(namespace), Some(service)) = (slice.metadata.namespace.as_deref(), service)
            && slice.address_type == "IPv4"
        {
            by_service.entry((namespace, service)).or_default().push(slice);
        }
    }
    let mut portals = Vec::new();
    for service in services {
        let (Some(namespace), Some(name)) =
            (service.metadata.namespace.as_deref(), service.metadata.name.as_deref())
        else {
            continue;
        };
        let slices = by_service.get(&(namespace, name)).map(Vec::as_slice).unwrap_or_default();
        portals.extend(of_service(namespace, name, service, slices, node));
    }
    portals.sort_by(|a, b| (&a.name, a.protocol).cmp(&(&b.name, b.protocol)));
    portals
}

fn of_service(
    namespace: &str,
    name: &str,
    service: &Service,
    slices: &[&EndpointSlice],
    node: &str,
) -> Vec<ServicePortal> {
    let Some(spec) = &service.spec else { return Vec::new() };
    if spec.type_.as_deref() == Some("ExternalName") {
        return Vec::new();
    }
    // Headless services ("None") have no address of their own.
    let Some(cluster_ip) = spec.cluster_ip.as_deref().and_then(|ip| ip.parse().ok()) else {
        return Vec::new();
    };
    let mut external_ips: BTreeSet<Ipv4Addr> =
        spec.external_ips.iter().flatten().filter_map(|ip| ip.parse().ok()).collect();
    let ingress = service.status.as_ref().and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref());
    external_ips.extend(
        ingress.into_iter().flatten().filter_map(|ingress| ingress.ip.as_deref()?.parse::<Ipv4Addr>().ok()),
    );
    let affinity_seconds = (spec.session_affinity.as_deref() == Some("ClientIP")).then(|| {
        spec.session_affinity_config
            .as_ref()
            .and_then(|config| config.client_ip.as_ref()?.timeout_seconds)
            .and_then(|seconds| u32::try_from(seconds).ok())
            .unwrap_or(10_800)
    });
    spec.ports
        .iter()
        .flatten()
        .filter_map(|port| {
            Some(ServicePortal {
                name: format!("{namespace}/{name}:{}", port.name.as_deref().unwrap_or_default()),
                protocol: Protocol::parse(port.protocol.as_deref()),
                port: u16::try_from(port.port).ok()?,
                cluster_ip,
                external_ips: external_ips.clone(),
                source_ranges: spec.load_balancer_source_ranges.clone().unwrap_or_default(),
                node_port: port.node_port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0),
                affinity_seconds,
                internal_local: spec.internal_traffic_policy.as_deref() == Some("Local"),
                external_local: spec.external_traffic_policy.as_deref() == Some("Local"),
                endpoints: endpoints(port, slices, node),
            })
        })
        .collect()
}

fn endpoints(port: &ServicePort, slices: &[&EndpointSlice], node: &str) -> Vec<Endpoint> {
    let (mut ready, mut ending) = (BTreeSet::new(), BTreeSet::new());
    for slice in slices {
        let wanted = port.name.as_deref().unwrap_or_default();
        let number = slice
            .ports
            .iter()
            .flatten()
            .find(|port| port.name.as_deref().unwrap_or_default() == wanted)
            .and_then(|port| u16::try_from(port.port?).ok());
        let Some(number) = number else { continue };
        for endpoint in &slice.endpoints {
            let conditions = endpoint.conditions.as_ref();
            let is_ready = conditions.and_then(|c| c.ready).unwrap_or(true);
            let serves = conditions.and_then(|c| c.serving).unwrap_or(is_ready);
            let terminating = conditions.and_then(|c| c.terminating).unwrap_or(false);
            let Some(address) = endpoint.addresses.first().and_then(|address| address.parse().ok()) else {
                continue;
            };
            let local = endpoint.node_name.as_deref() == Some(node);
            let endpoint = Endpoint { address, port: number, local };
            if is_ready {
                ready.insert(endpoint);
            } else if serves && terminating {
                ending.insert(endpoint);
            }
        }
    }
    if ready.is_empty() { ending } else { ready }.into_iter().collect()
}
