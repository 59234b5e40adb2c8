//! What the cluster's names mean: services and their endpoints by name, addresses back to names.

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;

/// A port that can be asked for by name (`_http._tcp.web.default.svc…`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamedPort {
    /// The port's name.
    pub name: String,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// The number.
    pub port: u16,
}

/// What one service name means.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// The cluster address; `None` for a headless service.
    pub cluster_ip: Option<Ipv4Addr>,
    /// Another name this one stands for.
    pub external_name: Option<String>,
    /// The service's ports.
    pub ports: BTreeSet<NamedPort>,
    /// Endpoints of a headless service by host name.
    pub hosts: Vec<(String, Ipv4Addr)>,
}

/// All names of a cluster at one moment.
#[derive(Debug, Clone, Default)]
pub struct Zone {
    services: HashMap<(String, String), Entry>,
    namespaces: BTreeSet<String>,
    by_address: HashMap<Ipv4Addr, String>,
}

/// What a name below the cluster's domain was found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Addresses.
    Addresses(Vec<Ipv4Addr>),
    /// Targets of an SRV question: port, target name below the domain, address.
    Targets(Vec<(u16, String, Ipv4Addr)>),
    /// Another name.
    Alias(String),
    /// The name exists but has nothing of the asked kind.
    Nothing,
    /// There is no such name.
    Missing,
}

impl Zone {
    /// The zone of these objects.
    pub fn new<'a>(
        services: impl Iterator<Item = &'a Service>,
        slices: impl Iterator<Item = &'a EndpointSlice>,
    ) -> Self {
        let mut zone = Self::default();
        for service in services {
            zone.add_service(service);
        }
        for slice in slices {
            zone.add_slice(slice);
        }
        for entry in zone.services.values_mut() {
            entry.hosts.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
            entry.hosts.dedup();
        }
        zone
    }

    fn add_service(&mut self, service: &Service) {
        let (Some(namespace), Some(name), Some(spec)) =
            (&service.metadata.namespace, &service.metadata.name, &service.spec)
        else {
            return;
        };
        let entry = Entry {
            cluster_ip: spec.cluster_ip.as_deref().and_then(|ip| ip.parse().ok()),
            external_name: spec
                .external_name
                .clone()
                .filter(|_| spec.type_.as_deref() == Some("ExternalName")),
            ports: spec
                .ports
                .iter()
                .flatten()
                .filter_map(|port| {
                    Some(NamedPort {
                        name: port.name.clone().unwrap_or_default().to_ascii_lowercase(),
                        protocol: port.protocol.as_deref().unwrap_or("TCP").to_ascii_lowercase(),
                        port: u16::try_from(port.port).ok()?,
                    })
                })
                .collect(),
            hosts: Vec::new(),
        };
        if let Some(ip) = entry.cluster_ip {
            self.by_address.insert(ip, format!("{name}.{namespace}.svc"));
        }
        self.namespaces.insert(namespace.clone());
        self.services.insert((namespace.clone(), name.clone()), entry);
    }

    fn add_slice(&mut self, slice: &EndpointSlice) {
        let labels = slice.metadata.labels.as_ref();
        let (Some(namespace), Some(name)) =
            (&slice.metadata.namespace, labels.and_then(|labels| labels.get("kubernetes.io/service-name")))
        else {
            return;
        };
        let Some(entry) = self.services.get_mut(&(namespace.clone(), name.clone())) else { return };
        if entry.cluster_ip.is_some() || slice.address_type != "IPv4" {
            return;
        }
        for endpoint in &slice.endpoints {
            let conditions = endpoint.conditions.as_ref();
            if !conditions.and_then(|c| c.ready).unwrap_or(true) {
                continue;
            }
            for address in endpoint.addresses.iter().filter_map(|address| address.parse::<Ipv4Addr>().ok()) {
                let host = endpoint.hostname.clone().unwrap_or_else(|| dashed(address));
                self.by_address.insert(address, format!("{host}.{name}.{namespace}.svc"));
                entry.hosts.push((host, address));
            }
        }
    }

    /// The name (below the cluster's domain) of an address.
    pub fn name_of(&self, address: Ipv4Addr) -> Option<&str> {
        self.by_address.get(&address).map(String::as_str)
    }

    /// What the labels before the cluster's domain mean, lower case, outermost last
    /// (`["web", "default", "svc"]`).
    pub fn find(&self, labels: &[&str], srv: bool) -> Found {
        match labels {
            [] | ["svc" | "pod"] => Found::Nothing,
            [namespace, "svc" | "pod"] => self.if_namespace(namespace, Found::Nothing),
            [address, namespace, "pod"] => match address.replace('-', ".").parse() {
                Ok(address) => self.if_namespace(namespace, Found::Addresses(vec![address])),
                Err(_) => Found::Missing,
            },
            [rest @ .., name, namespace, "svc"] => {
                match self.services.get(&((*namespace).to_owned(), (*name).to_owned())) {
                    Some(entry) => below_service(entry, rest, name, namespace, srv),
                    None => Found::Missing,
                }
            }
            _ => Found::Missing,
        }
    }

    fn if_namespace(&self, namespace: &str, found: Found) -> Found {
        if self.namespaces.contains(namespace) { found } else { Found::Missing }
    }
}

fn below_service(entry: &Entry, rest: &[&str], name: &str, namespace: &str, srv: bool) -> Found {
    if let Some(target) = &entry.external_name {
        return if rest.is_empty() { Found::Alias(target.clone()) } else { Found::Missing };
    }
    let own = format!("{name}.{namespace}.svc");
    match rest {
        [] if srv => Found::Targets(targets(entry, &own, entry.ports.iter())),
        [] => Found::Addresses(match entry.cluster_ip {
            Some(ip) => vec![ip],
            None => entry.hosts.iter().map(|(_, address)| *address).collect(),
        }),
        [host] if entry.cluster_ip.is_none() => {
            let found: Vec<_> =
                entry.hosts.iter().filter(|(known, _)| known == host).map(|(_, address)| *address).collect();
            if found.is_empty() { Found::Missing } else { Found::Addresses(found) }
        }
        [port, protocol] if port.starts_with('_') && protocol.starts_with('_') => {
            let wanted: Vec<_> = entry
                .ports
                .iter()
                .filter(|known| known.name == port[1..] && known.protocol == protocol[1..])
                .collect();
            match (wanted.is_empty(), srv) {
                (true, _) => Found::Missing,
                (false, false) => Found::Nothing,
                (false, true) => Found::Targets(targets(entry, &own, wanted.into_iter())),
            }
        }
        _ => Found::Missing,
    }
}

fn targets<'a>(
    entry: &Entry,
    own: &str,
    ports: impl Iterator<Item = &'a NamedPort>,
) -> Vec<(u16, String, Ipv4Addr)> {
    ports
        .flat_map(|port| match entry.cluster_ip {
            Some(ip) => vec![(port.port, own.to_owned(), ip)],
            None => entry.hosts.iter().map(|(host, ip)| (port.port, format!("{host}.{own}"), *ip)).collect(),
        })
        .collect()
}

/// An address as a label: `10-244-0-5`.
fn dashed(address: Ipv4Addr) -> String {
    address.to_string().replace('.', "-")
}
