//! `virtualMachineScaleSets`: a model and as many instances of it as `sku.capacity` says.
//!
//! Guarantees: an address and a pod range are never given twice (both are chosen and stored in one turn); an
//! address is free again only when the fabric has no machine that holds it; the same PUT again changes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use arm::{
    Acted, ArmError, Ctx, Deleted, Operation, Put, Resource, ResourceId, ResourceType, Resources,
    TypeDescriptor, Written,
};
use async_trait::async_trait;
use base64::Engine;
use fabric::Machines;
use ipnet::Ipv4Net;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::instances::{self, PRIVATE, Phase, Private, SET};
use super::{API_VERSIONS, sizes, virtual_machines, wait};
use crate::addresses::{next_block, next_in_subnet};
use crate::json::{default, list, number, remove, set, text};
use crate::network::{reference, require, uses, virtual_networks};

/// `Microsoft.Compute/virtualMachineScaleSets`.
pub struct ScaleSets {
    machines: watch::Receiver<Arc<Machines>>,
}

/// Bits of an instance's pod range.
const POD_BLOCK: u8 = 24;
/// Most instances of a scale set.
const CAPACITY_MAX: i64 = 1000;
const CUSTOM_DATA: [&str; 3] = ["virtualMachineProfile", "osProfile", "customData"];

/// What an instance needs of the model.
struct Model {
    prefix: String,
    subnet: ResourceId,
    subnet_range: Ipv4Net,
    pod_range: Option<Ipv4Net>,
    custom_data: String,
    interface: String,
}

impl ScaleSets {
    /// Scale sets over a fabric that reports its machines here.
    pub fn new(machines: watch::Receiver<Arc<Machines>>) -> Self {
        Self { machines }
    }

    /// What the fabric says of its machines.
    pub(super) fn machines(&self) -> watch::Receiver<Arc<Machines>> {
        self.machines.clone()
    }

    /// What makes `capacity` of the set's instances stay; nothing is written.
    fn change(&self, ctx: &Ctx, set: &Resource, capacity: usize) -> Result<Change, ArmError> {
        let model = model(&ctx.resources, set)?;
        let present = instances::of_set(&ctx.resources, &set.id);
        let mut staying: Vec<_> = present.iter().filter(|i| !instances::is_deleting(i)).collect();
        let mut change = Change::default();
        while staying.len() > capacity {
            let Some(last) = staying.pop() else { break };
            change.going.push(last.id.clone());
        }
        if staying.len() < capacity {
            super::quota::require(&ctx.resources, set, capacity - staying.len())?;
            let first = present.iter().map(|i| instances::number(i) + 1).max().unwrap_or(0);
            let first = first.max(next_number(ctx, set)?);
            change.coming = plan(ctx, set, &model, first, capacity - staying.len())?;
            change.next = first + change.coming.len() as u64;
        }
        Ok(change)
    }

    /// The rest of a write: instances settle, those on their way out go, the set's state follows.
    fn settle(&self, ctx: &Ctx, id: ResourceId, operation: Operation) -> Operation {
        let (resources, machines) = (ctx.resources.clone(), self.machines.clone());
        operation.work(async move {
            let outcome = settle_set(&resources, machines, &id).await;
            let state = if outcome.is_ok() { "Succeeded" } else { "Failed" };
            resources
                .modify(&id, |set| {
                    set.set_provisioning_state(state);
                    true
                })
                .await?;
            outcome
        })
    }
}

/// Instances that come and go.
#[derive(Default)]
struct Change {
    coming: Vec<Resource>,
    going: Vec<ResourceId>,
    /// The number of the instance that comes after these.
    next: u64,
}

impl Change {
    fn is_nothing(&self) -> bool {
        self.coming.is_empty() && self.going.is_empty()
    }

