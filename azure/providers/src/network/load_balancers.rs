//! `loadBalancers`: frontends, backend pools, rules, probes, outbound rules.
//!
//! The parts of a load balancer have ids of their own but no life of their own; they are read below it and
//! written with it. Members of a pool are the scale sets whose interfaces name it.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use arm::{
    Acted, ArmError, Ctx, Deleted, Put, Resource, ResourceId, ResourceType, Resources, TypeDescriptor,
    Written,
};
use async_trait::async_trait;
use serde_json::{Value, json};

use super::{API_VERSIONS, inbound_nat, load_balancer_view, private_addresses, require, seal, uses};
use crate::json::{default, list, remove, set, text};

/// `Microsoft.Network/loadBalancers`.
pub struct LoadBalancers;

/// Members that hold named parts.
pub(super) const PARTS: [&str; 7] = [
    "frontendIPConfigurations",
    "backendAddressPools",
    "loadBalancingRules",
    "probes",
    "outboundRules",
    "inboundNatRules",
    "inboundNatPools",
];
/// Members of a part that are looked up when shown.
const COMPUTED: [&str; 6] = [
    "backendIPConfigurations",
    "backendIPConfiguration",
    "loadBalancingRules",
    "outboundRules",
    "inboundNatRules",
    "inboundNatPools",
];

fn seal_parts(balancer: &mut Resource) -> Result<(), ArmError> {
    let id = balancer.id.to_string();
    for member in PARTS {
        default(&mut balancer.properties, &[member], json!([]));
        let Some(parts) = balancer.properties.get_mut(member).and_then(Value::as_array_mut) else { continue };
        for part in parts {
            let name = text(part, "/name").map(str::to_owned).ok_or_else(|| {
                ArmError::bad_request("InvalidRequestFormat", format!("An entry of '{member}' has no name."))
            })?;
            remove(part, &["etag"]);
            set(part, &["id"], format!("{id}/{member}/{name}"));
            set(part, &["type"], format!("Microsoft.Network/loadBalancers/{member}"));
            set(part, &["properties", "provisioningState"], "Succeeded");
            for computed in COMPUTED {
                remove(part, &["properties", computed]);
            }
            if inbound_nat::WITH_PORTS.contains(&member) {
                inbound_nat::normalize(part);
            }
            fill(member, part);
        }
    }
    Ok(())
}

fn fill(member: &str, part: &mut Value) {
    let mut put = |name: &str, value: Value| default(part, &["properties", name], value);
    match member {
        "loadBalancingRules" => {
            put("idleTimeoutInMinutes", json!(4));
            put("enableFloatingIP", json!(false));
            put("enableTcpReset", json!(false));
            put("disableOutboundSnat", json!(false));
            put("loadDistribution", json!("Default"));
        }
        "probes" => {
            put("intervalInSeconds", json!(15));
            put("numberOfProbes", json!(2));
            put("probeThreshold", json!(1));
        }
        "inboundNatRules" | "inboundNatPools" => {
            put("idleTimeoutInMinutes", json!(4));
            put("enableFloatingIP", json!(false));
            put("enableTcpReset", json!(false));
        }
        "outboundRules" => {
            put("allocatedOutboundPorts", json!(0));
            put("idleTimeoutInMinutes", json!(4));
            put("enableTcpReset", json!(false));
        }
        _ => {}
    }
}

