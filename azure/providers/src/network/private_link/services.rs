//! `privateLinkServices`: what stands behind a load balancer, offered to other networks.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use arm::{Acted, ArmError, Ctx, Deleted, Put, Resource, ResourceId, ResourceType, TypeDescriptor, Written};
use async_trait::async_trait;
use ipnet::Ipv4Net;
use serde_json::{Value, json};

use super::{ENDPOINTS, SERVICES, connections, endpoints, target};
use crate::addresses::next_in_range;
use crate::json::{default, list, remove, set, text};
use crate::network::{API_VERSIONS, interfaces, reference, require, seal, uses};

/// `Microsoft.Network/privateLinkServices`.
pub struct Services;

/// Addresses between networks, one per service; never shown (RFC 2544: for use inside, nowhere on the internet).
const ALIASES: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(198, 18, 0, 0), 16);
/// The member that holds it.
const ALIAS: &str = "$address";

/// The address under which endpoints reach a service.
pub fn alias(service: &Resource) -> Option<Ipv4Addr> {
    text(&service.properties, "/$address")?.parse().ok()
}

/// The address that its backends see.
pub fn source(service: &Resource) -> Option<Ipv4Addr> {
    let configurations = list(&service.properties, "/ipConfigurations");
    let primary = configurations
        .iter()
        .find(|c| c.pointer("/properties/primary").and_then(Value::as_bool) == Some(true));
    text(primary.or_else(|| configurations.first())?, "/properties/privateIPAddress")?.parse().ok()
}

fn check_subnets(ctx: &Ctx, service: &Resource) -> Result<(), ArmError> {
    for configuration in list(&service.properties, "/ipConfigurations") {
        let Some(id) = reference(configuration, "/properties/subnet/id")? else { continue };
        let Some(subnet) = ctx.resources.get(&id) else { continue };
        if text(&subnet.properties, "/privateLinkServiceNetworkPolicies") != Some("Disabled") {
            return Err(ArmError::bad_request(
                "PrivateLinkServiceCannotBeCreatedInSubnetThatHasNetworkPoliciesEnabled",
                format!(
                    "Private link service {} cannot be created in a subnet {id} since it has private link service \
                     network policies enabled.",
                    service.id
                ),
            ));
        }
    }
    Ok(())
}

fn check_frontends(ctx: &Ctx, service: &Resource) -> Result<(), ArmError> {
    let frontends = list(&service.properties, "/loadBalancerFrontendIpConfigurations");
    if frontends.is_empty() {
        return Err(ArmError::bad_request(
            "PrivateLinkServiceMustHaveLoadBalancerFrontend",
            format!(
                "Private link service {} must have a load balancer frontend IP configuration.",
                service.id
            ),
        ));
    }
    for frontend in frontends {
        let id = ResourceId::parse(text(frontend, "/id").unwrap_or_default())?;
        let balancer = ctx.resources.get(&id.top());
        let known = balancer.is_some_and(|balancer| {
            list(&balancer.properties, "/frontendIPConfigurations").iter().any(|f| uses::is(f, "/id", &id))
        });
        if !known {
            require(&ctx.resources, &service.id, &id)?;
        }
    }
    Ok(())
}

#[async_trait]
impl ResourceType for Services {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor { etag: Some("etag"), delete_rank: 40, ..TypeDescriptor::new(SERVICES, API_VERSIONS) }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let mut service = request.resource();
        for computed in ["privateEndpointConnections", "networkInterfaces", "alias", ALIAS] {
            remove(&mut service.properties, &[computed]);
        }
        check_frontends(ctx, &service)?;
        check_subnets(ctx, &service)?;
        for (member, value) in [
            ("enableProxyProtocol", json!(false)),
            ("fqdns", json!([])),
            ("visibility", json!({ "subscriptions": [] })),
            ("autoApproval", json!({ "subscriptions": [] })),
        ] {
            default(&mut service.properties, &[member], value);
        }
        if service.properties.get("enableProxyProtocol") == Some(&json!(true)) {
            return Err(ArmError::not_implemented("The proxy protocol of private link services"));
        }
        seal(&mut service, request.existing);
        let _turn = crate::addresses::turn().await;
        interfaces::addresses(ctx, request.id, &mut service.properties, request.existing)?;
        let old =
            |pointer: &str| request.existing.and_then(|e| text(&e.properties, pointer)).map(str::to_owned);
        let place = service.location.clone().unwrap_or_default();
        let shown = old("/alias").unwrap_or_else(|| {
            format!("{}.{}.{place}.azure.privatelinkservice", service.name, uuid::Uuid::new_v4())
        });
        set(&mut service.properties, &["alias"], shown);
        let taken: BTreeSet<Ipv4Addr> =
            uses::all(&ctx.resources, SERVICES).iter().filter_map(|other| alias(other)).collect();
        let address = match old("/$address") {
            Some(address) => address,
            None => next_in_range(ALIASES, &taken)
                .ok_or_else(|| {
                    ArmError::bad_request(
                        "PrivateLinkServiceCountLimitReached",
                        "Cannot create more private link services.",
                    )
                })?
                .to_string(),
        };
        set(&mut service.properties, &[ALIAS], address);
        if request.existing.is_some_and(|old| old.says_the_same_as(&service)) {
            return Ok(Written::Done(service));
        }
        Ok(Written::Done(ctx.resources.save(service).await?))
    }

    async fn delete(&self, ctx: &Ctx, existing: &Resource) -> Result<Deleted, ArmError> {
        if endpoints::of_service(ctx, &existing.id).is_empty() {
            return Ok(Deleted::Done);
        }
        Err(ArmError::bad_request(
            "PrivateLinkServiceCannotBeDeletedBecauseOfExistingPrivateEndpointConnections",
            format!(
                "Private link service {} cannot be deleted because it has private endpoint connections.",
                existing.id
            ),
        ))
    }

    async fn read(&self, ctx: &Ctx, existing: &Resource, path: &[String]) -> Result<Acted, ArmError> {
        match path {
            [member] if member.eq_ignore_ascii_case("privateEndpointConnections") => {
                Ok(Acted::Done(Some(json!({ "value": endpoints::of_service(ctx, &existing.id) }))))
            }
            _ => Err(ArmError::not_implemented(format_args!("Reading '{SERVICES}/{}'", path.join("/")))),
        }
    }

    fn present(&self, ctx: &Ctx, resource: &Resource) -> Value {
        let mut shown = resource.to_json();
        remove(&mut shown, &["properties", ALIAS]);
        set(
            &mut shown,
            &["properties", "privateEndpointConnections"],
            endpoints::of_service(ctx, &resource.id),
        );
        shown
    }
}

