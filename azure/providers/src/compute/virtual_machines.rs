//! `virtualMachineScaleSets/virtualMachines`: the instances, and what can be done to them.

use std::sync::Arc;

use arm::{
    Acted, ArmError, Ctx, Deleted, Operation, Put, Resource, ResourceId, ResourceType, Resources,
    TypeDescriptor, Written,
};
use async_trait::async_trait;
use fabric::Fabric;
use serde_json::{Value, json};

use super::instances::{self, PRIVATE, Phase, Private, TYPE};
use super::scale_sets::{self, ScaleSets};
use super::{API_VERSIONS, extension, images, model, run_command, wait};
use crate::json::{default, remove, set, text};

/// `Microsoft.Compute/virtualMachineScaleSets/virtualMachines`.
pub struct VirtualMachines {
    sets: Arc<ScaleSets>,
    fabric: Arc<dyn Fabric>,
}

impl VirtualMachines {
    pub(super) fn new(sets: Arc<ScaleSets>, fabric: Arc<dyn Fabric>) -> Self {
        Self { sets, fabric }
    }

    async fn run_command(&self, ctx: &Ctx, instance: &Resource, body: &Value) -> Result<Acted, ArmError> {
        let script = run_command::read(body)?;
        if instances::private(instance).is_none_or(|private| private.phase != Phase::Running) {
            return Err(run_command::off());
        }
        let location = instance.location.as_deref().unwrap_or("eastus");
        let operation = ctx.operations.create_action(&instance.id, RUN_COMMAND, location).await?;
        let work = run_command::run(self.fabric.clone(), instance.clone(), script);
        Ok(Acted::Accepted(operation.work_with_result(work)))
    }

    /// Takes the machine away as its set's eviction policy says. The answer comes at once, as Azure's does.
    async fn evict(&self, ctx: &Ctx, instance: &Resource) -> Result<Acted, ArmError> {
        let id = instance.id.clone();
        let set = ctx.resources.get(&id.top()).ok_or_else(|| ArmError::resource_not_found(&id))?;
        if !model::is_spot(&set) {
            return Err(ArmError::conflict(
                "OperationNotAllowed",
                format!("Eviction can be simulated only on Azure Spot Virtual Machines; '{id}' is none."),
            ));
        }
        let location = instance.location.as_deref().unwrap_or("eastus");
        if model::evicted_are_deleted(&set) {
            return Ok(match self.delete(ctx, instance).await? {
                Deleted::Accepted(operation) => Acted::Begun(operation),
                Deleted::Done => Acted::Done(None),
            });
        }
        let ids = vec![id.clone()];
        let operation = ctx.operations.create_action(&id, EVICT, location).await?;
        begin(&ctx.resources, &set.id, &ids, Deed::Deallocate).await?;
        let resources = ctx.resources.clone();
        Ok(Acted::Begun(operation.work(async move { finish(&resources, &ids).await })))
    }
}

/// The action that runs a script in a machine.
const RUN_COMMAND: &str = "runCommand";
/// The action that takes a machine away as if its place were needed.
const EVICT: &str = "simulateEviction";

/// A new instance of a set.
pub(super) fn new(
    ctx: &Ctx,
    model: &Resource,
    prefix: &str,
    interface: &str,
    number: u64,
    zone: Option<Value>,
    private: &Private,
) -> Resource {
    let id = model.id.child("virtualMachines", &number.to_string());
    let mut instance = Resource::new(id.clone());
    instance.location = model.location.clone();
    instance.zones = zone.map(|zone| json!([zone]));
    let mut os = model.properties.pointer("/virtualMachineProfile/osProfile").cloned().unwrap_or_default();
    remove(&mut os, &["customData"]);
    remove(&mut os, &["computerNamePrefix"]);
    set(&mut os, &["computerName"], instances::computer_name(prefix, number));
    default(&mut os, &["allowExtensionOperations"], true);
    let profile = |name: &str| {
        model.properties.pointer(&format!("/virtualMachineProfile/{name}")).cloned().unwrap_or_default()
    };
    let mut storage = profile("storageProfile");
    images::set_exact_version(&mut storage);
    instance.properties = json!({
        "latestModelApplied": true,
        "vmId": uuid::Uuid::new_v4().to_string(),
        "hardwareProfile": {},
        "storageProfile": storage,
        "osProfile": os,
        "networkProfile": instances::network_profile(&id, interface),
        "networkProfileConfiguration": {
            "networkInterfaceConfigurations": profile("networkProfile")["networkInterfaceConfigurations"],
        },
        "timeCreated": ctx.clock.now().to_string(),
    });
    instances::set_private(&mut instance, private);
    instance
}

