//! Keys and certificates: an authority, what it issues, and requests it signs.
//!
//! Leaf and authority keys are ECDSA P-256 (fast to make and to use); signing keys for tokens are RSA
//! elsewhere, where the protocol wants RS256.

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};

/// How far before "now" a certificate starts to be valid, so that clocks may differ a little.
const BACKDATE: Duration = Duration::minutes(5);

/// A key, certificate or request that could not be made or read.
#[derive(Debug, thiserror::Error)]
#[error("failed to {deed}")]
pub struct PkiError {
    deed: &'static str,
    #[source]
    source: rcgen::Error,
}

fn failed(deed: &'static str) -> impl FnOnce(rcgen::Error) -> PkiError {
    move |source| PkiError { deed, source }
}

/// What a certificate may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// To prove who a server is.
    Server,
    /// To prove who a client is.
    Client,
    /// Both.
    Both,
}

impl Usage {
    fn purposes(self) -> Vec<ExtendedKeyUsagePurpose> {
        match self {
            Usage::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Usage::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
            Usage::Both => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        }
    }
}

/// Who a certificate is for and how long.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// The subject's common name; for Kubernetes clients the user name.
    pub common_name: String,
    /// The subject's organisations; for Kubernetes clients the groups.
    pub organizations: Vec<String>,
    /// DNS names it answers for.
    pub dns_names: Vec<String>,
    /// Addresses it answers for.
    pub addresses: Vec<IpAddr>,
    /// What it may be used for.
    pub usage: Usage,
    /// How long it is valid from now.
    pub valid: std::time::Duration,
}

/// A private key and its certificate, both PEM.
#[derive(Clone)]
pub struct Issued {
    /// The certificate.
    pub certificate_pem: String,
    /// Its private key, PKCS #8.
    pub key_pem: String,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").field("certificate_pem", &self.certificate_pem).finish_non_exhaustive()
    }
}

/// A certificate authority. Cheap to clone.
#[derive(Clone)]
pub struct Authority(Arc<Inner>);

struct Inner {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    key_pem: String,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Authority").field(&self.0.certificate_pem).finish()
    }
}

impl Authority {
    /// Makes a new authority with a key of its own.
    pub fn new(common_name: &str, valid: std::time::Duration) -> Result<Self, PkiError> {
        let key = KeyPair::generate().map_err(failed("generate a key"))?;
        let mut params = CertificateParams::default();
        params.distinguished_name = name(common_name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
        ];
        set_validity(&mut params, valid);
        let certificate = params.self_signed(&key).map_err(failed("sign the authority"))?;
        Ok(Self(Arc::new(Inner {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            issuer: Issuer::new(params, key),
        })))
    }

    /// Reads an authority back from what [`certificate_pem`](Self::certificate_pem) and
    /// [`key_pem`](Self::key_pem) gave.
    pub fn load(certificate_pem: &str, key_pem: &str) -> Result<Self, PkiError> {
        let key = KeyPair::from_pem(key_pem).map_err(failed("read the authority's key"))?;
        let issuer = Issuer::from_ca_cert_pem(certificate_pem, key)
            .map_err(failed("read the authority's certificate"))?;
        Ok(Self(Arc::new(Inner {
            issuer,
            certificate_pem: certificate_pem.to_owned(),
            key_pem: key_pem.to_owned(),
        })))
    }

    /// The authority's own certificate, for those who shall trust it.
    pub fn certificate_pem(&self) -> &str {
        &self.0.certificate_pem
    }

    /// The authority's private key. Keep it in files only the owner reads.
    pub fn key_pem(&self) -> &str {
        &self.0.key_pem
    }

