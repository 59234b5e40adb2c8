//! The admin user of a registry: a name and two passwords that may do everything in it, while it is enabled.

use arm::{ArmError, Resource, Resources, Table};
use base64::Engine;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::auth::Principal;
use super::registries::registry_of;

/// Characters of a password.
const PASSWORD_LENGTH: usize = 52;
/// How the admin user's object id begins; no directory has such ids.
const PREFIX: &str = "registry-admin:";

#[derive(Serialize, Deserialize)]
struct Passwords {
    password: String,
    password2: String,
}

/// The admin users of all registries.
pub struct AdminUsers {
    table: Table,
}

/// A new password.
pub(super) fn made() -> String {
    let bytes: Vec<u8> = (0..3).flat_map(|_| *uuid::Uuid::new_v4().as_bytes()).collect();
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '7' }).take(PASSWORD_LENGTH).collect()
}

fn enabled(registry: &Resource) -> bool {
    registry.properties["adminUserEnabled"] == json!(true)
}

fn disabled(registry: &Resource) -> ArmError {
    ArmError::bad_request(
        "UnauthorizedForCredentialOperations",
        format!(
            "Cannot perform credential operations for {} as admin user is disabled. Kindly enable admin user as per docs: https://docs.microsoft.com/en-us/azure/container-registry/container-registry-authentication#admin-account",
            registry.id
        ),
    )
}

impl AdminUsers {
    /// Those of the registries among these resources.
    pub fn of(resources: &Resources) -> Self {
        Self { table: resources.table("registry-credentials") }
    }

    async fn passwords(&self, registry: &Resource) -> Result<Passwords, ArmError> {
        if let Some(kept) = self.table.get::<Passwords>(registry.id.key())? {
            return Ok(kept);
        }
        let new = Passwords { password: made(), password2: made() };
        self.table.put(registry.id.key(), &new).await?;
        Ok(new)
    }

    fn shown(registry: &Resource, passwords: &Passwords) -> Value {
        json!({"username": registry.name, "passwords": [
            {"name": "password", "value": passwords.password}, {"name": "password2", "value": passwords.password2}]})
    }

    /// `listCredentials`.
    pub(super) async fn list(&self, registry: &Resource) -> Result<Value, ArmError> {
        if !enabled(registry) {
            return Err(disabled(registry));
        }
        Ok(Self::shown(registry, &self.passwords(registry).await?))
    }

    /// `regenerateCredential`.
    pub(super) async fn renew(&self, registry: &Resource, body: &Value) -> Result<Value, ArmError> {
        if !enabled(registry) {
            return Err(disabled(registry));
        }
        let mut passwords = self.passwords(registry).await?;
        match body["name"].as_str() {
            Some("password") => passwords.password = made(),
            Some("password2") => passwords.password2 = made(),
            other => {
                return Err(ArmError::invalid_parameter(
                    "name",
                    format!(
                        "The password name '{}' is not valid: it is 'password' or 'password2'.",
                        other.unwrap_or("")
                    ),
                ));
            }
        }
        self.table.put(registry.id.key(), &passwords).await?;
        Ok(Self::shown(registry, &passwords))
    }

    /// Forgets those of a registry that goes.
    pub(super) async fn forget(&self, registry: &Resource) -> Result<(), ArmError> {
        Ok(self.table.remove(registry.id.key()).await?)
    }

    /// The admin user of the registry at `host`, if these are its name and one of its passwords.
    pub fn sign_in(
        &self,
        resources: &Resources,
        host: &str,
        name: &str,
        password: &str,
    ) -> Option<Principal> {
        let registry = resources.get(&registry_of(resources, host)?)?;
        if !enabled(&registry) || !registry.name.eq_ignore_ascii_case(name) {
            return None;
        }
        let kept = self.table.get::<Passwords>(registry.id.key()).ok()??;
        // Equal lengths, so that the comparison takes the same time wherever they differ.
        let same = |one: &str| {
            one.len() == password.len()
                && one.bytes().zip(password.bytes()).fold(0, |all, (a, b)| all | (a ^ b)) == 0
        };
        (same(&kept.password) | same(&kept.password2))
            .then(|| Principal { object_id: format!("{PREFIX}{}", registry.id.key()), name: name.to_owned() })
    }
}

/// Whether somebody is the admin user of the registry that has a repository, and still may be; none for everybody who is
/// no admin user.
pub fn is_admin(resources: &Resources, principal: &Principal, repository: &str) -> Option<bool> {
    let key = principal.object_id.strip_prefix(PREFIX)?;
    let registry = registry_of(resources, repository).filter(|id| id.key() == key);
    Some(registry.and_then(|id| resources.get(&id)).is_some_and(|registry| enabled(&registry)))
}