/// A rule names its pool twice: by itself and in a list. Clients write either; what they changed is carried over to the
/// other.
fn pools_of_rules(balancer: &mut Resource, existing: Option<&Resource>) {
    let old: Vec<Value> =
        existing.map(|e| list(&e.properties, "/loadBalancingRules").to_vec()).unwrap_or_default();
    let rules = balancer.properties.get_mut("loadBalancingRules").and_then(Value::as_array_mut);
    for rule in rules.into_iter().flatten() {
        let single = text(rule, "/properties/backendAddressPool/id").map(str::to_owned);
        let listed: Vec<String> = list(rule, "/properties/backendAddressPools")
            .iter()
            .filter_map(|pool| text(pool, "/id").map(str::to_owned))
            .collect();
        let before = old.iter().find(|o| o.get("name") == rule.get("name"));
        let before = before.and_then(|o| text(o, "/properties/backendAddressPool/id"));
        match (single, listed.first()) {
            (Some(single), Some(_)) if listed.iter().any(|id| id.eq_ignore_ascii_case(&single)) => {}
            (Some(single), Some(first)) if before == Some(single.as_str()) => {
                let first = json!({ "id": first });
                set(rule, &["properties", "backendAddressPool"], first);
            }
            (Some(single), _) => {
                set(rule, &["properties", "backendAddressPools"], json!([{ "id": single }]));
            }
            (None, Some(first)) => {
                let first = json!({ "id": first });
                set(rule, &["properties", "backendAddressPool"], first);
            }
            (None, None) => {}
        }
    }
}

/// Which parts name which others.
const REFERENCES: [(&str, &str, &str); 9] = [
    ("loadBalancingRules", "/properties/frontendIPConfiguration", "frontendIPConfigurations"),
    ("loadBalancingRules", "/properties/backendAddressPool", "backendAddressPools"),
    ("loadBalancingRules", "/properties/backendAddressPools", "backendAddressPools"),
    ("loadBalancingRules", "/properties/probe", "probes"),
    ("outboundRules", "/properties/frontendIPConfigurations", "frontendIPConfigurations"),
    ("outboundRules", "/properties/backendAddressPool", "backendAddressPools"),
    ("inboundNatRules", "/properties/frontendIPConfiguration", "frontendIPConfigurations"),
    ("inboundNatRules", "/properties/backendAddressPool", "backendAddressPools"),
    ("inboundNatPools", "/properties/frontendIPConfiguration", "frontendIPConfigurations"),
];

/// Whether a load balancer has the part with this id.
pub(super) fn has_part(resources: &Resources, id: &ResourceId) -> bool {
    let Some(balancer) = resources.get(&id.top()) else { return false };
    PARTS.iter().any(|m| list(&balancer.properties, &format!("/{m}")).iter().any(|p| uses::is(p, "/id", id)))
}

/// Refuses rules that name parts which are not there, and two rules on one port of one frontend.
fn check(balancer: &Resource) -> Result<(), ArmError> {
    let properties = &balancer.properties;
    let known = |member: &str, id: &ResourceId| {
        list(properties, &format!("/{member}")).iter().any(|part| uses::is(part, "/id", id))
    };
    for (member, pointer, target) in REFERENCES {
        for part in list(properties, &format!("/{member}")) {
            for to in load_balancer_view::named(part, pointer) {
                let Some(id) = super::reference(to, "/id")? else { continue };
                if !known(target, &id) {
                    return Err(super::missing(text(part, "/id").unwrap_or_default(), &id));
                }
            }
        }
    }
    check_ports(properties)
}

fn check_ports(properties: &Value) -> Result<(), ArmError> {
    let mut seen: Vec<(String, String, std::ops::RangeInclusive<i64>, &str)> = Vec::new();
    for member in inbound_nat::WITH_PORTS {
        for rule in list(properties, &format!("/{member}")) {
            let name = text(rule, "/name").unwrap_or_default();
            let range = inbound_nat::ports(member, rule)?;
            let frontend = text(rule, "/properties/frontendIPConfiguration/id").unwrap_or_default();
            let frontend = frontend.to_ascii_lowercase();
            let protocol = text(rule, "/properties/protocol").unwrap_or_default().to_ascii_lowercase();
            let clash = seen.iter().find(|(of, by, taken, _)| {
                *of == frontend
                    && *by == protocol
                    && taken.start() <= range.end()
                    && range.start() <= taken.end()
            });
            if let Some((_, _, _, other)) = clash {
                return Err(ArmError::bad_request(
                    "RulesUseSameFrontendPortProtocolAndIPConfig",
                    format!(
                        "Load balancing rules {other} and {name} use the same FrontendIPConfiguration, frontend port and \
                         protocol."
                    ),
                ));
            }
            seen.push((frontend, protocol, range, name));
        }
    }
    Ok(())
}

