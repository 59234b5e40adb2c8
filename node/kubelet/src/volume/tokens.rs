//! Service-account tokens bound to a pod, asked for once and renewed after four fifths of their life.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, Client};
use parking_lot::Mutex;

use crate::pod::spec::Spec;

/// A token is renewed at the latest after this time.
const AGE_MAX: SignedDuration = SignedDuration::from_hours(24);

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    uid: String,
    audiences: Vec<String>,
    life_s: i64,
}

struct Held {
    text: String,
    refresh_at: Timestamp,
    expires_at: Timestamp,
}

/// A token.
pub struct Token {
    /// The token itself.
    pub text: String,
    /// When to ask for another.
    pub refresh_in: Duration,
}

/// Tokens by pod.
pub struct Tokens {
    client: Client,
    clock: Arc<dyn kit::Clock>,
    held: Mutex<HashMap<Key, Held>>,
}

impl Tokens {
    /// Holds none yet.
    pub fn new(client: Client, clock: Arc<dyn kit::Clock>) -> Self {
        Self { client, clock, held: Mutex::default() }
    }

    /// A token for the pod's service account. An error is a message for an event.
    pub async fn get(&self, spec: &Spec, audiences: Vec<String>, life_s: i64) -> Result<Token, String> {
        let key = Key { uid: spec.uid().to_owned(), audiences, life_s };
        let now = self.clock.now();
        let mut fallback = None;
        if let Some(held) = self.held.lock().get(&key) {
            if now < held.refresh_at {
                return Ok(token(held, now));
            }
            if now < held.expires_at {
                fallback = Some(Token { text: held.text.clone(), refresh_in: Duration::from_secs(30) });
            }
        }
        match self.ask(spec, &key).await {
            Ok(held) => {
                let answer = token(&held, now);
                self.held.lock().insert(key, held);
                Ok(answer)
            }
            Err(message) => fallback.ok_or(message),
        }
    }

    async fn ask(&self, spec: &Spec, key: &Key) -> Result<Held, String> {
        let account = spec
            .spec()
            .and_then(|pod| pod.service_account_name.clone())
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| "default".to_owned());
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: key.audiences.clone(),
                expiration_seconds: Some(key.life_s),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".into()),
                    kind: Some("Pod".into()),
                    name: Some(spec.name().into()),
                    uid: Some(spec.uid().into()),
                }),
            },
            ..TokenRequest::default()
        };
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), spec.namespace());
        let failed = |error: kube::Error| format!("failed to fetch token: {}", kit::Chain(&error));
        let answer =
            api.create_token_request(&account, &PostParams::default(), &request).await.map_err(failed)?;
        let status = answer.status.ok_or("failed to fetch token: the answer has no status")?;
        let now = self.clock.now();
        let expires_at = status.expiration_timestamp.0;
        let life = expires_at.duration_since(now);
        let wait = (life * 4 / 5).min(AGE_MAX).max(SignedDuration::from_secs(1));
        Ok(Held { text: status.token, refresh_at: now + wait, expires_at })
    }

    /// Forgets a pod's tokens.
    pub fn forget(&self, uid: &str) {
        self.held.lock().retain(|key, _| key.uid != uid);
    }
}

fn token(held: &Held, now: Timestamp) -> Token {
    let left = held.refresh_at.duration_since(now).max(SignedDuration::from_secs(1));
    Token { text: held.text.clone(), refresh_in: left.unsigned_abs() }
}
