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

/// A new key.
pub(crate) fn make(now: jiff::Timestamp) -> Result<SigningKey, EntraError> {
    let pem = kit::pki::rsa_key_pem().map_err(EntraError::Pki)?;
    Ok(SigningKey { kid: crate::secrets::random(20), pem, created: now.to_string() })
}
