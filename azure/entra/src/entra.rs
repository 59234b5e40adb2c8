//! The directory as a value.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use jsonwebtoken::jwk::JwkSet;
use kit::http::BoxService;
use kit::{Clock, Tasks};
use parking_lot::RwLock;

use crate::keys::{self, Key};
use crate::live::Live;
use crate::model::Tenant;
use crate::resources;
use crate::store::{self, Store};

/// How often the age of the signing key is looked at.
const ROTATION_CHECK: Duration = Duration::from_secs(3_600);

/// Finds the keys of foreign issuers, for federated credentials.
#[async_trait]
pub trait IssuerKeys: Send + Sync + 'static {
    /// The keys of `issuer`; `None` when it cannot be reached or is not known.
    async fn keys(&self, issuer: &str) -> Option<JwkSet>;
}

/// Knows no issuer.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoIssuers;

#[async_trait]
impl IssuerKeys for NoIssuers {
    async fn keys(&self, _: &str) -> Option<JwkSet> {
        None
    }
}

/// What the directory is opened with.
#[derive(Clone)]
pub struct Config {
    /// Where `entra.redb` lives.
    pub state_dir: PathBuf,
    /// Names (without port) that this cloud's front door goes by; tokens may be asked for `https://<name>[:port]/`.
    pub hosts: Vec<String>,
    /// Now.
    pub clock: Arc<dyn Clock>,
    /// Keys of foreign issuers.
    pub issuers: Arc<dyn IssuerKeys>,
}

/// The directory failed.
#[derive(Debug, thiserror::Error)]
pub enum EntraError {
    /// The file.
    #[error("the directory's file failed")]
    Database(#[source] Box<redb::Error>),
    /// A stored object is not what it should be.
    #[error("failed to decode `{key}`")]
    Decode {
        /// Which.
        key: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A file could not be prepared.
    #[error("failed to prepare the directory's file")]
    Files(#[from] kit::files::FileError),
    /// The writing task did not come back.
    #[error("the writing task was cancelled")]
    Cancelled,
    /// A signing key cannot be used.
    #[error("failed to use a signing key")]
    Key(#[source] jsonwebtoken::errors::Error),
    /// The stored key is of another kind.
    #[error("the signing key is not an RSA key")]
    NotRsa,
    /// A key could not be made.
    #[error("failed to make a key")]
    Pki(#[source] kit::pki::PkiError),
    /// There is no such object.
    #[error("object `{id}` is not in the directory")]
    NotFound {
        /// Which.
        id: String,
    },
    /// The object is there already.
    #[error("`{what}` is taken")]
    Taken {
        /// What.
        what: String,
    },
}

/// The directory. Shared; see the crate's documentation.
pub struct Entra {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) keys: RwLock<Arc<Vec<Key>>>,
    pub(crate) live: Live,
}

impl Entra {
    /// Opens the directory; the first time it makes the tenant and its key.
    pub async fn open(config: Config, tasks: &Tasks) -> Result<Arc<Self>, EntraError> {
        let store = Store::open(&config.state_dir.join("entra.redb"))?;
        let now = config.clock.now();
        store
            .change(|state| {
                if state.tenant.is_some() {
                    return Ok(((), Vec::new()));
                }
                let tenant_id = uuid::Uuid::new_v4().to_string();
                let tenant = Tenant {
                    domain: format!("lazurite{}.onmicrosoft.com", &tenant_id[..8]),
                    tenant_id,
                    subscription_id: uuid::Uuid::new_v4().to_string(),
                    keys: vec![keys::make(now)?],
                    bootstrap: None,
                };
                Ok(((), vec![store::put("tenant", "-", &tenant)?]))
            })
            .await?;
        store.change(|state| Ok(((), resources::missing_first_party(state, &now.to_string())?))).await?;
        let entra = Arc::new(Self { config, store, keys: RwLock::default(), live: Live::default() });
        entra.load_keys()?;
        tasks.spawn("signing keys", rotate_when_due(Arc::downgrade(&entra)));
        Ok(entra)
    }

    fn load_keys(&self) -> Result<(), EntraError> {
        let loaded = self.tenant().keys.iter().map(Key::load).collect::<Result<Vec<_>, _>>()?;
        *self.keys.write() = Arc::new(loaded);
        Ok(())
    }

    /// Makes a new signing key. Older ones stay published until nothing that they signed is valid.
    pub async fn rotate_key(&self) -> Result<(), EntraError> {
        let now = self.now();
        let made = keys::make(now)?;
        self.store
            .change(|state| {
                let mut tenant = tenant_of(state);
                tenant.keys.insert(0, made);
                keys::forget_old(&mut tenant.keys, now);
                Ok(((), vec![store::put("tenant", "-", &tenant)?]))
            })
            .await?;
        self.load_keys()
    }

    pub(crate) fn tenant(&self) -> Tenant {
        tenant_of(&self.store.state.read())
    }

    pub(crate) fn now(&self) -> jiff::Timestamp {
        self.config.clock.now()
    }

    /// Object ids of all groups a principal is in, through others included.
    pub fn groups_of(&self, object_id: &str) -> Vec<String> {
        self.store.state.read().groups_of(object_id)
    }

    /// The tenant's id.
    pub fn tenant_id(&self) -> String {
        self.tenant().tenant_id
    }

    /// The tenant's domain.
    pub fn domain(&self) -> String {
        self.tenant().domain
    }

    /// The id of the tenant's one subscription.
    pub fn subscription_id(&self) -> String {
        self.tenant().subscription_id
    }

    /// The issuer in access tokens: `https://sts.windows.net/<tenant>/`.
    pub fn issuer(&self) -> String {
        format!("https://sts.windows.net/{}/", self.tenant_id())
    }

    /// Answers for the hosts of sign-in and of Graph.
    pub fn service(self: &Arc<Self>) -> BoxService {
        Arc::new(crate::service::Door(self.clone()))
    }

    /// Whether a path is one of this service's, for hosts that serve the resource manager as well
    /// (`https://localhost:8443`).
    pub fn owns_path(&self, path: &str) -> bool {
        let words: Vec<String> =
            path.split('/').filter(|s| !s.is_empty()).map(str::to_ascii_lowercase).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        matches!(
            words[..],
            ["v1.0" | "beta", ..]
                | ["devicelogin"]
                | ["common", "userrealm", ..]
                | ["common", "discovery", ..]
                | [_, "oauth2", ..]
                | [_, "v2.0", ".well-known", _]
                | [_, ".well-known", _]
                | [_, "discovery", ..]
                | ["lazurite", "signin", ..]
        ) && !matches!(words[..], ["subscriptions" | "providers" | "metadata", ..])
    }
}

/// Looks now and then whether the signing key is old enough to be followed by another.
async fn rotate_when_due(entra: Weak<Entra>) {
    loop {
        tokio::time::sleep(ROTATION_CHECK).await;
        let Some(entra) = entra.upgrade() else { return };
        if !entra.tenant().keys.first().is_some_and(|key| keys::is_due(key, entra.now())) {
            continue;
        }
        if let Err(error) = entra.rotate_key().await {
            tracing::error!(error = %kit::Chain(&error), "failed to make a new signing key");
        }
    }
}

pub(crate) fn tenant_of(state: &store::State) -> Tenant {
    // `open` has made it before anybody can ask.
    state.tenant.clone().unwrap_or_else(|| Tenant {
        tenant_id: String::new(),
        domain: String::new(),
        subscription_id: String::new(),
        keys: Vec::new(),
        bootstrap: None,
    })
}