    /// Makes a key and a certificate for it.
    pub fn issue(&self, leaf: &Leaf) -> Result<Issued, PkiError> {
        let key = KeyPair::generate().map_err(failed("generate a key"))?;
        let mut params = CertificateParams::new(leaf.dns_names.clone())
            .map_err(failed("use the DNS names of a certificate"))?;
        params.subject_alt_names.extend(leaf.addresses.iter().copied().map(SanType::IpAddress));
        params.distinguished_name = name(&leaf.common_name, &leaf.organizations);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = leaf.usage.purposes();
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, leaf.valid);
        let certificate = params.signed_by(&key, &self.0.issuer).map_err(failed("sign a certificate"))?;
        Ok(Issued { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }

    /// Signs a certificate request: subject and alternative names are taken from it, its signature is
    /// checked, usage and validity are the signer's to say. Returns the certificate, PEM.
    ///
    /// Whether the requester may have this subject is for the caller to judge, before.
    pub fn sign_request(
        &self,
        request_pem: &str,
        usage: Usage,
        valid: std::time::Duration,
    ) -> Result<String, PkiError> {
        let mut request = CertificateSigningRequestParams::from_pem(request_pem)
            .map_err(failed("read a certificate request"))?;
        request.params.is_ca = IsCa::NoCa;
        request.params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        request.params.extended_key_usages = usage.purposes();
        request.params.use_authority_key_identifier_extension = true;
        set_validity(&mut request.params, valid);
        let certificate = request.signed_by(&self.0.issuer).map_err(failed("sign a certificate request"))?;
        Ok(certificate.pem())
    }
}

/// A private key with a request for a certificate, both PEM.
pub struct Requested {
    /// The request, PKCS #10.
    pub request_pem: String,
    /// The private key, PKCS #8; it never leaves the requester.
    pub key_pem: String,
}

/// Makes a key and a certificate request for it.
pub fn request(
    common_name: &str,
    organizations: &[String],
    dns_names: &[String],
    addresses: &[IpAddr],
) -> Result<Requested, PkiError> {
    let key = KeyPair::generate().map_err(failed("generate a key"))?;
    let mut params = CertificateParams::new(dns_names.to_vec())
        .map_err(failed("use the DNS names of a certificate request"))?;
    params.subject_alt_names.extend(addresses.iter().copied().map(SanType::IpAddress));
    params.distinguished_name = name(common_name, organizations);
    let request = params.serialize_request(&key).map_err(failed("sign a certificate request"))?;
    Ok(Requested {
        request_pem: request.pem().map_err(failed("encode a certificate request"))?,
        key_pem: key.serialize_pem(),
    })
}

/// A new RSA-2048 private key, PKCS #8 PEM: for tokens, whose verifiers want RS256.
pub fn rsa_key_pem() -> Result<String, PkiError> {
    let key = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048)
        .map_err(failed("generate an RSA key"))?;
    Ok(key.serialize_pem())
}

/// The public key of a private one in PEM, as PEM.
pub fn public_key_pem(private_pem: &str) -> Result<String, PkiError> {
    let key = KeyPair::from_pem(private_pem).map_err(failed("read a private key"))?;
    Ok(key.public_key_pem())
}

fn name(common_name: &str, organizations: &[String]) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    // rcgen keeps one value per type; Kubernetes wants each group as an organisation of its own, which
    // only system:masters-like single groups need here. A list is written as its first.
    if let Some(organization) = organizations.first() {
        name.push(DnType::OrganizationName, organization.as_str());
    }
    name.push(DnType::CommonName, common_name);
    name
}

fn set_validity(params: &mut CertificateParams, valid: std::time::Duration) {
    let now = OffsetDateTime::now_utc();
    params.not_before = now - BACKDATE;
    params.not_after = now + valid;
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);

    #[test]
    fn an_rsa_key_is_pkcs8() {
        assert!(rsa_key_pem().unwrap().starts_with("-----BEGIN PRIVATE KEY-----"));
    }

    #[test]
    fn an_authority_survives_being_stored() {
        let made = Authority::new("ca", DAY).unwrap();
        let read = Authority::load(made.certificate_pem(), made.key_pem()).unwrap();
        let requested = request("system:node:n1", &["system:nodes".into()], &[], &[]).unwrap();
        let signed = read.sign_request(&requested.request_pem, Usage::Client, DAY).unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(signed.as_bytes()).unwrap();
        let certificate = pem.parse_x509().unwrap();
        assert_eq!(certificate.subject().to_string(), "O=system:nodes, CN=system:node:n1");
        let (_, pem) = x509_parser::pem::parse_x509_pem(made.certificate_pem().as_bytes()).unwrap();
        assert_eq!(pem.parse_x509().unwrap().subject(), certificate.issuer());
    }
}