impl LoadBalancers {
    /// Checks frontends against the world and gives private ones their address.
    fn frontends(ctx: &Ctx, balancer: &mut Resource, existing: Option<&Resource>) -> Result<(), ArmError> {
        let id = balancer.id.clone();
        let Some(Value::Array(mut frontends)) =
            remove(&mut balancer.properties, &["frontendIPConfigurations"])
        else {
            return Ok(());
        };
        let mut given: BTreeSet<Ipv4Addr> = BTreeSet::new();
        for frontend in &mut frontends {
            if let Some(address) = super::reference(frontend, "/properties/publicIPAddress/id")? {
                require(&ctx.resources, &id, &address)?;
                Self::check_public(ctx, frontend, &address)?;
                default(frontend, &["properties", "privateIPAllocationMethod"], "Dynamic");
            }
            let Some(subnet) = super::reference(frontend, "/properties/subnet/id")? else { continue };
            require(&ctx.resources, &id, &subnet)?;
            let name = text(frontend, "/name").unwrap_or_default();
            let address = private_addresses::choose(
                ctx,
                "/frontendIPConfigurations",
                (name, frontend),
                &subnet,
                existing,
                &given,
            )?;
            given.insert(address);
            set(frontend, &["properties", "privateIPAddress"], address.to_string());
            default(frontend, &["properties", "privateIPAllocationMethod"], "Dynamic");
            default(frontend, &["properties", "privateIPAddressVersion"], "IPv4");
        }
        set(&mut balancer.properties, &["frontendIPConfigurations"], frontends);
        Ok(())
    }