/// `privateLinkServices/privateEndpointConnections`: approve and refuse.
pub struct Connections;

const CONNECTIONS: &str = "Microsoft.Network/privateLinkServices/privateEndpointConnections";

impl Connections {
    /// A connection as a resource; it is kept with its endpoint.
    fn all(ctx: &Ctx, service: &ResourceId) -> Vec<Resource> {
        endpoints::of_service(ctx, service)
            .into_iter()
            .filter_map(|shown| {
                let mut made = Resource::new(ResourceId::parse(text(&shown, "/id")?).ok()?);
                made.properties = shown.get("properties").cloned().unwrap_or_default();
                Some(made)
            })
            .collect()
    }
}

#[async_trait]
impl ResourceType for Connections {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor::new(CONNECTIONS, API_VERSIONS)
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let service = request.id.top();
        let found = endpoint_of(ctx, &service, request.id.name());
        let (Some(endpoint), Some(existing)) = (found, request.existing) else {
            return Err(ArmError::resource_not_found(request.id));
        };
        let state =
            request.properties().get("privateLinkServiceConnectionState").cloned().unwrap_or_default();
        let status = text(&state, "/status").unwrap_or_default();
        if !["Approved", "Rejected"].contains(&status) {
            return Err(ArmError::bad_request(
                "PrivateEndpointConnectionStatusInvalid",
                format!("The status '{status}' of {} is invalid. Allowed: Approved, Rejected.", request.id),
            ));
        }
        let state = json!({
            "status": status, "description": text(&state, "/description").unwrap_or_default(),
            "actionsRequired": text(&state, "/actionsRequired").unwrap_or("None"),
        });
        ctx.resources.modify(&endpoint, |endpoint| decide(endpoint, &service, &state)).await?;
        let mut decided = existing.clone();
        set(&mut decided.properties, &["privateLinkServiceConnectionState"], state);
        Ok(Written::Done(decided))
    }

    async fn delete(&self, _: &Ctx, existing: &Resource) -> Result<Deleted, ArmError> {
        Err(ArmError::not_implemented(format_args!("Deleting {} without its endpoint", existing.id)))
    }

    async fn get(&self, ctx: &Ctx, id: &ResourceId) -> Result<Option<Resource>, ArmError> {
        Ok(Self::all(ctx, &id.top()).into_iter().find(|connection| connection.id == *id))
    }

    async fn list(&self, ctx: &Ctx, scope: &ResourceId) -> Result<Vec<Resource>, ArmError> {
        Ok(Self::all(ctx, scope))
    }
}

/// Writes a decision into the endpoint's connection to a service; false: it stood so already.
fn decide(endpoint: &mut Resource, service: &ResourceId, state: &Value) -> bool {
    let mut news = false;
    for member in ["privateLinkServiceConnections", "manualPrivateLinkServiceConnections"] {
        let Some(Value::Array(all)) = endpoint.properties.get_mut(member) else { continue };
        for connection in all.iter_mut().filter(|c| target(c).as_ref() == Some(service)) {
            let old = connection.pointer("/properties/privateLinkServiceConnectionState").cloned();
            news |= old.as_ref() != Some(state);
            set(connection, &["properties", "privateLinkServiceConnectionState"], state.clone());
        }
    }
    news
}

/// The endpoint behind a connection of a service.
fn endpoint_of(ctx: &Ctx, service: &ResourceId, connection: &str) -> Option<ResourceId> {
    uses::all(&ctx.resources, ENDPOINTS)
        .iter()
        .filter(|endpoint| connections(endpoint).any(|c| target(c).as_ref() == Some(service)))
        .find(|endpoint| {
            let guid = text(&endpoint.properties, "/resourceGuid").unwrap_or_default();
            connection.eq_ignore_ascii_case(&format!("{}.{guid}", endpoint.name))
        })
        .map(|endpoint| endpoint.id.clone())
}
