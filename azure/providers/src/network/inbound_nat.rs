//! Ranges of inbound NAT: what a range must say, and which of its ports each machine has.
//!
//! A pool of a load balancer (`inboundNatPools`) or a rule for a whole backend pool gives every machine behind it a port
//! of its own. For a pool the balancer shows a rule for each machine, `<pool>.<instance>`; such rules are looked up and
//! never kept, so a client that writes back what it was shown changes nothing.

use std::collections::BTreeSet;

use arm::{ArmError, Resource, ResourceId, Resources};
use serde_json::{Value, json};

use super::{reference, uses};
use crate::compute::instances::{self, Instance};
use crate::json::{list, number, set, text};

/// The members that hold parts with ports of a frontend.
pub(super) const WITH_PORTS: [&str; 3] = ["loadBalancingRules", "inboundNatRules", "inboundNatPools"];
/// The last port that a range may have.
const PORT_MAX: i64 = 65_534;
const RANGE: [&str; 2] = ["frontendPortRangeStart", "frontendPortRangeEnd"];

/// Each machine has the port that its number says, when nobody before it has that, else the first that is free: a
/// machine that goes takes no other one's port away. Those that are off have none.
pub fn port_each<'a>(range: &Value, members: impl Iterator<Item = &'a Instance>) -> Vec<(u16, &'a Instance)> {
    let port =
        |name: &str| number(range, &format!("/properties/{name}")).and_then(|port| u16::try_from(port).ok());
    let (Some(first), Some(last)) = (port(RANGE[0]), port(RANGE[1])) else { return Vec::new() };
    let mut free: BTreeSet<u16> = (first..=last).collect();
    let mut given = Vec::new();
    for instance in members.filter(|instance| instance.private.on && !instance.deleting) {
        let own = instance.id.name().parse::<u16>().ok().and_then(|number| first.checked_add(number));
        let own = own.filter(|port| free.contains(port)).or_else(|| free.first().copied());
        let Some(port) = own else { break };
        free.remove(&port);
        given.push((port, instance));
    }
    given
}

/// The rules that the balancer's pools give the machines behind them, as parts without an etag.
pub(super) fn rules_of_pools(balancer: &Resource, instances: &[Instance]) -> Vec<Value> {
    let mut rules = Vec::new();
    for pool in list(&balancer.properties, "/inboundNatPools") {
        let (Ok(Some(id)), Some(name)) = (reference(pool, "/id"), text(pool, "/name")) else { continue };
        let members = instances.iter().filter(|instance| instance.nat_pools.contains(&id));
        for (port, instance) in port_each(pool, members) {
            let name = format!("{name}.{}", instance.id.name());
            let mut rule = json!({
                "name": name,
                "id": format!("{}/inboundNatRules/{name}", balancer.id),
                "type": "Microsoft.Network/loadBalancers/inboundNatRules",
                "properties": {
                    "provisioningState": "Succeeded",
                    "frontendPort": port,
                    "backendIPConfiguration": { "id": instance.ip_configuration() },
                },
            });
            for copied in [
                "frontendIPConfiguration",
                "protocol",
                "backendPort",
                "idleTimeoutInMinutes",
                "enableFloatingIP",
                "enableTcpReset",
            ] {
                if let Some(value) = pool.pointer(&format!("/properties/{copied}")) {
                    set(&mut rule, &["properties", copied], value.clone());
                }
            }
            rules.push(rule);
        }
    }
    rules
}

/// The rules that give this machine a port by a pool its scale set names.
pub fn rules_of_instance(resources: &Resources, instance: &Instance) -> Vec<Value> {
    let balancers: BTreeSet<ResourceId> = instance.nat_pools.iter().map(ResourceId::top).collect();
    if balancers.is_empty() {
        return Vec::new();
    }
    let instances = instances::all(resources);
    let own = instance.ip_configuration();
    balancers
        .iter()
        .filter_map(|id| resources.get(id))
        .flat_map(|balancer| rules_of_pools(&balancer, &instances))
        .filter(|rule| text(rule, "/properties/backendIPConfiguration/id") == Some(own.as_str()))
        .map(|rule| json!({ "id": rule["id"] }))
        .collect()
}

/// What machines of a scale set are known by in a backend pool: their interface, and the ports that rules for the whole
/// pool give them.
pub(super) fn addresses_of_pool(balancer: &Resource, pool: &ResourceId, members: &[&Instance]) -> Vec<Value> {
    let rules: Vec<_> = list(&balancer.properties, "/inboundNatRules")
        .iter()
        .filter(|rule| uses::is(rule, "/properties/backendAddressPool/id", pool))
        .map(|rule| (rule, port_each(rule, members.iter().copied())))
        .collect();
    let of = |instance: &Instance| {
        let mapped = rules.iter().flat_map(|(rule, given)| given.iter().map(move |pair| (rule, pair)));
        let ports: Vec<Value> = mapped
            .filter(|(_, (_, whose))| whose.id == instance.id)
            .map(|(rule, (port, _))| {
                json!({
                    "inboundNatRuleName": rule["name"], "protocol": rule["properties"]["protocol"],
                    "frontendPort": port, "backendPort": rule["properties"]["backendPort"],
                })
            })
            .collect();
        let name = format!("{}_{}_{}", instance.id.top().name(), instance.id.name(), instance.interface);
        let mut properties =
            json!({ "networkInterfaceIPConfiguration": { "id": instance.ip_configuration() } });
        if !ports.is_empty() {
            set(&mut properties, &["inboundNatRulesPortMapping"], ports);
        }
        json!({ "name": name, "properties": properties })
    };
    members.iter().map(|instance| of(instance)).collect()
}

