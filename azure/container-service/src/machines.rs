//! `agentPools/{pool}/machines`: the machines of a pool as AKS shows them, read from the scale set.

use std::collections::BTreeMap;

use arm::{ArmError, Resource};
use serde_json::{Value, json};

use crate::json::{list, text};
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
