//! Key material: made, read, shown as JWK, used.
//!
//! The arithmetic is aws-lc's. Private keys are PKCS #8, in base64 where they are kept.

mod ec;
mod rsa;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub(crate) use ec::Curve;

/// Why something could not be done with a key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CryptoError {
    /// The caller's mistake, in words for the caller.
    #[error("{0}")]
    Refused(String),
    /// The library's or ours.
    #[error("the cryptographic library failed")]
    Failed,
}

impl CryptoError {
    pub(crate) fn refused(why: impl Into<String>) -> Self {
        Self::Refused(why.into())
    }
}

/// The kind of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Shape {
    /// With this many bits.
    Rsa(u32),
    /// On this curve.
    Ec(Curve),
}

/// A key that is to be made.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) shape: Shape,
    pub(crate) hsm: bool,
    /// None: all that the shape can.
    pub(crate) operations: Option<Vec<String>>,
}

/// A key with its private half.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Material {
    pub(crate) shape: Shape,
    pub(crate) hsm: bool,
    /// As JWK's `key_ops` spell them.
    pub(crate) operations: Vec<String>,
    pkcs8: String,
}

const RSA_OPERATIONS: [&str; 6] = ["encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"];
const EC_OPERATIONS: [&str; 2] = ["sign", "verify"];
/// Operations that only other key types or attested keys have, which a client may still name.
const OTHER_OPERATIONS: [&str; 3] = ["import", "export", "deriveKey"];

impl Shape {
    fn operations(self) -> &'static [&'static str] {
        match self {
            Shape::Rsa(_) => &RSA_OPERATIONS,
            Shape::Ec(_) => &EC_OPERATIONS,
        }
    }

    /// `RSA` or `EC`.
    pub(crate) fn family(self) -> &'static str {
        match self {
            Shape::Rsa(_) => "RSA",
            Shape::Ec(_) => "EC",
        }
    }
}

/// Splits `RSA-HSM` into the family and whether it is a hardware module's.
fn family(kty: &str) -> Result<(&'static str, bool), CryptoError> {
    match kty {
        "RSA" => Ok(("RSA", false)),
        "RSA-HSM" => Ok(("RSA", true)),
        "EC" => Ok(("EC", false)),
        "EC-HSM" => Ok(("EC", true)),
        "oct" | "oct-HSM" => Err(CryptoError::refused(format!(
            "The key type '{kty}' is not supported in a vault; symmetric keys need a managed HSM."
        ))),
        _ => Err(CryptoError::refused(format!("The key type '{kty}' is not supported."))),
    }
}

fn read_operations(shape: Shape, given: Option<&Value>) -> Result<Option<Vec<String>>, CryptoError> {
    let list = match given {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(CryptoError::refused("The property 'key_ops' must be a list.")),
    };
    let known = |text: &str| {
        shape.operations().iter().chain(&OTHER_OPERATIONS).find(|o| o.eq_ignore_ascii_case(text)).copied()
    };
    let one = |value: &Value| {
        value.as_str().and_then(known).map(str::to_owned).ok_or_else(|| {
            CryptoError::refused(format!(
                "The operation {value} is not one of a key of type {}.",
                shape.family()
            ))
        })
    };
    list.iter().map(one).collect::<Result<Vec<_>, _>>().map(Some)
}

impl Wish {
    /// Reads `kty`, `key_size`, `crv` and `key_ops` of a body.
    pub(crate) fn read(body: &Value) -> Result<Self, CryptoError> {
        let kty = body.get("kty").and_then(Value::as_str);
        let (family, hsm) =
            family(kty.ok_or_else(|| CryptoError::refused("The property 'kty' is required."))?)?;
        let shape = if family == "RSA" {
            let bits = match body.get("key_size") {
                None | Some(Value::Null) => 2048,
                Some(bits) => bits.as_u64().unwrap_or_default(),
            };
            match bits {
                2048 => Shape::Rsa(2048),
                3072 => Shape::Rsa(3072),
                4096 => Shape::Rsa(4096),
                bits => {
                    return Err(CryptoError::refused(format!(
                        "The key size {bits} is not supported: it is 2048, 3072 or 4096."
                    )));
                }
            }
        } else {
            let name = body.get("crv").and_then(Value::as_str).unwrap_or("P-256");
            Shape::Ec(Curve::of(name)?)
        };
        let operations = read_operations(shape, body.get("key_ops"))?;
        Ok(Self { shape, hsm, operations })
    }
}

