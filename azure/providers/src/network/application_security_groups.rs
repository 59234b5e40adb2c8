//! `applicationSecurityGroups`: names for sets of interfaces, used in security rules.
//!
//! A group holds nothing; who is in it says so: the interface configurations of scale sets and interfaces.

use arm::{ArmError, Ctx, Deleted, Put, Resource, ResourceType, TypeDescriptor, Written};
use async_trait::async_trait;
use serde_json::Value;

use super::{API_VERSIONS, seal, security_groups, uses};
use crate::json::list;

/// `Microsoft.Network/applicationSecurityGroups`.
pub struct ApplicationSecurityGroups;

#[async_trait]
impl ResourceType for ApplicationSecurityGroups {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor {
            etag: Some("etag"),
            delete_rank: 95,
            ..TypeDescriptor::new("Microsoft.Network/applicationSecurityGroups", API_VERSIONS)
        }
    }

    async fn put(&self, _: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let mut group = request.resource();
        group.properties = Value::Object(serde_json::Map::new());
        seal(&mut group, request.existing);
        Ok(Written::Done(group))
    }

    async fn delete(&self, ctx: &Ctx, existing: &Resource) -> Result<Deleted, ArmError> {
        let interface = uses::interfaces_in_application_group(&ctx.resources, &existing.id);
        let rule = || {
            uses::all(&ctx.resources, security_groups::RULES).into_iter().find(|rule| {
                ["/sourceApplicationSecurityGroups", "/destinationApplicationSecurityGroups"]
                    .iter()
                    .flat_map(|pointer| list(&rule.properties, pointer))
                    .any(|group| uses::is(group, "/id", &existing.id))
            })
        };
        let user = interface.into_iter().next().or_else(|| rule().map(|rule| rule.id.to_string()));
        let Some(user) = user else { return Ok(Deleted::Done) };
        Err(ArmError::bad_request(
            "InUseApplicationSecurityGroupCannotBeDeleted",
            format!("Application security group {} is in use by {user} and cannot be deleted.", existing.id),
        ))
    }
}
