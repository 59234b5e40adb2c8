//! Effective security rules and routes of an interface: the wish that the fabric runs, in Azure's words.

use arm::{Acted, ArmError, Ctx, Resource, ResourceId};
use fabric::plan::{HopType, METADATA, RouteSource, WIRE_SERVER, effective_routes};
use fabric::{Access, Direction, Network, Peer, Platform, PortRange, Protocol, SecurityRule, Subnet, Wanted};
use ipnet::Ipv4Net;
use serde_json::{Value, json};

use super::{reference, rules, security_groups};
use crate::compute::instances::Instance;
use crate::fabric_driver::wanted;
use crate::json::list;

/// Where an interface is and which groups it meets.
pub struct Place {
    interface: ResourceId,
    subnet: ResourceId,
    group: Option<ResourceId>,
}

impl Place {
    /// Of an interface that stands alone.
    pub fn of_interface(interface: &Resource) -> Result<Self, ArmError> {
        let configuration =
            list(&interface.properties, "/ipConfigurations").first().cloned().unwrap_or_default();
        let subnet = reference(&configuration, "/properties/subnet/id")?
            .ok_or_else(|| ArmError::resource_not_found(&interface.id))?;
        let group = reference(&interface.properties, "/networkSecurityGroup/id")?;
        Ok(Self { interface: interface.id.clone(), subnet, group })
    }

    /// Of an instance of a scale set.
    pub fn of_instance(instance: &Instance) -> Self {
        Self {
            interface: instance.id.child("networkInterfaces", &instance.interface),
            subnet: instance.subnet.clone(),
            group: instance.group.clone(),
        }
    }
}

/// The network and subnet of a wish.
pub fn find<'a>(wanted: &'a Wanted, subnet: &ResourceId) -> Option<(&'a Network, &'a Subnet)> {
    let id = fabric::NetworkId::of(&subnet.top().to_string());
    let network = wanted.networks.iter().find(|n| n.id == id)?;
    let subnet = network.subnets.iter().find(|s| s.name.eq_ignore_ascii_case(subnet.name()))?;
    Some((network, subnet))
}

/// Answers the two actions of interfaces; `None`: the action is another.
pub fn answer(ctx: &Ctx, place: &Place, action: &str) -> Option<Result<Acted, ArmError>> {
    let action = action.to_ascii_lowercase();
    let value = match action.as_str() {
        "effectivenetworksecuritygroups" => groups(ctx, place),
        "effectiveroutetable" => routes(ctx, place),
        _ => return None,
    };
    Some(value.map(|value| Acted::Done(Some(json!({ "value": value })))))
}

fn groups(ctx: &Ctx, place: &Place) -> Result<Vec<Value>, ArmError> {
    let wish = wanted::wanted(&ctx.resources, &[]);
    let network = find(&wish, &place.subnet).map(|(network, _)| network);
    let subnet = ctx.resources.get(&place.subnet);
    let of_subnet = match &subnet {
        Some(subnet) => reference(&subnet.properties, "/networkSecurityGroup/id")?,
        None => None,
    };
    let mut found = Vec::new();
    for (id, association) in [
        (place.group.clone(), json!({ "networkInterface": { "id": place.interface } })),
        (of_subnet, json!({ "subnet": { "id": place.subnet } })),
    ] {
        let Some(group) = id.and_then(|id| ctx.resources.get(&id)) else { continue };
        let shown = security_groups::shown(&ctx.resources, &group);
        let rules = rules::effective(&ctx.resources, &shown);
        found.push(json!({
            "networkSecurityGroup": { "id": group.id },
            "association": association,
            "effectiveSecurityRules": rules.iter().map(|rule| one_rule(network, rule)).collect::<Vec<_>>(),
            "tagMap": Value::Null,
        }));
    }
    Ok(found)
}

