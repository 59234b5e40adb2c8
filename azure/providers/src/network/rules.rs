//! Security rules: Azure's defaults, refusals, and what they mean to the fabric.

use std::collections::BTreeMap;

use std::net::Ipv4Addr;

use arm::{ArmError, ResourceId, Resources};
use fabric::{Access, Direction, Peer, PortRange, Protocol, SecurityRule};
use serde_json::{Value, json};

use super::{service_tags, uses};
use crate::json::{list, number, text};

const PROTOCOLS: [&str; 6] = ["*", "Tcp", "Udp", "Icmp", "Esp", "Ah"];

/// The six rules every network security group ends with.
pub fn defaults(group: &str) -> Value {
    let rule = |name: &str,
                description: &str,
                priority: u16,
                direction: &str,
                access: &str,
                from: &str,
                to: &str| {
        json!({
            "name": name,
            "id": format!("{group}/defaultSecurityRules/{name}"),
            "type": "Microsoft.Network/networkSecurityGroups/defaultSecurityRules",
            "properties": {
                "provisioningState": "Succeeded", "description": description, "protocol": "*",
                "sourcePortRange": "*", "destinationPortRange": "*", "sourceAddressPrefix": from,
                "destinationAddressPrefix": to, "access": access, "priority": priority, "direction": direction,
                "sourcePortRanges": [], "destinationPortRanges": [], "sourceAddressPrefixes": [],
                "destinationAddressPrefixes": [],
            },
        })
    };
    json!([
        rule(
            "AllowVnetInBound",
            "Allow inbound traffic from all VMs in VNET",
            65000,
            "Inbound",
            "Allow",
            "VirtualNetwork",
            "VirtualNetwork"
        ),
        rule(
            "AllowAzureLoadBalancerInBound",
            "Allow inbound traffic from azure load balancer",
            65001,
            "Inbound",
            "Allow",
            "AzureLoadBalancer",
            "*"
        ),
        rule("DenyAllInBound", "Deny all inbound traffic", 65500, "Inbound", "Deny", "*", "*"),
        rule(
            "AllowVnetOutBound",
            "Allow outbound traffic from all VMs to all VMs in VNET",
            65000,
            "Outbound",
            "Allow",
            "VirtualNetwork",
            "VirtualNetwork"
        ),
        rule(
            "AllowInternetOutBound",
            "Allow outbound traffic from all VMs to Internet",
            65001,
            "Outbound",
            "Allow",
            "*",
            "Internet"
        ),
        rule("DenyAllOutBound", "Deny all outbound traffic", 65500, "Outbound", "Deny", "*", "*"),
    ])
}

/// Refuses a rule that Azure refuses.
pub fn check(name: &str, properties: &Value) -> Result<(), ArmError> {
    let priority = number(properties, "/priority").unwrap_or(0);
    if !(100..=4096).contains(&priority) {
        return Err(ArmError::bad_request(
            "SecurityRuleInvalidPriority",
            format!(
                "Security rule has invalid Priority. Value provided: {priority} Allowed range 100-4096. Rule: {name}."
            ),
        ));
    }
    for (property, allowed) in
        [("direction", &["Inbound", "Outbound"][..]), ("access", &["Allow", "Deny"][..])]
    {
        let value = text(properties, &format!("/{property}")).unwrap_or_default();
        if !allowed.iter().any(|word| word.eq_ignore_ascii_case(value)) {
            return Err(ArmError::bad_request(
                "InvalidRequestFormat",
                format!("Security rule {name} has the invalid {property} '{value}'."),
            ));
        }
    }
    let protocol = text(properties, "/protocol").unwrap_or_default();
    if !PROTOCOLS.iter().any(|known| known.eq_ignore_ascii_case(protocol)) {
        return Err(ArmError::bad_request(
            "SecurityRuleInvalidProtocol",
            format!(
                "Security rule has invalid Protocol. Value provided: {protocol}. Allowed values: {}. Security rule: {name}.",
                PROTOCOLS.join(", ")
            ),
        ));
    }
    for side in ["source", "destination"] {
        check_side(name, properties, side)?;
        for prefix in values(properties, &format!("{side}AddressPrefix"), &format!("{side}AddressPrefixes")) {
            if peers_of(prefix).is_none() {
                return Err(ArmError::bad_request(
                    "SecurityRuleInvalidAddressPrefix",
                    format!(
                        "Security rule has invalid Address prefix. Value provided: {prefix}. Security rule: {name}."
                    ),
                ));
            }
        }
        for range in values(properties, &format!("{side}PortRange"), &format!("{side}PortRanges")) {
            if range != "*" && ports(range).is_none() {
                return Err(ArmError::bad_request(
                    "SecurityRuleInvalidPortRange",
                    format!(
                        "Security rule has invalid Port range. Value provided: {range}. Security rule: {name}."
                    ),
                ));
            }
        }
    }
    Ok(())
}

