//! `privateEndpoints`: an interface in a subnet whose packets go to a service.

use arm::{ArmError, Ctx, Deleted, Put, Resource, ResourceId, ResourceType, TypeDescriptor, Written};
use async_trait::async_trait;
use serde_json::{Value, json};

use super::{ENDPOINTS, SERVICES, address, connections, target, targets, zone_groups};
use crate::json::{default, list, remove, set, text};
use crate::network::{API_VERSIONS, interfaces, reference, require, seal, uses};

/// `Microsoft.Network/privateEndpoints`.
pub struct Endpoints;

/// Checks one connection and says how it stands.
fn connect(ctx: &Ctx, endpoint: &Resource, connection: &mut Value, manual: bool) -> Result<(), ArmError> {
    let to = target(connection).ok_or_else(|| {
        ArmError::bad_request(
            "PrivateLinkServiceIdIsMissing",
            format!(
                "The private link service id of a connection of private endpoint {} is missing.",
                endpoint.id
            ),
        )
    })?;
    let group = text(connection, "/properties/groupIds/0").map(str::to_owned);
    if let Err(known) = targets::check(&to, group.as_deref()) {
        return Err(ArmError::bad_request(
            "PrivateEndpointInvalidGroupId",
            format!(
                "The group id '{}' of private endpoint {} is invalid for {to}. Allowed: {}.",
                group.unwrap_or_default(),
                endpoint.id,
                known.join(", ")
            ),
        ));
    }
    require(&ctx.resources, &endpoint.id, &to)?;
    let name = text(connection, "/name").unwrap_or_default().to_owned();
    let member = if manual { "manualPrivateLinkServiceConnections" } else { "privateLinkServiceConnections" };
    set(connection, &["id"], format!("{}/{member}/{name}", endpoint.id));
    set(connection, &["type"], format!("{ENDPOINTS}/{member}"));
    set(connection, &["properties", "provisioningState"], "Succeeded");
    default(connection, &["properties", "groupIds"], json!([]));
    let state = match manual {
        // Who owns both sides need not ask.
        false => json!({ "status": "Approved", "description": "Auto-Approved", "actionsRequired": "None" }),
        true => json!({ "status": "Pending", "description": "Awaiting Approval", "actionsRequired": "None" }),
    };
    let state = old_state(ctx, &endpoint.id, &name).unwrap_or(state);
    set(connection, &["properties", "privateLinkServiceConnectionState"], state);
    Ok(())
}

/// An approval or refusal that was given already.
fn old_state(ctx: &Ctx, endpoint: &ResourceId, connection: &str) -> Option<Value> {
    let endpoint = ctx.resources.get(endpoint)?;
    let old = connections(&endpoint).find(|c| text(c, "/name") == Some(connection))?;
    old.pointer("/properties/privateLinkServiceConnectionState").cloned()
}

/// The endpoint's interface, with its address.
fn interface(ctx: &Ctx, endpoint: &Resource, existing: Option<&Resource>) -> Result<Resource, ArmError> {
    let scope = endpoint.id.scope();
    let old = existing
        .and_then(|e| reference(list(&e.properties, "/networkInterfaces").first()?, "/id").ok().flatten());
    let custom = text(&endpoint.properties, "/customNetworkInterfaceName").map(str::to_owned);
    let id = old.unwrap_or_else(|| {
        let name = custom.unwrap_or_else(|| format!("{}.nic.{}", endpoint.name, uuid::Uuid::new_v4()));
        scope.extension(interfaces::TYPE, &name)
    });
    let old = ctx.resources.get(&id);
    let mut made = old.as_deref().cloned().unwrap_or_else(|| Resource::new(id.clone()));
    made.location = endpoint.location.clone();
    let first = connections(endpoint).next().cloned().unwrap_or_default();
    let group = text(&first, "/properties/groupIds/0").unwrap_or_default();
    let fqdns: Vec<String> =
        target(&first).and_then(|to| targets::names(&to, group)).into_iter().map(|n| n.public).collect();
    let asked = list(&endpoint.properties, "/ipConfigurations").first().cloned().unwrap_or_default();
    let name = text(&asked, "/name").unwrap_or("privateEndpointIpConfig").to_owned();
    let mut configuration = json!({ "name": name, "properties": {
        "primary": true,
        "subnet": endpoint.properties.get("subnet").map(|s| json!({ "id": s["id"] })),
        "privateLinkConnectionProperties": {
            "groupId": group,
            "requiredMemberName": text(&asked, "/properties/memberName").unwrap_or(group),
            "fqdns": fqdns,
        },
    } });
    if let Some(address) = text(&asked, "/properties/privateIPAddress") {
        set(&mut configuration, &["properties", "privateIPAddress"], address);
        set(&mut configuration, &["properties", "privateIPAllocationMethod"], "Static");
    }
    let mut properties = json!({
        "ipConfigurations": [configuration], "privateEndpoint": { "id": endpoint.id },
        "enableIPForwarding": false, "enableAcceleratedNetworking": false, "nicType": "Standard",
        "dnsSettings": { "dnsServers": [], "appliedDnsServers": [] }, "macAddress": "",
        "provisioningState": "Succeeded",
    });
    let guid = old.as_deref().and_then(|o| text(&o.properties, "/resourceGuid")).map(str::to_owned);
    set(&mut properties, &["resourceGuid"], guid.unwrap_or_else(|| uuid::Uuid::new_v4().to_string()));
    interfaces::addresses(ctx, &id, &mut properties, old.as_deref())?;
    made.properties = properties;
    Ok(made)
}

