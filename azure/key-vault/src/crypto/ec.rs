//! Keys on curves.

use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, SHA512};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P256K1_SHA256_FIXED,
    ECDSA_P256K1_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    EcdsaVerificationAlgorithm, KeyPair as _, UnparsedPublicKey,
};
use serde::{Deserialize, Serialize};

use super::CryptoError;

/// A curve that vaults know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Curve {
    P256,
    P384,
    P521,
    P256K,
}

impl Curve {
    pub(super) const ALL: [Curve; 4] = [Curve::P256, Curve::P384, Curve::P521, Curve::P256K];

    /// By its name in JWKs.
    pub(crate) fn of(name: &str) -> Result<Self, CryptoError> {
        Self::ALL.into_iter().find(|curve| curve.name() == name).ok_or_else(|| {
            CryptoError::refused(format!(
                "The curve '{name}' is not supported: it is P-256, P-384, P-521 or P-256K."
            ))
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Curve::P256 => "P-256",
            Curve::P384 => "P-384",
            Curve::P521 => "P-521",
            Curve::P256K => "P-256K",
        }
    }

    /// The one algorithm that its keys sign with.
    pub(super) fn algorithm(self) -> &'static str {
        match self {
            Curve::P256 => "ES256",
            Curve::P384 => "ES384",
            Curve::P521 => "ES512",
            Curve::P256K => "ES256K",
        }
    }

    /// Bytes of a coordinate.
    fn width(self) -> usize {
        match self {
            Curve::P256 | Curve::P256K => 32,
            Curve::P384 => 48,
            Curve::P521 => 66,
        }
    }

    fn signing(self) -> &'static EcdsaSigningAlgorithm {
        match self {
            Curve::P256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
            Curve::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
            Curve::P521 => &ECDSA_P521_SHA512_FIXED_SIGNING,
            Curve::P256K => &ECDSA_P256K1_SHA256_FIXED_SIGNING,
        }
    }

    fn verification(self) -> &'static EcdsaVerificationAlgorithm {
        match self {
            Curve::P256 => &ECDSA_P256_SHA256_FIXED,
            Curve::P384 => &ECDSA_P384_SHA384_FIXED,
            Curve::P521 => &ECDSA_P521_SHA512_FIXED,
            Curve::P256K => &ECDSA_P256K1_SHA256_FIXED,
        }
    }

    fn digest(self) -> &'static Algorithm {
        match self {
            Curve::P256 | Curve::P256K => &SHA256,
            Curve::P384 => &SHA384,
            Curve::P521 => &SHA512,
        }
    }
}

fn failed<E>(_: E) -> CryptoError {
    CryptoError::Failed
}

fn pair(curve: Curve, pkcs8: &[u8]) -> Result<EcdsaKeyPair, CryptoError> {
    EcdsaKeyPair::from_pkcs8(curve.signing(), pkcs8).map_err(failed)
}

fn encoded(pair: &EcdsaKeyPair) -> Result<Vec<u8>, CryptoError> {
    Ok(pair.to_pkcs8v1().map_err(failed)?.as_ref().to_vec())
}

pub(super) fn generate(curve: Curve) -> Result<Vec<u8>, CryptoError> {
    encoded(&EcdsaKeyPair::generate(curve.signing()).map_err(failed)?)
}

/// The key of a JWK's members; short numbers are filled up.
pub(super) fn import(
    curve: Curve,
    member: impl Fn(&str) -> Result<Vec<u8>, CryptoError>,
) -> Result<Vec<u8>, CryptoError> {
    let wrong = || CryptoError::refused("The numbers of the key do not fit each other or the curve.");
    let padded = |name: &str| -> Result<Vec<u8>, CryptoError> {
        let bytes = member(name)?;
        let missing = curve.width().checked_sub(bytes.len()).ok_or_else(wrong)?;
        Ok([vec![0; missing], bytes].concat())
    };
    let point = [vec![4], padded("x")?, padded("y")?].concat();
    let pair = EcdsaKeyPair::from_private_key_and_public_key(curve.signing(), &padded("d")?, &point)
        .map_err(|_| wrong())?;
    encoded(&pair)
}

/// A private key in PKCS #8 or SEC 1; none when it is not one on this curve.
pub(super) fn read(curve: Curve, der: &[u8]) -> Option<Vec<u8>> {
    let pair = EcdsaKeyPair::from_private_key_der(curve.signing(), der).ok()?;
    encoded(&pair).ok()
}

/// The uncompressed point.
pub(super) fn public(curve: Curve, pkcs8: &[u8]) -> Result<Vec<u8>, CryptoError> {
    Ok(pair(curve, pkcs8)?.public_key().as_ref().to_vec())
}

pub(super) fn sign(curve: Curve, pkcs8: &[u8], digest: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let digest = super::digest(curve.algorithm(), curve.digest(), digest)?;
    Ok(pair(curve, pkcs8)?.sign_digest(&digest).map_err(failed)?.as_ref().to_vec())
}

pub(super) fn verify(
    curve: Curve,
    pkcs8: &[u8],
    digest: &[u8],
    signature: &[u8],
) -> Result<bool, CryptoError> {
    let digest = super::digest(curve.algorithm(), curve.digest(), digest)?;
    let public = public(curve, pkcs8)?;
    Ok(UnparsedPublicKey::new(curve.verification(), public).verify_digest(&digest, signature).is_ok())
}