/// Each side names addresses or application security groups, and ports.
fn check_side(name: &str, properties: &Value, side: &str) -> Result<(), ArmError> {
    let prefixes = values(properties, &format!("{side}AddressPrefix"), &format!("{side}AddressPrefixes"));
    let groups = list(properties, &format!("/{side}ApplicationSecurityGroups"));
    if !prefixes.is_empty() && !groups.is_empty() {
        return Err(ArmError::bad_request(
            "SecurityRuleParameterContainsUnsupportedValue",
            format!(
                "Security rule {name} cannot have both {side} address prefixes and {side} application security groups."
            ),
        ));
    }
    let ports = values(properties, &format!("{side}PortRange"), &format!("{side}PortRanges"));
    for (what, missing) in
        [("AddressPrefix", prefixes.is_empty() && groups.is_empty()), ("PortRange", ports.is_empty())]
    {
        if missing {
            return Err(ArmError::bad_request(
                "SecurityRuleParameterNotSpecified",
                format!(
                    "Required security rule parameters are missing: {side}{what}. Security rule: {name}."
                ),
            ));
        }
    }
    Ok(())
}

/// Refuses two rules of one direction with one priority.
pub fn check_priorities(rules: &[Value]) -> Result<(), ArmError> {
    let mut seen: BTreeMap<(String, i64), &str> = BTreeMap::new();
    for rule in rules {
        let name = text(rule, "/name").unwrap_or_default();
        let direction = text(rule, "/properties/direction").unwrap_or_default().to_ascii_lowercase();
        let priority = number(rule, "/properties/priority").unwrap_or(0);
        if let Some(other) = seen.insert((direction, priority), name) {
            return Err(ArmError::bad_request(
                "SecurityRuleConflict",
                format!(
                    "Security rule {name} conflicts with rule {other}. Rules cannot have the same Priority and \
                     Direction."
                ),
            ));
        }
    }
    Ok(())
}

/// What a group means to the fabric: own rules and defaults, by priority.
pub fn effective(resources: &Resources, group: &Value) -> Vec<SecurityRule> {
    let members = |id: &ResourceId| uses::addresses_in_application_group(resources, id);
    effective_with(group, &members)
}

fn effective_with(group: &Value, members: &dyn Fn(&ResourceId) -> Vec<Ipv4Addr>) -> Vec<SecurityRule> {
    let own = list(group, "/properties/securityRules");
    let defaults = list(group, "/properties/defaultSecurityRules");
    let mut rules: Vec<SecurityRule> =
        own.iter().chain(defaults).filter_map(|rule| translate(rule, members)).collect();
    rules.sort_by_key(|rule| (rule.direction == Direction::Outbound, rule.priority));
    rules
}

fn translate(rule: &Value, members: &dyn Fn(&ResourceId) -> Vec<Ipv4Addr>) -> Option<SecurityRule> {
    let properties = rule.get("properties")?;
    let is = |property: &str, word: &str| {
        properties.get(property).and_then(Value::as_str).is_some_and(|v| v.eq_ignore_ascii_case(word))
    };
    let protocol = match text(properties, "/protocol")?.to_ascii_lowercase().as_str() {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "icmp" => Protocol::Icmp,
        "esp" => Protocol::Esp,
        "ah" => Protocol::Ah,
        _ => Protocol::Any,
    };
    let peers = |side: &str| -> Vec<Peer> {
        let written = values(properties, &format!("{side}AddressPrefix"), &format!("{side}AddressPrefixes"));
        let mut peers: Vec<Peer> = written.into_iter().filter_map(peers_of).flatten().collect();
        for group in list(properties, &format!("/{side}ApplicationSecurityGroups")) {
            let id = text(group, "/id").and_then(|id| ResourceId::parse(id).ok());
            peers.extend(id.iter().flat_map(members).map(|address| Peer::Prefix(address.into())));
        }
        peers
    };
    let port_ranges =
        |one: &str, many: &str| values(properties, one, many).into_iter().filter_map(ports).collect();
    Some(SecurityRule {
        name: text(rule, "/name")?.to_owned(),
        priority: u16::try_from(number(properties, "/priority")?).ok()?,
        direction: if is("direction", "Outbound") { Direction::Outbound } else { Direction::Inbound },
        access: if is("access", "Allow") { Access::Allow } else { Access::Deny },
        protocol,
        sources: peers("source"),
        source_ports: port_ranges("sourcePortRange", "sourcePortRanges"),
        destinations: peers("destination"),
        destination_ports: port_ranges("destinationPortRange", "destinationPortRanges"),
    })
}

fn values<'a>(properties: &'a Value, one: &str, many: &str) -> Vec<&'a str> {
    let single = properties.get(one).and_then(Value::as_str).filter(|value| !value.is_empty());
    let listed = properties.get(many).and_then(Value::as_array).into_iter().flatten();
    single.into_iter().chain(listed.filter_map(Value::as_str)).collect()
}

