//! The platform's services on this cloud's internet: where each answers, under which names, which tag means it.
//!
//! The only table of these facts. Listeners, the names of machines, service tags in rules and routes, and the service
//! endpoints of subnets are all made of it.
//!
//! Guarantees: every service has a range and an address of its own, so that a rule about one of them is about no other.
//! Does not: tell regions apart (`Storage.EastUS` is all of `Storage`); a service without names has a range that nothing
//! answers in.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// Where all services of the platform are. Each has a /24 of it.
pub const PLATFORM: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(20, 0, 0, 0), 16);
/// Where API servers of clusters answer.
pub const API_SERVERS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(20, 1, 0, 0), 16);

/// A service of the platform.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    /// Its service tag.
    pub tag: &'static str,
    /// What the tag stands for.
    pub prefix: Ipv4Net,
    /// The names it answers for; `*.suffix` is every name below the suffix. None: it is not built.
    pub names: &'static [&'static str],
    /// What `serviceEndpoints` of subnets call it.
    pub endpoints: &'static [&'static str],
}

impl Service {
    const fn new(tag: &'static str, number: u8) -> Self {
        let prefix = Ipv4Net::new_assert(Ipv4Addr::new(20, 0, number, 0), 24);
        Self { tag, prefix, names: &[], endpoints: &[] }
    }

    const fn named(self, names: &'static [&'static str]) -> Self {
        Self { names, ..self }
    }

    const fn with_endpoint(self, endpoints: &'static [&'static str]) -> Self {
        Self { endpoints, ..self }
    }

    /// Where it answers.
    pub const fn address(&self) -> Ipv4Addr {
        let [a, b, c, _] = self.prefix.addr().octets();
        Ipv4Addr::new(a, b, c, 10)
    }

    /// Whether it answers for this host, in small letters and without a port.
    pub fn answers_for(&self, host: &str) -> bool {
        self.names.iter().any(|name| match name.strip_prefix('*') {
            Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
            None => host == *name,
        })
    }
}

/// Azure Resource Manager.
pub const RESOURCE_MANAGER: Service =
    Service::new("AzureResourceManager", 0).named(&["management.azure.com"]);
/// Entra: sign-in and Graph.
pub const DIRECTORY: Service = Service::new("AzureActiveDirectory", 1)
    .named(&["login.microsoftonline.com", "sts.windows.net", "graph.microsoft.com"])
    .with_endpoint(&["Microsoft.AzureActiveDirectory"]);
/// Container registries.
pub const CONTAINER_REGISTRY: Service = Service::new("AzureContainerRegistry", 2)
    .named(&["*.azurecr.io"])
    .with_endpoint(&["Microsoft.ContainerRegistry"]);
/// Key vaults.
pub const KEY_VAULT: Service =
    Service::new("AzureKeyVault", 3).named(&["*.vault.azure.net"]).with_endpoint(&["Microsoft.KeyVault"]);

/// All of them. A number is never used for another service.
pub const SERVICES: [Service; 21] = [
    RESOURCE_MANAGER,
    DIRECTORY,
    CONTAINER_REGISTRY,
    KEY_VAULT,
    Service::new("Storage", 4).with_endpoint(&["Microsoft.Storage", "Microsoft.Storage.Global"]),
    Service::new("AzureMonitor", 5),
    Service::new("MicrosoftContainerRegistry", 6),
    Service::new("ActionGroup", 7),
    Service::new("ApiManagement", 8),
    Service::new("AppConfiguration", 9),
    Service::new("AppService", 10).with_endpoint(&["Microsoft.Web"]),
    Service::new("AzureBackup", 11),
    Service::new("AzureCosmosDB", 12).with_endpoint(&["Microsoft.AzureCosmosDB"]),
    Service::new("AzureDevOps", 13),
    Service::new("AzureFrontDoor", 14),
    Service::new("CognitiveServicesManagement", 15).with_endpoint(&["Microsoft.CognitiveServices"]),
    Service::new("EventHub", 16).with_endpoint(&["Microsoft.EventHub"]),
    Service::new("GatewayManager", 17),
    Service::new("GuestAndHybridManagement", 18),
    Service::new("ServiceBus", 19).with_endpoint(&["Microsoft.ServiceBus"]),
    Service::new("Sql", 20).with_endpoint(&["Microsoft.Sql"]),
];

/// Services that answer.
pub fn answering() -> impl Iterator<Item = &'static Service> {
    SERVICES.iter().filter(|service| !service.names.is_empty())
}

/// Names and addresses as machines resolve them.
pub fn names() -> impl Iterator<Item = (&'static str, Ipv4Addr)> {
    answering().flat_map(|service| service.names.iter().map(|name| (*name, service.address())))
}

/// The range of a service by its name in `serviceEndpoints`.
pub fn of_endpoint(service: &str) -> Option<Ipv4Net> {
    let known = |known: &&str| known.eq_ignore_ascii_case(service);
    SERVICES.iter().find(|s| s.endpoints.iter().any(|e| known(&e))).map(|service| service.prefix)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn services_share_neither_ranges_nor_names() {
        let ranges: BTreeSet<_> = SERVICES.iter().map(|s| s.prefix).collect();
        let tags: BTreeSet<_> = SERVICES.iter().map(|s| s.tag).collect();
        assert_eq!((ranges.len(), tags.len()), (SERVICES.len(), SERVICES.len()));
        for service in &SERVICES {
            assert!(PLATFORM.contains(&service.prefix), "{service:?}");
            assert!(service.prefix.contains(&service.address()), "{service:?}");
        }
        for (name, address) in names() {
            let host = name.replace('*', "one");
            let who: Vec<_> = answering().filter(|s| s.answers_for(&host)).map(Service::address).collect();
            assert_eq!(who, [address], "{host}");
        }
    }

    #[test]
    fn a_service_answers_for_its_names_only() {
        assert!(KEY_VAULT.answers_for("one.vault.azure.net"));
        assert!(!KEY_VAULT.answers_for(".vault.azure.net"));
        assert!(!KEY_VAULT.answers_for("vault.azure.net"));
        assert!(!KEY_VAULT.answers_for("one.azurecr.io"));
        assert_eq!(of_endpoint("microsoft.keyvault"), Some(KEY_VAULT.prefix));
        assert_eq!(of_endpoint("Microsoft.Nothing"), None);
    }
}
