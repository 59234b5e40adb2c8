//! Service-account tokens: the key, issuing (the TokenRequest API), verifying, and the discovery documents by which others verify.
//!
//! Tokens are JWTs bound to a service account and, if asked for, to a pod, node or secret; a token is valid as long
//! as what it is bound to exists with the same uid. Nothing is stored.

mod discovery;
mod request;
mod verify;

use std::sync::Arc;

use jsonwebtoken::jwk::{Jwk, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use kit::Clock;

pub use verify::{Verified, VerifyError, service_account};

/// Why a signing key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Neither RSA nor P-256 in PEM.
    #[error("failed to read the service-account signing key")]
    Read(#[source] jsonwebtoken::errors::Error),
}

/// Issues and verifies service-account tokens of one cluster.
pub struct ServiceAccountTokens {
    signer: EncodingKey,
    verifier: DecodingKey,
    algorithm: Algorithm,
    key_id: String,
    jwk: Jwk,
    issuer: String,
    audiences: Vec<String>,
    clock: Arc<dyn Clock>,
}

impl ServiceAccountTokens {
    /// With an RSA or P-256 private key in PEM. `audiences` are the API server's own; the issuer is always one of them.
    pub fn new(
        key_pem: &str,
        issuer: &str,
        audiences: &[&str],
        clock: Arc<dyn Clock>,
    ) -> Result<Self, KeyError> {
        let pem = key_pem.as_bytes();
        let (signer, algorithm) = match EncodingKey::from_rsa_pem(pem) {
            Ok(key) => (key, Algorithm::RS256),
            Err(_) => (EncodingKey::from_ec_pem(pem).map_err(KeyError::Read)?, Algorithm::ES256),
        };
        let mut jwk = Jwk::from_encoding_key(&signer, algorithm).map_err(KeyError::Read)?;
        let key_id = jwk.thumbprint(ThumbprintHash::SHA256).map_err(KeyError::Read)?;
        jwk.common.key_id = Some(key_id.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        let verifier = DecodingKey::from_jwk(&jwk).map_err(KeyError::Read)?;
        let mut own = vec![issuer.to_owned()];
        own.extend(audiences.iter().filter(|one| **one != issuer).map(|one| (*one).to_owned()));
        Ok(Self {
            signer,
            verifier,
            algorithm,
            key_id,
            jwk,
            issuer: issuer.to_owned(),
            audiences: own,
            clock,
        })
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
