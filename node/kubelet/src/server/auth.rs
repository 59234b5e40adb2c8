//! Who may call: who shows a certificate of the cluster's authority and is the API server or an admin.

use std::sync::Arc;

use http::StatusCode;
use kit::http::{Connection, Request};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

const ADMINS: &str = "system:masters";
const API_SERVER: &str = "kube-apiserver-kubelet-client";

/// The check.
pub struct Callers(Arc<dyn ClientCertVerifier>);

impl Callers {
    /// Trusts this authority.
    pub fn new(authority_pem: &str) -> Result<Self, String> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in
            kit::tls::certificates(authority_pem).map_err(|error| kit::Chain(&error).to_string())?
        {
            roots.add(certificate).map_err(|error| error.to_string())?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self(verifier))
    }

    /// 401 for strangers, 403 for others of the cluster.
    pub fn check(&self, request: &Request) -> Result<(), (StatusCode, String)> {
        let refused = || (StatusCode::UNAUTHORIZED, "Unauthorized".to_owned());
        let connection = request.extensions().get::<Connection>().ok_or_else(refused)?;
        self.check_chain(&connection.client_certificates)
    }

    fn check_chain(&self, chain: &[CertificateDer<'static>]) -> Result<(), (StatusCode, String)> {
        let refused = || (StatusCode::UNAUTHORIZED, "Unauthorized".to_owned());
        let (leaf, others) = chain.split_first().ok_or_else(refused)?;
        self.0.verify_client_cert(leaf, others, UnixTime::now()).map_err(|error| {
            tracing::debug!(%error, "a client certificate was refused");
            refused()
        })?;
        let (_, certificate) = x509_parser::parse_x509_certificate(leaf).map_err(|_| refused())?;
        let subject = certificate.subject();
        let text = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| {
            attribute.as_str().unwrap_or_default().to_owned()
        };
        let name = subject.iter_common_name().next().map(text).unwrap_or_default();
        let admin = subject.iter_organization().any(|organization| text(organization) == ADMINS);
        if admin || name == API_SERVER {
            return Ok(());
        }
        let message = format!("Forbidden (user={name}, verb=get, resource=nodes, subresource=proxy)");
        Err((StatusCode::FORBIDDEN, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kit::pki::{Authority, Leaf, Usage};

    const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);

    fn chain(authority: &Authority, name: &str, organizations: &[&str]) -> Vec<CertificateDer<'static>> {
        let issued = authority.issue(&Leaf {
            common_name: name.into(),
            organizations: organizations.iter().map(|one| (*one).to_owned()).collect(),
            dns_names: vec![],
            addresses: vec![],
            usage: Usage::Client,
            valid: DAY,
        });
        kit::tls::certificates(&issued.unwrap().certificate_pem).unwrap()
    }

    #[test]
    fn only_the_api_server_and_admins_may_call() {
        let (own, other) = (Authority::new("ca", DAY).unwrap(), Authority::new("ca", DAY).unwrap());
        let callers = Callers::new(own.certificate_pem()).unwrap();
        let status = |chain: &[CertificateDer<'static>]| {
            callers.check_chain(chain).map_err(|(status, _)| status.as_u16())
        };
        assert_eq!(status(&chain(&own, API_SERVER, &[])), Ok(()));
        assert_eq!(status(&chain(&own, "root", &[ADMINS])), Ok(()));
        assert_eq!(status(&chain(&own, "system:node:n2", &["system:nodes"])), Err(403));
        assert_eq!(status(&chain(&other, API_SERVER, &[ADMINS])), Err(401));
        assert_eq!(status(&[]), Err(401));
    }
}
