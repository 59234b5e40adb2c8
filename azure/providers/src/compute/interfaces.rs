//! The network interfaces of scale-set instances: computed from the instance, stored nowhere.

use arm::{
    Acted, ArmError, Ctx, Deleted, Put, Resource, ResourceId, ResourceType, Resources, TypeDescriptor,
    Written,
};
use async_trait::async_trait;
use serde_json::{Value, json};

use super::API_VERSIONS;
use super::instances::{self, Instance};
use crate::json::set;
use crate::network::{effective, inbound_nat};

/// `Microsoft.Compute/virtualMachineScaleSets/virtualMachines/networkInterfaces`.
pub struct Interfaces;

const TYPE: &str = "Microsoft.Compute/virtualMachineScaleSets/virtualMachines/networkInterfaces";

/// An instance's interface as it is shown.
pub fn shown(resources: &Resources, instance: &Instance) -> Value {
    resource(resources, instance).to_json()
}

fn interface_id(instance: &Instance) -> ResourceId {
    instance.id.child("networkInterfaces", &instance.interface)
}

fn resource(resources: &Resources, instance: &Instance) -> Resource {
    let mut made = Resource::new(interface_id(instance));
    let pools: Vec<Value> = instance.pools.iter().map(|pool| json!({ "id": pool })).collect();
    made.properties = json!({
        "provisioningState": "Succeeded",
        "primary": true,
        "enableIPForwarding": instance.ip_forwarding,
        "enableAcceleratedNetworking": false,
        "macAddress": instance.machine().mac().to_ascii_uppercase().replace(':', "-"),
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
    let rules = inbound_nat::rules_of_instance(resources, instance);
    if !rules.is_empty()
        && let Some(shown) = made.properties.pointer_mut("/ipConfigurations/0/properties")
    {
        set(shown, &["loadBalancerInboundNatRules"], rules);
    }
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

    async fn action(&self, ctx: &Ctx, existing: &Resource, name: &str, _: Value) -> Result<Acted, ArmError> {
        let unknown = || ArmError::not_implemented(format_args!("The action '{TYPE}/{name}'"));
        let all = instances::all(&ctx.resources).into_iter();
        let place = all.map(|i| (interface_id(&i), i)).find(|(id, _)| *id == existing.id);
        let place = place.map(|(_, instance)| effective::Place::of_instance(&instance));
        place.and_then(|place| effective::answer(ctx, &place, name)).unwrap_or_else(|| Err(unknown()))
    }

    async fn get(&self, ctx: &Ctx, id: &ResourceId) -> Result<Option<Resource>, ArmError> {
        let found = instances::all(&ctx.resources).into_iter().find(|i| interface_id(i) == *id);
        Ok(found.map(|instance| resource(&ctx.resources, &instance)))
    }

    async fn list(&self, ctx: &Ctx, scope: &ResourceId) -> Result<Vec<Resource>, ArmError> {
        let all = instances::all(&ctx.resources);
        Ok(all.iter().filter(|i| i.id.is_within(scope)).map(|i| resource(&ctx.resources, i)).collect())
    }
}
