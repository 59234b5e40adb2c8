//! The first service principal: what the command line signs in with.

use serde_json::Map;

use crate::entra::{Entra, EntraError, tenant_of};
use crate::model::{Application, PrincipalKind, Secret, ServicePrincipal, User};
use crate::{secrets, store};

/// The credential of the first service principal. Shown once; write it to a file only its owner can read.
#[derive(Clone)]
pub struct Bootstrap {
    /// Application id: `az login --service-principal -u`.
    pub app_id: String,
    /// Object id: what the first role is assigned to.
    pub object_id: String,
    /// The secret: `-p`.
    pub secret: String,
}

impl Entra {
    /// Makes the first service principal (an administrator of the directory) and answers its credential; `None` when it
    /// was made before.
    pub async fn bootstrap(&self, name: &str) -> Result<Option<Bootstrap>, EntraError> {
        let secret = secrets::client_secret();
        let (kept, now) = (self.new_secret(&secret, Some("bootstrap"), 10), self.now().to_string());
        let made = self
            .store
            .change(|state| {
                let mut tenant = tenant_of(state);
                if tenant.bootstrap.is_some() {
                    return Ok((None, Vec::new()));
                }
                let app_id = uuid::Uuid::new_v4().to_string();
                let app = Application {
                    id: uuid::Uuid::new_v4().to_string(),
                    app_id: app_id.clone(),
                    name: name.to_owned(),
                    identifier_uris: Vec::new(),
                    created: now.clone(),
                    secrets: vec![kept],
                    certificates: Vec::new(),
                    federated: Vec::new(),
                    owners: Vec::new(),
                    extra: Map::new(),
                };
                let principal = ServicePrincipal {
                    id: uuid::Uuid::new_v4().to_string(),
                    app_id: app_id.clone(),
                    name: name.to_owned(),
                    kind: PrincipalKind::Application,
                    resource_id: None,
                    created: now.clone(),
                    enabled: true,
                    federated: Vec::new(),
                    secrets: Vec::new(),
                    certificates: Vec::new(),
                    owners: Vec::new(),
                    admin: true,
                    extra: Map::new(),
                };
                tenant.bootstrap = Some(principal.id.clone());
                let changes = vec![
                    store::put("app", &app.id, &app)?,
                    store::put("sp", &principal.id, &principal)?,
                    store::put("tenant", "-", &tenant)?,
                ];
                Ok((Some((app_id, principal.id)), changes))
            })
            .await?;
        Ok(made.map(|(app_id, object_id)| Bootstrap { app_id, object_id, secret }))
    }

    /// The object id of the first service principal, once it is made.
    pub fn bootstrap_principal(&self) -> Option<String> {
        self.tenant().bootstrap
    }

    /// A new secret for the first service principal, in place of one that was lost. The old ones end.
    pub async fn reset_bootstrap(&self) -> Result<Bootstrap, EntraError> {
        let secret = secrets::client_secret();
        let kept = self.new_secret(&secret, Some("bootstrap"), 10);
        self.store
            .change(|state| {
                let missing = || EntraError::NotFound { id: "bootstrap".to_owned() };
                let id = tenant_of(state).bootstrap.ok_or_else(missing)?;
                let principal = state.principals.get(&id).ok_or_else(missing)?;
                let mut app = state.application_of(&principal.app_id).ok_or_else(missing)?.clone();
                app.secrets = vec![kept];
                let made = Bootstrap { app_id: app.app_id.clone(), object_id: id, secret };
                Ok((made, vec![store::put("app", &app.id, &app)?]))
            })
            .await
    }

    pub(crate) fn new_secret(&self, secret: &str, name: Option<&str>, years: i64) -> Secret {
        let now = self.now();
        let end = now.checked_add(jiff::SignedDuration::from_hours(24 * 365 * years)).unwrap_or(now);
        Secret {
            key_id: uuid::Uuid::new_v4().to_string(),
            hash: secrets::hash(secret),
            hint: secret.chars().take(3).collect(),
            name: name.map(str::to_owned),
            start: now.to_string(),
            end: end.to_string(),
        }
    }

    /// Makes a user who can sign in. `upn` without a domain gets the tenant's.
    pub async fn create_user(
        &self,
        upn: &str,
        name: &str,
        password: &str,
        admin: bool,
    ) -> Result<String, EntraError> {
        let domain = self.domain();
        let upn = if upn.contains('@') { upn.to_owned() } else { format!("{upn}@{domain}") };
        let (password, now) = (password.to_owned(), self.now().to_string());
        let hash = tokio::task::spawn_blocking(move || secrets::hash_password(&password))
            .await
            .map_err(|_| EntraError::Cancelled)?;
        self.store
            .change(|state| {
                if state.user(&upn).is_some() {
                    return Err(EntraError::Taken { what: upn });
                }
                let user = User {
                    id: uuid::Uuid::new_v4().to_string(),
                    upn,
                    name: name.to_owned(),
                    password: hash,
                    enabled: true,
                    created: now,
                    admin,
                    sessions_from: 0,
                    extra: Map::new(),
                };
                Ok((user.id.clone(), vec![store::put("user", &user.id, &user)?]))
            })
            .await
    }
}