/// The name of a rule as effective answers write it.
pub fn rule_name(rule: &SecurityRule) -> String {
    let kind = if rule.priority >= 65_000 { "defaultSecurityRules" } else { "securityRules" };
    format!("{kind}/{}", rule.name)
}

fn one_rule(network: Option<&Network>, rule: &SecurityRule) -> Value {
    let ports = |ranges: &[PortRange]| -> Vec<String> {
        match ranges {
            [] => vec!["0-65535".to_owned()],
            some => some.iter().map(|r| format!("{}-{}", r.first, r.last)).collect(),
        }
    };
    let written = |peers: &[Peer]| -> Vec<String> {
        let word = |peer: &Peer| match peer {
            Peer::Any => "0.0.0.0/0".to_owned(),
            Peer::Prefix(prefix) => prefix.to_string(),
            Peer::VirtualNetwork => "VirtualNetwork".to_owned(),
            Peer::AzureLoadBalancer => "AzureLoadBalancer".to_owned(),
            Peer::Internet => "Internet".to_owned(),
            Peer::Service { tag, .. } => tag.clone(),
            Peer::Platform(Platform::Names) => "AzurePlatformDNS".to_owned(),
            Peer::Platform(Platform::Metadata) => "AzurePlatformIMDS".to_owned(),
        };
        peers.iter().map(word).collect()
    };
    let (source_ports, destination_ports) = (ports(&rule.source_ports), ports(&rule.destination_ports));
    let (sources, destinations) = (written(&rule.sources), written(&rule.destinations));
    json!({
        "name": rule_name(rule),
        "protocol": match rule.protocol {
            Protocol::Any => "All", Protocol::Tcp => "Tcp", Protocol::Udp => "Udp", Protocol::Icmp => "Icmp",
            Protocol::Esp => "Esp", Protocol::Ah => "Ah",
        },
        "sourcePortRange": source_ports.first(), "destinationPortRange": destination_ports.first(),
        "sourcePortRanges": source_ports, "destinationPortRanges": destination_ports,
        "sourceAddressPrefix": sources.first(), "destinationAddressPrefix": destinations.first(),
        "sourceAddressPrefixes": sources, "destinationAddressPrefixes": destinations,
        "expandedSourceAddressPrefix": expanded(network, &rule.sources),
        "expandedDestinationAddressPrefix": expanded(network, &rule.destinations),
        "access": if rule.access == Access::Allow { "Allow" } else { "Deny" },
        "priority": rule.priority,
        "direction": if rule.direction == Direction::Inbound { "Inbound" } else { "Outbound" },
    })
}

/// What the service tags among some peers stand for; null where there is none.
fn expanded(network: Option<&Network>, peers: &[Peer]) -> Value {
    let own = || {
        let peerings = network.into_iter().flat_map(|n| n.peerings.iter()).filter(|peering| peering.access);
        let mut all: Vec<Ipv4Net> = network.into_iter().flat_map(|n| n.prefixes.iter().copied()).collect();
        all.extend(peerings.flat_map(|peering| peering.prefixes.iter().copied()));
        all.push(WIRE_SERVER.into());
        all
    };
    let mut tags = peers.iter().filter_map(|peer| match peer {
        Peer::VirtualNetwork => Some(own()),
        Peer::AzureLoadBalancer | Peer::Platform(Platform::Names) => Some(vec![WIRE_SERVER.into()]),
        Peer::Platform(Platform::Metadata) => Some(vec![METADATA.into()]),
        Peer::Service { prefixes, .. } => Some(prefixes.clone()),
        Peer::Internet => Some(without(Ipv4Net::default(), &own())),
        Peer::Any | Peer::Prefix(_) => None,
    });
    match tags.next() {
        None => Value::Null,
        Some(first) => json!(tags.fold(first, |all, more| [all, more].concat())),
    }
}