/// The names under which the endpoint's service is known, with its address.
fn dns_configurations(ctx: &Ctx, endpoint: &Resource) -> Vec<Value> {
    let Some(address) = address(&ctx.resources, endpoint) else { return Vec::new() };
    connections(endpoint)
        .filter_map(|c| targets::names(&target(c)?, text(c, "/properties/groupIds/0")?))
        .map(|names| json!({ "fqdn": names.public, "ipAddresses": [address] }))
        .collect()
}

#[async_trait]
impl ResourceType for Endpoints {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor { etag: Some("etag"), delete_rank: 30, ..TypeDescriptor::new(ENDPOINTS, API_VERSIONS) }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let mut endpoint = request.resource();
        for computed in ["networkInterfaces", "customDnsConfigs"] {
            remove(&mut endpoint.properties, &[computed]);
        }
        let subnet = reference(&endpoint.properties, "/subnet/id")?.ok_or_else(|| {
            ArmError::bad_request(
                "SubnetIsRequired",
                format!("Private endpoint {} must have a subnet.", request.id),
            )
        })?;
        require(&ctx.resources, request.id, &subnet)?;
        for (member, manual) in
            [("privateLinkServiceConnections", false), ("manualPrivateLinkServiceConnections", true)]
        {
            default(&mut endpoint.properties, &[member], json!([]));
            let Some(Value::Array(mut all)) = remove(&mut endpoint.properties, &[member]) else { continue };
            for connection in &mut all {
                connect(ctx, &endpoint, connection, manual)?;
            }
            set(&mut endpoint.properties, &[member], all);
        }
        if connections(&endpoint).count() != 1 {
            return Err(ArmError::bad_request(
                "PrivateEndpointMustHaveOneConnection",
                format!(
                    "Private endpoint {} must have exactly one private link service connection.",
                    request.id
                ),
            ));
        }
        for (member, value) in [
            ("customNetworkInterfaceName", json!("")),
            ("ipConfigurations", json!([])),
            ("applicationSecurityGroups", json!([])),
        ] {
            default(&mut endpoint.properties, &[member], value);
        }
        seal(&mut endpoint, request.existing);
        let _turn = crate::addresses::turn().await;
        let interface = interface(ctx, &endpoint, request.existing)?;
        set(&mut endpoint.properties, &["networkInterfaces"], json!([{ "id": interface.id }]));
        if ctx.resources.get(&interface.id).is_none_or(|old| !old.says_the_same_as(&interface)) {
            // In one step: an interface without its endpoint would hold its address for ever.
            ctx.resources.save_all(vec![interface, endpoint.clone()]).await?;
        }
        Ok(Written::Done(endpoint))
    }

    async fn delete(&self, ctx: &Ctx, existing: &Resource) -> Result<Deleted, ArmError> {
        zone_groups::forget(ctx, existing).await?;
        for interface in list(&existing.properties, "/networkInterfaces") {
            if let Some(id) = reference(interface, "/id")? {
                ctx.resources.remove(&id).await?;
            }
        }
        Ok(Deleted::Done)
    }

    fn present(&self, ctx: &Ctx, resource: &Resource) -> Value {
        let mut shown = resource.to_json();
        set(&mut shown, &["properties", "customDnsConfigs"], dns_configurations(ctx, resource));
        shown
    }
}

/// Whether a private-link service is used by an endpoint.
pub(super) fn of_service(ctx: &Ctx, service: &ResourceId) -> Vec<Value> {
    debug_assert!(service.is_type(SERVICES));
    uses::all(&ctx.resources, ENDPOINTS)
        .iter()
        .flat_map(|endpoint| {
            let of: Vec<Value> = connections(endpoint)
                .filter(|c| target(c).as_ref() == Some(service))
                .map(|connection| {
                    let state = connection.pointer("/properties/privateLinkServiceConnectionState");
                    let name = format!("{}.{}", endpoint.name, guid(endpoint));
                    json!({
                        "id": format!("{service}/privateEndpointConnections/{name}"), "name": name,
                        "type": format!("{SERVICES}/privateEndpointConnections"),
                        "properties": {
                            "privateEndpoint": { "id": endpoint.id },
                            "privateLinkServiceConnectionState": state,
                            "provisioningState": "Succeeded", "linkIdentifier": guid(endpoint),
                            "privateEndpointLocation": endpoint.location,
                        },
                    })
                })
                .collect();
            of
        })
        .collect()
}

fn guid(endpoint: &Resource) -> &str {
    text(&endpoint.properties, "/resourceGuid").unwrap_or_default()
}
