//! `virtualNetworks` and their `subnets`.

use arm::{
    Acted, ArmError, Ctx, Deleted, Put, Resource, ResourceId, ResourceType, Resources, TypeDescriptor,
    Written,
};
use async_trait::async_trait;
use ipnet::Ipv4Net;
use serde_json::{Value, json};

use super::{API_VERSIONS, capacity, inline, peerings, reference, require, seal, take_inline, uses};
use crate::addresses::overlap;
use crate::json::{default, list, remove, set, text};

/// `Microsoft.Network/virtualNetworks`.
pub struct VirtualNetworks;
/// `Microsoft.Network/virtualNetworks/subnets`.
pub struct Subnets;

/// Full type of subnets.
pub const SUBNETS: &str = "Microsoft.Network/virtualNetworks/subnets";

/// The address space of a virtual network.
pub fn prefixes(properties: &Value) -> Vec<Ipv4Net> {
    list(properties, "/addressSpace/addressPrefixes")
        .iter()
        .filter_map(|prefix| prefix.as_str()?.parse().ok())
        .collect()
}

/// The address range of a subnet.
pub fn prefix(properties: &Value) -> Option<Ipv4Net> {
    text(properties, "/addressPrefix")
        .or_else(|| list(properties, "/addressPrefixes").first()?.as_str())?
        .parse()
        .ok()
}

fn check_space(network: &str, properties: &Value) -> Result<Vec<Ipv4Net>, ArmError> {
    let written = list(properties, "/addressSpace/addressPrefixes");
    let mut space: Vec<Ipv4Net> = Vec::new();
    for prefix in written {
        let text = prefix.as_str().unwrap_or_default();
        let parsed = text.parse::<Ipv4Net>().ok().filter(|net| net.trunc() == *net).ok_or_else(|| {
            ArmError::bad_request(
                "InvalidAddressPrefixFormat",
                format!("Address prefix {text} of resource {network} is not formatted correctly."),
            )
        })?;
        if let Some(other) = space.iter().find(|other| overlap(other, &parsed)) {
            return Err(ArmError::bad_request(
                "InvalidAddressSpace",
                format!("Address prefix {parsed} of virtual network {network} overlaps with prefix {other}."),
            ));
        }
        space.push(parsed);
    }
    if space.is_empty() {
        return Err(ArmError::bad_request(
            "MissingAddressSpace",
            format!("Virtual network {network} must have at least one address prefix."),
        ));
    }
    Ok(space)
}

/// Refuses subnets that lie outside the space or on each other.
fn check_subnets(network: &str, space: &[Ipv4Net], subnets: &[(String, Value)]) -> Result<(), ArmError> {
    let mut seen: Vec<(&str, Ipv4Net)> = Vec::new();
    for (name, properties) in subnets {
        let net = prefix(properties).filter(|net| net.trunc() == *net).ok_or_else(|| {
            ArmError::bad_request(
                "InvalidAddressPrefixFormat",
                format!("The address prefix of subnet {name} is missing or not formatted correctly."),
            )
        })?;
        if net.prefix_len() > 29 {
            return Err(ArmError::bad_request(
                "NetcfgInvalidSubnet",
                format!(
                    "Subnet '{name}' is not valid because its IP address range {net} is smaller than a /29."
                ),
            ));
        }
        if !space.iter().any(|prefix| prefix.contains(&net)) {
            return Err(ArmError::bad_request(
                "NetcfgInvalidSubnet",
                format!("Subnet '{name}' is not valid in virtual network '{network}'."),
            ));
        }
        if let Some((other, _)) = seen.iter().find(|(_, other)| overlap(other, &net)) {
            return Err(ArmError::bad_request(
                "NetcfgSubnetRangesOverlap",
                format!(
                    "Subnet '{name}' is not valid because its IP address range overlaps with that of an existing \
                     subnet '{other}' in virtual network '{network}'."
                ),
            ));
        }
        seen.push((name, net));
    }
    Ok(())
}

