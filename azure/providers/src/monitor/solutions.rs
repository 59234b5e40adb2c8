//! `Microsoft.OperationsManagement/solutions`: which solutions a workspace has.

use arm::json::{default, set, text};
use arm::{ArmError, Ctx, Deleted, Put, Resource, ResourceType, TypeDescriptor, Written};
use async_trait::async_trait;
use serde_json::json;

use super::workspaces;

pub(super) struct Solutions;

#[async_trait]
impl ResourceType for Solutions {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor::new("Microsoft.OperationsManagement/solutions", &["2015-11-01-preview"])
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let mut made = request.resource();
        let workspace = text(&made.properties, "/workspaceResourceId").ok_or_else(|| {
            ArmError::invalid_parameter(
                "properties.workspaceResourceId",
                "The property 'workspaceResourceId' of a solution is required.",
            )
        })?;
        let workspace = workspaces::named(ctx, workspace, "properties.workspaceResourceId")?;
        let product = made.extra.get("plan").and_then(|plan| text(plan, "/product")).unwrap_or_default();
        let expected = format!("{}({})", product.rsplit('/').next().unwrap_or_default(), workspace.name);
        if product.is_empty() || !made.name.eq_ignore_ascii_case(&expected) {
            return Err(ArmError::bad_request(
                "SolutionNameMismatch",
                format!(
                    "The name of a solution is that of its plan's product with the workspace in parentheses: '{expected}', not '{}'.",
                    made.name
                ),
            ));
        }
        for name in ["containedResources", "referencedResources"] {
            default(&mut made.properties, &[name], json!([]));
        }
        set(&mut made.properties, &["provisioningState"], "Succeeded");
        Ok(Written::Done(made))
    }

    async fn delete(&self, _: &Ctx, _: &Resource) -> Result<Deleted, ArmError> {
        Ok(Deleted::Done)
    }
}
