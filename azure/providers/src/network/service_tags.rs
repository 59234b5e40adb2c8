//! Service tags: what their names stand for in this cloud.
//!
//! The platform's services share one range, API servers have another and customers' addresses a third, so a tag of
//! one service stands for the whole platform range: finer than that nobody can tell two services apart here.

use std::net::Ipv4Addr;

use fabric::Peer;
use ipnet::Ipv4Net;
use serde_json::{Value, json};

use super::{public_ip_prefixes, public_ips};

/// Where Azure Resource Manager, Entra, registries, vaults and storage answer.
pub const PLATFORM: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(20, 0, 0, 0), 16);
/// Where API servers of clusters answer.
pub const API_SERVERS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(20, 1, 0, 0), 16);

/// Services of the platform range. Each is also known with a region behind it (`Storage.EastUS`).
const PLATFORM_TAGS: [&str; 21] = [
    "ActionGroup",
    "ApiManagement",
    "AppConfiguration",
    "AppService",
    "AzureActiveDirectory",
    "AzureBackup",
    "AzureContainerRegistry",
    "AzureCosmosDB",
    "AzureDevOps",
    "AzureFrontDoor",
    "AzureKeyVault",
    "AzureMonitor",
    "AzurePlatformDNS",
    "AzureResourceManager",
    "EventHub",
    "GatewayManager",
    "GuestAndHybridManagement",
    "MicrosoftContainerRegistry",
    "ServiceBus",
    "Sql",
    "Storage",
];

fn base(tag: &str) -> &str {
    match tag.split_once('.') {
        Some((base, region)) if arm::locations::exists(&arm::locations::normal(region)) => base,
        Some((base, part)) if base.eq_ignore_ascii_case("AzureFrontDoor") && !part.is_empty() => base,
        _ => tag,
    }
}

/// The addresses a tag stands for; `None`: no such tag.
pub fn prefixes(tag: &str) -> Option<Vec<Ipv4Net>> {
    let base = base(tag);
    if base.eq_ignore_ascii_case("AzureCloud") {
        return Some(vec![PLATFORM, API_SERVERS, public_ips::RANGE, public_ip_prefixes::RANGE]);
    }
    PLATFORM_TAGS.iter().any(|known| known.eq_ignore_ascii_case(base)).then(|| vec![PLATFORM])
}

/// The peers a tag stands for.
pub fn peers(tag: &str) -> Option<Vec<Peer>> {
    match tag.to_ascii_lowercase().as_str() {
        "virtualnetwork" => Some(vec![Peer::VirtualNetwork]),
        "internet" => Some(vec![Peer::Internet]),
        "azureloadbalancer" => Some(vec![Peer::AzureLoadBalancer]),
        _ => Some(prefixes(tag)?.into_iter().map(Peer::Prefix).collect()),
    }
}

/// The answer of `az network list-service-tags`.
pub fn listing(subscription: &str, location: &str) -> Value {
    let mut tags: Vec<&str> = PLATFORM_TAGS.to_vec();
    tags.push("AzureCloud");
    tags.sort_unstable();
    let value = |tag: &str| {
        json!({
            "id": tag, "name": tag,
            "properties": {
                "changeNumber": "1", "region": "", "systemService": tag, "state": "GA",
                "addressPrefixes": prefixes(tag).unwrap_or_default(),
            },
        })
    };
    json!({
        "id": format!("/subscriptions/{subscription}/providers/Microsoft.Network/serviceTags/{location}"),
        "name": location, "type": "Microsoft.Network/serviceTags", "changeNumber": "1", "cloud": "Public",
        "values": tags.into_iter().map(value).collect::<Vec<_>>(),
    })
}