    async fn write(self, ctx: &Ctx, set: &ResourceId) -> Result<(), ArmError> {
        for id in &self.going {
            mark_deleting(&ctx.resources, id).await?;
        }
        if !self.coming.is_empty() {
            ctx.table("compute-instances").put(set.key(), &self.next).await?;
            ctx.resources.save_all(self.coming).await?;
        }
        Ok(())
    }
}

async fn settle_set(
    resources: &Resources,
    machines: watch::Receiver<Arc<Machines>>,
    id: &ResourceId,
) -> Result<(), ArmError> {
    let all = instances::of_set(resources, id);
    let (going, staying): (Vec<_>, Vec<_>) = all.iter().partition(|i| instances::is_deleting(i));
    let going: Vec<ResourceId> = going.into_iter().map(|i| i.id.clone()).collect();
    let staying: Vec<ResourceId> = staying.into_iter().map(|i| i.id.clone()).collect();
    forget(resources, machines, &going).await?;
    virtual_machines::finish(resources, &staying).await
}

/// Marks an instance as on its way out: the fabric stops its machine.
pub(super) async fn mark_deleting(resources: &Resources, id: &ResourceId) -> Result<(), ArmError> {
    resources
        .modify(id, |instance| {
            instance.set_provisioning_state("Deleting");
            true
        })
        .await?;
    Ok(())
}

/// Waits until machines are gone and forgets their instances.
pub(super) async fn forget(
    resources: &Resources,
    machines: watch::Receiver<Arc<Machines>>,
    ids: &[ResourceId],
) -> Result<(), ArmError> {
    if ids.is_empty() {
        return Ok(());
    }
    wait::gone(machines, ids).await?;
    for id in ids {
        resources.remove(id).await?;
    }
    Ok(())
}

/// The next instance id: ids are not used twice in a set's life.
fn next_number(ctx: &Ctx, set: &Resource) -> Result<u64, ArmError> {
    Ok(ctx.table("compute-instances").get::<u64>(set.id.key())?.unwrap_or(0))
}

fn model(resources: &Resources, set: &Resource) -> Result<Model, ArmError> {
    let missing = |what: &str| {
        ArmError::bad_request("InvalidParameter", format!("Required parameter '{what}' is missing (null)."))
            .target(what)
    };
    let interface = uses::interfaces(set).first().ok_or_else(|| missing("networkInterfaceConfigurations"))?;
    let ip =
        list(interface, "/properties/ipConfigurations").first().ok_or_else(|| missing("ipConfigurations"))?;
    let subnet = reference(ip, "/properties/subnet/id")?.ok_or_else(|| missing("subnet"))?;
    require(resources, &set.id, &subnet)?;
    let subnet_range = resources
        .get(&subnet)
        .and_then(|s| virtual_networks::prefix(&s.properties))
        .ok_or_else(|| ArmError::resource_not_found(&subnet))?;
    for (pools, member) in
        [(uses::pools_of(set), "/backendAddressPools"), (uses::nat_pools_of(set), "/inboundNatPools")]
    {
        for pool in pools {
            require_pool(resources, set, &pool, member)?;
        }
    }
    if let Some(group) = reference(interface, "/properties/networkSecurityGroup/id")? {
        require(resources, &set.id, &group)?;
    }
    let pod_range = match text(&set.properties, "/virtualMachineProfile/networkProfile/podCidr") {
        None => None,
        Some(range) => Some(range.parse().map_err(|_| {
            ArmError::invalid_parameter("podCidr", format!("The pod CIDR '{range}' is not valid."))
        })?),
    };
    let prefix = text(&set.properties, "/virtualMachineProfile/osProfile/computerNamePrefix");
    Ok(Model {
        prefix: prefix.ok_or_else(|| missing("osProfile.computerNamePrefix"))?.to_owned(),
        subnet,
        subnet_range,
        pod_range,
        custom_data: text(&set.properties, "/virtualMachineProfile/osProfile/customData")
            .unwrap_or_default()
            .to_owned(),
        interface: text(interface, "/name")
            .ok_or_else(|| missing("networkInterfaceConfigurations.name"))?
            .to_owned(),
    })
}

