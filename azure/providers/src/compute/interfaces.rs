//! The network interfaces of scale-set instances: computed from the instance, stored nowhere.

use arm::{
    ArmError, Ctx, Deleted, Put, Resource, ResourceId, ResourceType, Resources, TypeDescriptor, Written,
};
use async_trait::async_trait;
use serde_json::{Value, json};

use super::API_VERSIONS;
use super::instances::{self, Instance};

/// `Microsoft.Compute/virtualMachineScaleSets/virtualMachines/networkInterfaces`.
pub struct Interfaces;

const TYPE: &str = "Microsoft.Compute/virtualMachineScaleSets/virtualMachines/networkInterfaces";

/// An instance's interface as it is shown.
pub fn shown(_: &Resources, instance: &Instance) -> Value {
    resource(instance).to_json()
}

fn resource(instance: &Instance) -> Resource {
    let mut made = Resource::new(instance.id.child("networkInterfaces", &instance.interface));
    let pools: Vec<Value> = instance.pools.iter().map(|pool| json!({ "id": pool })).collect();
    let mac = instance.address.octets();
    made.properties = json!({
        "provisioningState": "Succeeded",
        "primary": true,
        "enableIPForwarding": instance.private.pods.is_some(),
        "enableAcceleratedNetworking": false,
        "macAddress": format!("00-0D-{:02X}-{:02X}-{:02X}-{:02X}", mac[0], mac[1], mac[2], mac[3]),
        "virtualMachine": { "id": instance.id },
        "networkSecurityGroup": instance.group.as_ref().map(|id| json!({ "id": id })),
        "dnsSettings": { "dnsServers": [], "appliedDnsServers": [] },
        "ipConfigurations": [{
            "name": "ipconfig1",
            "id": instance.ip_configuration(),
            "properties": {
                "provisioningState": "Succeeded",
                "privateIPAddress": instance.address,
                "privateIPAllocationMethod": "Dynamic",
                "privateIPAddressVersion": "IPv4",
                "primary": true,
                "subnet": { "id": instance.subnet },
                "loadBalancerBackendAddressPools": pools,
            },
        }],
    });
    made
}

#[async_trait]
impl ResourceType for Interfaces {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor::new(TYPE, API_VERSIONS)
    }

    async fn put(&self, _: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        Err(ArmError::bad_request(
            "OperationNotAllowed",
            format!("The interface {} follows the model of its scale set; change the model.", request.id),
        ))
    }

    async fn delete(&self, _: &Ctx, existing: &Resource) -> Result<Deleted, ArmError> {
        Err(ArmError::bad_request(
            "OperationNotAllowed",
            format!("The interface {} goes with its instance.", existing.id),
        ))
    }

    async fn get(&self, ctx: &Ctx, id: &ResourceId) -> Result<Option<Resource>, ArmError> {
        let found = instances::all(&ctx.resources).into_iter().map(|i| resource(&i)).find(|r| r.id == *id);
        Ok(found)
    }

    async fn list(&self, ctx: &Ctx, scope: &ResourceId) -> Result<Vec<Resource>, ArmError> {
        let all = instances::all(&ctx.resources);
        Ok(all.iter().filter(|i| i.id.is_within(scope)).map(resource).collect())
    }
}