/// What an address prefix or service tag stands for; `None`: it is neither.
fn peers_of(prefix: &str) -> Option<Vec<Peer>> {
    if matches!(prefix.to_ascii_lowercase().as_str(), "*" | "any" | "0.0.0.0/0") {
        return Some(vec![Peer::Any]);
    }
    if let Ok(net) = prefix.parse() {
        return Some(vec![Peer::Prefix(net)]);
    }
    match prefix.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(address)) => Some(vec![Peer::Prefix(address.into())]),
        // Accepted as on Azure; networks here have no such addresses.
        Ok(std::net::IpAddr::V6(_)) => Some(Vec::new()),
        Err(_) if prefix.parse::<ipnet::Ipv6Net>().is_ok() => Some(Vec::new()),
        Err(_) => service_tags::peers(prefix),
    }
}

/// A port or `first-last`; `*` is no range at all, which means any port.
fn ports(range: &str) -> Option<PortRange> {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first <= last).then_some(PortRange { first, last })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(properties: Value) -> Value {
        let mut all = json!({
            "priority": 100, "direction": "Outbound", "access": "Deny", "protocol": "Tcp",
            "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": "Internet",
            "destinationPortRange": "443",
        });
        for (name, value) in properties.as_object().unwrap() {
            all[name] = value.clone();
        }
        all
    }

    #[test]
    fn a_rule_that_blocks_443_reaches_the_fabric_before_the_defaults() {
        let group = json!({ "properties": {
            "securityRules": [{ "name": "no-https", "properties": rule(json!({})) }],
            "defaultSecurityRules": defaults("/g"),
        }});
        let rules = effective_with(&group, &|_| Vec::new());
        assert_eq!(rules.len(), 7);
        let outbound: Vec<_> =
            rules.iter().filter(|r| r.direction == Direction::Outbound).map(|r| r.name.as_str()).collect();
        assert_eq!(outbound, ["no-https", "AllowVnetOutBound", "AllowInternetOutBound", "DenyAllOutBound"]);
        let own = rules.iter().find(|r| r.name == "no-https").unwrap();
        assert_eq!((own.access, own.destinations.as_slice()), (Access::Deny, &[Peer::Internet][..]));
        assert_eq!(own.destination_ports, [PortRange { first: 443, last: 443 }]);
        assert!(own.source_ports.is_empty());
    }

    #[test]
    fn tags_and_groups_become_addresses() {
        let id =
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/applicationSecurityGroups/web";
        let group = json!({ "properties": { "securityRules": [{ "name": "r", "properties": rule(json!({
            "sourceAddressPrefix": "", "sourceApplicationSecurityGroups": [{ "id": id }],
            "destinationAddressPrefix": "AzureCloud.eastus",
        })) }] } });
        let members = |_: &ResourceId| vec![Ipv4Addr::new(10, 0, 0, 4)];
        let rules = effective_with(&group, &members);
        assert_eq!(rules[0].sources, [Peer::Prefix("10.0.0.4/32".parse().unwrap())]);
        let [Peer::Service { tag, prefixes }] = rules[0].destinations.as_slice() else {
            panic!("{rules:#?}")
        };
        assert_eq!((tag.as_str(), prefixes.len()), ("AzureCloud.eastus", 4));
        // Nobody in the group: the rule matches nothing, not everything.
        assert!(effective_with(&group, &|_| Vec::new())[0].sources.is_empty());
    }

    #[test]
    fn refusals() {
        for (properties, expected) in [
            (json!({}), "ok"),
            (json!({"priority": 99}), "SecurityRuleInvalidPriority"),
            (json!({"priority": 4097}), "SecurityRuleInvalidPriority"),
            (json!({"access": "Maybe"}), "InvalidRequestFormat"),
            (json!({"destinationAddressPrefix": "10.0.0.0/33"}), "SecurityRuleInvalidAddressPrefix"),
            (json!({"destinationAddressPrefix": "10.0.0.9"}), "ok"),
            (json!({"destinationPortRange": "9-1"}), "SecurityRuleInvalidPortRange"),
            (json!({"destinationPortRange": "1-9"}), "ok"),
            (json!({"protocol": "Sctp"}), "SecurityRuleInvalidProtocol"),
            (json!({"sourceAddressPrefix": "Storage.EastUS"}), "ok"),
            (json!({"sourceAddressPrefix": "Storage.Atlantis"}), "SecurityRuleInvalidAddressPrefix"),
            (json!({"sourceAddressPrefix": ""}), "SecurityRuleParameterNotSpecified"),
            (json!({"sourceAddressPrefix": "", "sourceApplicationSecurityGroups": [{"id": "/x"}]}), "ok"),
            (
                json!({"sourceApplicationSecurityGroups": [{"id": "/x"}]}),
                "SecurityRuleParameterContainsUnsupportedValue",
            ),
        ] {
            let seen =
                check("r", &rule(properties.clone())).map_or_else(|fault| fault.code, |()| "ok".to_owned());
            assert_eq!(seen, expected, "{properties}");
        }
        let same = [
            json!({"name": "a", "properties": rule(json!({}))}),
            json!({"name": "b", "properties": rule(json!({}))}),
        ];
        assert_eq!(check_priorities(&same).unwrap_err().code, "SecurityRuleConflict");
    }
}
