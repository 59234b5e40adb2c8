//! How one API server knows and judges those who ask, beyond what every server does.
//!
//! All of it has a default, which is upstream's; a managed cluster sets what its cloud sets.

use std::sync::Arc;

use kit::pki::Authority;

use crate::audit::Audit;
use crate::authn::FrontProxy;
use crate::authz::ExternalAuthorizer;
use crate::tokens::Lifetimes;

/// Settings of authentication, authorisation, audit and fairness.
pub struct Access {
    /// Keys that no longer sign service-account tokens but whose tokens are still good: RSA or P-256, private or public, PEM.
    pub retired_service_account_keys_pem: Vec<String>,
    /// How long service-account tokens may live.
    pub token_lifetimes: Lifetimes,
    /// Issues the certificate with which the aggregation layer tells extension API servers who it is. Another one than the cluster's authority:
    /// whoever has a certificate of it is believed when it says who asks, so no client may have one. None: one that lives as long as the server.
    pub proxy_authority: Option<Authority>,
    /// Proxies that say in headers who asks; none: such headers count for nothing.
    pub front_proxy: Option<FrontProxy>,
    /// Who is asked when neither the node authoriser nor RBAC allows; none: nobody.
    pub authorizer: Option<Arc<dyn ExternalAuthorizer>>,
    /// What is recorded of requests, and where; none: nothing.
    pub audit: Option<Audit>,
    /// Seats for requests at once, of all priority levels together.
    pub seats: u32,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            retired_service_account_keys_pem: Vec::new(),
            token_lifetimes: Lifetimes::default(),
            proxy_authority: None,
            front_proxy: None,
            authorizer: None,
            audit: None,
            seats: crate::flow::SEATS,
        }
    }
}
