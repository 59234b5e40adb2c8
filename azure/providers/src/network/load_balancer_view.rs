//! A load balancer as it is shown: with the members of its pools, and each part with those that name it.

use arm::{Ctx, Resource, ResourceId};
use serde_json::{Value, json};

use super::{inbound_nat, load_balancers::PARTS, uses};
use crate::compute::instances;
use crate::json::{list, set, text};

/// What a part shows of the parts that name it: whose part, under which member, from which list, by which reference.
const LINKS: [(&str, &str, &str, &str); 10] = [
    (FRONTENDS, "loadBalancingRules", "loadBalancingRules", "/properties/frontendIPConfiguration"),
    (FRONTENDS, "outboundRules", "outboundRules", "/properties/frontendIPConfigurations"),
    (FRONTENDS, "inboundNatRules", "inboundNatRules", "/properties/frontendIPConfiguration"),
    (FRONTENDS, "inboundNatPools", "inboundNatPools", "/properties/frontendIPConfiguration"),
    (POOLS, "loadBalancingRules", "loadBalancingRules", "/properties/backendAddressPool"),
    (POOLS, "loadBalancingRules", "loadBalancingRules", "/properties/backendAddressPools"),
    (POOLS, "outboundRules", "outboundRules", "/properties/backendAddressPool"),
    (POOLS, "inboundNatRules", "inboundNatRules", "/properties/backendAddressPool"),
    ("probes", "loadBalancingRules", "loadBalancingRules", "/properties/probe"),
    ("inboundNatPools", "inboundNatRules", "inboundNatRules", "/properties/inboundNatPool"),
];
const FRONTENDS: &str = "frontendIPConfigurations";
const POOLS: &str = "backendAddressPools";

/// The ids that a part names at a place: one reference, or a list of them.
pub(super) fn named<'a>(part: &'a Value, pointer: &str) -> Vec<&'a Value> {
    match part.pointer(pointer) {
        Some(Value::Array(all)) => all.iter().collect(),
        Some(one) => vec![one],
        None => Vec::new(),
    }
}

fn naming(balancer: &Resource, member: &str, pointer: &str, id: &str) -> Vec<Value> {
    let names = |part: &&Value| {
        named(part, pointer).iter().any(|to| text(to, "/id").is_some_and(|to| to.eq_ignore_ascii_case(id)))
    };
    let parts = list(&balancer.properties, &format!("/{member}")).iter().filter(names);
    parts.filter_map(|part| text(part, "/id").map(|id| json!({ "id": id }))).collect()
}

/// The IP configurations of interfaces that stand alone and name this pool or rule under `member`.
pub(super) fn configurations_naming(ctx: &Ctx, member: &str, id: &ResourceId) -> Vec<String> {
    let pointer = format!("/properties/{member}");
    let all = uses::configurations(&ctx.resources).into_iter();
    all.filter(|(_, configuration)| list(configuration, &pointer).iter().any(|to| uses::is(to, "/id", id)))
        .filter_map(|(_, configuration)| text(&configuration, "/id").map(str::to_owned))
        .collect()
}

/// The interfaces that stand alone and are members of the balancer's pools or targets of its rules.
pub(super) fn interfaces(ctx: &Ctx, balancer: &Resource) -> Vec<Value> {
    let within = |configuration: &Value| {
        ["loadBalancerBackendAddressPools", "loadBalancerInboundNatRules"]
            .iter()
            .flat_map(|member| list(configuration, &format!("/properties/{member}")))
            .filter_map(|part| ResourceId::parse(text(part, "/id")?).ok())
            .any(|part| part.is_within(&balancer.id))
    };
    let all = uses::all(&ctx.resources, super::interfaces::TYPE).into_iter();
    let member = all.filter(|nic| list(&nic.properties, "/ipConfigurations").iter().any(within));
    member.map(|nic| nic.to_json()).collect()
}

/// A balancer as it is shown.
pub(super) fn shown(ctx: &Ctx, balancer: &Resource) -> Value {
    let instances = instances::all(&ctx.resources);
    let mut balancer = balancer.clone();
    let given = inbound_nat::rules_of_pools(&balancer, &instances);
    if let Some(rules) = balancer.properties.get_mut("inboundNatRules").and_then(Value::as_array_mut) {
        rules.extend(given);
    }
    let balancer = &balancer;
    let mut shown = balancer.to_json();
    for member in PARTS {
        let pointer = format!("/properties/{member}");
        let Some(parts) = shown.pointer_mut(&pointer).and_then(Value::as_array_mut) else { continue };
        for part in parts {
            let Some(id) = text(part, "/id").map(str::to_owned) else { continue };
            if !balancer.etag.is_empty() {
                set(part, &["etag"], format!("W/\"{}\"", balancer.etag));
            }
            for (_, under, from, reference) in LINKS.iter().filter(|(whose, ..)| *whose == member) {
                let naming = naming(balancer, from, reference, &id);
                if !naming.is_empty() {
                    set(part, &["properties", under], naming);
                }
            }
            let Ok(own) = ResourceId::parse(&id) else { continue };
            if member == POOLS {
                let of_sets: Vec<_> = instances.iter().filter(|i| i.pools.contains(&own)).collect();
                let known = inbound_nat::addresses_of_pool(balancer, &own, &of_sets);
                if !known.is_empty() {
                    let mut addresses = list(part, "/properties/loadBalancerBackendAddresses").to_vec();
                    addresses.extend(known);
                    set(part, &["properties", "loadBalancerBackendAddresses"], addresses);
                }
                let members = of_sets.into_iter().map(instances::Instance::ip_configuration);
                let single = configurations_naming(ctx, "loadBalancerBackendAddressPools", &own);
                let members: Vec<Value> = members.chain(single).map(|id| json!({ "id": id })).collect();
                if !members.is_empty() {
                    set(part, &["properties", "backendIPConfigurations"], members);
                }
            } else if member == "inboundNatRules"
                && let Some(target) = configurations_naming(ctx, "loadBalancerInboundNatRules", &own).first()
            {
                set(part, &["properties", "backendIPConfiguration"], json!({ "id": target }));
            }
        }
    }
    shown
}
