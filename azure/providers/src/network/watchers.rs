//! `networkWatchers`: would a packet pass, and where would it go. Answered from the wish that the fabric runs.

use std::net::Ipv4Addr;

use arm::{Acted, ArmError, Ctx, Deleted, Put, Resource, ResourceId, ResourceType, TypeDescriptor, Written};
use async_trait::async_trait;
use fabric::plan::{Flow, next_hop, verify};
use fabric::{Access, Direction, Machine, MachineId, Protocol, Wanted};
use serde_json::{Value, json};

use super::{API_VERSIONS, effective, reference, seal};
use crate::fabric_driver::wanted;
use crate::json::text;

/// `Microsoft.Network/networkWatchers`.
pub struct Watchers;

fn invalid(what: &str, value: &str) -> ArmError {
    ArmError::bad_request("InvalidRequestFormat", format!("The value '{value}' of '{what}' is not valid."))
}

fn asked<T: std::str::FromStr>(body: &Value, member: &str) -> Result<T, ArmError> {
    let written = body.get(member).and_then(Value::as_str).unwrap_or_default();
    written.parse().map_err(|_| invalid(member, written))
}

/// A port that clients take, where a request says that any may be it (RFC 6335: dynamic ports).
const ANY_PORT: u16 = 49_152;

/// A port; `*` only at the side that opens the connection.
fn port(body: &Value, member: &str, opens: bool) -> Result<u16, ArmError> {
    match text(body, &format!("/{member}")) {
        Some("*") if opens => Ok(ANY_PORT),
        _ => asked(body, member),
    }
}

/// The machine that a request is about.
fn target<'a>(wish: &'a Wanted, body: &Value) -> Result<&'a Machine, ArmError> {
    let id = ResourceId::parse(text(body, "/targetResourceId").unwrap_or_default())?;
    let machine = MachineId::of(&id.to_string());
    wish.machines.iter().find(|m| m.id == machine).ok_or_else(|| ArmError::resource_not_found(&id))
}

fn ip_flow(wish: &Wanted, body: &Value) -> Result<Value, ArmError> {
    let machine = target(wish, body)?;
    let word = |member: &str| text(body, &format!("/{member}")).unwrap_or_default();
    let direction = match word("direction").to_ascii_lowercase().as_str() {
        "inbound" => Direction::Inbound,
        "outbound" => Direction::Outbound,
        other => return Err(invalid("direction", other)),
    };
    let protocol = match word("protocol").to_ascii_lowercase().as_str() {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        other => return Err(invalid("protocol", other)),
    };
    let local: Ipv4Addr = asked(body, "localIPAddress")?;
    if local != machine.address {
        return Err(ArmError::bad_request(
            "LocalIPAddressNotOnTargetNic",
            format!("The local IP address {local} is not configured on {}.", machine.resource_id),
        ));
    }
    let flow = Flow {
        direction,
        protocol,
        local: (local, port(body, "localPort", direction == Direction::Outbound)?),
        remote: (asked(body, "remoteIPAddress")?, port(body, "remotePort", direction == Direction::Inbound)?),
    };
    let verdict = verify(wish, machine, &flow);
    let rule = verdict.rule.as_ref().map(effective::rule_name).unwrap_or_default();
    Ok(json!({ "access": if verdict.access == Access::Allow { "Allow" } else { "Deny" }, "ruleName": rule }))
}

fn hop(ctx: &Ctx, wish: &Wanted, body: &Value) -> Result<Value, ArmError> {
    let machine = target(wish, body)?;
    let _: Ipv4Addr = asked(body, "sourceIPAddress")?;
    let destination: Ipv4Addr = asked(body, "destinationIPAddress")?;
    let found = wish.networks.iter().find(|n| n.id == machine.network).and_then(|network| {
        let subnet = network.subnets.iter().find(|s| s.name == machine.subnet)?;
        Some((network, subnet, next_hop(network, subnet, destination)?))
    });
    let Some((network, subnet, route)) = found else {
        return Ok(json!({ "nextHopType": "None", "routeTableId": "System Route" }));
    };
    let (word, address) = effective::hop_words(&route.hop);
    let table = ResourceId::parse(&network.resource_id)
        .ok()
        .and_then(|id| ctx.resources.get(&id.child("subnets", &subnet.name)))
        .and_then(|subnet| reference(&subnet.properties, "/routeTable/id").ok().flatten());
    let table = match (&route.name, table) {
        (Some(_), Some(table)) => table.to_string(),
        _ => "System Route".to_owned(),
    };
    let mut answer = json!({ "nextHopType": word, "routeTableId": table });
    if let Some(address) = address {
        answer["nextHopIpAddress"] = json!(address);
    }
    Ok(answer)
}

#[async_trait]
impl ResourceType for Watchers {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor {
            etag: Some("etag"),
            ..TypeDescriptor::new("Microsoft.Network/networkWatchers", API_VERSIONS)
        }
    }

    async fn put(&self, _: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let mut watcher = request.resource();
        watcher.properties = json!({ "runningOperationIds": [] });
        seal(&mut watcher, request.existing);
        if let Some(map) = watcher.properties.as_object_mut() {
            map.remove("resourceGuid");
        }
        Ok(Written::Done(watcher))
    }

    async fn delete(&self, _: &Ctx, _: &Resource) -> Result<Deleted, ArmError> {
        Ok(Deleted::Done)
    }

    async fn action(&self, ctx: &Ctx, _: &Resource, name: &str, body: Value) -> Result<Acted, ArmError> {
        let wish = wanted::wanted(&ctx.resources, &[]);
        let answer = match name.to_ascii_lowercase().as_str() {
            "ipflowverify" => ip_flow(&wish, &body)?,
            "nexthop" => hop(ctx, &wish, &body)?,
            _ => {
                return Err(ArmError::not_implemented(format_args!(
                    "The action 'Microsoft.Network/networkWatchers/{name}'"
                )));
            }
        };
        Ok(Acted::Done(Some(answer)))
    }
}
