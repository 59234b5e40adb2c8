//! Who calls, and what the front door needs from the directory. Both traits are implemented elsewhere.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ResourceId;

/// What kind of principal calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallerKind {
    /// A person.
    User,
    /// An application or managed identity.
    ServicePrincipal,
    /// A part of the cloud itself (a resource provider acting for no customer).
    Service,
}

/// An authenticated caller.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Caller {
    /// The principal's object id.
    pub object_id: String,
    /// What error texts and logs call it: application id or user principal name.
    pub name: String,
    /// Its tenant.
    pub tenant_id: String,
    /// Its application id, if it is (or came through) an application.
    pub app_id: Option<String>,
    /// Kind of principal.
    pub kind: CallerKind,
    /// Object ids of the groups it is in.
    pub groups: Vec<String>,
    /// The token's claims.
    pub claims: Value,
}

impl Caller {
    /// A part of the cloud itself, for example `Microsoft.ContainerService`. It is authorised like anyone, by an
    /// assignment of Owner at the root that the cloud is born with.
    pub fn service(name: &str, tenant_id: &str) -> Self {
        Self {
            object_id: service_object_id(name),
            name: name.to_owned(),
            tenant_id: tenant_id.to_owned(),
            app_id: None,
            kind: CallerKind::Service,
            groups: Vec::new(),
            claims: Value::Null,
        }
    }
}

/// The fixed object id of a part of the cloud.
pub(crate) fn service_object_id(name: &str) -> String {
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_DNS, name.to_ascii_lowercase().as_bytes()).to_string()
}

/// Why a token was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a token, or not signed by the directory.
    #[error("the access token is invalid")]
    Invalid,
    /// Too old.
    #[error("the access token has expired at {at}")]
    Expired {
        /// When, RFC 3339.
        at: String,
    },
    /// Made for somebody else.
    #[error("the access token is for audience `{audience}`")]
    Audience {
        /// The token's audience.
        audience: String,
    },
    /// Of a tenant this cloud does not serve.
    #[error("the access token is from issuer `{issuer}`")]
    Tenant {
        /// The token's issuer.
        issuer: String,
    },
}

/// Checks bearer tokens.
#[async_trait]
pub trait TokenVerifier: Send + Sync + 'static {
    /// Whose token this is. It must be signed by the directory, be valid now, and be made for one of
    /// `audiences` (compared without a trailing slash).
    async fn verify(&self, bearer: &str, audiences: &[String]) -> Result<Caller, TokenError>;
}

/// The ids of a managed identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManagedIdentity {
    /// Object id: what roles are assigned to.
    pub principal_id: String,
    /// Application id: what a token request names.
    pub client_id: String,
    /// Its tenant.
    pub tenant_id: String,
}

/// A token and its end.
#[derive(Clone)]
pub struct Token {
    /// The bearer token.
    pub access_token: String,
    /// Until when, seconds since 1970.
    pub expires_on: i64,
}

/// A trust in tokens of another issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FederatedCredential {
    /// Its name.
    pub name: String,
    /// `iss` of the foreign token.
    pub issuer: String,
    /// `sub` of the foreign token.
    pub subject: String,
    /// `aud` of the foreign token.
    pub audiences: Vec<String>,
}

/// What is known of a principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrincipalInfo {
    /// `User`, `Group` or `ServicePrincipal`, as role assignments call it.
    pub kind: String,
    /// Display name.
    pub display_name: String,
    /// Application id of a service principal.
    pub app_id: Option<String>,
}

/// The directory failed.
#[derive(Debug, thiserror::Error)]
#[error("the directory could not {deed}")]
pub struct DirectoryError {
    /// What was tried.
    pub deed: String,
    /// Why it failed.
    #[source]
    pub source: Option<kit::http::BoxError>,
}

/// What the framework and providers need from the directory.
#[async_trait]
pub trait Directory: Send + Sync + 'static {
    /// Makes the managed identity of a resource (system-assigned), or of a `userAssignedIdentities` resource. The same
    /// resource always gets the same identity until it is deleted.
    async fn create_managed_identity(&self, resource: &ResourceId)
    -> Result<ManagedIdentity, DirectoryError>;
    /// Removes it; one that is not there is fine.
    async fn delete_managed_identity(&self, resource: &ResourceId) -> Result<(), DirectoryError>;
    /// The resources that managed identities belong to.
    fn owners_of_identities(&self) -> Vec<ResourceId> {
        Vec::new()
    }
    /// A token of a managed identity, by its object id.
    async fn token_for(&self, principal_id: &str, audience: &str) -> Result<Token, DirectoryError>;
    /// What is known of an object id.
    async fn principal(&self, object_id: &str) -> Option<PrincipalInfo>;
    /// Object ids of the groups a principal is in, through other groups too.
    fn groups_of(&self, object_id: &str) -> Vec<String> {
        let _ = object_id;
        Vec::new()
    }
    /// Adds or replaces a federated credential of a managed identity.
    async fn put_federated_credential(
        &self,
        resource: &ResourceId,
        credential: FederatedCredential,
    ) -> Result<(), DirectoryError>;
    /// Removes one; one that is not there is fine.
    async fn delete_federated_credential(
        &self,
        resource: &ResourceId,
        name: &str,
    ) -> Result<(), DirectoryError>;
}
