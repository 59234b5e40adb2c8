//! Keys of service-account tokens: one signs, all verify.

use jsonwebtoken::jwk::{Jwk, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};

/// Why a signing key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Neither RSA nor P-256 in PEM.
    #[error("failed to read the service-account signing key")]
    Read(#[source] jsonwebtoken::errors::Error),
}

/// A key that verifies.
pub(super) struct VerifyingKey {
    pub id: String,
    pub algorithm: Algorithm,
    pub decoding: DecodingKey,
    /// As it is published.
    pub jwk: Jwk,
}

impl VerifyingKey {
    fn new(mut jwk: Jwk, algorithm: Algorithm) -> Result<Self, KeyError> {
        let id = jwk.thumbprint(ThumbprintHash::SHA256).map_err(KeyError::Read)?;
        jwk.common.key_id = Some(id.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        let decoding = DecodingKey::from_jwk(&jwk).map_err(KeyError::Read)?;
        Ok(Self { id, algorithm, decoding, jwk })
    }

    /// Of a private or a public key in PEM.
    pub fn read(pem: &str) -> Result<Self, KeyError> {
        if let Ok((_, key)) = signing(pem) {
            return Ok(key);
        }
        let bytes = pem.as_bytes();
        let (key, algorithm) = match DecodingKey::from_rsa_pem(bytes) {
            Ok(key) => (key, Algorithm::RS256),
            Err(_) => (DecodingKey::from_ec_pem(bytes).map_err(KeyError::Read)?, Algorithm::ES256),
        };
        let jwk = Jwk::from_decoding_key(&key, Some(algorithm)).map_err(KeyError::Read)?;
        Self::new(jwk, algorithm)
    }
}

/// The signing key of a private key in PEM, and how its signatures are verified.
pub(super) fn signing(pem: &str) -> Result<(EncodingKey, VerifyingKey), KeyError> {
    let bytes = pem.as_bytes();
    let (signer, algorithm) = match EncodingKey::from_rsa_pem(bytes) {
        Ok(key) => (key, Algorithm::RS256),
        Err(_) => (EncodingKey::from_ec_pem(bytes).map_err(KeyError::Read)?, Algorithm::ES256),
    };
    let jwk = Jwk::from_encoding_key(&signer, algorithm).map_err(KeyError::Read)?;
    Ok((signer, VerifyingKey::new(jwk, algorithm)?))
}
