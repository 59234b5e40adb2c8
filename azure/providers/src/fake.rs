//! A directory in memory whose tokens say whose they are. For tests only.

use std::collections::BTreeMap;

use arm::{
    Caller, CallerKind, Directory, DirectoryError, FederatedCredential, ManagedIdentity, PrincipalInfo,
    ResourceId, Token, TokenError, TokenVerifier,
};
use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::Value;

/// The tenant of the fake.
pub const TENANT: &str = "11111111-1111-1111-1111-111111111111";
/// The subscription that tests use.
pub const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000000";
/// Object id of the subscription's owner.
pub const OWNER: &str = "22222222-2222-2222-2222-222222222222";

/// The directory: identities by resource.
#[derive(Default)]
pub struct FakeDirectory(Mutex<BTreeMap<ResourceId, ManagedIdentity>>);

impl FakeDirectory {
    /// Resources that have an identity now.
    pub fn identities(&self) -> Vec<String> {
        self.0.lock().keys().map(ToString::to_string).collect()
    }
}

/// The caller with this object id.
pub fn caller(object_id: &str) -> Caller {
    Caller {
        object_id: object_id.to_owned(),
        name: object_id.to_owned(),
        tenant_id: TENANT.to_owned(),
        app_id: None,
        kind: CallerKind::ServicePrincipal,
        groups: Vec::new(),
        claims: Value::Null,
    }
}

#[async_trait]
impl Directory for FakeDirectory {
    async fn create_managed_identity(
        &self,
        resource: &ResourceId,
    ) -> Result<ManagedIdentity, DirectoryError> {
        let made = || ManagedIdentity {
            principal_id: uuid::Uuid::new_v4().to_string(),
            client_id: uuid::Uuid::new_v4().to_string(),
            tenant_id: TENANT.to_owned(),
        };
        Ok(self.0.lock().entry(resource.clone()).or_insert_with(made).clone())
    }

    async fn delete_managed_identity(&self, resource: &ResourceId) -> Result<(), DirectoryError> {
        self.0.lock().remove(resource);
        Ok(())
    }

    fn owners_of_identities(&self) -> Vec<ResourceId> {
        self.0.lock().keys().cloned().collect()
    }

    async fn token_for(&self, principal_id: &str, _: &str) -> Result<Token, DirectoryError> {
        if !self.0.lock().values().any(|identity| identity.principal_id == principal_id) {
            return Err(DirectoryError { deed: format!("find principal {principal_id}"), source: None });
        }
        Ok(Token { access_token: principal_id.to_owned(), expires_on: i64::MAX / 2 })
    }

    async fn principal(&self, object_id: &str) -> Option<PrincipalInfo> {
        Some(PrincipalInfo {
            kind: "ServicePrincipal".to_owned(),
            display_name: object_id.to_owned(),
            app_id: None,
        })
    }

    async fn put_federated_credential(
        &self,
        _: &ResourceId,
        _: FederatedCredential,
    ) -> Result<(), DirectoryError> {
        Ok(())
    }

    async fn delete_federated_credential(&self, _: &ResourceId, _: &str) -> Result<(), DirectoryError> {
        Ok(())
    }
}

#[async_trait]
impl TokenVerifier for FakeDirectory {
    async fn verify(&self, bearer: &str, _: &[String]) -> Result<Caller, TokenError> {
        Ok(caller(bearer))
    }
}