/// What can be done to an instance beside deleting it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Off and on.
    Restart,
    /// A new root from the present model.
    Reimage,
    /// On.
    Start,
    /// Off, keeping its place.
    Stop,
    /// Off, giving its place back.
    Deallocate,
}

impl Deed {
    /// By the name of its action.
    pub fn named(action: &str) -> Option<Self> {
        match action.to_ascii_lowercase().as_str() {
            "restart" | "redeploy" => Some(Deed::Restart),
            "reimage" | "reimageall" | "manualupgrade" => Some(Deed::Reimage),
            "start" => Some(Deed::Start),
            "poweroff" => Some(Deed::Stop),
            "deallocate" => Some(Deed::Deallocate),
            _ => None,
        }
    }
}

async fn change(
    resources: &Resources,
    ids: &[ResourceId],
    mut change: impl FnMut(&mut Private) + Send,
) -> Result<(), ArmError> {
    for id in ids {
        resources
            .modify(id, |instance| {
                let Some(mut private) = instances::private(instance) else { return false };
                let before = private.clone();
                change(&mut private);
                if private == before || instances::is_deleting(instance) {
                    return false;
                }
                private.phase = Phase::Pending;
                private.exit_code = None;
                private.last_lines.clear();
                instances::set_private(instance, &private);
                true
            })
            .await?;
    }
    Ok(())
}

/// The end of an action: an empty object, since some clients take no 204 where they poll.
pub(super) async fn answered(
    work: impl Future<Output = Result<(), ArmError>> + Send,
) -> Result<Option<Value>, ArmError> {
    work.await.map(|()| Some(json!({})))
}

/// Writes down what the instances are to become, before anybody hears that it is done to them: whatever happens to the
/// service then, [`finish`] goes on from there.
pub(super) async fn begin(
    resources: &Resources,
    model: &ResourceId,
    ids: &[ResourceId],
    deed: Deed,
) -> Result<(), ArmError> {
    match deed {
        Deed::Stop | Deed::Deallocate => {
            change(resources, ids, |p| {
                p.on = false;
                p.restarting = false;
                p.deallocated = deed == Deed::Deallocate;
            })
            .await
        }
        Deed::Start => change(resources, ids, |p| p.on = true).await,
        Deed::Restart => {
            change(resources, ids, |p| {
                p.on = false;
                p.restarting = true;
            })
            .await
        }
        Deed::Reimage => {
            let data = resources
                .get(model)
                .and_then(|m| {
                    text(&m.properties, "/virtualMachineProfile/osProfile/customData").map(str::to_owned)
                })
                .unwrap_or_default();
            change(resources, ids, |p| {
                p.generation += 1;
                p.on = true;
                p.custom_data.clone_from(&data);
            })
            .await
        }
    }
}

/// Waits for the instances to settle; those that are restarted are switched on again once they are off.
pub(super) async fn finish(resources: &Resources, ids: &[ResourceId]) -> Result<(), ArmError> {
    let restarting = |id: &&ResourceId| {
        let instance = resources.get(id).and_then(|instance| instances::private(&instance));
        instance.is_some_and(|p| p.restarting)
    };
    let off: Vec<ResourceId> = ids.iter().filter(restarting).cloned().collect();
    if !off.is_empty() {
        wait::settled(resources, &off).await?;
        change(resources, &off, |p| {
            p.on |= p.restarting;
            p.restarting = false;
        })
        .await?;
    }
    wait::settled(resources, ids).await
}

