//! `agentPools/{pool}/machines`: the machines of a pool as AKS shows them, read from the scale set.

use std::collections::BTreeMap;

use arm::{ArmError, Resource};
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::json::{list, text};
use crate::saga::nodes::Instance;
use crate::saga::{COMPUTE, Work, pools};

/// Every machine of a pool.
pub async fn of_pool(work: &Work, pool: &Resource) -> Result<Vec<Value>, ArmError> {
    let set = pools::scale_set_id(work, pool)?;
    let client = work.service();
    let listed = match client.list(format!("{set}/virtualMachines"), COMPUTE).await {
        Ok(listed) => listed,
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let interfaces = client.list(format!("{set}/networkInterfaces"), COMPUTE).await?;
    let addresses: BTreeMap<String, &str> = interfaces
        .iter()
        .filter_map(|interface| {
            let machine = text(interface, "/properties/virtualMachine/id")?.to_ascii_lowercase();
            let ip = list(interface, "/properties/ipConfigurations").first()?;
            Some((machine, text(ip, "/properties/privateIPAddress")?))
        })
        .collect();
    Ok(listed.iter().filter_map(|machine| shown(pool, machine, &addresses)).collect())
}

/// The machines that a body of `deleteMachines` names; all of them are there, and enough stay.
pub fn leaving(body: &Value, pool: &Resource, there: &[Instance]) -> Result<Vec<String>, Fault> {
    let mut leaving: Vec<String> = Vec::new();
    for name in list(body, "/machineNames") {
        let name = name.as_str().unwrap_or_default();
        let found = there.iter().find(|machine| machine.node.eq_ignore_ascii_case(name));
        let found = found.ok_or_else(|| {
            Fault::parameter("machineNames", format!("agent pool '{}' has no machine '{name}'", pool.name))
        })?;
        if !leaving.contains(&found.node) {
            leaving.push(found.node.clone());
        }
    }
    if leaving.is_empty() {
        return Err(Fault::parameter("machineNames", "no machine is named"));
    }
    let least = usize::from(text(&pool.properties, "/mode") == Some("System"));
    if there.len().saturating_sub(leaving.len()) < least {
        return Err(Fault::bad_request(
            "OperationNotAllowed",
            format!("A system agent pool must keep a node; '{}' would have none.", pool.name),
        )
        .target("machineNames"));
    }
    Ok(leaving)
}

fn shown(pool: &Resource, machine: &Value, addresses: &BTreeMap<String, &str>) -> Option<Value> {
    let id = text(machine, "/id")?;
    let name = text(machine, "/properties/osProfile/computerName")?;
    let ip: Vec<Value> = addresses
        .get(&id.to_ascii_lowercase())
        .map(|ip| json!({ "family": "IPv4", "ip": ip }))
        .into_iter()
        .collect();
    Some(json!({
        "id": pool.id.child("machines", name),
        "name": name,
        "type": "Microsoft.ContainerService/managedClusters/agentPools/machines",
        "zones": machine.get("zones"),
        "properties": {
            "network": { "ipAddresses": ip },
            "resourceId": id,
            "provisioningState": machine["properties"]["provisioningState"],
        },
    }))
}
