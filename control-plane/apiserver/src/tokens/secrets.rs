//! Secrets of type `kubernetes.io/service-account-token`: filled with a token when they come to be, removed with their account, and
//! labelled with the day their token was last used.
//!
//! Upstream does this in its controller manager; here the signing key never leaves the API server. Follows the caches; polls nothing.

use std::sync::Arc;

use api_model::selector::FieldSelector;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{LegacyUse, ServiceAccountTokens, legacy};
use crate::attributes::{ApiError, Objects, UserInfo, text};
use crate::handlers::options::{DeleteOptions, WriteOptions};
use crate::registry::manage::Who;
use crate::registry::modify::Modify;
use crate::registry::{Registry, Target};
use crate::watch::{Filter, Kind, Start, Subscription};

const TYPE_SELECTOR: &str = "type=kubernetes.io/service-account-token";
const ACCOUNT_NAME: &str = "/metadata/annotations/kubernetes.io~1service-account.name";
const ACCOUNT_UID: &str = "/metadata/annotations/kubernetes.io~1service-account.uid";
const MANAGER: &str = "kube-controller-manager";
/// Uses of tokens that wait to be noted at most.
pub const USES_MAX: usize = 256;

/// Keeps the Secrets of one cluster.
pub struct SecretKeeper {
    registry: Arc<Registry>,
    tokens: Arc<ServiceAccountTokens>,
    authority_pem: String,
    user: Arc<UserInfo>,
}

/// What is to be done about a Secret.
#[derive(Debug, PartialEq)]
enum Deed {
    Nothing,
    /// Its account is not there, or is another.
    Remove,
    /// It lacks what its account's pods read from it.
    Fill {
        uid: String,
    },
}

fn filter() -> Filter {
    Filter { fields: FieldSelector::parse(TYPE_SELECTOR).ok(), ..Filter::default() }
}

impl SecretKeeper {
    /// Follows the cluster until `tasks` stop. `uses` are the tokens that were used.
    pub fn start(
        registry: Arc<Registry>,
        tokens: Arc<ServiceAccountTokens>,
        authority_pem: &str,
        uses: mpsc::Receiver<LegacyUse>,
        tasks: &kit::Tasks,
    ) {
        let user = Arc::new(UserInfo::new(
            "system:serviceaccount:kube-system:tokens-controller",
            &["system:masters"],
        ));
        let keeper = Self { registry, tokens, authority_pem: authority_pem.to_owned(), user };
        tasks.spawn("service-account-secrets", async move { keeper.follow(uses).await });
    }

    fn subscribe(&self, name: &str, filter: Filter) -> Option<Subscription> {
        let hub = &self.registry.hub;
        hub.cache(name).subscribe(filter, Start::Snapshot, hub.progress()).ok()
    }

    async fn follow(&self, mut uses: mpsc::Receiver<LegacyUse>) {
        loop {
            let secrets = self.subscribe("core/secrets", filter());
            let accounts = self.subscribe("core/serviceaccounts", Filter::default());
            let (Some(mut secrets), Some(mut accounts)) = (secrets, accounts) else { return };
            loop {
                tokio::select! {
                    change = secrets.next() => match change {
                        Some((Kind::Deleted, _)) => {}
                        Some((_, change)) => {
                            if let Some(entry) = &change.now {
                                self.keep(&entry.value()).await;
                            }
                        }
                        // It fell behind: begin anew with what is there.
                        None => break,
                    },
                    change = accounts.next() => match change {
                        Some((kind, change)) => {
                            let entry = change.now.as_ref().or(change.before.as_ref());
                            if let Some(entry) = entry.filter(|_| kind != Kind::Modified) {
                                self.keep_all_of(entry.namespace(), entry.name()).await;
                            }
                        }
                        None => break,
                    },
                    Some(used) = uses.recv() => self.note(&used).await,
                }
            }
        }
    }

    /// Looks at the Secrets of an account that came or went.
    async fn keep_all_of(&self, namespace: &str, account: &str) {
        let filter = Filter { namespace: Some(namespace.to_owned()), ..filter() };
        let (page, _) = self.registry.hub.cache("core/secrets").list(&filter, None, 0);
        for entry in page.entries {
            let secret = entry.value();
            if text(&secret, ACCOUNT_NAME) == account {
                self.keep(&secret).await;
            }
        }
    }

