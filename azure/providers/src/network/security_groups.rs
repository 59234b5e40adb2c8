//! `networkSecurityGroups` and their `securityRules`.

use arm::{
    ArmError, Ctx, Deleted, Put, Resource, ResourceId, ResourceType, Resources, TypeDescriptor, Written,
};
use async_trait::async_trait;
use serde_json::{Value, json};

use super::{API_VERSIONS, inline, require, rules, seal, take_inline, uses};
use crate::compute::instances;
use crate::json::{default, list, remove, set, text};

/// `Microsoft.Network/networkSecurityGroups`.
pub struct SecurityGroups;
/// `Microsoft.Network/networkSecurityGroups/securityRules`.
pub struct SecurityRules;

const GROUPS: &str = "Microsoft.Network/networkSecurityGroups";
/// Full type of rules.
pub const RULES: &str = "Microsoft.Network/networkSecurityGroups/securityRules";

fn shape_rule(mut properties: Value) -> Value {
    for list in
        ["sourceAddressPrefixes", "destinationAddressPrefixes", "sourcePortRanges", "destinationPortRanges"]
    {
        default(&mut properties, &[list], json!([]));
    }
    set(&mut properties, &["provisioningState"], "Succeeded");
    properties
}

fn check_all(resources: &Resources, group: &ResourceId, rules: &[(String, Value)]) -> Result<(), ArmError> {
    for (name, properties) in rules {
        rules::check(name, properties)?;
        for side in ["/sourceApplicationSecurityGroups", "/destinationApplicationSecurityGroups"] {
            for reference in list(properties, side) {
                let to = ResourceId::parse(text(reference, "/id").unwrap_or_default())?;
                require(resources, &group.child("securityRules", name), &to)?;
            }
        }
    }
    let listed: Vec<Value> = rules.iter().map(|(n, p)| json!({ "name": n, "properties": p })).collect();
    rules::check_priorities(&listed)
}

/// A group with its rules and Azure's defaults, as it is shown.
pub fn shown(resources: &Resources, group: &Resource) -> Value {
    let rules: Vec<Value> = resources
        .list_type(&group.id, RULES)
        .iter()
        .map(|rule| inline(rule, rule.properties.clone()))
        .collect();
    let mut shown = group.to_json();
    set(&mut shown, &["properties", "securityRules"], rules);
    set(&mut shown, &["properties", "defaultSecurityRules"], rules::defaults(&group.id.to_string()));
    shown
}

#[async_trait]
impl ResourceType for SecurityGroups {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor { etag: Some("etag"), delete_rank: 90, ..TypeDescriptor::new(GROUPS, API_VERSIONS) }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let mut group = request.resource();
        for computed in ["defaultSecurityRules", "subnets", "networkInterfaces"] {
            remove(&mut group.properties, &[computed]);
        }
        if let Some(wanted) = take_inline(&mut group.properties, "securityRules")? {
            check_all(&ctx.resources, request.id, &wanted)?;
            for old in ctx.resources.list_type(request.id, RULES) {
                if !wanted.iter().any(|(name, _)| name.eq_ignore_ascii_case(&old.name)) {
                    ctx.resources.remove(&old.id).await?;
                }
            }
            for (name, properties) in wanted {
                let id = request.id.child("securityRules", &name);
                let old = ctx.resources.get(&id);
                let properties = shape_rule(properties);
                if old.as_ref().is_none_or(|old| old.properties != properties) {
                    let mut rule = old.map_or_else(|| Resource::new(id), |old| (*old).clone());
                    rule.properties = properties;
                    ctx.resources.save(rule).await?;
                }
            }
        }
        seal(&mut group, request.existing);
        Ok(Written::Done(group))
    }

    async fn delete(&self, ctx: &Ctx, existing: &Resource) -> Result<Deleted, ArmError> {
        let subnets = uses::subnets_with(&ctx.resources, "/networkSecurityGroup/id", &existing.id);
        if let Some(subnet) = subnets.first() {
            let subnet = subnet["id"].as_str().unwrap_or_default();
            return Err(ArmError::bad_request(
                "InUseNetworkSecurityGroupCannotBeDeleted",
                format!(
                    "Network security group {} cannot be deleted because it is in use by the following resources: \
                     {subnet}. In order to delete the Network security group, remove the association with the \
                     resource(s). To learn how to do this, see aka.ms/deletensg.",
                    existing.id
                ),
            ));
        }
        if let Some(interface) = uses::interfaces_with_group(&ctx.resources, &existing.id).first() {
            return Err(ArmError::bad_request(
                "InUseNetworkSecurityGroupCannotBeDeleted",
                format!(
                    "Network security group {} cannot be deleted because it is in use by the following resources: \
                     {interface}. In order to delete the Network security group, remove the association with the \
                     resource(s). To learn how to do this, see aka.ms/deletensg.",
                    existing.id
                ),
            ));
        }
        if let Some(set) = uses::scale_sets_with_group(&ctx.resources, &existing.id).first() {
            return Err(ArmError::bad_request(
                "NetworkSecurityGroupInUseByVirtualMachineScaleSet",
                format!(
                    "Cannot delete network security group {} since it is in use by virtual machine scale set {set}.",
                    existing.id
                ),
            ));
        }
        Ok(Deleted::Done)
    }

    fn present(&self, ctx: &Ctx, resource: &Resource) -> Value {
        let mut shown = shown(&ctx.resources, resource);
        let subnets = uses::subnets_with(&ctx.resources, "/networkSecurityGroup/id", &resource.id);
        if !subnets.is_empty() {
            set(&mut shown, &["properties", "subnets"], subnets);
        }
        let own = uses::interfaces_with_group(&ctx.resources, &resource.id).into_iter();
        let of_sets =
            instances::all(&ctx.resources).into_iter().filter(|i| i.group.as_ref() == Some(&resource.id));
        let of_sets = of_sets.map(|i| i.id.child("networkInterfaces", &i.interface));
        let interfaces: Vec<Value> = own.chain(of_sets).map(|id| json!({ "id": id })).collect();
        if !interfaces.is_empty() {
            set(&mut shown, &["properties", "networkInterfaces"], interfaces);
        }
        shown
    }
}

#[async_trait]
impl ResourceType for SecurityRules {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor { etag: Some("etag"), ..TypeDescriptor::new(RULES, API_VERSIONS) }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let mut rule = request.resource();
        let mut all: Vec<(String, Value)> = ctx
            .resources
            .list_type(&request.id.top(), RULES)
            .iter()
            .filter(|other| other.id != *request.id)
            .map(|other| (other.name.clone(), other.properties.clone()))
            .collect();
        rules::check(&rule.name, &rule.properties)?;
        all.push((rule.name.clone(), rule.properties.clone()));
        check_all(&ctx.resources, &request.id.top(), &all)?;
        rule.properties = shape_rule(rule.properties);
        Ok(Written::Done(rule))
    }

    async fn delete(&self, _: &Ctx, _: &Resource) -> Result<Deleted, ArmError> {
        Ok(Deleted::Done)
    }
}