/// Takes out of a request what the service itself showed: the rules of pools, and machines in backend pools.
pub(super) fn forget_shown(balancer: &mut Resource, existing: Option<&Resource>) {
    let pools: BTreeSet<String> = [Some(&*balancer), existing]
        .into_iter()
        .flatten()
        .flat_map(|side| list(&side.properties, "/inboundNatPools"))
        .filter_map(|pool| text(pool, "/name").map(str::to_ascii_lowercase))
        .collect();
    let rules = balancer.properties.get_mut("inboundNatRules").and_then(Value::as_array_mut);
    if let Some(rules) = rules {
        rules.retain(|rule| !text(rule, "/name").is_some_and(|name| is_of(name, &pools)));
    }
    let backend = balancer.properties.get_mut("backendAddressPools").and_then(Value::as_array_mut);
    for pool in backend.into_iter().flatten() {
        let Some(properties) = pool.get_mut("properties").and_then(Value::as_object_mut) else { continue };
        let Some(addresses) =
            properties.get_mut("loadBalancerBackendAddresses").and_then(Value::as_array_mut)
        else {
            continue;
        };
        let before = addresses.len();
        addresses.retain(|a| a.pointer("/properties/networkInterfaceIPConfiguration/id").is_none());
        if addresses.is_empty() && before > 0 {
            properties.remove("loadBalancerBackendAddresses");
        }
    }
}

fn is_of(rule: &str, pools: &BTreeSet<String>) -> bool {
    let Some((pool, number)) = rule.rsplit_once('.') else { return false };
    number.parse::<u64>().is_ok() && pools.contains(&pool.to_ascii_lowercase())
}

/// Ports and protocols as the service writes them: templates give ports as text and protocols in any case.
pub(super) fn normalize(part: &mut Value) {
    for name in ["frontendPort", "backendPort", RANGE[0], RANGE[1]] {
        let port = text(part, &format!("/properties/{name}")).and_then(|text| text.parse::<i64>().ok());
        if let Some(port) = port {
            set(part, &["properties", name], port);
        }
    }
    let protocol = text(part, "/properties/protocol").unwrap_or_default();
    if let Some(known) = ["Tcp", "Udp", "All"].into_iter().find(|known| known.eq_ignore_ascii_case(protocol))
    {
        set(part, &["properties", "protocol"], known);
    }
}

/// The ports of a frontend that a part takes.
pub(super) fn ports(member: &str, part: &Value) -> Result<std::ops::RangeInclusive<i64>, ArmError> {
    let name = text(part, "/name").unwrap_or_default();
    let at = |member: &str| number(part, &format!("/properties/{member}"));
    let (single, start, end) = (at("frontendPort"), at(RANGE[0]), at(RANGE[1]));
    if member == "inboundNatPools" {
        return pool_range(part, name);
    }
    if member == "inboundNatRules" {
        if let Some(port) = single
            && (start.unwrap_or(0), end.unwrap_or(0)) != (0, 0)
        {
            return Err(ArmError::bad_request(
                "UnsupportedSetOfInboundNatRulePropertiesWhenFrontendPortIsSpecified",
                format!(
                    "If FrontendPort {port} is set, properties FrontendPortRangeStart, FrontendPortRangeEnd should be null."
                ),
            ));
        }
        if part.pointer("/properties/backendAddressPool/id").is_some() && (start.is_none() || end.is_none()) {
            return Err(ArmError::bad_request(
                "MissedInboundNatRuleV2Properties",
                "For inbound Nat rule V2 properties FrontendPortRangeStart, FrontendPortRangeEnd should not be null.",
            ));
        }
    }
    // A rule for a whole pool takes a range, a port for each member.
    let range = single.or(start).unwrap_or(-1)..=single.or(end).unwrap_or(-1);
    let least = i64::from(member == "inboundNatRules");
    if *range.start() < least || *range.end() > PORT_MAX + 1 || range.is_empty() {
        return Err(ArmError::bad_request(
            "InvalidRequestFormat",
            format!("Load balancing rule {name} has the invalid frontend port {}.", range.start()),
        ));
    }
    Ok(range)
}

