//! Tokens for machines: a machine gets those of the identities its scale set carries, and no others.

use std::sync::Arc;

use arm::{Directory, Resource, ResourceId, Resources};
use async_trait::async_trait;
use fabric::{ImdsTokenError, ImdsTokenRequest, ImdsTokens};
use kit::Clock;
use serde_json::{Value, json};

use crate::json::text;

/// Answers the metadata service of machines.
pub struct MachineTokens {
    /// All resources.
    pub resources: Resources,
    /// Who makes tokens.
    pub directory: Arc<dyn Directory>,
    /// Now.
    pub clock: Arc<dyn Clock>,
}

struct Identity {
    resource: Option<ResourceId>,
    client_id: String,
    principal_id: String,
}

fn refused(error: &str, description: &str) -> ImdsTokenError {
    ImdsTokenError { error: error.to_owned(), description: description.to_owned() }
}

fn identities(set: &Resource) -> Vec<Identity> {
    let Some(block) = &set.identity else { return Vec::new() };
    let own = text(block, "/principalId").map(|principal| Identity {
        resource: None,
        client_id: text(block, "/clientId").unwrap_or_default().to_owned(),
        principal_id: principal.to_owned(),
    });
    let assigned = block.get("userAssignedIdentities").and_then(Value::as_object).into_iter().flatten();
    let assigned = assigned.filter_map(|(id, ids)| {
        Some(Identity {
            resource: ResourceId::parse(id).ok(),
            client_id: text(ids, "/clientId")?.to_owned(),
            principal_id: text(ids, "/principalId")?.to_owned(),
        })
    });
    own.into_iter().chain(assigned).collect()
}

impl MachineTokens {
    fn choose(&self, request: &ImdsTokenRequest) -> Result<Identity, ImdsTokenError> {
        let not_found = || refused("invalid_request", "Identity not found");
        let machine = ResourceId::parse(&request.machine_resource_id).map_err(|_| not_found())?;
        let set = self.resources.get(&machine.top()).ok_or_else(not_found)?;
        let mut held = identities(&set);
        let named = request.client_id.is_some()
            || request.object_id.is_some()
            || request.identity_resource_id.is_some();
        if named {
            let wanted = request.identity_resource_id.as_deref().and_then(|id| ResourceId::parse(id).ok());
            held.retain(|identity| {
                request.client_id.as_deref().is_none_or(|id| id.eq_ignore_ascii_case(&identity.client_id))
                    && request
                        .object_id
                        .as_deref()
                        .is_none_or(|id| id.eq_ignore_ascii_case(&identity.principal_id))
                    && (request.identity_resource_id.is_none() || identity.resource == wanted)
            });
        } else if held.iter().any(|identity| identity.resource.is_none()) {
            held.retain(|identity| identity.resource.is_none());
        }
        match (held.len(), held.pop()) {
            (1, Some(identity)) => Ok(identity),
            (0, _) => Err(not_found()),
            _ => Err(refused(
                "invalid_request",
                "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request",
            )),
        }
    }
}

#[async_trait]
impl ImdsTokens for MachineTokens {
    async fn token(&self, request: ImdsTokenRequest) -> Result<Value, ImdsTokenError> {
        let identity = self.choose(&request)?;
        let token =
            self.directory.token_for(&identity.principal_id, &request.resource).await.map_err(|error| {
                tracing::warn!(error = %kit::Chain(&error), "no token for a machine");
                refused("invalid_resource", "The directory gives no token for this resource")
            })?;
        let now = self.clock.now().as_second();
        let left = (token.expires_on - now).max(0).to_string();
        Ok(json!({
            "access_token": token.access_token,
            "client_id": identity.client_id,
            "expires_in": left,
            "ext_expires_in": left,
            "expires_on": token.expires_on.to_string(),
            "not_before": now.to_string(),
            "resource": request.resource,
            "token_type": "Bearer",
        }))
    }
}
