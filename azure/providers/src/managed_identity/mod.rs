//! `Microsoft.ManagedIdentity`: user-assigned identities and their federated credentials; tokens for machines.
//!
//! The principals themselves live in the directory; here are only the resources that stand for them.

pub mod imds;

use arm::{
    ArmError, Ctx, Deleted, FederatedCredential, Provider, Put, Resource, ResourceType, TypeDescriptor,
    Written,
};
use async_trait::async_trait;
use serde_json::{Value, json};

use crate::json::{list, text};

/// Listed api-versions; others are accepted.
const API_VERSIONS: &[&str] =
    &["2025-05-31-preview", "2025-01-31-preview", "2024-11-30", "2023-01-31", "2018-11-30"];
/// Most federated credentials of one identity.
const CREDENTIALS_MAX: usize = 20;
/// Most characters of an issuer, a subject or an audience.
const TEXT_MAX: usize = 600;
const IDENTITIES: &str = "Microsoft.ManagedIdentity/userAssignedIdentities";
const CREDENTIALS: &str = "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials";

/// The provider with all its types.
pub fn provider() -> Provider {
    Provider::new("Microsoft.ManagedIdentity").with(Identities).with(Credentials)
}

/// `userAssignedIdentities`.
pub struct Identities;
/// `userAssignedIdentities/federatedIdentityCredentials`.
pub struct Credentials;

#[async_trait]
impl ResourceType for Identities {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor {
            delete_rank: 95,
            name_pattern: Some("[a-zA-Z0-9][a-zA-Z0-9_-]{2,127}"),
            ..TypeDescriptor::new(IDENTITIES, API_VERSIONS)
        }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let mut made = request.resource();
        let identity = ctx.directory.create_managed_identity(request.id).await?;
        let scope = request.properties().get("isolationScope").cloned();
        if let Some(given) = scope.as_ref().filter(|s| !s.is_null())
            && !matches!(given.as_str(), Some("None" | "Regional"))
        {
            return Err(ArmError::bad_request(
                "BadRequest",
                format!("The value {given} of 'isolationScope' is not valid: it is 'None' or 'Regional'."),
            ));
        }
        made.properties = json!({
            "tenantId": identity.tenant_id, "principalId": identity.principal_id, "clientId": identity.client_id,
        });
        if let Some(scope) = scope.filter(|scope| !scope.is_null()) {
            made.properties["isolationScope"] = scope;
        }
        Ok(Written::Done(made))
    }

    async fn delete(&self, ctx: &Ctx, existing: &Resource) -> Result<Deleted, ArmError> {
        ctx.directory.delete_managed_identity(&existing.id).await?;
        Ok(Deleted::Done)
    }
}

fn refused(message: impl Into<String>) -> ArmError {
    ArmError::bad_request("BadRequest", message)
}

/// A federated credential by the rules that hold for each alone.
fn checked(made: &Resource) -> Result<FederatedCredential, ArmError> {
    let required = |name: &str| {
        text(&made.properties, &format!("/{name}")).map(str::to_owned).ok_or_else(|| {
            refused(format!("The property '{name}' of a federated identity credential is required."))
        })
    };
    let (issuer, subject) = (required("issuer")?, required("subject")?);
    let audiences: Vec<String> =
        list(&made.properties, "/audiences").iter().filter_map(|a| a.as_str().map(str::to_owned)).collect();
    let [audience] = audiences.as_slice() else {
        return Err(refused("A federated identity credential must have exactly one audience."));
    };
    for (name, value) in [("issuer", &issuer), ("subject", &subject), ("audience", audience)] {
        if value.len() > TEXT_MAX {
            return Err(refused(format!(
                "The '{name}' of a federated identity credential may have {TEXT_MAX} characters."
            )));
        }
    }
    if !url::Url::parse(&issuer).is_ok_and(|u| u.scheme() == "https" && u.has_host()) {
        return Err(refused(format!(
            "The issuer '{issuer}' of a federated identity credential is not a valid HTTPS URL."
        )));
    }
    Ok(FederatedCredential { name: made.name.clone(), issuer, subject, audiences })
}

#[async_trait]
impl ResourceType for Credentials {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor {
            name_pattern: Some("[a-zA-Z0-9][a-zA-Z0-9_-]{2,119}"),
            ..TypeDescriptor::new(CREDENTIALS, API_VERSIONS)
        }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let mut made = request.resource();
        let FederatedCredential { issuer, subject, audiences, .. } = checked(&made)?;
        let identity = request.id.top();
        let others: Vec<_> = ctx
            .resources
            .list_type(&identity, CREDENTIALS)
            .into_iter()
            .filter(|other| other.id != *request.id)
            .collect();
        if others.len() >= CREDENTIALS_MAX {
            return Err(ArmError::bad_request(
                "BadRequest",
                format!("Too many Federated Identity Credentials: an identity may have {CREDENTIALS_MAX}."),
            ));
        }
        let same = |other: &Value| {
            text(other, "/issuer") == Some(issuer.as_str())
                && text(other, "/subject") == Some(subject.as_str())
        };
        if let Some(other) = others.iter().find(|other| same(&other.properties)) {
            return Err(ArmError::conflict(
                "Conflict",
                format!(
                    "Issuer and subject combination already exists for this Managed Identity, in '{}'.",
                    other.name
                ),
            ));
        }
        let credential = FederatedCredential {
            name: made.name.clone(),
            issuer: issuer.clone(),
            subject: subject.clone(),
            audiences: audiences.clone(),
        };
        ctx.directory.put_federated_credential(&identity, credential).await?;
        made.properties = json!({ "issuer": issuer, "subject": subject, "audiences": audiences });
        Ok(Written::Done(made))
    }

    async fn delete(&self, ctx: &Ctx, existing: &Resource) -> Result<Deleted, ArmError> {
        ctx.directory.delete_federated_credential(&existing.id.top(), &existing.name).await?;
        Ok(Deleted::Done)
    }
}