    fn judge(&self, secret: &Value) -> Deed {
        let namespace = text(secret, "/metadata/namespace");
        let wanted = text(secret, ACCOUNT_NAME);
        if wanted.is_empty() || !text(secret, "/metadata/deletionTimestamp").is_empty() {
            return Deed::Nothing;
        }
        let account = Objects::get(&*self.registry, "", "serviceaccounts", namespace, wanted);
        let uid = account.as_deref().map(|account| text(account, "/metadata/uid")).unwrap_or_default();
        let named = text(secret, ACCOUNT_UID);
        match (uid, named) {
            ("", _) => Deed::Remove,
            (uid, named) if !named.is_empty() && uid != named => Deed::Remove,
            (uid, named) => {
                let has = |field: &str| secret.pointer("/data").and_then(|data| data.get(field)).is_some();
                let complete = uid == named && has("token") && has("ca.crt") && has("namespace");
                if complete { Deed::Nothing } else { Deed::Fill { uid: uid.to_owned() } }
            }
        }
    }

    async fn keep(&self, secret: &Value) {
        let (namespace, name) = (text(secret, "/metadata/namespace"), text(secret, "/metadata/name"));
        let done = match self.judge(secret) {
            Deed::Nothing => return,
            Deed::Remove => self.remove(secret).await,
            Deed::Fill { uid } => self.fill(namespace, name, &uid).await,
        };
        if let Err(error) = done
            && error.code != 404
        {
            tracing::warn!(namespace, secret = name, %error, "failed to keep a service-account token's secret");
        }
    }

    fn target(&self, namespace: &str, name: &str) -> Result<Target, ApiError> {
        let served = self.registry.served("", "secrets").ok_or_else(ApiError::no_such_path)?;
        Ok(Target::new(served, namespace, name, self.user.clone()))
    }

    async fn remove(&self, secret: &Value) -> Result<(), ApiError> {
        let target = self.target(text(secret, "/metadata/namespace"), text(secret, "/metadata/name"))?;
        let uid = Some(text(secret, "/metadata/uid").to_owned());
        let options = DeleteOptions { uid, ..DeleteOptions::default() };
        self.registry.delete(&target, &options).await.map(drop)
    }

    async fn fill(&self, namespace: &str, name: &str, uid: &str) -> Result<(), ApiError> {
        self.change(namespace, name, &mut |secret| {
            let mut secret = secret.clone();
            let account = text(&secret, ACCOUNT_NAME).to_owned();
            secret["metadata"]["annotations"]["kubernetes.io/service-account.uid"] = json!(uid);
            let mut data = secret["data"].take().as_object().cloned().unwrap_or_default();
            let mut fields =
                vec![("ca.crt", self.authority_pem.clone()), ("namespace", namespace.to_owned())];
            if !data.contains_key("token") {
                fields.push(("token", self.tokens.legacy_token(namespace, (&account, uid), name)?));
            }
            for (field, value) in fields {
                if !data.contains_key(field) {
                    data.insert(field.to_owned(), json!(STANDARD.encode(value)));
                }
            }
            secret["data"] = Value::Object(data);
            Ok(secret)
        })
        .await
    }

    /// Writes down the day a token was used.
    async fn note(&self, used: &LegacyUse) {
        let change = &mut |secret: &Value| {
            let mut secret = secret.clone();
            let mut labels = secret["metadata"]["labels"].take();
            if !labels.is_object() {
                labels = json!({});
            }
            labels[legacy::LAST_USED] = json!(used.day);
            secret["metadata"]["labels"] = labels;
            Ok(secret)
        };
        if let Err(error) = self.change(&used.namespace, &used.secret, change).await
            && error.code != 404
        {
            tracing::warn!(namespace = used.namespace, secret = used.secret, %error, "failed to note the use of a token");
        }
    }

    async fn change(
        &self,
        namespace: &str,
        name: &str,
        change: &mut crate::registry::modify::Change<'_>,
    ) -> Result<(), ApiError> {
        let target = self.target(namespace, name)?;
        let options = WriteOptions::internal(MANAGER);
        let who = Who::updates(MANAGER, "");
        let modify = Modify { target: &target, options: &options, who: &who, checked: true };
        self.registry.modify(&modify, change).await.map(drop)
    }
}