/// Fills in what delegations and service endpoints are made of.
fn shape_services(id: &ResourceId, properties: &mut Value) -> Result<(), ArmError> {
    if let Some(Value::Array(delegations)) = properties.get_mut("delegations") {
        for delegation in delegations {
            let name = text(delegation, "/name").unwrap_or_default().to_owned();
            let service = text(delegation, "/properties/serviceName").unwrap_or_default().to_owned();
            let known = service.strip_prefix("Microsoft.").is_some_and(|rest| rest.contains('/'));
            if name.is_empty() || !known {
                return Err(ArmError::bad_request(
                    "InvalidServiceNameOnDelegation",
                    format!(
                        "Delegation '{name}' of subnet {} has the invalid service name '{service}'.",
                        id.name()
                    ),
                ));
            }
            set(delegation, &["id"], format!("{id}/delegations/{name}"));
            set(delegation, &["type"], format!("{SUBNETS}/delegations"));
            set(delegation, &["properties", "provisioningState"], "Succeeded");
            default(
                delegation,
                &["properties", "actions"],
                json!(["Microsoft.Network/virtualNetworks/subnets/join/action"]),
            );
        }
    }
    if let Some(Value::Array(endpoints)) = properties.get_mut("serviceEndpoints") {
        for endpoint in endpoints {
            let service = text(endpoint, "/service").unwrap_or_default();
            if !service.starts_with("Microsoft.") {
                return Err(ArmError::bad_request(
                    "SubnetHasServiceEndpointWithInvalidServiceName",
                    format!(
                        "Subnet {} has the service endpoint with invalid service name '{service}'.",
                        id.name()
                    ),
                ));
            }
            default(endpoint, &["locations"], json!(["*"]));
            set(endpoint, &["provisioningState"], "Succeeded");
        }
    }
    Ok(())
}

/// The subnet as it is stored.
fn shape_subnet(
    resources: &Resources,
    id: &ResourceId,
    mut properties: Value,
    existing: Option<&Resource>,
) -> Result<Resource, ArmError> {
    for computed in ["ipConfigurations", "provisioningState", "purpose", "resourceNavigationLinks"] {
        remove(&mut properties, &[computed]);
    }
    for pointer in ["/networkSecurityGroup/id", "/routeTable/id", "/natGateway/id"] {
        if let Some(to) = reference(&properties, pointer)? {
            require(resources, id, &to)?;
        }
    }
    if let (Some(old), Some(new)) = (existing.and_then(|e| prefix(&e.properties)), prefix(&properties)) {
        let outside = uses::addresses_in_subnet(resources, id).into_iter().any(|a| !new.contains(&a));
        if old != new && outside {
            return Err(ArmError::bad_request(
                "InUsePrefixCannotBeDeleted",
                format!(
                    "IpPrefix {old} on Subnet {} has active allocations and cannot be deleted.",
                    id.name()
                ),
            ));
        }
    }
    default(&mut properties, &["delegations"], json!([]));
    shape_services(id, &mut properties)?;
    default(&mut properties, &["privateEndpointNetworkPolicies"], "Disabled");
    default(&mut properties, &["privateLinkServiceNetworkPolicies"], "Enabled");
    set(&mut properties, &["provisioningState"], "Succeeded");
    let mut subnet = existing.cloned().unwrap_or_else(|| Resource::new(id.clone()));
    subnet.properties = properties;
    Ok(subnet)
}

fn subnet_properties(resources: &Resources, subnet: &Resource) -> Value {
    let mut properties = subnet.properties.clone();
    let users = uses::of_subnet(resources, &subnet.id);
    if !users.is_empty() {
        let users: Vec<Value> = users.into_iter().map(|id| json!({ "id": id })).collect();
        set(&mut properties, &["ipConfigurations"], users);
    }
    properties
}

