//! Who may do what in a registry: whomever a role of the resource manager lets, the registry's admin user, and its tokens.
//!
//! A registry whose `roleAssignmentMode` is `AbacRepositoryPermissions` asks for the data actions of the roles
//! `Container Registry Repository …`, and the actions of `AcrPull`, `AcrPush` and `AcrDelete` count for nothing; in every
//! other it is the other way round.

use std::sync::Arc;

use arm::ResourceId;
use async_trait::async_trait;
use kit::http::Connection;
use serde_json::json;

use super::admin::{AdminUsers, is_admin};
use super::auth::{Action, Gate, Principal};
use super::deleted::SoftDelete;
use super::registries::{BY_REPOSITORY, registry_of};
use super::tokens;

/// What tokens for a registry may be meant for.
const AUDIENCES: [&str; 4] = [
    "https://containerregistry.azure.net",
    "https://management.azure.com",
    "https://management.core.windows.net",
    "https://localhost",
];

/// What the gate does not learn from the resource manager.
pub trait Accounts: Send + Sync + 'static {
    /// The object id of the application with this id and secret.
    fn application(&self, id: &str, secret: &str) -> Option<String>;
    /// Whether a connection comes from a machine of this cloud.
    fn is_machine(&self, connection: &Connection) -> bool;
}

/// The gate of all registries.
pub struct RoleGate<A> {
    front: Arc<arm::Front>,
    accounts: A,
}

impl<A: Accounts> RoleGate<A> {
    /// A gate that asks the resource manager's roles.
    pub fn new(front: Arc<arm::Front>, accounts: A) -> Self {
        Self { front, accounts }
    }
}

/// Below `Microsoft.ContainerRegistry/registries/`: the action that allows it, and the data action where repositories have
/// rights of their own; none where there is no such data action, so that the action counts in both modes. Nothing for what
/// everybody may who is known.
fn rights(action: Action) -> Option<(&'static str, Option<&'static str>)> {
    Some(match action {
        Action::Sign => return None,
        Action::List => ("pull/read", Some("catalog/read")),
        Action::Pull => ("pull/read", Some("repositories/content/read")),
        Action::ReadMetadata => ("pull/read", Some("repositories/metadata/read")),
        Action::Push => ("push/write", Some("repositories/content/write")),
        Action::WriteMetadata => ("push/write", Some("repositories/metadata/write")),
        Action::Delete => ("artifacts/delete", Some("repositories/content/delete")),
        Action::ReadDeleted => ("deleted/read", None),
        Action::Restore => ("deleted/restore/action", None),
    })
}

#[async_trait]
impl<A: Accounts> Gate for RoleGate<A> {
    async fn bearer(&self, token: &str) -> Option<Principal> {
        let audiences = AUDIENCES.map(str::to_owned);
        let caller = self.front.config().verifier.verify(token, &audiences).await.ok()?;
        Some(Principal { object_id: caller.object_id, name: caller.name })
    }

    async fn secret(&self, host: &str, name: &str, secret: &str) -> Option<Principal> {
        let resources = self.front.resources();
        if let Some(admin) = AdminUsers::of(resources).sign_in(resources, host, name, secret) {
            return Some(admin);
        }
        let now = self.front.config().clock.now();
        if let Some(token) = tokens::sign_in(resources, host, name, secret, now) {
            return Some(token);
        }
        let object_id = self.accounts.application(name, secret)?;
        Some(Principal { object_id, name: name.to_owned() })
    }

    async fn is_public(&self, repository: &str) -> bool {
        let resources = self.front.resources();
        let registry = registry_of(resources, repository).and_then(|id| resources.get(&id));
        registry.is_some_and(|registry| registry.properties["anonymousPullEnabled"] == json!(true))
    }

    async fn allows(&self, principal: &Principal, repository: &str, action: Action) -> bool {
        let resources = self.front.resources();
        if let Some(may) = is_admin(resources, principal, repository) {
            return may;
        }
        if let Some(may) = tokens::may(resources, principal, repository, action) {
            return may;
        }
        let Some((action, data_action)) = rights(action) else { return true };
        let registry = registry_of(resources, repository);
        let by_repository = registry.as_ref().and_then(|id| resources.get(id)).is_some_and(|registry| {
            registry.properties["roleAssignmentMode"].as_str().is_some_and(|mode| mode == BY_REPOSITORY)
        });
        let scope =
            registry.unwrap_or_else(|| ResourceId::of_subscription(&self.front.config().subscription_id));
        let full = |action: &str| format!("Microsoft.ContainerRegistry/registries/{action}");
        let groups = self.front.config().directory.groups_of(&principal.object_id);
        let access = self.front.access();
        match data_action.filter(|_| by_repository) {
            Some(data_action) => access.may_data(&principal.object_id, &groups, &full(data_action), &scope),
            None => access.principal_may(&principal.object_id, &groups, &full(action), &scope),
        }
    }

    fn soft_delete(&self, repository: &str) -> SoftDelete {
        let resources = self.front.resources();
        let registry = registry_of(resources, repository).and_then(|id| resources.get(&id));
        registry.map(|registry| SoftDelete::of(&registry)).unwrap_or_default()
    }

    /// What stands for the internet's public registries is open to machines; what belongs to a registry of the subscription
    /// is pulled with a role only.
    fn is_open_to(&self, connection: &Connection, repository: &str) -> bool {
        self.accounts.is_machine(connection) && registry_of(self.front.resources(), repository).is_none()
    }
}
