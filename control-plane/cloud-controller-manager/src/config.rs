//! What the loops are told at their start.

use std::sync::Arc;

use async_trait::async_trait;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
#[error("failed to get a token for the cloud: {0}")]
pub struct TokenError(pub String);

/// Where bearer tokens for `https://management.azure.com/` come from: the cluster's identity.
#[async_trait]
pub trait TokenSource: Send + Sync + 'static {
    /// A token that is valid for at least the next minute.
    async fn token(&self) -> Result<String, TokenError>;
}

/// Settings of the loops of one cluster.
#[derive(Clone)]
pub struct Config {
    /// The cloud: answers requests for `https://management.azure.com/…`.
    pub cloud: kit::http::BoxService,
    /// Proves who asks.
    pub token: Arc<dyn TokenSource>,
    /// The subscription's id.
    pub subscription_id: String,
    /// The node resource group, `MC_…`.
    pub resource_group: String,
    /// The region.
    pub location: String,
    /// The cluster's name.
    pub cluster_name: String,
}
