//! Security rules that let traffic to services through. Pure.
//!
//! Services with the same protocol, sources and ports share a rule, which then has several destinations.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Service;
use md5::{Digest, Md5};
use serde_json::{Value, json};

use super::wish::{is_internal, setting};

const ALLOW: &str = "k8s-azure-lb_allow_IPv4_";
const PRIORITY_MIN: i64 = 500;
const PRIORITY_MAX: i64 = 4096;

/// One rule as a service wants it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Allow {
    protocol: &'static str,
    sources: Vec<String>,
    ports: Vec<String>,
}

impl Allow {
    fn name(&self) -> String {
        let text = format!("{}_{}_{}", self.protocol, self.sources.join(","), self.ports.join(","));
        format!("{ALLOW}{}", hex::encode(Md5::digest(text.as_bytes())))
    }
}

fn sources(service: &Service) -> Vec<String> {
    let list = |name: &str| -> Vec<String> {
        let text = setting(service, name).unwrap_or_default();
        text.split(',').map(|s| s.trim().to_owned()).filter(|s| !s.is_empty()).collect()
    };
    let mut all: BTreeSet<String> =
        service.spec.iter().flat_map(|s| s.load_balancer_source_ranges.iter().flatten().cloned()).collect();
    all.extend(list("azure-allowed-ip-ranges"));
    all.extend(list("azure-allowed-service-tags"));
    all.extend(
        informers::objects::annotation(
            &service.metadata,
            "service.beta.kubernetes.io/load-balancer-source-ranges",
        )
        .into_iter()
        .flat_map(|v| v.split(','))
        .map(|s| s.trim().to_owned())
        .filter(|s| !s.is_empty()),
    );
    let anyone = all.is_empty() || all.contains("0.0.0.0/0");
    match (anyone, is_internal(service)) {
        (true, true) => Vec::new(),
        (true, false) => vec!["Internet".to_owned()],
        (false, _) => all.into_iter().collect(),
    }
}

/// The rules a service wants. Internal services that anyone in the network may reach need none.
pub(super) fn wanted(service: &Service) -> Vec<Allow> {
    let sources = sources(service);
    if sources.is_empty() || setting(service, "azure-disable-load-balancer-nsg-rule") == Some("true") {
        return Vec::new();
    }
    let mut rules = Vec::new();
    for (name, protocol) in [("TCP", "Tcp"), ("UDP", "Udp")] {
        let ports: BTreeSet<String> = service
            .spec
            .iter()
            .flat_map(|s| s.ports.iter().flatten())
            .filter(|p| p.protocol.as_deref().unwrap_or("TCP") == name)
            .map(|p| p.port.to_string())
            .collect();
        if !ports.is_empty() {
            rules.push(Allow { protocol, sources: sources.clone(), ports: ports.into_iter().collect() });
        }
    }
    rules
}

fn destinations(rule: &Value) -> BTreeSet<String> {
    let properties = &rule["properties"];
    let many = properties["destinationAddressPrefixes"].as_array().into_iter().flatten();
    let one = &properties["destinationAddressPrefix"];
    many.chain([one]).filter_map(Value::as_str).filter(|d| !d.is_empty()).map(str::to_owned).collect()
}

/// Changes a group's rules so that exactly `wanted` lead to `address`. Returns whether anything changed.
pub(super) fn apply(group: &mut Value, address: &str, wanted: &[Allow]) -> bool {
    let before = group["properties"]["securityRules"].as_array().cloned().unwrap_or_default();
    let mut rules: Vec<Value> = Vec::new();
    for rule in &before {
        let name = rule["name"].as_str().unwrap_or_default();
        let mut rule = rule.clone();
        if name.starts_with(ALLOW) {
            let mut all = destinations(&rule);
            let keep = wanted.iter().any(|w| w.name() == name);
            if keep {
                all.insert(address.to_owned())
            } else {
                all.remove(address)
            };
            if all.is_empty() {
                continue;
            }
            if all != destinations(&rule) {
                rule["properties"]["destinationAddressPrefixes"] = json!(all);
                if let Some(properties) = rule["properties"].as_object_mut() {
                    properties.remove("destinationAddressPrefix");
                }
            }
        }
        rules.push(rule);
    }
    for allow in wanted {
        if rules.iter().any(|r| r["name"] == allow.name().as_str()) {
            continue;
        }
        let taken: BTreeSet<i64> =
            rules.iter().filter_map(|r| r["properties"]["priority"].as_i64()).collect();
        let Some(priority) = (PRIORITY_MIN..=PRIORITY_MAX).find(|p| !taken.contains(p)) else { continue };
        rules.push(json!({"name": allow.name(), "properties": {
            "protocol": allow.protocol,
            "access": "Allow",
            "direction": "Inbound",
            "priority": priority,
            "sourcePortRange": "*",
            "sourceAddressPrefixes": allow.sources,
            "destinationAddressPrefixes": [address],
            "destinationPortRanges": allow.ports,
        }}));
    }
    let changed = rules != before;
    if changed {
        for rule in &mut rules {
            single_tag(rule);
        }
        group["properties"]["securityRules"] = Value::Array(rules);
    }
    changed
}

/// A service tag may only stand alone, not in a list.
fn single_tag(rule: &mut Value) {
    let sources = rule["properties"]["sourceAddressPrefixes"].as_array().cloned().unwrap_or_default();
    if let [one] = sources.as_slice()
        && let Some(properties) = rule["properties"].as_object_mut()
    {
        properties.insert("sourceAddressPrefix".into(), one.clone());
        properties.remove("sourceAddressPrefixes");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(ranges: &[&str], ports: &[i32]) -> Service {
        serde_json::from_value(json!({
            "metadata": {"name": "web"},
            "spec": {"ports": ports.iter().map(|p| json!({"port": p})).collect::<Vec<_>>(), "loadBalancerSourceRanges": ranges},
        }))
        .unwrap()
    }

    #[test]
    fn equal_wishes_share_a_rule() {
        let mut group =
            json!({"properties": {"securityRules": [{"name": "mine", "properties": {"priority": 500}}]}});
        let web = wanted(&service(&[], &[443, 80]));
        assert!(apply(&mut group, "20.2.0.1", &web));
        assert!(!apply(&mut group, "20.2.0.1", &web));
        assert!(apply(&mut group, "20.2.0.2", &web));
        let rules = group["properties"]["securityRules"].as_array().unwrap();
        assert_eq!(rules.len(), 2);
        let rule = &rules[1]["properties"];
        assert_eq!(
            (rule["priority"].as_i64(), rule["sourceAddressPrefix"].as_str()),
            (Some(501), Some("Internet"))
        );
        assert_eq!(rule["destinationAddressPrefixes"], json!(["20.2.0.1", "20.2.0.2"]));
        assert_eq!(rule["destinationPortRanges"], json!(["443", "80"]));
        assert!(apply(&mut group, "20.2.0.1", &[]));
        assert!(apply(&mut group, "20.2.0.2", &[]));
        assert_eq!(group["properties"]["securityRules"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn ranges_replace_the_internet() {
        let rules = wanted(&service(&["10.0.0.0/8", "1.2.3.4/32"], &[80]));
        assert_eq!(rules[0].sources, ["1.2.3.4/32", "10.0.0.0/8"]);
        assert_ne!(rules[0].name(), wanted(&service(&[], &[80]))[0].name());
    }
}
