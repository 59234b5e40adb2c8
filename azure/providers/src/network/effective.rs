//! Effective security rules and routes of an interface: the wish that the fabric runs, in Azure's words.

use arm::{Acted, ArmError, Ctx, Resource, ResourceId};
use fabric::plan::{HopType, RouteSource, effective_routes};
use fabric::{Access, Direction, Network, Peer, PortRange, Protocol, SecurityRule, Subnet, Wanted};
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
        };
        peers.iter().map(word).collect()
    };
    let expanded = |peers: &[Peer]| -> Vec<String> {
        let vnet = || {
            let own = network.into_iter().flat_map(|n| n.prefixes.iter());
            let peered = network.into_iter().flat_map(|n| n.peerings.iter()).flat_map(|p| p.prefixes.iter());
            own.chain(peered).map(ToString::to_string).collect::<Vec<_>>()
        };
        let mut all = Vec::new();
        for peer in peers {
            match peer {
                Peer::VirtualNetwork => all.extend(vnet()),
                Peer::AzureLoadBalancer => all.push("168.63.129.16/32".to_owned()),
                Peer::Any | Peer::Prefix(_) | Peer::Internet => {}
            }
        }
        all
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
        "expandedSourceAddressPrefix": expanded(&rule.sources),
        "expandedDestinationAddressPrefix": expanded(&rule.destinations),
        "access": if rule.access == Access::Allow { "Allow" } else { "Deny" },
        "priority": rule.priority,
        "direction": if rule.direction == Direction::Inbound { "Inbound" } else { "Outbound" },
    })
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