fn require_pool(
    resources: &Resources,
    set: &Resource,
    pool: &ResourceId,
    member: &str,
) -> Result<(), ArmError> {
    let balancer = resources.get(&pool.top());
    let there = balancer
        .is_some_and(|balancer| list(&balancer.properties, member).iter().any(|p| uses::is(p, "/id", pool)));
    if there { Ok(()) } else { require(resources, &set.id, pool) }
}

/// New instances with their addresses; nothing is stored.
fn plan(
    ctx: &Ctx,
    set: &Resource,
    model: &Model,
    first: u64,
    count: usize,
) -> Result<Vec<Resource>, ArmError> {
    let mut taken = uses::addresses_in_subnet(&ctx.resources, &model.subnet);
    let network = model.subnet.top();
    let mut blocks: BTreeSet<Ipv4Net> = instances::all(&ctx.resources)
        .into_iter()
        .filter(|i| i.subnet.top() == network && i.private.pod_range == model.pod_range)
        .filter_map(|i| i.private.pods)
        .collect();
    let zones = set.zones.as_ref().map(|zones| list(zones, "")).unwrap_or_default();
    let mut made = Vec::new();
    for number in first..first + count as u64 {
        let address = next_in_subnet(model.subnet_range, &taken)
            .ok_or_else(|| super::subnet_is_full(&model.subnet, model.subnet_range))?;
        taken.insert(address);
        let pods = match model.pod_range {
            None => None,
            Some(range) => Some(next_block(range, POD_BLOCK, &blocks).ok_or_else(|| pods_are_full(range))?),
        };
        blocks.extend(pods);
        let private = Private {
            address,
            subnet: model.subnet.clone(),
            pods,
            pod_range: model.pod_range,
            generation: 0,
            on: true,
            deallocated: false,
            restarting: false,
            custom_data: model.custom_data.clone(),
            phase: Phase::Pending,
            exit_code: None,
            last_lines: Vec::new(),
        };
        let zone = (!zones.is_empty()).then(|| zones[number as usize % zones.len()].clone());
        made.push(virtual_machines::new(ctx, set, &model.prefix, &model.interface, number, zone, &private));
    }
    Ok(made)
}

fn pods_are_full(range: Ipv4Net) -> ArmError {
    ArmError::bad_request(
        "InsufficientSubnetSize",
        format!(
            "The pod CIDR {range} doesn't have enough capacity for another node: each takes a /{POD_BLOCK}."
        ),
    )
    .target("networkProfile.podCIDR")
}

