//! Signing keys: RSA 2048, published as a JWKS, ready to be rotated.

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use serde_json::{Value, json};

use crate::entra::EntraError;
use crate::model::SigningKey;

/// A key ready for use.
#[derive(Clone)]
pub(crate) struct Key {
    pub kid: String,
    encoding: EncodingKey,
    pub decoding: DecodingKey,
    modulus: String,
    exponent: String,
}

impl Key {
    pub(crate) fn load(stored: &SigningKey) -> Result<Self, EntraError> {
        let encoding = EncodingKey::from_rsa_pem(stored.pem.as_bytes()).map_err(EntraError::Key)?;
        let jwk = Jwk::from_encoding_key(&encoding, Algorithm::RS256).map_err(EntraError::Key)?;
        let AlgorithmParameters::RSA(parameters) = jwk.algorithm else { return Err(EntraError::NotRsa) };
        let decoding =
            DecodingKey::from_rsa_components(&parameters.n, &parameters.e).map_err(EntraError::Key)?;
        Ok(Self {
            kid: stored.kid.clone(),
            encoding,
            decoding,
            modulus: parameters.n,
            exponent: parameters.e,
        })
    }

    /// Signs claims.
    pub(crate) fn sign(&self, claims: &Value) -> Result<String, EntraError> {
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(self.kid.clone());
        header.x5t = Some(self.kid.clone());
        jsonwebtoken::encode(&header, claims, &self.encoding).map_err(EntraError::Key)
    }

    /// As the JWKS shows it.
    pub(crate) fn public(&self, issuer: &str) -> Value {
        json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid, "x5t": self.kid, "n": self.modulus, "e": self.exponent, "issuer": issuer})
    }
}

/// After so many days a key is followed by another. Entra rolls its own every few weeks.
const ROTATE_AFTER_DAYS: i64 = 42;
/// The longest that a token is valid, and a little for clocks that differ.
const KEPT_S: i64 = crate::claims::MANAGED_S + 600;

fn age_s(key: &SigningKey, now: jiff::Timestamp) -> i64 {
    let made = key.created.parse::<jiff::Timestamp>().unwrap_or(now);
    now.as_second().saturating_sub(made.as_second())
}

/// Whether a key has signed long enough.
pub(crate) fn is_due(key: &SigningKey, now: jiff::Timestamp) -> bool {
    age_s(key, now) >= ROTATE_AFTER_DAYS * 24 * 3_600
}

/// Forgets the keys that nothing valid is signed by: those whose successor is older than a token can be.
pub(crate) fn forget_old(keys: &mut Vec<SigningKey>, now: jiff::Timestamp) {
    let outlived = keys.iter().position(|successor| age_s(successor, now) > KEPT_S);
    if let Some(index) = outlived {
        keys.truncate(index + 1);
    }
}

/// A new key.
pub(crate) fn make(now: jiff::Timestamp) -> Result<SigningKey, EntraError> {
    let pem = kit::pki::rsa_key_pem().map_err(EntraError::Pki)?;
    Ok(SigningKey { kid: crate::secrets::random(20), pem, created: now.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stays_as_long_as_a_token_of_it_may_be_valid() {
        let key = |created: &str| SigningKey {
            kid: created.to_owned(),
            pem: String::new(),
            created: created.to_owned(),
        };
        let now: jiff::Timestamp = "2026-03-10T00:00:00Z".parse().unwrap();
        for (created, kept) in [
            (vec!["2026-03-10T00:00:00Z", "2026-03-09T12:00:00Z", "2026-01-01T00:00:00Z"], 3),
            (vec!["2026-03-10T00:00:00Z", "2026-03-08T12:00:00Z", "2026-01-01T00:00:00Z"], 2),
            (vec!["2026-01-01T00:00:00Z"], 1),
        ] {
            let mut keys: Vec<SigningKey> = created.into_iter().map(key).collect();
            forget_old(&mut keys, now);
            assert_eq!(keys.len(), kept);
        }
        assert!(is_due(&key("2026-01-01T00:00:00Z"), now));
        assert!(!is_due(&key("2026-03-01T00:00:00Z"), now));
    }
}
