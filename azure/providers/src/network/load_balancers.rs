//! `loadBalancers`: frontends, backend pools, rules, probes, outbound rules.
//!
//! The parts of a load balancer have ids of their own but no life of their own; they are read below it and
//! written with it. Members of a pool are the scale sets whose interfaces name it.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use arm::{Acted, ArmError, Ctx, Deleted, Put, Resource, ResourceId, ResourceType, TypeDescriptor, Written};
use async_trait::async_trait;
use serde_json::{Value, json};

use super::{API_VERSIONS, private_addresses, require, seal, uses};
use crate::compute::instances;
use crate::json::{default, list, number, remove, set, text};

/// `Microsoft.Network/loadBalancers`.
pub struct LoadBalancers;

/// Members that hold named parts.
const PARTS: [&str; 7] = [
    "frontendIPConfigurations",
    "backendAddressPools",
    "loadBalancingRules",
    "probes",
    "outboundRules",
    "inboundNatRules",
    "inboundNatPools",
];
/// Members of a part that are looked up when shown.
const COMPUTED: [&str; 5] =
    ["backendIPConfigurations", "loadBalancingRules", "outboundRules", "inboundNatRules", "inboundNatPools"];

fn seal_parts(balancer: &mut Resource) -> Result<(), ArmError> {
    let id = balancer.id.to_string();
    for member in PARTS {
        default(&mut balancer.properties, &[member], json!([]));
        let Some(parts) = balancer.properties.get_mut(member).and_then(Value::as_array_mut) else { continue };
        for part in parts {
            let name = text(part, "/name").map(str::to_owned).ok_or_else(|| {
                ArmError::bad_request("InvalidRequestFormat", format!("An entry of '{member}' has no name."))
            })?;
            set(part, &["id"], format!("{id}/{member}/{name}"));
            set(part, &["type"], format!("Microsoft.Network/loadBalancers/{member}"));
            set(part, &["properties", "provisioningState"], "Succeeded");
            for computed in COMPUTED {
                remove(part, &["properties", computed]);
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
        "outboundRules" => {
            put("allocatedOutboundPorts", json!(0));
            put("idleTimeoutInMinutes", json!(4));
            put("enableTcpReset", json!(false));
        }
        _ => {}
    }
}

/// Refuses rules that name parts which are not there, and two rules on one port of one frontend.
fn check(balancer: &Resource) -> Result<(), ArmError> {
    let properties = &balancer.properties;
    let known = |member: &str, id: &ResourceId| {
        list(properties, &format!("/{member}")).iter().any(|part| uses::is(part, "/id", id))
    };
    let references = [
        ("loadBalancingRules", "/properties/frontendIPConfiguration/id", "frontendIPConfigurations"),
        ("loadBalancingRules", "/properties/backendAddressPool/id", "backendAddressPools"),
        ("loadBalancingRules", "/properties/probe/id", "probes"),
        ("outboundRules", "/properties/backendAddressPool/id", "backendAddressPools"),
    ];
    for (member, pointer, target) in references {
        for part in list(properties, &format!("/{member}")) {
            let Some(id) = super::reference(part, pointer)? else { continue };
            if !known(target, &id) {
                return Err(ArmError::bad_request(
                    "InvalidResourceReference",
                    format!(
                        "Resource {id} referenced by resource {} was not found. Please make sure that the referenced \
                         resource exists, and that both resources are in the same region.",
                        text(part, "/id").unwrap_or_default()
                    ),
                ));
            }
        }
    }
    check_ports(properties)
}

fn check_ports(properties: &Value) -> Result<(), ArmError> {
    let mut seen = std::collections::BTreeMap::new();
    for rule in list(properties, "/loadBalancingRules") {
        let name = text(rule, "/name").unwrap_or_default();
        let port = number(rule, "/properties/frontendPort").unwrap_or(-1);
        if !(0..=65535).contains(&port) {
            return Err(ArmError::bad_request(
                "InvalidRequestFormat",
                format!("Load balancing rule {name} has the invalid frontend port {port}."),
            ));
        }
        let key = (
            text(rule, "/properties/frontendIPConfiguration/id").unwrap_or_default().to_ascii_lowercase(),
            text(rule, "/properties/protocol").unwrap_or_default().to_ascii_lowercase(),
            port,
        );
        if let Some(other) = seen.insert(key, name) {
            return Err(ArmError::bad_request(
                "RulesUseSameFrontendPortProtocolAndIPConfig",
                format!(
                    "Load balancing rules {other} and {name} use the same FrontendIPConfiguration, frontend port and \
                     protocol."
                ),
            ));
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

fn with_members(ctx: &Ctx, balancer: &Resource) -> Value {
    let mut shown = balancer.to_json();
    let instances = instances::all(&ctx.resources);
    let rules = |member: &str, pointer: &str, id: &str| -> Vec<Value> {
        list(&balancer.properties, &format!("/{member}"))
            .iter()
            .filter(|rule| text(rule, pointer).is_some_and(|text| text.eq_ignore_ascii_case(id)))
            .filter_map(|rule| text(rule, "/id").map(|id| json!({ "id": id })))
            .collect()
    };
    if let Some(pools) = shown.pointer_mut("/properties/backendAddressPools").and_then(Value::as_array_mut) {
        for pool in pools {
            let id = text(pool, "/id").unwrap_or_default().to_owned();
            let Ok(pool_id) = ResourceId::parse(&id) else { continue };
            let members: Vec<Value> = instances
                .iter()
                .filter(|instance| instance.pools.contains(&pool_id))
                .map(|instance| json!({ "id": instance.ip_configuration() }))
                .collect();
            for (name, value) in [
                ("backendIPConfigurations", members),
                ("loadBalancingRules", rules("loadBalancingRules", "/properties/backendAddressPool/id", &id)),
                ("outboundRules", rules("outboundRules", "/properties/backendAddressPool/id", &id)),
            ] {
                if !value.is_empty() {
                    set(pool, &["properties", name], value);
                }
            }
        }
    }
    if let Some(frontends) =
        shown.pointer_mut("/properties/frontendIPConfigurations").and_then(Value::as_array_mut)
    {
        for frontend in frontends {
            let id = text(frontend, "/id").unwrap_or_default().to_owned();
            let served = rules("loadBalancingRules", "/properties/frontendIPConfiguration/id", &id);
            if !served.is_empty() {
                set(frontend, &["properties", "loadBalancingRules"], served);
            }
        }
    }
    shown
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
        if !balancer.sku.as_ref().is_some_and(Value::is_object) {
            balancer.sku = Some(json!({ "name": "Standard", "tier": "Regional" }));
        }
        seal_parts(&mut balancer)?;
        seal(&mut balancer, request.existing);
        check(&balancer)?;
        if let Some(existing) = request.existing {
            check_pools_stay(ctx, existing, &balancer)?;
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
            if uses::pools_of(&set).iter().any(within) {
                return Err(ArmError::bad_request(
                    "LoadBalancerInUseByVirtualMachineScaleSet",
                    format!(
                        "Cannot delete load balancer {} since its child resources are in use by virtual machine scale set {}.",
                        existing.id, set.id
                    ),
                ));
            }
        }
        Ok(Deleted::Done)
    }

    async fn read(&self, ctx: &Ctx, existing: &Resource, path: &[String]) -> Result<Acted, ArmError> {
        let shown = with_members(ctx, existing);
        let [member, rest @ ..] = path else { return Err(ArmError::resource_not_found(&existing.id)) };
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
        with_members(ctx, resource)
    }
}

/// A pool that a scale set uses cannot be taken away.
fn check_pools_stay(ctx: &Ctx, existing: &Resource, new: &Resource) -> Result<(), ArmError> {
    for pool in list(&existing.properties, "/backendAddressPools") {
        let Some(id) = super::reference(pool, "/id")? else { continue };
        if list(&new.properties, "/backendAddressPools").iter().any(|p| uses::is(p, "/id", &id)) {
            continue;
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
