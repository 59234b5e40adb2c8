//! Client certificates: issued by the cluster's authority, for clients, valid now. CN is the user, each O a group, the attribute
//! `1.3.6.1.4.1.57683.2` its uid. There are no revocation lists: a certificate is good until it ends or its authority is replaced.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use kit::Clock;
use parking_lot::Mutex;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use sha2::{Digest, Sha256};

use crate::attributes::UserInfo;

/// The subject attribute that carries a uid, as Kubernetes registered it.
const UID: &str = "1.3.6.1.4.1.57683.2";
/// Verified certificates remembered, so that a connection pays for its chain once.
const REMEMBERED_MAX: usize = 4096;

/// Why a certificate is refused, or the authority cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The authority's certificate cannot be read.
    #[error("failed to read the authority's certificate")]
    Authority(#[source] kit::tls::TlsError),
    /// It cannot be trusted.
    #[error("failed to use the authority's certificate")]
    Roots(#[source] rustls::Error),
    /// It cannot be trusted.
    #[error("failed to build a verifier for the authority")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
    /// The client's chain is not of this authority, not for clients, or not valid now.
    #[error("x509: certificate is not acceptable")]
    Chain(#[source] rustls::Error),
    /// The client's certificate says nothing.
    #[error("x509: subject has no common name")]
    NoName,
    /// The client's certificate says two things.
    #[error("x509: subject has more than one uid")]
    ManyUids,
}

/// Judges client certificates by one authority.
pub struct ClientCertificates {
    verifier: Arc<dyn ClientCertVerifier>,
    clock: Arc<dyn Clock>,
    /// By the whole leaf: to look it up costs less than to hash it as the user's extra does.
    remembered: Mutex<HashMap<Box<[u8]>, (UserInfo, Timestamp)>>,
}

impl ClientCertificates {
    /// Trusts only this authority.
    pub fn new(authority_pem: &str, clock: Arc<dyn Clock>) -> Result<Self, CertificateError> {
        let mut roots = RootCertStore::empty();
        for root in kit::tls::certificates(authority_pem).map_err(CertificateError::Authority)? {
            roots.add(root).map_err(CertificateError::Roots)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(CertificateError::Verifier)?;
        Ok(Self { verifier, clock, remembered: Mutex::default() })
    }

    /// The user of a chain, leaf first. That the client holds the leaf's key was checked in the TLS handshake.
    pub fn authenticate(&self, chain: &[CertificateDer<'_>]) -> Result<UserInfo, CertificateError> {
        let Some((leaf, intermediates)) = chain.split_first() else { return Err(CertificateError::NoName) };
        let now = self.clock.now();
        if let Some((user, until)) = self.remembered.lock().get(leaf.as_ref())
            && now < *until
        {
            return Ok(user.clone());
        }
        let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(
            u64::try_from(now.as_second()).unwrap_or(0),
        ));
        self.verifier.verify_client_cert(leaf, intermediates, at).map_err(CertificateError::Chain)?;
        let (user, until) = subject(leaf)?;
        let mut remembered = self.remembered.lock();
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(leaf.as_ref().into(), (user.clone(), until));
        Ok(user)
    }
}

fn subject(leaf: &CertificateDer<'_>) -> Result<(UserInfo, Timestamp), CertificateError> {
    let (_, parsed) = x509_parser::parse_x509_certificate(leaf).map_err(|_| CertificateError::NoName)?;
    let subject = parsed.subject();
    let text = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| {
        attribute.as_str().map(str::to_owned).unwrap_or_default()
    };
    let name = subject.iter_common_name().next().map(text).filter(|name| !name.is_empty());
    let name = name.ok_or(CertificateError::NoName)?;
    let groups = subject.iter_organization().map(text).collect();
    let mut uids = subject.iter_attributes().filter(|one| one.attr_type().to_id_string() == UID).map(text);
    let uid = uids.next().unwrap_or_default();
    if uids.next().is_some() {
        return Err(CertificateError::ManyUids);
    }
    let until = Timestamp::from_second(parsed.validity().not_after.timestamp()).unwrap_or(Timestamp::MIN);
    let print: String = Sha256::digest(leaf.as_ref()).iter().map(|byte| format!("{byte:02x}")).collect();
    let extra =
        [("authentication.kubernetes.io/credential-id".to_owned(), vec![format!("X509SHA256={print}")])];
    Ok((UserInfo { name, uid, groups, extra: extra.into() }, until))
}
