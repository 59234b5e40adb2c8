//! Managed identities: service principals that belong to a resource and have no secret.

use serde_json::Map;

use crate::claims::{MANAGED_S, Proof, Target};
use crate::entra::{Entra, EntraError};
use crate::model::{Federated, PrincipalKind, ServicePrincipal};
use crate::store;

/// The ids of a managed identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Object id.
    pub principal_id: String,
    /// Application id.
    pub client_id: String,
    /// Tenant.
    pub tenant_id: String,
    /// The resource it belongs to.
    pub resource_id: String,
}

/// A token and its end.
#[derive(Clone)]
pub struct IssuedToken {
    /// The bearer token.
    pub access_token: String,
    /// Seconds since 1970.
    pub expires_on: i64,
    /// The audience it was asked for.
    pub resource: String,
}

/// A trust to add to a managed identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Federation {
    /// Its name.
    pub name: String,
    /// `iss` of the foreign token.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// `aud`.
    pub audiences: Vec<String>,
}

/// What is known of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrincipalInfo {
    /// `User`, `Group` or `ServicePrincipal`.
    pub kind: &'static str,
    /// Display name.
    pub name: String,
    /// Application id of a service principal.
    pub app_id: Option<String>,
    /// A user's principal name.
    pub upn: Option<String>,
}

fn owned_by<'a>(state: &'a store::State, resource_id: &str) -> Option<&'a ServicePrincipal> {
    state
        .principals
        .values()
        .find(|p| p.resource_id.as_deref().is_some_and(|r| r.eq_ignore_ascii_case(resource_id)))
}

impl Entra {
    fn identity_of(&self, principal: &ServicePrincipal) -> Identity {
        Identity {
            principal_id: principal.id.clone(),
            client_id: principal.app_id.clone(),
            tenant_id: self.tenant_id(),
            resource_id: principal.resource_id.clone().unwrap_or_default(),
        }
    }

    /// Makes the managed identity of a resource; the same resource always gets the same one.
    pub async fn managed_identity_create(&self, resource_id: &str) -> Result<Identity, EntraError> {
        let now = self.now().to_string();
        let principal = self
            .store
            .change(|state| {
                if let Some(found) = owned_by(state, resource_id) {
                    return Ok((found.clone(), Vec::new()));
                }
                let made = ServicePrincipal {
                    id: uuid::Uuid::new_v4().to_string(),
                    app_id: uuid::Uuid::new_v4().to_string(),
                    name: resource_id.rsplit('/').next().unwrap_or(resource_id).to_owned(),
                    kind: PrincipalKind::ManagedIdentity,
                    resource_id: Some(resource_id.to_owned()),
                    created: now,
                    enabled: true,
                    federated: Vec::new(),
                    secrets: Vec::new(),
                    certificates: Vec::new(),
                    owners: Vec::new(),
                    admin: false,
                    extra: Map::new(),
                };
                let change = store::put("sp", &made.id, &made)?;
                Ok((made, vec![change]))
            })
            .await?;
        Ok(self.identity_of(&principal))
    }

    /// Removes it; one that is not there is fine.
    pub async fn managed_identity_delete(&self, resource_id: &str) -> Result<(), EntraError> {
        self.store
            .change(|state| {
                Ok((
                    (),
                    owned_by(state, resource_id).map(|p| store::remove("sp", &p.id)).into_iter().collect(),
                ))
            })
            .await
    }

    /// The resources that managed identities belong to.
    pub fn managed_identity_owners(&self) -> Vec<String> {
        let state = self.store.state.read();
        state.principals.values().filter_map(|principal| principal.resource_id.clone()).collect()
    }

    /// The managed identity with this object id or application id.
    pub fn managed_identity(&self, principal_or_client: &str) -> Option<Identity> {
        let state = self.store.state.read();
        let found = state
            .principals
            .get(principal_or_client)
            .or_else(|| state.principal_of(principal_or_client))?
            .clone();
        drop(state);
        (found.kind == PrincipalKind::ManagedIdentity).then(|| self.identity_of(&found))
    }

    /// The managed identity of a resource.
    pub fn managed_identity_of(&self, resource_id: &str) -> Option<Identity> {
        let found = owned_by(&self.store.state.read(), resource_id).cloned()?;
        Some(self.identity_of(&found))
    }

    /// A token of a managed identity, for instance metadata and for the cloud's own work.
    pub fn managed_identity_token(
        &self,
        principal_id: &str,
        audience: &str,
    ) -> Result<IssuedToken, EntraError> {
        let found = self.store.state.read().principals.get(principal_id).cloned();
        let principal = found
            .filter(|p| p.kind == PrincipalKind::ManagedIdentity && p.enabled)
            .ok_or_else(|| EntraError::NotFound { id: principal_id.to_owned() })?;
        if self.check_resource(audience).is_err() {
            return Err(EntraError::NotFound { id: audience.to_owned() });
        }
        let target = Target { audience, base: "https://login.microsoftonline.com", scope: "" };
        Ok(IssuedToken {
            access_token: self.app_token(&principal, &target, Proof::Certificate, MANAGED_S)?,
            expires_on: self.now().as_second() + MANAGED_S,
            resource: audience.to_owned(),
        })
    }

    /// Adds or replaces a trust of a managed identity.
    pub async fn managed_identity_federate(
        &self,
        resource_id: &str,
        trust: Federation,
    ) -> Result<(), EntraError> {
        self.store
            .change(|state| {
                let missing = || EntraError::NotFound { id: resource_id.to_owned() };
                let mut principal = owned_by(state, resource_id).ok_or_else(missing)?.clone();
                principal.federated.retain(|f| f.name != trust.name);
                principal.federated.push(Federated {
                    id: uuid::Uuid::new_v4().to_string(),
                    name: trust.name,
                    issuer: trust.issuer,
                    subject: trust.subject,
                    audiences: trust.audiences,
                    description: None,
                });
                Ok(((), vec![store::put("sp", &principal.id, &principal)?]))
            })
            .await
    }

    /// Removes one; one that is not there is fine.
    pub async fn managed_identity_unfederate(&self, resource_id: &str, name: &str) -> Result<(), EntraError> {
        self.store
            .change(|state| {
                let Some(found) = owned_by(state, resource_id) else { return Ok(((), Vec::new())) };
                let mut principal = found.clone();
                principal.federated.retain(|f| f.name != name);
                Ok(((), vec![store::put("sp", &principal.id, &principal)?]))
            })
            .await
    }

    /// What is known of an object id.
    pub fn principal(&self, object_id: &str) -> Option<PrincipalInfo> {
        let state = self.store.state.read();
        let id = object_id.to_ascii_lowercase();
        if let Some(p) = state.principals.get(&id) {
            return Some(PrincipalInfo {
                kind: "ServicePrincipal",
                name: p.name.clone(),
                app_id: Some(p.app_id.clone()),
                upn: None,
            });
        }
        if let Some(u) = state.users.get(&id) {
            return Some(PrincipalInfo {
                kind: "User",
                name: u.name.clone(),
                app_id: None,
                upn: Some(u.upn.clone()),
            });
        }
        let group = state.groups.get(&id)?;
        Some(PrincipalInfo { kind: "Group", name: group.name.clone(), app_id: None, upn: None })
    }
}