/// The set as it is stored: defaults in, refusals first.
fn shape(request: &Put<'_>) -> Result<(Resource, usize), ArmError> {
    let mut made = request.resource();
    let mut sku =
        made.sku.take().or_else(|| request.existing.and_then(|e| e.sku.clone())).unwrap_or_default();
    let size = text(&sku, "/name").unwrap_or_default().to_owned();
    let Some(size) = sizes::find(&size) else {
        return Err(ArmError::bad_request(
            "InvalidParameter",
            format!("The value {size} provided for the VM size is not valid."),
        )
        .target("vmSize"));
    };
    let capacity = number(&sku, "/capacity").unwrap_or(0);
    if !(0..=CAPACITY_MAX).contains(&capacity) {
        return Err(ArmError::invalid_parameter(
            "sku.capacity",
            format!(
                "The value {capacity} of parameter 'sku.capacity' is out of range. It must be between 0 and {CAPACITY_MAX}."
            ),
        ));
    }
    set(&mut sku, &["name"], size.name);
    set(&mut sku, &["capacity"], capacity);
    default(&mut sku, &["tier"], "Standard");
    made.sku = Some(sku);
    let properties = &mut made.properties;
    forget_secrets(properties);
    if let Some(existing) = request.existing {
        // What is left out stays as it is: `az vmss scale` sends the SKU and nothing else.
        for (name, value) in existing.properties.as_object().into_iter().flatten() {
            default(properties, &[name], value.clone());
        }
        made.tags = made.tags.take().or_else(|| existing.tags.clone());
        // Secrets are not shown, so a client that sends back what it was shown sends none.
        if let Some(old) = text(&existing.properties, "/virtualMachineProfile/osProfile/customData") {
            default(properties, &CUSTOM_DATA, old);
        }
        if let Some(old) = existing.properties.get("uniqueId") {
            set(properties, &["uniqueId"], old.clone());
        }
        made.identity = made.identity.take().or_else(|| existing.identity.clone());
        made.zones = made.zones.take().or_else(|| existing.zones.clone());
    }
    if let Some(data) = text(properties, "/virtualMachineProfile/osProfile/customData")
        && base64::engine::general_purpose::STANDARD.decode(data).is_err()
    {
        return Err(ArmError::invalid_parameter(
            "customData",
            "Custom data in OSProfile must be in Base64 encoding and with a maximum length of 87380 characters.",
        ));
    }
    default(properties, &["uniqueId"], uuid::Uuid::new_v4().to_string());
    default(properties, &["singlePlacementGroup"], false);
    default(properties, &["orchestrationMode"], "Uniform");
    default(properties, &["upgradePolicy", "mode"], "Manual");
    default(properties, &["overprovision"], false);
    default(properties, &["doNotRunExtensionsOnOverprovisionedVMs"], false);
    default(properties, &["platformFaultDomainCount"], 1);
    remove(properties, &["timeCreated"]);
    super::model::fill(&mut made);
    super::model::check(&made, request.existing)?;
    Ok((made, usize::try_from(capacity).unwrap_or(0)))
}

/// What is only ever written and nobody here needs is not kept.
fn forget_secrets(properties: &mut Value) {
    remove(properties, &["virtualMachineProfile", "osProfile", "adminPassword"]);
    let extensions = properties.pointer_mut("/virtualMachineProfile/extensionProfile/extensions");
    for extension in extensions.and_then(Value::as_array_mut).into_iter().flatten() {
        remove(extension, &["properties", "protectedSettings"]);
    }
}

/// Whether a PUT asks for exactly what is there.
fn unchanged(new: &Resource, old: &Resource) -> bool {
    let strip = |resource: &Resource| {
        let mut properties = resource.properties.clone();
        remove(&mut properties, &["provisioningState"]);
        properties
    };
    old.provisioning_state() == Some("Succeeded")
        && strip(new) == strip(old)
        && (&new.sku, &new.tags, &new.identity, &new.zones)
            == (&old.sku, &old.tags, &old.identity, &old.zones)
}

/// Instances named by a request; none named means all.
fn chosen(resources: &Resources, set: &ResourceId, body: &Value) -> Vec<ResourceId> {
    let asked: Vec<&str> = list(body, "/instanceIds").iter().filter_map(Value::as_str).collect();
    instances::of_set(resources, set)
        .iter()
        .filter(|i| asked.is_empty() || asked.contains(&"*") || asked.contains(&i.id.name()))
        .map(|i| i.id.clone())
        .collect()
}

fn location(resource: &Resource) -> &str {
    resource.location.as_deref().unwrap_or("eastus")
}