impl Material {
    fn new(shape: Shape, hsm: bool, operations: Option<Vec<String>>, pkcs8: &[u8]) -> Self {
        let operations =
            operations.unwrap_or_else(|| shape.operations().iter().map(|o| (*o).to_owned()).collect());
        Self { shape, hsm, operations, pkcs8: STANDARD.encode(pkcs8) }
    }

    /// Makes a key. Takes its time with RSA.
    pub(crate) fn generate(wish: &Wish) -> Result<Self, CryptoError> {
        let pkcs8 = match wish.shape {
            Shape::Rsa(bits) => rsa::generate(bits)?,
            Shape::Ec(curve) => ec::generate(curve)?,
        };
        Ok(Self::new(wish.shape, wish.hsm, wish.operations.clone(), &pkcs8))
    }

    /// The wish for another key like this one.
    pub(crate) fn alike(&self) -> Wish {
        Wish { shape: self.shape, hsm: self.hsm, operations: Some(self.operations.clone()) }
    }

    /// Reads a private key given as JWK.
    pub(crate) fn import(jwk: &Value) -> Result<Self, CryptoError> {
        let kty = jwk.get("kty").and_then(Value::as_str);
        let (family, hsm) =
            family(kty.ok_or_else(|| CryptoError::refused("The property 'key.kty' is required."))?)?;
        let (shape, pkcs8) = if family == "RSA" {
            let (bits, pkcs8) = rsa::import(|name| member(jwk, name))?;
            (Shape::Rsa(bits), pkcs8)
        } else {
            let curve = Curve::of(jwk.get("crv").and_then(Value::as_str).unwrap_or_default())?;
            (Shape::Ec(curve), ec::import(curve, |name| member(jwk, name))?)
        };
        let operations = read_operations(shape, jwk.get("key_ops"))?;
        Ok(Self::new(shape, hsm, operations, &pkcs8))
    }

    /// Reads a private key in PKCS #8, PKCS #1 or SEC 1.
    pub(crate) fn read(der: &[u8]) -> Result<Self, CryptoError> {
        if let Some((bits, pkcs8)) = rsa::read(der) {
            return Ok(Self::new(Shape::Rsa(bits), false, None, &pkcs8));
        }
        for curve in Curve::ALL {
            if let Some(pkcs8) = ec::read(curve, der) {
                return Ok(Self::new(Shape::Ec(curve), false, None, &pkcs8));
            }
        }
        Err(CryptoError::refused("The private key is neither an RSA key nor one on a supported curve."))
    }

    /// The private key.
    pub(crate) fn pkcs8(&self) -> Result<Vec<u8>, CryptoError> {
        STANDARD.decode(&self.pkcs8).map_err(|_| CryptoError::Failed)
    }

    /// Takes `key_ops`.
    pub(crate) fn set_operations(&mut self, given: &Value) -> Result<(), CryptoError> {
        if let Some(operations) = read_operations(self.shape, Some(given))? {
            self.operations = operations;
        }
        Ok(())
    }

    /// The public half as certificates carry it: PKCS #1 for RSA, the uncompressed point for curves.
    pub(crate) fn public(&self) -> Result<Vec<u8>, CryptoError> {
        let pkcs8 = self.pkcs8()?;
        match self.shape {
            Shape::Rsa(_) => rsa::public(&pkcs8),
            Shape::Ec(curve) => ec::public(curve, &pkcs8),
        }
    }

    /// The public half as JWK, without `kid`.
    pub(crate) fn jwk(&self) -> Map<String, Value> {
        let mut jwk = Map::new();
        let suffix = if self.hsm { "-HSM" } else { "" };
        jwk.insert("kty".into(), json!(format!("{}{suffix}", self.shape.family())));
        jwk.insert("key_ops".into(), json!(self.operations));
        let mut put = |name: &str, bytes: &[u8]| {
            jwk.insert(name.to_owned(), json!(URL_SAFE_NO_PAD.encode(bytes)));
        };
        let Ok(pkcs8) = self.pkcs8() else { return jwk };
        match self.shape {
            Shape::Rsa(_) => {
                if let Ok((n, e)) = rsa::numbers(&pkcs8) {
                    put("n", &n);
                    put("e", &e);
                }
            }
            Shape::Ec(curve) => {
                if let Ok(point) = ec::public(curve, &pkcs8)
                    && let Some((x, y)) = point.get(1..).map(|xy| xy.split_at(xy.len() / 2))
                {
                    put("x", x);
                    put("y", y);
                }
                jwk.insert("crv".into(), json!(curve.name()));
            }
        }
        jwk
    }