/// The instance view: power, provisioning, agent, extension.
pub fn instance_view(instance: &Resource) -> Value {
    let private = instances::private(instance);
    let phase = private.as_ref().map_or(Phase::Pending, |p| p.phase);
    let power = match phase {
        Phase::Pending | Phase::Booting => ("PowerState/starting", "VM starting"),
        Phase::Running => ("PowerState/running", "VM running"),
        Phase::Stopped if private.as_ref().is_some_and(|p| p.deallocated) => {
            ("PowerState/deallocated", "VM deallocated")
        }
        Phase::Stopped => ("PowerState/stopped", "VM stopped"),
        Phase::Failed => ("PowerState/stopped", "VM stopped"),
    };
    let (code, level, shown) = match phase {
        Phase::Pending | Phase::Booting => ("ProvisioningState/updating", "Info", "Updating"),
        Phase::Running | Phase::Stopped => ("ProvisioningState/succeeded", "Info", "Provisioning succeeded"),
        Phase::Failed => ("ProvisioningState/failed", "Error", "Provisioning failed"),
    };
    let message = wait::failure(instance).map(|error| error.message).unwrap_or_default();
    json!({
        "computerName": text(&instance.properties, "/osProfile/computerName"),
        "osName": "lazurite",
        "osVersion": "",
        "vmAgent": { "vmAgentVersion": "2.0", "statuses": [{
            "code": if phase == Phase::Running { "ProvisioningState/succeeded" } else { "ProvisioningState/Unavailable" },
            "level": "Info",
            "displayStatus": if phase == Phase::Running { "Ready" } else { "Not Ready" },
        }] },
        "extensions": [{
            "name": extension::NAME,
            "type": "Microsoft.Azure.Extensions.CustomScript",
            "typeHandlerVersion": "2.1",
            "statuses": [{ "code": code, "level": level, "displayStatus": shown, "message": message }],
        }],
        "statuses": [
            { "code": code, "level": level, "displayStatus": shown },
            { "code": power.0, "level": "Info", "displayStatus": power.1 },
        ],
    })
}