#[async_trait]
impl ResourceType for ScaleSets {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor {
            identity: true,
            etag: Some("etag"),
            delete_rank: 10,
            patched: http::StatusCode::OK,
            ..TypeDescriptor::new(SET, API_VERSIONS)
        }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let (mut made, capacity) = shape(&request)?;
        model(&ctx.resources, &made)?;
        if request.existing.is_none() {
            // Instances that a crash left without their set; their addresses may be somebody else's by now.
            for orphan in instances::of_set(&ctx.resources, request.id) {
                ctx.resources.remove(&orphan.id).await?;
            }
        }
        // From the choice of addresses until they are in the store.
        let turn = crate::addresses::turn().await;
        let change = self.change(ctx, &made, capacity)?;
        let failed = instances::of_set(&ctx.resources, request.id).iter().any(|i| wait::failure(i).is_some());
        if let Some(old) =
            request.existing.filter(|old| change.is_nothing() && !failed && unchanged(&made, old))
        {
            return Ok(Written::Done(old.clone()));
        }
        let (name, state) =
            if request.existing.is_some() { ("update", "Updating") } else { ("create", "Creating") };
        made.set_provisioning_state(state);
        // The operation first: whatever is written after it, a restart finds.
        let operation = ctx.operations.create(request.id, name, location(&made)).await?;
        change.write(ctx, request.id).await?;
        drop(turn);
        let operation = self.settle(ctx, request.id.clone(), operation);
        Ok(Written::Accepted { resource: made, operation })
    }

    async fn delete(&self, ctx: &Ctx, existing: &Resource) -> Result<Deleted, ArmError> {
        let operation = ctx.operations.create_delete(&existing.id, location(existing)).await?;
        let (resources, machines, id) = (ctx.resources.clone(), self.machines.clone(), existing.id.clone());
        let table = ctx.table("compute-instances");
        Ok(Deleted::Accepted(
            operation.work(async move { remove_all(&resources, machines, &table, &id).await }),
        ))
    }

    async fn action(
        &self,
        ctx: &Ctx,
        existing: &Resource,
        name: &str,
        body: Value,
    ) -> Result<Acted, ArmError> {
        let ids = chosen(&ctx.resources, &existing.id, &body);
        if name.eq_ignore_ascii_case("delete") {
            return self.delete_instances(ctx, existing, ids).await;
        }
        let deed = virtual_machines::Deed::named(name).ok_or_else(|| {
            ArmError::not_implemented(format_args!("The action 'virtualMachineScaleSets/{name}'"))
        })?;
        let operation = ctx.operations.create_action(&existing.id, name, location(existing)).await?;
        let resources = ctx.resources.clone();
        virtual_machines::begin(&resources, &existing.id, &ids, deed).await?;
        let work = async move { virtual_machines::finish(&resources, &ids).await };
        Ok(Acted::Accepted(operation.work_with_result(virtual_machines::answered(work))))
    }

    async fn read(&self, ctx: &Ctx, existing: &Resource, path: &[String]) -> Result<Acted, ArmError> {
        let path: Vec<String> = path.iter().map(|segment| segment.to_ascii_lowercase()).collect();
        match path.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["instanceview"] => Ok(Acted::Done(Some(instance_view(&ctx.resources, existing)))),
            ["networkinterfaces"] => {
                let all = instances::all(&ctx.resources);
                let value: Vec<Value> = all
                    .iter()
                    .filter(|i| i.id.top() == existing.id)
                    .map(|i| super::interfaces::shown(&ctx.resources, i))
                    .collect();
                Ok(Acted::Done(Some(json!({ "value": value }))))
            }
            // No image of a set is upgraded by itself, so none ever was.
            ["osupgradehistory"] => Ok(Acted::Done(Some(json!({ "value": [] })))),
            ["publicipaddresses"] => {
                // A model with an address for each machine is refused.
                Ok(Acted::Done(Some(json!({ "value": [] }))))
            }
            ["skus"] => Ok(Acted::Done(Some(json!({ "value": [{
                "resourceType": SET, "sku": existing.sku,
                "capacity": { "minimum": 0, "maximum": CAPACITY_MAX, "scaleType": "Automatic" },
            }] })))),
            _ => Err(ArmError::not_implemented(format_args!("Reading '{SET}/{}'", path.join("/")))),
        }
    }

    fn present(&self, _: &Ctx, resource: &Resource) -> Value {
        let mut shown = resource.to_json();
        remove(&mut shown, &["properties", PRIVATE]);
        remove(&mut shown, &["properties", "virtualMachineProfile", "osProfile", "customData"]);
        shown
    }

    async fn resume(
        &self,
        ctx: &Ctx,
        operation: Operation,
        resource: Option<Resource>,
    ) -> Result<(), ArmError> {
        let Some(record) = operation.record() else { return Ok(()) };
        let Some(set) = resource else {
            // A crash before the set was stored.
            for orphan in instances::of_set(&ctx.resources, &record.resource) {
                ctx.resources.remove(&orphan.id).await?;
            }
            return Err(ArmError::conflict(
                "OperationInterrupted",
                "The service was restarted. Repeat the request.",
            ));
        };
        if record.deed == arm::operations::Deed::Delete {
            let (resources, machines) = (ctx.resources.clone(), self.machines.clone());
            let table = ctx.table("compute-instances");
            let _ = operation.work(async move { remove_all(&resources, machines, &table, &set.id).await });
        } else {
            // What a cut left of a change: the set has as many as there are.
            lower_capacity(&ctx.resources, &set.id).await?;
            let _ = self.settle(ctx, set.id.clone(), operation);
        }
        Ok(())
    }
}

