//! Proxies in front of the server: who proves with a certificate of the proxies' authority to be one of them is
//! believed when it says in `X-Remote-*` headers who asks.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderMap;
use kit::Clock;
use rustls::pki_types::CertificateDer;

use super::{CertificateError, ClientCertificates};
use crate::attributes::UserInfo;

const USER: &str = "x-remote-user";
const UID: &str = "x-remote-uid";
const GROUP: &str = "x-remote-group";
const EXTRA: &str = "x-remote-extra-";

/// Which proxies are believed.
#[derive(Debug, Clone)]
pub struct FrontProxy {
    /// The authority that issues their certificates, PEM. Not the one that issues clients' certificates.
    pub authority_pem: String,
    /// Common names of proxies; none means any that the authority issued.
    pub allowed_names: Vec<String>,
}

/// Believes proxies.
pub(super) struct FrontProxies {
    certificates: ClientCertificates,
    allowed_names: Vec<String>,
}

impl FrontProxies {
    pub(super) fn new(settings: &FrontProxy, clock: Arc<dyn Clock>) -> Result<Self, CertificateError> {
        Ok(Self {
            certificates: ClientCertificates::new(&settings.authority_pem, clock)?,
            allowed_names: settings.allowed_names.clone(),
        })
    }

    /// Whom a proxy speaks for; none when the connection is not a proxy's or it names nobody.
    pub(super) fn authenticate(&self, headers: &HeaderMap, chain: &[CertificateDer<'_>]) -> Option<UserInfo> {
        let name = text(headers, USER)?;
        let proxy = self.certificates.authenticate(chain).ok()?;
        if !self.allowed_names.is_empty() && !self.allowed_names.contains(&proxy.name) {
            tracing::info!(name = %proxy.name, "x509: subject is not in the allowed list of front proxies");
            return None;
        }
        let all = |header: &str| -> Vec<String> {
            let values = headers.get_all(header).iter();
            values.filter_map(|value| value.to_str().ok()).map(str::to_owned).collect()
        };
        let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for header in headers.keys() {
            if let Some(key) = header.as_str().strip_prefix(EXTRA) {
                let key = percent_encoding::percent_decode_str(key).decode_utf8_lossy().into_owned();
                extra.entry(key).or_default().extend(all(header.as_str()));
            }
        }
        Some(UserInfo {
            name: name.to_owned(),
            uid: text(headers, UID).unwrap_or_default().to_owned(),
            groups: all(GROUP),
            extra,
        })
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim).filter(|value| !value.is_empty())
}

/// Whether a header is one of those in which proxies speak; they go no further than authentication.
pub(super) fn is_proxy_header(name: &str) -> bool {
    matches!(name, USER | UID | GROUP) || name.starts_with(EXTRA)
}