    fn incompatible(&self, algorithm: &str) -> CryptoError {
        let of = if algorithm.starts_with("ES") { "EC" } else { "RSA" };
        let known = rsa::ENCRYPTION.contains(&algorithm)
            || rsa::SIGNATURES.contains(&algorithm)
            || Curve::ALL.iter().any(|curve| curve.algorithm() == algorithm);
        if !known {
            return CryptoError::refused(format!("The algorithm '{algorithm}' is not supported."));
        }
        CryptoError::refused(format!(
            "Key and algorithm are incompatible. The key is of type '{}', and algorithm '{algorithm}' can only be used with a key of type '{of}' or '{of}-HSM'.",
            self.shape.family()
        ))
    }

    /// Encrypts, or wraps: the same for an RSA key.
    pub(crate) fn encrypt(&self, algorithm: &str, plain: &[u8]) -> Result<Vec<u8>, CryptoError> {
        match self.shape {
            Shape::Rsa(_) if rsa::ENCRYPTION.contains(&algorithm) => {
                rsa::encrypt(&self.pkcs8()?, algorithm, plain)
            }
            _ => Err(self.incompatible(algorithm)),
        }
    }

    /// Decrypts, or unwraps.
    pub(crate) fn decrypt(&self, algorithm: &str, sealed: &[u8]) -> Result<Vec<u8>, CryptoError> {
        match self.shape {
            Shape::Rsa(_) if rsa::ENCRYPTION.contains(&algorithm) => {
                rsa::decrypt(&self.pkcs8()?, algorithm, sealed)
            }
            _ => Err(self.incompatible(algorithm)),
        }
    }

    /// Signs a digest.
    pub(crate) fn sign(&self, algorithm: &str, digest: &[u8]) -> Result<Vec<u8>, CryptoError> {
        match self.shape {
            Shape::Rsa(_) if rsa::SIGNATURES.contains(&algorithm) => {
                rsa::sign(&self.pkcs8()?, algorithm, digest)
            }
            Shape::Ec(curve) if curve.algorithm() == algorithm => ec::sign(curve, &self.pkcs8()?, digest),
            _ => Err(self.incompatible(algorithm)),
        }
    }

    /// Whether a signature is this key's over the digest.
    pub(crate) fn verify(
        &self,
        algorithm: &str,
        digest: &[u8],
        signature: &[u8],
    ) -> Result<bool, CryptoError> {
        match self.shape {
            Shape::Rsa(_) if rsa::SIGNATURES.contains(&algorithm) => {
                rsa::verify(&self.pkcs8()?, algorithm, digest, signature)
            }
            Shape::Ec(curve) if curve.algorithm() == algorithm => {
                ec::verify(curve, &self.pkcs8()?, digest, signature)
            }
            _ => Err(self.incompatible(algorithm)),
        }
    }
}

/// A number or point of a JWK.
fn member(jwk: &Value, name: &str) -> Result<Vec<u8>, CryptoError> {
    let text = jwk.get(name).and_then(Value::as_str);
    let text = text.ok_or_else(|| CryptoError::refused(format!("The property 'key.{name}' is required.")))?;
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| {
        CryptoError::refused(format!("The property 'key.{name}' is not encoded with base64url."))
    })
}

/// A digest as the library takes it.
fn digest(
    algorithm: &str,
    kind: &'static aws_lc_rs::digest::Algorithm,
    bytes: &[u8],
) -> Result<aws_lc_rs::digest::Digest, CryptoError> {
    aws_lc_rs::digest::Digest::import_less_safe(bytes, kind).map_err(|_| {
        CryptoError::refused(format!(
            "Invalid length of 'value': {} bytes. {algorithm} requires {} bytes, encoded with base64url.",
            bytes.len(),
            kind.output_len()
        ))
    })
}

#[cfg(test)]
mod tests;
