//! Where parts that do not know each other meet: Entra as the clusters' token reviewer, the machines' token service
//! and the registry's gate.

use std::sync::Arc;

use anyhow::{Context, Result};
use apiserver::authn::TokenAuthenticator;
use apiserver::authn::entra::{EntraTokens, GroupResolver, KeySource, Settings, Unavailable};
use arm::ResourceId;
use async_trait::async_trait;
use entra::Entra;
use fabric::{ImdsTokenError, ImdsTokenRequest, ImdsTokens};
use kit::http::Connection;
use providers::registry::Accounts;
use serde_json::{Value, json};

use crate::place::State;

/// Opens the directory.
pub(super) async fn open_entra(
    state: &State,
    clock: Arc<dyn kit::Clock>,
    issuers: Arc<dyn entra::IssuerKeys>,
    tasks: &kit::Tasks,
) -> Result<Arc<Entra>> {
    let config = entra::Config {
        state_dir: state.path().to_owned(),
        hosts: arm::FrontConfig::usual_hosts(),
        clock,
        issuers,
    };
    Entra::open(config, tasks).await.context("failed to open the directory")
}

/// Entra as clusters' API servers know it: its keys, and groups that are too many for a token.
struct EntraTenant(Arc<Entra>);

#[async_trait]
impl KeySource for EntraTenant {
    async fn keys(&self) -> Result<Value, Unavailable> {
        Ok(self.0.jwks())
    }
}

#[async_trait]
impl GroupResolver for EntraTenant {
    async fn groups(&self, object_id: &str) -> Result<Vec<String>, Unavailable> {
        Ok(self.0.groups_of(object_id))
    }
}

/// Who judges Entra's tokens at a cluster's API server.
pub(super) fn entra_tokens(entra: &Arc<Entra>, clock: Arc<dyn kit::Clock>) -> Arc<dyn TokenAuthenticator> {
    let tenant = Arc::new(EntraTenant(entra.clone()));
    let settings = Settings::of_tenant(&entra.tenant_id());
    Arc::new(EntraTokens::new(settings, tenant.clone(), tenant, clock))
}

/// Tokens of machines' identities, for the metadata service.
pub(super) struct MachineTokens {
    pub(super) entra: Arc<Entra>,
    pub(super) front: Arc<arm::Front>,
}

fn refuse(error: &str, description: impl Into<String>) -> ImdsTokenError {
    ImdsTokenError { error: error.to_owned(), description: description.into() }
}

#[async_trait]
impl ImdsTokens for MachineTokens {
    async fn token(&self, request: ImdsTokenRequest) -> Result<Value, ImdsTokenError> {
        let instance = ResourceId::parse(&request.machine_resource_id)
            .map_err(|_| refuse("invalid_request", "the machine is not known"))?;
        let holder = self.front.resources().get(&instance.top());
        let identity = holder.as_ref().and_then(|holder| holder.identity.clone()).unwrap_or_default();
        let assigned = Assigned::read(&identity);
        let wanted =
            assigned.choose(&request).ok_or_else(|| refuse("invalid_request", "Identity not found"))?;
        let issued =
            self.entra.managed_identity_token(&wanted.principal_id, &request.resource).map_err(|_| {
                refuse("invalid_resource", format!("AADSTS500011: {} is not a resource", request.resource))
            })?;
        let now = jiff::Timestamp::now().as_second();
        Ok(json!({
            "access_token": issued.access_token, "client_id": wanted.client_id,
            "expires_in": (issued.expires_on - now).to_string(), "expires_on": issued.expires_on.to_string(),
            "ext_expires_in": (issued.expires_on - now).to_string(), "not_before": now.to_string(),
            "resource": request.resource, "token_type": "Bearer"}))
    }
}

/// One identity of a machine.
struct One {
    resource_id: String,
    principal_id: String,
    client_id: String,
}

/// The identities of a scale set, from its `identity` block.
struct Assigned {
    system: Option<One>,
    user: Vec<One>,
}

impl Assigned {
    fn read(identity: &Value) -> Self {
        let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let system = identity["principalId"].as_str().map(|principal_id| One {
            resource_id: String::new(),
            principal_id: principal_id.to_owned(),
            client_id: text(identity, "clientId"),
        });
        let user = identity["userAssignedIdentities"].as_object().into_iter().flatten();
        let user = user
            .map(|(id, block)| One {
                resource_id: id.clone(),
                principal_id: text(block, "principalId"),
                client_id: text(block, "clientId"),
            })
            .collect();
        Self { system, user }
    }

    /// The one that is asked for; without a name the system's own, or the only one.
    fn choose(&self, request: &ImdsTokenRequest) -> Option<&One> {
        let all = || self.system.iter().chain(&self.user);
        let is = |wanted: &Option<String>, have: &str| {
            wanted.as_ref().is_some_and(|wanted| wanted.eq_ignore_ascii_case(have))
        };
        if request.client_id.is_some()
            || request.object_id.is_some()
            || request.identity_resource_id.is_some()
        {
            return all().find(|one| {
                is(&request.client_id, &one.client_id)
                    || is(&request.object_id, &one.principal_id)
                    || is(&request.identity_resource_id, &one.resource_id)
            });
        }
        self.system.as_ref().or(match self.user.as_slice() {
            [only] => Some(only),
            _ => None,
        })
    }
}

/// What the registries' gate does not learn from ARM.
pub(super) struct RegistryAccounts(pub(super) Arc<Entra>);

impl Accounts for RegistryAccounts {
    fn application(&self, id: &str, secret: &str) -> Option<String> {
        self.0.client_with_secret(id, secret)
    }

    /// Machines speak to the registries' address, which only they reach.
    fn is_machine(&self, connection: &Connection) -> bool {
        connection.local.ip()
            == std::net::IpAddr::V4(providers::network::platform::CONTAINER_REGISTRY.address())
    }
}
