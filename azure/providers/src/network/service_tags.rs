//! Service tags: what their names stand for in this cloud.
//!
//! Each service of the platform has a range of its own ([`platform`](super::platform)); `AzureCloud` is all of them, API
//! servers and customers' addresses.

use fabric::plan::{METADATA, WIRE_SERVER};
use fabric::{Peer, Platform};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde_json::{Value, json};

use super::platform::{API_SERVERS, PLATFORM, SERVICES};
use super::{public_ip_prefixes, public_ips};

/// Tags of what the platform gives each machine, and where: names, metadata, licences of Windows (azkms and
/// kms.core.windows.net, which nothing answers for here).
const LOCAL: [(&str, &[Ipv4Addr]); 3] = [
    ("AzurePlatformDNS", &[WIRE_SERVER]),
    ("AzurePlatformIMDS", &[METADATA]),
    (
        "AzurePlatformLKM",
        &[Ipv4Addr::new(20, 118, 99, 224), Ipv4Addr::new(40, 83, 235, 53), Ipv4Addr::new(23, 102, 135, 246)],
    ),
];

/// The tag without its region (`Storage.EastUS`) or part (`AzureFrontDoor.Backend`).
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
    if let Some((_, addresses)) = LOCAL.iter().find(|(known, _)| known.eq_ignore_ascii_case(tag)) {
        return Some(addresses.iter().map(|address| (*address).into()).collect());
    }
    SERVICES.iter().find(|known| known.tag.eq_ignore_ascii_case(base)).map(|service| vec![service.prefix])
}

/// The peers a tag stands for.
pub fn peers(tag: &str) -> Option<Vec<Peer>> {
    match tag.to_ascii_lowercase().as_str() {
        "virtualnetwork" => Some(vec![Peer::VirtualNetwork]),
        "internet" => Some(vec![Peer::Internet]),
        "azureloadbalancer" => Some(vec![Peer::AzureLoadBalancer]),
        "azureplatformdns" => Some(vec![Peer::Platform(Platform::Names)]),
        "azureplatformimds" => Some(vec![Peer::Platform(Platform::Metadata)]),
        _ => Some(vec![Peer::Service { tag: tag.to_owned(), prefixes: prefixes(tag)? }]),
    }
}

/// The answer of `az network list-service-tags`.
pub fn listing(subscription: &str, location: &str) -> Value {
    let mut tags: Vec<&str> = SERVICES.iter().map(|service| service.tag).collect();
    tags.extend(LOCAL.iter().map(|(tag, _)| *tag));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_stands_for_its_service_and_no_other() {
        for (tag, expected) in [
            ("AzureKeyVault", Some("20.0.3.0/24")),
            ("azurekeyvault.EastUS", Some("20.0.3.0/24")),
            ("AzureContainerRegistry", Some("20.0.2.0/24")),
            ("AzureFrontDoor.Backend", Some("20.0.14.0/24")),
            ("AzurePlatformDNS", Some("168.63.129.16/32")),
            ("AzureCloud.eastus", Some("20.0.0.0/16 20.1.0.0/16 20.2.0.0/16 20.3.0.0/16")),
            ("AzureKeyVault.Atlantis", None),
            ("Nothing", None),
        ] {
            let seen =
                prefixes(tag).map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
            assert_eq!(seen.as_deref(), expected, "{tag}");
        }
        let listed = listing("s", "eastus");
        let names: Vec<_> =
            listed["values"].as_array().unwrap().iter().filter_map(|v| v["name"].as_str()).collect();
        assert!(names.is_sorted() && names.contains(&"AzureKeyVault") && names.contains(&"AzureCloud"));
    }
}
