//! Certificates with their keys as files: PFX (PKCS #12) and PEM.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, Pkcs12Archive, PrivateKey, PrivateKeyChain};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::Chain;
use crate::crypto::{CryptoError, Material};

/// The content type of PEM.
pub(crate) const PEM: &str = "application/x-pem-file";

fn failed<E>(_: E) -> CryptoError {
    CryptoError::Failed
}

/// Reads what a client imports; also tells the content type.
pub(crate) fn read(value: &str, password: &str) -> Result<(Chain, Material, &'static str), CryptoError> {
    if value.trim_start().starts_with("-----BEGIN") {
        return read_pem(value.as_bytes()).map(|(chain, material)| (chain, material, PEM));
    }
    let wrong = || CryptoError::refused("The certificate is neither PEM nor PFX in base64.");
    let compact: String = value.split_whitespace().collect();
    let bytes = STANDARD.decode(compact).map_err(|_| wrong())?;
    if bytes.trim_ascii_start().starts_with(b"-----BEGIN") {
        return read_pem(&bytes).map(|(chain, material)| (chain, material, PEM));
    }
    let archive = Pkcs12Archive::from_pkcs12(&bytes, password).map_err(|_| {
        CryptoError::refused("The specified PKCS#12 X.509 certificate content can not be read. Please check if certificate is in valid PKCS#12 format and the password is right.")
    })?;
    let [key] = archive.keys.as_slice() else {
        return Err(CryptoError::refused("The PKCS#12 content must hold exactly one private key."));
    };
    let material = Material::read(key.key.as_der())?;
    let certificates = archive.certs.iter().map(|bag| bag.cert.as_der().to_vec()).collect();
    Ok((Chain::for_key(certificates, &material)?, material, "application/x-pkcs12"))
}

fn read_pem(bytes: &[u8]) -> Result<(Chain, Material), CryptoError> {
    let key = PrivateKeyDer::from_pem_slice(bytes).map_err(|_| {
        CryptoError::refused(
            "The specified PEM X.509 certificate content does not hold an unencrypted private key.",
        )
    })?;
    let material = Material::read(key.secret_der())?;
    let certificates = CertificateDer::pem_slice_iter(bytes)
        .map(|read| read.map(|der| der.to_vec()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| CryptoError::refused("The specified PEM X.509 certificate content can not be read."))?;
    Ok((Chain::for_key(certificates, &material)?, material))
}

fn block(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut made = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        made.push_str(line);
        made.push('\n');
        rest = after;
    }
    made.push_str(&format!("-----END {label}-----\n"));
    made
}

/// The value of a certificate's secret, with the private key when `exportable`.
pub(crate) fn write(
    content_type: &str,
    chain: &Chain,
    material: &Material,
    exportable: bool,
) -> Result<String, CryptoError> {
    let ders = chain.ders()?;
    if content_type == PEM {
        let mut text = if exportable { block("PRIVATE KEY", &material.pkcs8()?) } else { String::new() };
        for der in &ders {
            text.push_str(&block("CERTIFICATE", der));
        }
        return Ok(text);
    }
    let certificates = ders.iter().map(|der| Certificate::from_der(der)).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(failed)?;
    let mut store = KeyStore::new();
    if exportable {
        let key = PrivateKey::from_der(&material.pkcs8()?).map_err(failed)?;
        let chain = PrivateKeyChain::new(vec![1_u8], key, certificates);
        store.add_entry("1", KeyStoreEntry::PrivateKeyChain(chain));
    } else {
        for (at, certificate) in certificates.into_iter().enumerate() {
            store.add_entry(&at.to_string(), KeyStoreEntry::Certificate(certificate));
        }
    }
    Ok(STANDARD.encode(store.writer("").write().map_err(failed)?))
}