impl ScaleSets {
    /// Deletes instances by id; the capacity goes down with them.
    pub(super) async fn delete_instances(
        &self,
        ctx: &Ctx,
        set: &Resource,
        ids: Vec<ResourceId>,
    ) -> Result<Acted, ArmError> {
        let operation = ctx.operations.create_action(&set.id, "delete", location(set)).await?;
        for id in &ids {
            mark_deleting(&ctx.resources, id).await?;
        }
        lower_capacity(&ctx.resources, &set.id).await?;
        let (resources, machines) = (ctx.resources.clone(), self.machines.clone());
        let work = async move { forget(&resources, machines, &ids).await };
        Ok(Acted::Accepted(operation.work_with_result(virtual_machines::answered(work))))
    }
}

/// `sku.capacity` follows the instances that stay.
pub(super) async fn lower_capacity(resources: &Resources, set: &ResourceId) -> Result<(), ArmError> {
    let staying = instances::of_set(resources, set).iter().filter(|i| !instances::is_deleting(i)).count();
    resources
        .modify(set, |set| {
            let Some(sku) = &mut set.sku else { return false };
            if number(sku, "/capacity") == i64::try_from(staying).ok() {
                return false;
            }
            crate::json::set(sku, &["capacity"], staying);
            true
        })
        .await?;
    Ok(())
}

async fn remove_all(
    resources: &Resources,
    machines: watch::Receiver<Arc<Machines>>,
    table: &arm::Table,
    set: &ResourceId,
) -> Result<(), ArmError> {
    let ids: Vec<ResourceId> = instances::of_set(resources, set).iter().map(|i| i.id.clone()).collect();
    for id in &ids {
        mark_deleting(resources, id).await?;
    }
    forget(resources, machines, &ids).await?;
    table.remove(set.key()).await?;
    Ok(())
}

fn instance_view(resources: &Resources, set: &Resource) -> Value {
    let mut counts = std::collections::BTreeMap::new();
    for instance in instances::of_set(resources, &set.id) {
        let state = instance.provisioning_state().unwrap_or("Creating").to_ascii_lowercase();
        *counts.entry(format!("ProvisioningState/{state}")).or_insert(0_u32) += 1;
    }
    let summary: Vec<Value> =
        counts.iter().map(|(code, count)| json!({ "code": code, "count": count })).collect();
    json!({
        "virtualMachine": { "statusesSummary": summary },
        "extensions": [{ "name": super::extension::NAME, "statusesSummary": summary }],
        "statuses": [{
            "code": format!("ProvisioningState/{}", set.provisioning_state().unwrap_or("creating").to_ascii_lowercase()),
            "level": "Info", "displayStatus": "Provisioning state",
        }],
    })
}