fn check_subnet_free(resources: &Resources, subnet: &Resource) -> Result<(), ArmError> {
    let mut users = uses::of_subnet(resources, &subnet.id);
    users.extend(uses::scale_sets_of_subnet(resources, &subnet.id).iter().map(|set| {
        let id = set.to_string();
        let tail = id.split_once("/providers/").map_or("", |(_, tail)| tail).replace('/', "|");
        format!("{}/networkInterfaces/|providers|{tail}/ipConfigurations/ipconfig1", set.scope())
    }));
    let Some(user) = users.last() else { return Ok(()) };
    Err(ArmError::bad_request(
        "InUseSubnetCannotBeDeleted",
        format!(
            "Subnet {} is in use by {user} and cannot be deleted. In order to delete the subnet, delete all the \
             resources within the subnet. See aka.ms/deletesubnet.",
            subnet.name
        ),
    ))
}

#[async_trait]
impl ResourceType for VirtualNetworks {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor {
            etag: Some("etag"),
            delete_rank: 80,
            ..TypeDescriptor::new("Microsoft.Network/virtualNetworks", API_VERSIONS)
        }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let mut network = request.resource();
        let space = check_space(&network.name, &network.properties)?;
        let wanted = take_inline(&mut network.properties, "subnets")?;
        let present = ctx.resources.list_type(request.id, SUBNETS);
        let kept: Vec<(String, Value)> = match &wanted {
            Some(subnets) => subnets.clone(),
            None => present.iter().map(|s| (s.name.clone(), s.properties.clone())).collect(),
        };
        check_subnets(&network.name, &space, &kept)?;
        if let Some(wanted) = wanted {
            let named = |name: &str| wanted.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
            let gone: Vec<_> = present.iter().filter(|subnet| !named(&subnet.name)).collect();
            for subnet in &gone {
                check_subnet_free(&ctx.resources, subnet)?;
            }
            let mut shaped = Vec::new();
            for (name, properties) in wanted {
                let id = request.id.child("subnets", &name);
                let old = ctx.resources.get(&id);
                shaped.push((shape_subnet(&ctx.resources, &id, properties, old.as_deref())?, old));
            }
            for (subnet, old) in shaped {
                if old.is_none_or(|old| old.properties != subnet.properties) {
                    ctx.resources.save(subnet).await?;
                }
            }
            for subnet in gone {
                ctx.resources.remove(&subnet.id).await?;
            }
        }
        inline_peerings(ctx, &mut network).await?;
        check_servers(&network)?;
        default(&mut network.properties, &["enableDdosProtection"], false);
        default(&mut network.properties, &["privateEndpointVNetPolicies"], "Disabled");
        seal(&mut network, request.existing);
        Ok(Written::Done(network))
    }

    async fn delete(&self, ctx: &Ctx, existing: &Resource) -> Result<Deleted, ArmError> {
        for subnet in ctx.resources.list_type(&existing.id, SUBNETS) {
            check_subnet_free(&ctx.resources, &subnet)?;
        }
        for peering in ctx.resources.list_type(&existing.id, peerings::TYPE) {
            peerings::disconnect(&ctx.resources, &peering).await?;
        }
        Ok(Deleted::Done)
    }

    async fn read(&self, ctx: &Ctx, existing: &Resource, path: &[String]) -> Result<Acted, ArmError> {
        let path: Vec<String> = path.iter().map(|segment| segment.to_ascii_lowercase()).collect();
        match path.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["checkipaddressavailability"] => capacity::availability(ctx, existing),
            ["usages"] => Ok(Acted::Done(Some(capacity::usages(ctx, existing)))),
            _ => Err(ArmError::not_implemented(format_args!(
                "Reading 'Microsoft.Network/virtualNetworks/{}'",
                path.join("/")
            ))),
        }
    }

    fn present(&self, ctx: &Ctx, resource: &Resource) -> Value {
        let subnets: Vec<Value> = ctx
            .resources
            .list_type(&resource.id, SUBNETS)
            .iter()
            .map(|subnet| inline(subnet, subnet_properties(&ctx.resources, subnet)))
            .collect();
        let peerings: Vec<Value> = ctx
            .resources
            .list_type(&resource.id, peerings::TYPE)
            .iter()
            .map(|peering| inline(peering, peerings::properties(&ctx.resources, peering)))
            .collect();
        let mut shown = resource.to_json();
        set(&mut shown, &["properties", "subnets"], subnets);
        set(&mut shown, &["properties", "virtualNetworkPeerings"], peerings);
        shown
    }
}

