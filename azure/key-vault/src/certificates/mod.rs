//! Certificates: policies, self-signed ones, requests for others to sign, PFX and PEM.

mod files;
mod policy;
mod x509;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

pub(crate) use files::{read, write};
pub(crate) use policy::{
    derived, exportable, issuer, key_wish, merged, normal, reuses_key, secret_type, shown,
};
pub(crate) use x509::{Facts, facts, request, self_signed};

use crate::crypto::{CryptoError, Material};

/// A certificate and those that lead from it to its root, DER in base64, the leaf first.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Chain(Vec<String>);

impl Chain {
    /// A chain of DER certificates whose leaf is for the key; the others keep their order.
    pub(crate) fn for_key(mut certificates: Vec<Vec<u8>>, material: &Material) -> Result<Self, CryptoError> {
        let public = material.public()?;
        let mut leaf = None;
        for (at, der) in certificates.iter().enumerate() {
            if facts(der)?.public == public {
                leaf = Some(at);
                break;
            }
        }
        let Some(leaf) = leaf else {
            return Err(CryptoError::refused("The certificate's public key does not match the private key."));
        };
        let first = certificates.remove(leaf);
        certificates.insert(0, first);
        Ok(Self(certificates.iter().map(|der| STANDARD.encode(der)).collect()))
    }

    /// The leaf, DER in base64.
    pub(crate) fn leaf(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    /// All, DER.
    pub(crate) fn ders(&self) -> Result<Vec<Vec<u8>>, CryptoError> {
        self.0.iter().map(|text| STANDARD.decode(text).map_err(|_| CryptoError::Failed)).collect()
    }

    fn leaf_der(&self) -> Option<Vec<u8>> {
        STANDARD.decode(self.leaf()).ok()
    }

    /// SHA-1 of the leaf in base64url, as `x5t` has it.
    pub(crate) fn thumbprint(&self) -> String {
        let der = self.leaf_der().unwrap_or_default();
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, &der);
        URL_SAFE_NO_PAD.encode(hash.as_ref())
    }

    /// What the leaf says of itself.
    pub(crate) fn facts(&self) -> Result<Facts, CryptoError> {
        facts(&self.leaf_der().ok_or(CryptoError::Failed)?)
    }

    /// The leaf's subject.
    pub(crate) fn subject(&self) -> Option<String> {
        self.facts().ok().map(|facts| facts.subject)
    }
}

#[cfg(test)]
mod tests;
