//! The clusters as token issuers: so that workloads sign in to Entra with their service-account tokens.

use std::sync::{Arc, OnceLock, Weak};

use async_trait::async_trait;
use entra::{IssuerKeys, JwkSet};

use super::hosting::Hosting;

/// Finds a cluster's keys by its issuer URL. The directory is opened before there is a host of control planes:
/// until [`ClusterIssuers::bind`] no issuer is known.
#[derive(Default)]
pub(super) struct ClusterIssuers(OnceLock<Weak<Hosting>>);

impl ClusterIssuers {
    /// From now on issuers are the clusters of this host. Only the first call counts.
    pub(super) fn bind(&self, hosting: &Arc<Hosting>) {
        // Weak: the host has the directory, which has this.
        let _ = self.0.set(Arc::downgrade(hosting));
    }
}

#[async_trait]
impl IssuerKeys for ClusterIssuers {
    async fn keys(&self, issuer: &str) -> Option<JwkSet> {
        let plane = self.0.get()?.upgrade()?.by_issuer(issuer)?;
        let request = http::Request::get("/openid/v1/jwks").body(Vec::new()).ok()?;
        match plane.admin().request::<JwkSet>(request).await {
            Ok(keys) => Some(keys),
            Err(error) => {
                tracing::warn!(%issuer, error = %kit::Chain(&error), "a cluster's keys cannot be read");
                None
            }
        }
    }
}