/// Peerings that come with their network are made or changed; those that the client left out stay.
async fn inline_peerings(ctx: &Ctx, network: &mut Resource) -> Result<(), ArmError> {
    let Some(wanted) = take_inline(&mut network.properties, "virtualNetworkPeerings")? else { return Ok(()) };
    for (name, properties) in wanted {
        let id = network.id.child("virtualNetworkPeerings", &name);
        let old = ctx.resources.get(&id);
        if old.as_deref().is_some_and(|old| peerings::properties(&ctx.resources, old) == properties) {
            continue;
        }
        if !ctx.resources.exists(&network.id) {
            return Err(ArmError::not_implemented(
                "A peering inside the request that makes its virtual network",
            ));
        }
        let peering = peerings::shape(ctx, &id, properties, old.as_deref()).await?;
        if old.is_none_or(|old| old.properties != peering.properties) {
            ctx.resources.save(peering).await?;
        }
    }
    Ok(())
}

/// Own name servers are IPv4 addresses.
fn check_servers(network: &Resource) -> Result<(), ArmError> {
    for server in list(&network.properties, "/dhcpOptions/dnsServers") {
        let text = server.as_str().unwrap_or_default();
        if text.parse::<std::net::Ipv4Addr>().is_err() {
            return Err(ArmError::bad_request(
                "InvalidDnsServerAddress",
                format!("DNS server address '{text}' of virtual network {} is not valid.", network.name),
            ));
        }
    }
    Ok(())
}

#[async_trait]
impl ResourceType for Subnets {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor { etag: Some("etag"), ..TypeDescriptor::new(SUBNETS, API_VERSIONS) }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let parent = request.id.top();
        let network = ctx.resources.get(&parent).ok_or_else(|| ArmError::parent_not_found(request.id))?;
        let mut subnets: Vec<(String, Value)> = ctx
            .resources
            .list_type(&parent, SUBNETS)
            .iter()
            .filter(|subnet| subnet.id != *request.id)
            .map(|subnet| (subnet.name.clone(), subnet.properties.clone()))
            .collect();
        subnets.push((request.id.name().to_owned(), request.properties().clone()));
        check_subnets(&network.name, &prefixes(&network.properties), &subnets)?;
        let properties = request.properties().clone();
        Ok(Written::Done(shape_subnet(&ctx.resources, request.id, properties, request.existing)?))
    }

    async fn delete(&self, ctx: &Ctx, existing: &Resource) -> Result<Deleted, ArmError> {
        check_subnet_free(&ctx.resources, existing)?;
        Ok(Deleted::Done)
    }

    fn present(&self, ctx: &Ctx, resource: &Resource) -> Value {
        let mut shown = resource.to_json();
        set(&mut shown, &["properties"], subnet_properties(&ctx.resources, resource));
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_lie_inside_and_apart() {
        let space: Vec<Ipv4Net> = vec!["10.224.0.0/12".parse().unwrap()];
        for (subnets, expected) in [
            (&[("a", "10.224.0.0/16"), ("b", "10.225.0.0/16")][..], "ok"),
            (&[("a", "10.224.0.0/16"), ("b", "10.224.1.0/24")], "NetcfgSubnetRangesOverlap"),
            (&[("a", "10.0.0.0/16")], "NetcfgInvalidSubnet"),
            (&[("a", "10.224.0.0/30")], "NetcfgInvalidSubnet"),
            (&[("a", "10.224.0.1/16")], "InvalidAddressPrefixFormat"),
        ] {
            let subnets: Vec<_> =
                subnets.iter().map(|(n, p)| ((*n).to_owned(), json!({ "addressPrefix": p }))).collect();
            let seen = check_subnets("v", &space, &subnets).map_or_else(|e| e.code, |()| "ok".into());
            assert_eq!(seen, expected, "{subnets:?}");
        }
    }
}