    fn check_public(ctx: &Ctx, frontend: &Value, address: &ResourceId) -> Result<(), ArmError> {
        let own = text(frontend, "/id").unwrap_or_default();
        match uses::of_public_ip(&ctx.resources, address) {
            Some((_, user)) if !user.eq_ignore_ascii_case(own) => Err(ArmError::bad_request(
                "PublicIPAddressInUse",
                format!(
                    "Resource {own} is referencing public IP address {address} that is already allocated to resource {user}."
                ),
            )),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl ResourceType for LoadBalancers {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor {
            etag: Some("etag"),
            delete_rank: 70,
            ..TypeDescriptor::new("Microsoft.Network/loadBalancers", API_VERSIONS)
        }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let mut balancer = request.resource();
        let mut sku = balancer.sku.take().filter(Value::is_object).unwrap_or_else(|| json!({}));
        default(&mut sku, &["name"], "Standard");
        default(&mut sku, &["tier"], "Regional");
        balancer.sku = Some(sku);
        inbound_nat::forget_shown(&mut balancer, request.existing);
        seal_parts(&mut balancer)?;
        pools_of_rules(&mut balancer, request.existing);
        seal(&mut balancer, request.existing);
        check(&balancer)?;
        if let Some(existing) = request.existing {
            check_pools_stay(ctx, existing, &balancer)?;
            inbound_nat::check_stay(&ctx.resources, existing, &balancer)?;
        }
        let _turn = crate::addresses::turn().await;
        Self::frontends(ctx, &mut balancer, request.existing)?;
        if request.existing.is_some_and(|old| old.says_the_same_as(&balancer)) {
            return Ok(Written::Done(balancer));
        }
        // Stored here, inside the turn, so that nobody else is given the same private address.
        Ok(Written::Done(ctx.resources.save(balancer).await?))
    }

    async fn delete(&self, ctx: &Ctx, existing: &Resource) -> Result<Deleted, ArmError> {
        let within = |pool: &ResourceId| pool.is_within(&existing.id);
        for set in uses::all(&ctx.resources, "Microsoft.Compute/virtualMachineScaleSets") {
            if uses::pools_of(&set).iter().chain(&uses::nat_pools_of(&set)).any(within) {
                return Err(ArmError::bad_request(
                    "LoadBalancerInUseByVirtualMachineScaleSet",
                    format!(
                        "Cannot delete load balancer {} since its child resources are in use by virtual machine scale set {}.",
                        existing.id, set.id
                    ),
                ));
            }
        }
        for interface in uses::all(&ctx.resources, super::interfaces::TYPE) {
            ctx.resources.modify(&interface.id, |interface| leave(interface, &existing.id)).await?;
        }
        Ok(Deleted::Done)
    }

    async fn read(&self, ctx: &Ctx, existing: &Resource, path: &[String]) -> Result<Acted, ArmError> {
        let shown = load_balancer_view::shown(ctx, existing);
        let [member, rest @ ..] = path else { return Err(ArmError::resource_not_found(&existing.id)) };
        if member.eq_ignore_ascii_case("networkInterfaces") && rest.is_empty() {
            return Ok(Acted::Done(Some(json!({ "value": load_balancer_view::interfaces(ctx, existing) }))));
        }
        let known = PARTS.iter().find(|part| part.eq_ignore_ascii_case(member));
        let parts = known.map(|part| list(&shown, &format!("/properties/{part}"))).unwrap_or_default();
        match rest {
            [] if known.is_some() => Ok(Acted::Done(Some(json!({ "value": parts })))),
            [name] => {
                match parts.iter().find(|p| text(p, "/name").is_some_and(|n| n.eq_ignore_ascii_case(name))) {
                    Some(part) => Ok(Acted::Done(Some(part.clone()))),
                    None => Err(ArmError::resource_not_found(&existing.id.child(member, name))),
                }
            }
            _ => Err(ArmError::resource_not_found(&existing.id)),
        }
    }

    fn present(&self, ctx: &Ctx, resource: &Resource) -> Value {
        load_balancer_view::shown(ctx, resource)
    }
}

/// Takes an interface out of the pools and rules of a balancer that goes; whether it was in one.
fn leave(interface: &mut Resource, balancer: &ResourceId) -> bool {
    let configurations = interface.properties.get_mut("ipConfigurations").and_then(Value::as_array_mut);
    let mut left = false;
    for properties in configurations.into_iter().flatten().filter_map(|c| c.get_mut("properties")) {
        for member in ["loadBalancerBackendAddressPools", "loadBalancerInboundNatRules"] {
            let Some(parts) = properties.get_mut(member).and_then(Value::as_array_mut) else { continue };
            let before = parts.len();
            parts.retain(|part| {
                let part = super::reference(part, "/id").ok().flatten();
                !part.is_some_and(|part| part.is_within(balancer))
            });
            if parts.len() == before {
                continue;
            }
            left = true;
            if parts.is_empty() {
                remove(properties, &[member]);
            }
        }
    }
    left
}

/// A pool that a scale set uses cannot be taken away.
fn check_pools_stay(ctx: &Ctx, existing: &Resource, new: &Resource) -> Result<(), ArmError> {
    for pool in list(&existing.properties, "/backendAddressPools") {
        let Some(id) = super::reference(pool, "/id")? else { continue };
        if list(&new.properties, "/backendAddressPools").iter().any(|p| uses::is(p, "/id", &id)) {
            continue;
        }
        let single = load_balancer_view::configurations_naming(ctx, "loadBalancerBackendAddressPools", &id);
        if let Some(user) = single.first() {
            return Err(ArmError::bad_request(
                "InUseBackendAddressPoolCannotBeDeleted",
                format!("Backend address pool {id} is in use by {user} and cannot be deleted."),
            ));
        }
        for set in uses::all(&ctx.resources, "Microsoft.Compute/virtualMachineScaleSets") {
            if uses::pools_of(&set).contains(&id) {
                return Err(ArmError::bad_request(
                    "InUseBackendAddressPoolCannotBeDeleted",
                    format!(
                        "Backend address pool {id} is in use by virtual machine scale set {} and cannot be deleted.",
                        set.id
                    ),
                ));
            }
        }
    }
    Ok(())
}
