//! RSA keys.

use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, SHA512};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{
    KeyPair, KeyPairComponents, KeySize, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm,
    OaepPrivateDecryptingKey, OaepPublicEncryptingKey, Pkcs1PrivateDecryptingKey, Pkcs1PublicEncryptingKey,
    PrivateDecryptingKey, PublicKeyComponents,
};
use aws_lc_rs::signature::{
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, UnparsedPublicKey,
    VerificationAlgorithm,
};

use super::CryptoError;

/// What encrypts and wraps.
pub(super) const ENCRYPTION: [&str; 3] = ["RSA-OAEP-256", "RSA-OAEP", "RSA1_5"];
/// What signs.
pub(super) const SIGNATURES: [&str; 6] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];

fn failed<E>(_: E) -> CryptoError {
    CryptoError::Failed
}

/// The service's own words for a ciphertext that does not open.
fn incorrect<E>(_: E) -> CryptoError {
    CryptoError::refused("The parameter is incorrect.\r\n")
}

fn pair(pkcs8: &[u8]) -> Result<KeyPair, CryptoError> {
    KeyPair::from_pkcs8(pkcs8).map_err(failed)
}

fn bits(pair: &KeyPair) -> Result<u32, CryptoError> {
    match pair.public_modulus_len() {
        256 => Ok(2048),
        384 => Ok(3072),
        512 => Ok(4096),
        bytes => Err(CryptoError::refused(format!(
            "The key size {} is not supported: it is 2048, 3072 or 4096.",
            bytes * 8
        ))),
    }
}

fn encoded(pair: &KeyPair) -> Result<Vec<u8>, CryptoError> {
    Ok(pair.as_der().map_err(failed)?.as_ref().to_vec())
}

pub(super) fn generate(bits: u32) -> Result<Vec<u8>, CryptoError> {
    let size = match bits {
        2048 => KeySize::Rsa2048,
        3072 => KeySize::Rsa3072,
        _ => KeySize::Rsa4096,
    };
    encoded(&KeyPair::generate(size).map_err(failed)?)
}

/// The key of a JWK's members.
pub(super) fn import(
    member: impl Fn(&str) -> Result<Vec<u8>, CryptoError>,
) -> Result<(u32, Vec<u8>), CryptoError> {
    let components = KeyPairComponents {
        public_key: PublicKeyComponents { n: member("n")?, e: member("e")? },
        d: member("d")?,
        p: member("p")?,
        q: member("q")?,
        dP: member("dp")?,
        dQ: member("dq")?,
        qInv: member("qi")?,
    };
    let pair = KeyPair::from_components(&components)
        .map_err(|_| CryptoError::refused("The numbers of the RSA key do not fit each other."))?;
    Ok((bits(&pair)?, encoded(&pair)?))
}

/// A private key in PKCS #8 or PKCS #1; none when it is no RSA key of a supported size.
pub(super) fn read(der: &[u8]) -> Option<(u32, Vec<u8>)> {
    let pair = KeyPair::from_pkcs8(der).or_else(|_| KeyPair::from_der(der)).ok()?;
    Some((bits(&pair).ok()?, encoded(&pair).ok()?))
}

/// The public key, PKCS #1.
pub(super) fn public(pkcs8: &[u8]) -> Result<Vec<u8>, CryptoError> {
    Ok(pair(pkcs8)?.public_key().as_ref().to_vec())
}

/// Modulus and exponent.
pub(super) fn numbers(pkcs8: &[u8]) -> Result<(Vec<u8>, Vec<u8>), CryptoError> {
    let pair = pair(pkcs8)?;
    let public = pair.public_key();
    let bytes = |number: aws_lc_rs::io::Positive<'_>| number.big_endian_without_leading_zero().to_vec();
    Ok((bytes(public.modulus()), bytes(public.exponent())))
}

fn oaep(algorithm: &str) -> Option<&'static OaepAlgorithm> {
    match algorithm {
        "RSA-OAEP" => Some(&OAEP_SHA1_MGF1SHA1),
        "RSA-OAEP-256" => Some(&OAEP_SHA256_MGF1SHA256),
        _ => None,
    }
}

pub(super) fn encrypt(pkcs8: &[u8], algorithm: &str, plain: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let key = PrivateDecryptingKey::from_pkcs8(pkcs8).map_err(failed)?.public_key();
    let mut out = vec![0; key.key_size_bytes()];
    let sealed = match oaep(algorithm) {
        Some(oaep) => {
            let key = OaepPublicEncryptingKey::new(key).map_err(failed)?;
            key.encrypt(oaep, plain, &mut out, None).map_err(incorrect)?.to_vec()
        }
        None => {
            let key = Pkcs1PublicEncryptingKey::new(key).map_err(failed)?;
            key.encrypt(plain, &mut out).map_err(incorrect)?.to_vec()
        }
    };
    Ok(sealed)
}

pub(super) fn decrypt(pkcs8: &[u8], algorithm: &str, sealed: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let key = PrivateDecryptingKey::from_pkcs8(pkcs8).map_err(failed)?;
    let mut out = vec![0; key.key_size_bytes()];
    let plain = match oaep(algorithm) {
        Some(oaep) => {
            let key = OaepPrivateDecryptingKey::new(key).map_err(failed)?;
            key.decrypt(oaep, sealed, &mut out, None).map_err(incorrect)?.to_vec()
        }
        None => {
            let key = Pkcs1PrivateDecryptingKey::new(key).map_err(failed)?;
            key.decrypt(sealed, &mut out).map_err(incorrect)?.to_vec()
        }
    };
    Ok(plain)
}

/// How an algorithm digests, signs and verifies.
type Scheme = (&'static Algorithm, &'static dyn RsaEncoding, &'static dyn VerificationAlgorithm);

fn scheme(algorithm: &str) -> Result<Scheme, CryptoError> {
    Ok(match algorithm {
        "RS256" => (&SHA256, &RSA_PKCS1_SHA256, &RSA_PKCS1_2048_8192_SHA256),
        "RS384" => (&SHA384, &RSA_PKCS1_SHA384, &RSA_PKCS1_2048_8192_SHA384),
        "RS512" => (&SHA512, &RSA_PKCS1_SHA512, &RSA_PKCS1_2048_8192_SHA512),
        "PS256" => (&SHA256, &RSA_PSS_SHA256, &RSA_PSS_2048_8192_SHA256),
        "PS384" => (&SHA384, &RSA_PSS_SHA384, &RSA_PSS_2048_8192_SHA384),
        "PS512" => (&SHA512, &RSA_PSS_SHA512, &RSA_PSS_2048_8192_SHA512),
        _ => return Err(CryptoError::Failed),
    })
}

pub(super) fn sign(pkcs8: &[u8], algorithm: &str, digest: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let (kind, encoding, _) = scheme(algorithm)?;
    let digest = super::digest(algorithm, kind, digest)?;
    let pair = pair(pkcs8)?;
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign_digest(encoding, &digest, &mut signature).map_err(failed)?;
    Ok(signature)
}

pub(super) fn verify(
    pkcs8: &[u8],
    algorithm: &str,
    digest: &[u8],
    signature: &[u8],
) -> Result<bool, CryptoError> {
    let (kind, _, verification) = scheme(algorithm)?;
    let digest = super::digest(algorithm, kind, digest)?;
    let public = public(pkcs8)?;
    Ok(UnparsedPublicKey::new(verification, public).verify_digest(&digest, signature).is_ok())
}