#[async_trait]
impl ResourceType for VirtualMachines {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor { etag: Some("etag"), ..TypeDescriptor::new(TYPE, API_VERSIONS) }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let Some(existing) = request.existing else {
            return Err(ArmError::bad_request(
                "OperationNotAllowed",
                "An instance of a uniform scale set is made by raising the capacity of the scale set.",
            ));
        };
        // Tags and protection may be changed; everything else follows the model.
        let mut made = existing.clone();
        let given = request.resource().tags;
        // An instance without tags of its own shows the model's.
        let shown = ctx.resources.get(&existing.id.top()).and_then(|model| model.tags.clone());
        made.tags = given.filter(|given| existing.tags.is_some() || Some(given) != shown.as_ref());
        if let Some(policy) = request.properties().get("protectionPolicy") {
            set(&mut made.properties, &["protectionPolicy"], policy.clone());
        }
        Ok(Written::Done(made))
    }

    async fn delete(&self, ctx: &Ctx, existing: &Resource) -> Result<Deleted, ArmError> {
        let model = existing.id.top();
        let location = existing.location.as_deref().unwrap_or("eastus");
        let operation = ctx.operations.create_delete(&existing.id, location).await?;
        scale_sets::mark_deleting(&ctx.resources, &existing.id).await?;
        scale_sets::lower_capacity(&ctx.resources, &model).await?;
        let (machines, id) = (self.sets.machines(), existing.id.clone());
        Ok(Deleted::Accepted(operation.work(async move { wait::gone(machines, &[id]).await })))
    }

    async fn action(
        &self,
        ctx: &Ctx,
        existing: &Resource,
        name: &str,
        body: Value,
    ) -> Result<Acted, ArmError> {
        if name.eq_ignore_ascii_case(RUN_COMMAND) {
            return self.run_command(ctx, existing, &body).await;
        }
        if name.eq_ignore_ascii_case(EVICT) {
            return self.evict(ctx, existing).await;
        }
        let deed = Deed::named(name).ok_or_else(|| {
            ArmError::not_implemented(format_args!(
                "The action 'virtualMachineScaleSets/virtualMachines/{name}'"
            ))
        })?;
        let location = existing.location.as_deref().unwrap_or("eastus");
        let operation = ctx.operations.create_action(&existing.id, name, location).await?;
        let (resources, ids) = (ctx.resources.clone(), vec![existing.id.clone()]);
        begin(&resources, &existing.id.top(), &ids, deed).await?;
        let work = async move { finish(&resources, &ids).await };
        Ok(Acted::Accepted(operation.work_with_result(answered(work))))
    }

    async fn read(&self, _: &Ctx, existing: &Resource, path: &[String]) -> Result<Acted, ArmError> {
        match path {
            [view] if view.eq_ignore_ascii_case("instanceView") => {
                Ok(Acted::Done(Some(instance_view(existing))))
            }
            _ => Err(ArmError::not_implemented(format_args!("Reading '{TYPE}/{}'", path.join("/")))),
        }
    }

    fn present(&self, ctx: &Ctx, resource: &Resource) -> Value {
        let mut shown = resource.to_json();
        remove(&mut shown, &["properties", PRIVATE]);
        let number = resource.id.name();
        let model = ctx.resources.get(&resource.id.top());
        set(&mut shown, &["name"], format!("{}_{number}", resource.id.top().name()));
        set(&mut shown, &["instanceId"], number);
        if let Some(model) = model {
            let mut sku = model.sku.clone().unwrap_or_default();
            remove(&mut sku, &["capacity"]);
            let vm_size = text(&sku, "/name").map(str::to_owned);
            set(&mut shown, &["sku"], sku);
            set(&mut shown, &["properties", "hardwareProfile", "vmSize"], vm_size);
            if resource.tags.is_none() && model.tags.is_some() {
                set(&mut shown, &["tags"], json!(model.tags));
            }
            let latest =
                text(&model.properties, "/virtualMachineProfile/osProfile/customData").unwrap_or_default();
            let applied = instances::private(resource).is_some_and(|p| p.custom_data == latest);
            set(&mut shown, &["properties", "latestModelApplied"], applied);
        }
        if ctx.query("$expand").is_some_and(|expand| expand.eq_ignore_ascii_case("instanceView")) {
            set(&mut shown, &["properties", "instanceView"], instance_view(resource));
        }
        shown
    }

    async fn resume(
        &self,
        ctx: &Ctx,
        operation: Operation,
        resource: Option<Resource>,
    ) -> Result<(), ArmError> {
        let (Some(record), Some(instance)) = (operation.record(), resource) else {
            return operation.succeed().await;
        };
        let (machines, resources, id) = (self.sets.machines(), ctx.resources.clone(), instance.id);
        if record.name == RUN_COMMAND {
            return Err(ArmError::conflict(
                "OperationInterrupted",
                "The service was restarted while the command ran; whether it ended is not known.",
            ));
        }
        let deleting = record.deed == arm::operations::Deed::Delete;
        if deleting {
            scale_sets::mark_deleting(&resources, &id).await?;
            scale_sets::lower_capacity(&resources, &id.top()).await?;
        }
        let _ = if deleting {
            operation.work(async move { wait::gone(machines, &[id]).await })
        } else {
            operation.work_with_result(answered(async move { finish(&resources, &[id]).await }))
        };
        Ok(())
    }
}
