//! TLS for servers and clients: certificates by server name, client certificates asked for but judged later.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, DigitallySignedStruct, DistinguishedName, SignatureScheme};

/// Why a certificate or key could not be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The PEM text is not what it should be.
    #[error("failed to read PEM {what}")]
    Pem {
        /// `certificate` or `key`.
        what: &'static str,
        /// What is wrong with it.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The parts do not fit or are not supported.
    #[error("failed to set up TLS")]
    Tls(#[from] rustls::Error),
}

/// Makes aws-lc-rs the process's provider; every `main` calls it first. A second call changes nothing.
pub fn install_provider() {
    let _ = aws_lc_rs::default_provider().install_default();
}

/// The default provider with 128-bit AES first, as Go's TLS prefers it: lists of many objects cost a quarter less.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    Arc::new(provider)
}

/// The certificates in a PEM text.
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|source| TlsError::Pem { what: "certificate", source })
}

/// The private key in a PEM text.
pub fn key(pem: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|source| TlsError::Pem { what: "key", source })
}

/// Certificates by server name, changeable while the server runs.
///
/// A name is exact or `*.suffix` (one label). A client that asks for no name, or for one that is not
/// here, gets the default if there is one; else the handshake fails.
#[derive(Debug, Clone, Default)]
pub struct Certificates(Arc<RwLock<Table>>);

#[derive(Debug, Default)]
struct Table {
    by_name: HashMap<String, Arc<CertifiedKey>>,
    default: Option<Arc<CertifiedKey>>,
}

impl Certificates {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on this chain (leaf first) and key answer for `name`.
    pub fn set(&self, name: &str, chain_pem: &str, key_pem: &str) -> Result<(), TlsError> {
        let certified = certified(chain_pem, key_pem)?;
        self.0.write().by_name.insert(name.to_ascii_lowercase(), certified);
        Ok(())
    }

    /// The chain and key for clients that ask for no known name.
    pub fn set_default(&self, chain_pem: &str, key_pem: &str) -> Result<(), TlsError> {
        let certified = certified(chain_pem, key_pem)?;
        self.0.write().default = Some(certified);
        Ok(())
    }

    /// Forgets a name.
    pub fn remove(&self, name: &str) {
        self.0.write().by_name.remove(&name.to_ascii_lowercase());
    }
}

fn certified(chain_pem: &str, key_pem: &str) -> Result<Arc<CertifiedKey>, TlsError> {
    let key = provider().key_provider.load_private_key(key(key_pem)?)?;
    Ok(Arc::new(CertifiedKey::new(certificates(chain_pem)?, key)))
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let table = self.0.read();
        let named = hello.server_name().and_then(|name| {
            let name = name.to_ascii_lowercase();
            table.by_name.get(&name).or_else(|| {
                let (_, rest) = name.split_once('.')?;
                table.by_name.get(&format!("*.{rest}"))
            })
        });
        named.or(table.default.as_ref()).cloned()
    }
}

/// Asks for a client certificate, lets the client go without, checks that the client holds its key, and
/// leaves the question of trust to the service behind (each cluster trusts another authority).
#[derive(Debug)]
struct AskForClientCertificate(WebPkiSupportedAlgorithms);

impl ClientCertVerifier for AskForClientCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }
    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// A server's TLS set-up: these certificates, HTTP/2 and HTTP/1.1, client certificates asked for.
pub fn server(certificates: Certificates) -> Result<Arc<rustls::ServerConfig>, TlsError> {
    let provider = provider();
    let verifier = AskForClientCertificate(provider.signature_verification_algorithms);
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::new(certificates));
    config.ignore_client_order = true;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// A client's certificate: PEM chain (leaf first) and PEM key.
#[derive(Clone)]
pub struct ClientIdentity {
    /// The chain, leaf first.
    pub chain_pem: String,
    /// The leaf's key.
    pub key_pem: String,
}

/// A client's TLS set-up: trusts only `roots_pem`, shows `identity` when asked. No ALPN is set.
pub fn client(roots_pem: &str, identity: Option<&ClientIdentity>) -> Result<rustls::ClientConfig, TlsError> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in certificates(roots_pem)? {
        roots.add(certificate)?;
    }
    let builder = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    Ok(match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            builder.with_client_auth_cert(certificates(&identity.chain_pem)?, key(&identity.key_pem)?)?
        }
    })
}
