//! Trusted access: the roles that AKS publishes for services of Azure, and `managedClusters/trustedAccessRoleBindings`, which bind them to one
//! resource of such a service.
//!
//! Guarantees: the roles are AKS's own with their rules; a binding is judged as AKS judges it.
//!
//! Does not: keep a binding. The services that the roles are for (backup vaults, machine learning, Defender) are not in this cloud, so the source
//! of every binding is missing, and that is what its writer is told.

use std::sync::OnceLock;

use arm::{ArmError, Ctx, Deleted, Put, Resource, ResourceId, ResourceType, TypeDescriptor, Written};
use async_trait::async_trait;
use serde_json::{Value, json};

use crate::clusters::API_VERSIONS;
use crate::fault::Fault;
use crate::json::{list, text};
use crate::service::{check_idle, check_running};

/// Full type of bindings.
pub const BINDINGS: &str = "Microsoft.ContainerService/managedClusters/trustedAccessRoleBindings";

/// Longest name of a binding.
const NAME_LENGTH_MAX: usize = 24;

/// The type.
pub struct TrustedAccessRoleBindings;

/// The published roles: type of the source, name, rules as those of a ClusterRole.
fn roles() -> &'static [Value] {
    static ROLES: OnceLock<Vec<Value>> = OnceLock::new();
    ROLES.get_or_init(|| serde_json::from_str(include_str!("roles.json")).unwrap_or_default())
}

/// What `locations/{location}/trustedAccessRoles` answers.
pub(crate) fn listing() -> Value {
    json!({ "value": roles() })
}

/// The type of source that a role (`<type>/<name>`) is for; none: there is no such role.
fn source_type(role: &str) -> Option<&'static str> {
    let fits = |one: &&Value| {
        let full = format!(
            "{}/{}",
            text(one, "/sourceResourceType").unwrap_or_default(),
            text(one, "/name").unwrap_or_default()
        );
        full.eq_ignore_ascii_case(role)
    };
    text(roles().iter().find(fits)?, "/sourceResourceType")
}

fn check_name(name: &str) -> Result<(), Fault> {
    let fits = !name.is_empty()
        && name.len() <= NAME_LENGTH_MAX
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if fits {
        return Ok(());
    }
    Err(Fault::parameter(
        "trustedAccessRoleBindingName",
        format!("'{name}' must consist of 1 to {NAME_LENGTH_MAX} letters, digits and '-'"),
    ))
}

fn source(properties: &Value) -> Result<ResourceId, Fault> {
    let written = text(properties, "/sourceResourceId").unwrap_or_default();
    ResourceId::parse(written)
        .ok()
        .filter(|id| id.group().is_some() || id.subscription().is_some())
        .ok_or_else(|| {
            Fault::parameter("properties.sourceResourceId", format!("'{written}' is no id of a resource"))
        })
}

fn check_roles(properties: &Value, source: &ResourceId) -> Result<(), Fault> {
    let wrong = |why: String| {
        let rules = "Please see https://aka.ms/aks-naming-rules for more details.";
        Fault::parameter("properties.roles", format!("{why}. {rules}"))
    };
    let named = list(properties, "/roles");
    if named.is_empty() {
        return Err(wrong("at least one role is needed".to_owned()));
    }
    let kind = source.resource_type().to_ascii_lowercase();
    for role in named {
        let role = role.as_str().unwrap_or_default();
        let for_type = source_type(role).map(str::to_ascii_lowercase);
        let for_type = for_type.ok_or_else(|| {
            wrong(format!(
                "non-exist role: {role}, please refer to http://aka.ms/aks/ta/role to list available roles"
            ))
        })?;
        // Defender's sources are below the type of its roles.
        if kind != for_type && !kind.starts_with(&format!("{for_type}/")) {
            return Err(wrong(format!("role must begin with source resource type: {role}")));
        }
    }
    Ok(())
}

#[async_trait]
impl ResourceType for TrustedAccessRoleBindings {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor {
            deleted: arm::DeleteStatus::NoContent,
            name_pattern: Some("(?s).*"),
            ..TypeDescriptor::new(BINDINGS, API_VERSIONS)
        }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let cluster = ctx.resources.get(&request.id.top());
        let cluster = cluster.ok_or_else(|| ArmError::parent_not_found(request.id))?;
        check_idle(ctx, &cluster, None)?;
        check_running(&cluster, "updating trusted access role bindings")?;
        check_name(request.id.name())?;
        let source = source(request.properties())?;
        check_roles(request.properties(), &source)?;
        if !ctx.resources.exists(&source) {
            return Err(ArmError::resource_not_found(&source));
        }
        Err(ArmError::not_implemented(format_args!("Trusted access of '{}'", source.resource_type())))
    }

    async fn delete(&self, _: &Ctx, _: &Resource) -> Result<Deleted, ArmError> {
        Ok(Deleted::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_has_a_source_and_rules() {
        assert_eq!(roles().len(), 7);
        for role in roles() {
            let full = format!(
                "{}/{}",
                role["sourceResourceType"].as_str().unwrap(),
                role["name"].as_str().unwrap()
            );
            assert_eq!(source_type(&full.to_uppercase()), role["sourceResourceType"].as_str(), "{full}");
            for rule in list(role, "/rules") {
                for part in ["verbs", "apiGroups", "resources"] {
                    assert!(!rule[part].as_array().unwrap().is_empty(), "{full}: {rule}");
                }
            }
        }
    }
}
