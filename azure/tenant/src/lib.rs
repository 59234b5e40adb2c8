//! The one place where the resource manager and the directory meet.
//!
//! `arm` says what it wants of a directory (`Directory`, `TokenVerifier`), `entra` is one, and neither knows the other.
//! Whoever runs both (the program, the laboratories, the tests of `arm`) joins them here, so that a caller has the same
//! name and an identity the same life everywhere.

use std::sync::Arc;

use arm::{
    Caller, CallerKind, Directory, DirectoryError, FederatedCredential, ManagedIdentity, PrincipalInfo,
    ResourceId, Token, TokenError, TokenVerifier,
};
use async_trait::async_trait;
use entra::{Entra, EntraError, VerifyError};

/// Entra as the resource manager's directory and as the judge of its callers' tokens.
#[derive(Clone)]
pub struct Tenant(pub Arc<Entra>);

fn could_not(deed: &'static str) -> impl FnOnce(EntraError) -> DirectoryError {
    move |source| DirectoryError { deed: deed.to_owned(), source: Some(Box::new(source)) }
}

/// A user goes by the principal name, an application by its id, and what has neither by its object id.
fn caller(claims: entra::Claims) -> Caller {
    let name = claims.upn.clone().or_else(|| claims.appid.clone()).unwrap_or_else(|| claims.oid.clone());
    Caller {
        object_id: claims.oid,
        name,
        tenant_id: claims.tid,
        app_id: claims.appid,
        kind: if claims.is_app { CallerKind::ServicePrincipal } else { CallerKind::User },
        groups: claims.groups,
        claims: claims.all,
    }
}

#[async_trait]
impl TokenVerifier for Tenant {
    async fn verify(&self, bearer: &str, audiences: &[String]) -> Result<Caller, TokenError> {
        self.0.verify(bearer, audiences).map(caller).map_err(|error| match error {
            VerifyError::Invalid => TokenError::Invalid,
            VerifyError::Expired { at } => TokenError::Expired { at },
            VerifyError::Audience { audience } => TokenError::Audience { audience },
            VerifyError::Issuer { issuer } => TokenError::Tenant { issuer },
        })
    }
}

#[async_trait]
impl Directory for Tenant {
    async fn create_managed_identity(
        &self,
        resource: &ResourceId,
    ) -> Result<ManagedIdentity, DirectoryError> {
        let made = self.0.managed_identity_create(&resource.to_string()).await;
        let made = made.map_err(could_not("make a managed identity"))?;
        Ok(ManagedIdentity {
            principal_id: made.principal_id,
            client_id: made.client_id,
            tenant_id: made.tenant_id,
        })
    }

    async fn delete_managed_identity(&self, resource: &ResourceId) -> Result<(), DirectoryError> {
        let deleted = self.0.managed_identity_delete(&resource.to_string()).await;
        deleted.map_err(could_not("delete a managed identity"))
    }

    fn owners_of_identities(&self) -> Vec<ResourceId> {
        self.0.managed_identity_owners().iter().filter_map(|id| ResourceId::parse(id).ok()).collect()
    }

    async fn token_for(&self, principal_id: &str, audience: &str) -> Result<Token, DirectoryError> {
        let token = self
            .0
            .managed_identity_token(principal_id, audience)
            .map_err(could_not("issue a token for a managed identity"))?;
        Ok(Token { access_token: token.access_token, expires_on: token.expires_on })
    }

    async fn principal(&self, object_id: &str) -> Option<PrincipalInfo> {
        let found = self.0.principal(object_id)?;
        Some(PrincipalInfo { kind: found.kind.to_owned(), display_name: found.name, app_id: found.app_id })
    }

    fn groups_of(&self, object_id: &str) -> Vec<String> {
        self.0.groups_of(object_id)
    }

    async fn put_federated_credential(
        &self,
        resource: &ResourceId,
        credential: FederatedCredential,
    ) -> Result<(), DirectoryError> {
        let trust = entra::Federation {
            name: credential.name,
            issuer: credential.issuer,
            subject: credential.subject,
            audiences: credential.audiences,
        };
        let put = self.0.managed_identity_federate(&resource.to_string(), trust).await;
        put.map_err(could_not("store a federated credential"))
    }

    async fn delete_federated_credential(
        &self,
        resource: &ResourceId,
        name: &str,
    ) -> Result<(), DirectoryError> {
        let deleted = self.0.managed_identity_unfederate(&resource.to_string(), name).await;
        deleted.map_err(could_not("delete a federated credential"))
    }
}
