//! Service-account tokens: the keys, issuing (the TokenRequest API), verifying, and the discovery documents by which others verify.
//!
//! Tokens are JWTs bound to a service account and, if asked for, to a pod, node or secret; a token is valid as long
//! as what it is bound to exists with the same uid. Bound tokens are not stored; tokens of the old kind stand in Secrets, which
//! [`secrets`] fills and watches over.

mod discovery;
mod keys;
mod legacy;
mod request;
pub mod secrets;
mod verify;

use std::collections::HashMap;
use std::sync::Arc;

use jsonwebtoken::EncodingKey;
use kit::Clock;
use parking_lot::Mutex;
use serde_json::Value;

pub use keys::KeyError;
use keys::VerifyingKey;
pub use legacy::LegacyUse;
pub use request::Issued;
pub use verify::{Verified, VerifyError, service_account};

/// Tokens whose signature was verified are remembered, so that a client pays once; what they are bound to is looked at each time.
const REMEMBERED_MAX: usize = 4096;

/// How long tokens live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// Longer wishes are cut to this, in seconds (`--service-account-max-token-expiration`).
    pub longest_seconds: Option<i64>,
    /// Whether a pod's own token is good for a year although it says an hour, for clients that do not read it again
    /// (`--service-account-extend-token-expiration`).
    pub extends: bool,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self { longest_seconds: None, extends: true }
    }
}

/// Issues and verifies service-account tokens of one cluster.
pub struct ServiceAccountTokens {
    signer: EncodingKey,
    /// The first is the signer's.
    keys: Vec<VerifyingKey>,
    issuer: String,
    audiences: Vec<String>,
    lifetimes: Lifetimes,
    clock: Arc<dyn Clock>,
    remembered: Mutex<HashMap<[u8; 32], Arc<Value>>>,
    uses: Option<tokio::sync::mpsc::Sender<LegacyUse>>,
}

impl ServiceAccountTokens {
    /// With an RSA or P-256 private key in PEM. `audiences` are the API server's own; the issuer is always one of them.
    pub fn new(
        key_pem: &str,
        issuer: &str,
        audiences: &[&str],
        clock: Arc<dyn Clock>,
    ) -> Result<Self, KeyError> {
        let (signer, key) = keys::signing(key_pem)?;
        let mut own = vec![issuer.to_owned()];
        own.extend(audiences.iter().filter(|one| **one != issuer).map(|one| (*one).to_owned()));
        Ok(Self {
            signer,
            keys: vec![key],
            issuer: issuer.to_owned(),
            audiences: own,
            lifetimes: Lifetimes::default(),
            clock,
            remembered: Mutex::default(),
            uses: None,
        })
    }

    /// Accepts what other keys signed too: those that signed before a rotation.
    pub fn with_retired_keys(mut self, pems: &[String]) -> Result<Self, KeyError> {
        for pem in pems {
            let key = VerifyingKey::read(pem)?;
            if self.keys.iter().all(|known| known.id != key.id) {
                self.keys.push(key);
            }
        }
        Ok(self)
    }

    /// With limits for how long tokens live.
    pub fn with_lifetimes(mut self, lifetimes: Lifetimes) -> Self {
        self.lifetimes = lifetimes;
        self
    }

    /// Tells when a token that stands in a Secret was used; what does not fit the channel is forgotten.
    pub fn telling_uses(mut self, uses: tokio::sync::mpsc::Sender<LegacyUse>) -> Self {
        self.uses = Some(uses);
        self
    }

    /// What a token must be meant for to be accepted by this API server.
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// Who issues.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    fn now(&self) -> i64 {
        self.clock.now().as_second()
    }
}

#[cfg(test)]
mod tests;