/// A range without some others, as ranges.
fn without(whole: Ipv4Net, holes: &[Ipv4Net]) -> Vec<Ipv4Net> {
    let inside = |hole: &&Ipv4Net| whole.contains(*hole);
    if holes.iter().any(|hole| hole.contains(&whole)) {
        return Vec::new();
    }
    let left: Vec<Ipv4Net> = holes.iter().filter(inside).copied().collect();
    match (left.is_empty(), whole.subnets(whole.prefix_len() + 1)) {
        (false, Ok(halves)) => halves.flat_map(|half| without(half, &left)).collect(),
        _ => vec![whole],
    }
}

/// The word Azure has for a next hop, and its address.
pub fn hop_words(hop: &HopType) -> (&'static str, Option<String>) {
    match hop {
        HopType::VnetLocal => ("VnetLocal", None),
        HopType::VnetPeering(_) => ("VNetPeering", None),
        HopType::InterfaceEndpoint => ("InterfaceEndpoint", None),
        HopType::ServiceEndpoint => ("VirtualNetworkServiceEndpoint", None),
        HopType::Internet => ("Internet", None),
        HopType::VirtualAppliance(address) => ("VirtualAppliance", Some(address.to_string())),
        HopType::None => ("None", None),
    }
}

fn routes(ctx: &Ctx, place: &Place) -> Result<Vec<Value>, ArmError> {
    let wish = wanted::wanted(&ctx.resources, &[]);
    let (network, subnet) =
        find(&wish, &place.subnet).ok_or_else(|| ArmError::resource_not_found(&place.subnet))?;
    let line = |route: &fabric::plan::EffectiveRoute| {
        let (word, address) = hop_words(&route.hop);
        json!({
            "name": route.name,
            "source": if route.source == RouteSource::User { "User" } else { "Default" },
            "state": if route.active { "Active" } else { "Invalid" },
            "addressPrefix": [route.prefix],
            "nextHopType": word,
            "nextHopIpAddress": address.into_iter().collect::<Vec<_>>(),
            "hasBgpOverride": false,
            "disableBgpRoutePropagation": false,
        })
    };
    Ok(effective_routes(network, subnet).iter().map(line).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_internet_is_what_is_not_the_network() {
        let net = |text: &str| text.parse::<Ipv4Net>().unwrap();
        let left = without(net("10.0.0.0/8"), &[net("10.0.0.0/9"), net("10.192.0.0/10"), net("11.0.0.0/8")]);
        assert_eq!(left, [net("10.128.0.0/10")]);
        assert_eq!(without(net("10.0.0.0/8"), &[net("0.0.0.0/0")]), []);
        assert_eq!(without(net("10.0.0.0/8"), &[]), [net("10.0.0.0/8")]);
        let single = without(Ipv4Net::default(), &[WIRE_SERVER.into()]);
        assert_eq!(single.len(), 32);
        assert!(!single.iter().any(|net| net.contains(&WIRE_SERVER)));
    }

    #[test]
    fn tags_keep_their_names_and_stand_beside_what_they_mean() {
        let service = Peer::Service { tag: "Storage".into(), prefixes: vec!["20.0.4.0/24".parse().unwrap()] };
        let rule = SecurityRule {
            name: "r".into(),
            priority: 100,
            direction: Direction::Outbound,
            access: Access::Deny,
            protocol: Protocol::Any,
            sources: vec![Peer::Any],
            source_ports: Vec::new(),
            destinations: vec![service, Peer::Platform(Platform::Names)],
            destination_ports: Vec::new(),
        };
        let shown = one_rule(None, &rule);
        assert_eq!(shown["destinationAddressPrefix"], "Storage");
        assert_eq!(shown["destinationAddressPrefixes"], json!(["Storage", "AzurePlatformDNS"]));
        assert_eq!(shown["expandedDestinationAddressPrefix"], json!(["20.0.4.0/24", "168.63.129.16/32"]));
        assert_eq!(shown["expandedSourceAddressPrefix"], Value::Null);
    }
}