/// A pool has a frontend, a protocol, a range and a port behind it.
fn pool_range(pool: &Value, name: &str) -> Result<std::ops::RangeInclusive<i64>, ArmError> {
    let bad =
        |why: String| ArmError::bad_request("InvalidRequestFormat", format!("Inbound NAT pool {name} {why}"));
    if text(pool, "/properties/frontendIPConfiguration/id").is_none() {
        return Err(bad("names no frontend IP configuration.".to_owned()));
    }
    let protocol = text(pool, "/properties/protocol").unwrap_or_default();
    if !["Tcp", "Udp", "All"].contains(&protocol) {
        return Err(bad(format!(
            "has the invalid protocol '{protocol}'. Valid values are Tcp, Udp and All."
        )));
    }
    for (member, most) in [(RANGE[0], PORT_MAX), (RANGE[1], PORT_MAX), ("backendPort", PORT_MAX + 1)] {
        let port = number(pool, &format!("/properties/{member}"));
        if !port.is_some_and(|port| (1..=most).contains(&port)) {
            let port = port.map_or_else(|| "null".to_owned(), |port| port.to_string());
            return Err(bad(format!("has the invalid {member} {port}. It must be between 1 and {most}.")));
        }
    }
    let at = |member: &str| number(pool, &format!("/properties/{member}")).unwrap_or_default();
    let range = at(RANGE[0])..=at(RANGE[1]);
    if range.is_empty() {
        return Err(bad(format!(
            "has a frontendPortRangeStart {} that is greater than its frontendPortRangeEnd {}.",
            range.start(),
            range.end()
        )));
    }
    Ok(range)
}

/// A pool that a scale set names cannot be taken away.
pub(super) fn check_stay(resources: &Resources, existing: &Resource, new: &Resource) -> Result<(), ArmError> {
    for pool in list(&existing.properties, "/inboundNatPools") {
        let Some(id) = reference(pool, "/id")? else { continue };
        if list(&new.properties, "/inboundNatPools").iter().any(|p| uses::is(p, "/id", &id)) {
            continue;
        }
        for set in uses::all(resources, instances::SET) {
            if uses::nat_pools_of(&set).contains(&id) {
                return Err(ArmError::bad_request(
                    "LoadBalancerInUseByVirtualMachineScaleSet",
                    format!(
                        "Cannot remove inbound nat pool {} from load balancer since it is in use by virtual machine scale set {}.",
                        id.name(),
                        set.id
                    ),
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(properties: Value) -> Value {
        json!({ "name": "p", "properties": properties })
    }

    #[test]
    fn a_pool_says_its_frontend_its_protocol_and_its_ports() {
        let whole = json!({
            "frontendIPConfiguration": { "id": "/f" }, "protocol": "Tcp", "frontendPortRangeStart": 50_000,
            "frontendPortRangeEnd": 50_119, "backendPort": 22,
        });
        assert_eq!(ports("inboundNatPools", &pool(whole.clone())).unwrap(), 50_000..=50_119);
        for (member, wrong, why) in [
            ("frontendIPConfiguration", Value::Null, "frontend IP configuration"),
            ("protocol", json!("icmp"), "protocol 'icmp'"),
            ("frontendPortRangeStart", Value::Null, "frontendPortRangeStart null"),
            ("frontendPortRangeStart", json!(50_120), "greater than"),
            ("frontendPortRangeEnd", json!(65_535), "frontendPortRangeEnd 65535"),
            ("backendPort", json!(0), "backendPort 0"),
        ] {
            let mut changed = whole.clone();
            changed[member] = wrong;
            let error = ports("inboundNatPools", &pool(changed)).unwrap_err();
            assert!(error.message.contains(why), "{member}: {}", error.message);
        }
    }

    #[test]
    fn a_rule_for_a_pool_takes_a_range_and_no_single_port() {
        let both = json!({ "frontendPort": 22, "frontendPortRangeStart": 1, "frontendPortRangeEnd": 2 });
        let missing = json!({ "backendAddressPool": { "id": "/p" }, "frontendPort": 22 });
        for (rule, code) in [
            (both, "UnsupportedSetOfInboundNatRulePropertiesWhenFrontendPortIsSpecified"),
            (missing, "MissedInboundNatRuleV2Properties"),
        ] {
            assert_eq!(ports("inboundNatRules", &pool(rule)).unwrap_err().code, code);
        }
    }

    #[test]
    fn what_was_only_shown_is_not_taken_in() {
        let id = ResourceId::parse(
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/loadBalancers/lb",
        );
        let mut balancer = Resource::new(id.unwrap());
        balancer.properties = json!({
            "inboundNatPools": [{ "name": "ssh" }],
            "inboundNatRules": [{ "name": "ssh.0" }, { "name": "web.0" }, { "name": "ssh.x" }],
        });
        forget_shown(&mut balancer, None);
        let names: Vec<_> =
            list(&balancer.properties, "/inboundNatRules").iter().map(|r| &r["name"]).collect();
        assert_eq!(names, ["web.0", "ssh.x"]);
    }
}
